"""Stopping in good order: between SIGTERM and its end a preempted machine has half a
minute, and Ctrl-C should lose nothing either."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import tensorflow as tf

from feature_specs.errors import Status, TrailrankError
from trainer import strategy as strategies


class InterruptedTraining(TrailrankError, RuntimeError):
    """A signal stopped the training after a checkpoint.

    Attributes:
        exit_status: Of a command that ends with it.
    """

    def __init__(self, number: int, where: str):
        name = signal.Signals(number).name
        super().__init__(
            f"Stopped by {name}. A checkpoint holds everything up to {where}. Give the "
            f"same command to go on from there."
        )
        stopped = number == signal.SIGINT
        self.exit_status = Status.STOPPED if stopped else Status.PREEMPTED


class Interruption:
    """Notes SIGTERM and Ctrl-C inside a `with`, for the loop to ask between calls.

    A second signal acts at once, as if nobody had listened. Outside the main thread,
    where Python takes no signals, nothing is noted.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._noted = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number in tuple(self._before):
            self._restore(number)

    def signal(self) -> int:
        """The signal that came, 0 if none did; on several workers all agree."""
        if not strategies.is_several_workers(self._strategy):
            return self._noted
        # A preempted machine is one of many. All must stop after the same step.
        numbers = self._strategy.run(lambda: tf.constant(self._noted, tf.int32))
        reduced = self._strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None)
        return int(reduced.numpy()) and (self._noted or signal.SIGTERM)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._noted:
            self._restore(number)
            signal.raise_signal(number)
        self._noted = number

    def _restore(self, number: int) -> None:
        signal.signal(number, self._before.pop(number))  # type: ignore[arg-type]

"""A bounded queue of samples, and the thread that scores and logs them."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from serving.server.metrics import TrialMetrics
from serving.server.sample_log import Sample, SampleLog

_LOG = logging.getLogger("trailrank.serving")
_CLOSE_S = 3.0  # for samples that wait when the server ends; Kubernetes kills soon


class _Sized(Protocol):
    @property
    def size_bytes(self) -> int:
        """In memory, about."""


T = TypeVar("T", bound=_Sized)


class Recorder(Generic[T]):
    """Makes rows of what is put here, in the order of its coming, and logs them.

    Its thread has no lower priority than those of requests: halted by the system while
    it holds Python's lock, it would halt them all.

    Args:
        log: Gets the rows; nobody else's.
        recorded: What was put -> its row; it may be slow, raise, or hang.
        metrics: Of what is dropped, the queue and the log.
        most: Samples that wait.
        most_bytes: Of all of them.
    """

    def __init__(
        self,
        log: SampleLog,
        recorded: Callable[[T], Sample],
        metrics: TrialMetrics,
        *,
        most: int,
        most_bytes: float,
    ):
        self._log, self._recorded, self._metrics = log, recorded, metrics
        self._most, self._most_bytes = most, most_bytes
        self._changed = threading.Condition()
        self._queue: collections.deque[T] = collections.deque()
        self._bytes = 0
        self._is_closed = False
        self._end_s = 0.0  # on the monotonic clock, once it is closed
        self._writing = threading.Lock()  # around the log
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def put(self, waiting: T) -> bool:
        """Whether there was room; what finds none is counted. Never waits for a row."""
        with self._changed:
            size = self._bytes + waiting.size_bytes
            is_full = len(self._queue) >= self._most or size > self._most_bytes
            if not (is_full or self._is_closed):
                self._queue.append(waiting)
                self._bytes = size
                self._metrics.depth.set(len(self._queue))
                self._changed.notify()
                return True
        self._metrics.dropped("queue_full")
        return False

    def close(self) -> None:
        """Makes rows of what waits, for some seconds at most, and writes all rows."""
        with self._changed:
            self._is_closed = True
            self._end_s = time.monotonic() + _CLOSE_S
            self._changed.notify()
        self._thread.join(2 * _CLOSE_S)  # a shadow that hangs is left alone
        with self._changed:
            left = len(self._queue) + self._thread.is_alive()
            self._queue.clear()
        self._flush()
        if left:
            self._metrics.dropped("stopped", left)
            _LOG.warning("shadow: %d samples are not logged, as the server ends", left)

    def _work(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                row = self._recorded(waiting)
            except Exception:  # one sample's surprise must not end the log
                _LOG.exception("shadow: a sample is lost")
                self._metrics.dropped("log_failed")
                continue
            with self._writing:
                self._log.add(row)
            del waiting, row  # their arrays, while the next one is waited for

    def _next(self) -> T | None:
        """The next sample; writes the files meanwhile that are due. None at the end."""
        while True:
            if self._log.due_in_s() == 0:
                self._flush()
            with self._changed:
                is_late = self._is_closed and time.monotonic() > self._end_s
                if self._queue and not is_late:
                    waiting = self._queue.popleft()
                    self._bytes -= waiting.size_bytes
                    self._metrics.depth.set(len(self._queue))
                    return waiting
                if self._is_closed:
                    return None
                self._changed.wait(self._log.due_in_s())

    def _flush(self) -> None:
        with self._writing:
            rows = len(self._log)
            try:
                lost = self._log.flush()
            except Exception:  # as a disk has many ways to refuse
                _LOG.exception("shadow: samples are lost")
                lost = rows
            if lost:
                self._metrics.dropped("log_failed", lost)
            self._metrics.log_bytes.set(self._log.size_bytes)

"""A pool of threads with a queue that is bounded, and that a caller can leave."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Threads that run functions in the order of their coming.

    A plain pool's queue has no end, and keeps what was cancelled until a thread comes
    to it: with slow requests, clients that come and go would fill the memory.

    Args:
        threads: Functions that run at a time.
        max_waiting: Functions that wait for a thread.
    """

    def __init__(self, threads: int, max_waiting: int):
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "request")
        self._most = threads + max_waiting
        self._lock = threading.Lock()
        # In order, and one can be taken out of the middle.
        self._waiting: dict[Future[Any], Callable[[], Any]] = {}
        self._running = 0
        self._turns = 0  # of the pool, asked for and not begun
        self._is_closed = False

    def submit(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T] | None:
        """Runs a function as soon as a thread is free.

        Returns:
            Its result to come, which forgets the function at once when it is cancelled;
            None where too many wait, or after `close`.
        """
        future: Future[T] = Future()
        with self._lock:
            is_full = self._running + len(self._waiting) >= self._most
            if is_full or self._is_closed:
                return None
            self._waiting[future] = functools.partial(function, *args, **kwargs)
            if self._turns < len(self._waiting):
                self._turns += 1
                self._pool.submit(self._take_turn)
        future.add_done_callback(self._forget)
        return future

    def load(self) -> tuple[int, int]:
        """How many functions run and how many wait."""
        with self._lock:
            return self._running, len(self._waiting)

    def close(self, wait: bool = True) -> None:
        """Takes nothing any more, cancels what waits, and ends with what runs.

        Args:
            wait: For what runs.
        """
        with self._lock:
            self._is_closed = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()
        self._pool.shutdown(wait)

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._waiting.pop(future, None)

    def _take_turn(self) -> None:
        with self._lock:
            self._turns -= 1
            if not self._waiting:
                return
            future = next(iter(self._waiting))
            job = self._waiting.pop(future)
            self._running += 1
        if not future.set_running_or_notify_cancel():
            self._end()
            return
        try:
            result = job()
        except BaseException as error:
            self._end()
            future.set_exception(error)
        else:
            self._end()  # first: who has the result may ask again
            future.set_result(result)

    def _end(self) -> None:
        with self._lock:
            self._running -= 1

"""How many bytes of requests the server holds, over both APIs together."""

from __future__ import annotations

import threading
from collections.abc import Callable

NO_ROOM = "The server is busy: too many bytes of requests are held. Try again later."


class HeldBytes:
    """How many bytes of requests are held, of how many there may be."""

    def __init__(self, most_bytes: int):
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """Whether there is room for so many bytes, which are taken then."""
        with self._lock:
            if size_bytes > self._left_bytes:
                return False
            self._left_bytes -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """So many of those that were taken are held no more."""
        with self._lock:
            self._left_bytes += size_bytes


class Loan:
    """One request's part of them; it ends when nobody holds the body any more."""

    def __init__(self, held: HeldBytes):
        self._held, self._size_bytes, self._is_handed_on = held, 0, False

    def take(self, size_bytes: int) -> bool:
        """Whether there is room for so many bytes more."""
        if not self._held.take(size_bytes):
            return False
        self._size_bytes += size_bytes
        return True

    def lasts_until(self, when: Callable[[Callable[[object], None]], None]) -> None:
        """A worker has the body: it may run on when the client was told otherwise."""
        self._is_handed_on = True
        when(lambda _: self._held.give_back(self._size_bytes))

    def end(self) -> None:
        """Whoever read the request has no use for its body any more."""
        if not self._is_handed_on:
            self._held.give_back(self._size_bytes)

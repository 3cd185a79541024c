"""When garbage is looked for, and that memory goes back to the system.

A TensorFlow graph in Python is a ring of references: only the garbage collector frees
it, which for so few objects rarely looks. And the C library keeps freed blocks between
others for later. Ten swaps of a model of 64 tables of 2 MB each left 2.6 models behind
(`benchmarks/swaps.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from collections.abc import Iterator


def set_libraries_apart() -> None:
    """Later collections pass by what is there now: a look takes an instant.

    To be called once, when everything is imported and no model is loaded. Without it a
    full collection looks at all of TensorFlow, and holds every request meanwhile.
    """
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Nobody looks for garbage while the block runs, in any thread.

    For a large request's values, which are no garbage: looking through a million of
    them while they grow takes a third of the time, and more of a larger one's.
    """
    global _blocks, _was_on
    with _lock:
        if not _blocks:
            _was_on = gc.isenabled()
        _blocks += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _was_on:
                gc.enable()


_lock = threading.Lock()
_blocks, _was_on = 0, True  # blocks that run; before the first one


def give_back() -> None:
    """Frees what nobody has any more, and returns it to the system."""
    gc.collect()
    # Only the GNU C library has it; others return what is freed by themselves, or not.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

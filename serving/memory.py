"""Memory of versions that were let go is given back to the system.

A TensorFlow graph in Python is a ring of references: only the garbage collector frees
it, which for so few objects rarely looks. And the C library keeps freed blocks between
others for later. Ten swaps of a model of 64 tables of 2 MB each left 2.6 models behind
(`benchmarks/swaps.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc


def set_libraries_apart() -> None:
    """Later collections pass by what is there now: a look takes an instant.

    To be called once, when everything is imported and no model is loaded. Without it a
    full collection looks at all of TensorFlow, and holds every request meanwhile.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Frees what nobody has any more, and returns it to the system."""
    gc.collect()
    # Only the GNU C library has it; others return what is freed by themselves, or not.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

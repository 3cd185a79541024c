"""Room on the disk, one writer at a time, and what is said where either fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator

from rich.filesize import decimal

from pipeline.fetch.errors import FetchError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def require_room(folder: pathlib.Path, size_bytes: int, what: str) -> None:
    """Raises FetchError where the disk of `folder` has less than `size_bytes` free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes:
        raise FetchError(
            f"fetch: {what} needs {decimal(size_bytes)} of free disk in {folder}, but "
            f"there are {decimal(free_bytes)}. Make room, or name a directory on "
            "another disk with --out."
        )


@contextlib.contextmanager
def sole_writer(folder: pathlib.Path) -> Iterator[None]:
    """Creates `folder` and keeps other fetches out of it; a killed one lets go.

    What the disk refuses inside (full, not allowed) ends in FetchError.
    """
    handle = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        _lock(handle, folder)
        yield
    except OSError as error:
        raise FetchError(_told(error, folder)) from None
    finally:
        if handle is not None:
            os.close(handle)


def _told(error: OSError, folder: pathlib.Path) -> str:
    if error.errno in _FULL:
        return (
            f"fetch: the disk of {folder} is full ({error.strerror}). Make room and "
            "run the same command again."
        )
    return (
        f"fetch: {error.filename or folder}: {error.strerror or error}. --out must be "
        "a directory that can be written to."
    )


def _lock(handle: int, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FetchError(
            f"fetch: another fetch is writing to {folder}. Wait for it, or name "
            "another directory with --out."
        ) from None
    except OSError:
        pass  # some network file systems know no locks; nothing else needs them

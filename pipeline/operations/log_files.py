"""Which log files a run has read, told so that it can be seen later if they changed.

A digest of all bytes would read a month of logs a second time. Of each file the size,
the time of change and a digest of its size and both ends are kept: a file that was cut,
that grew, or that another day's was put in the place of has other ones.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import hashlib
from collections.abc import Iterable
from typing import Any

from feature_specs.places import is_bucket

END_BYTES = 1 << 16
_MOST_AT_ONCE = 16
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def describe_files(files: Iterable[tuple[str, int, float]]) -> list[dict[str, Any]]:
    """Path, size, time of change and digest of each file, by path.

    Args:
        files: Path, size in bytes, time of change in seconds, as
            `reading.log_files.match_files` finds them; in a bucket, too.

    Returns:
        `path`, `bytes`, `changed` (ISO time, UTC) and `ends_sha256` of each: SHA-256
        of its size, its first and its last 64 KiB; of all bytes if it has no more.
    """
    unique = sorted({path: (size, time) for path, size, time in files}.items())
    with concurrent.futures.ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        digests = pool.map(lambda file: ends_digest(file[0], file[1][0]), unique)
        return [
            {
                "path": path,
                "bytes": size,
                "changed": _iso(time),
                "ends_sha256": digest,
            }
            for (path, (size, time)), digest in zip(unique, digests, strict=True)
        ]


def ends_digest(path: str, size: int) -> str:
    """SHA-256 of a file's size, its first and its last 64 KiB, in hex digits."""
    digest = hashlib.sha256(f"{size}\n".encode())
    with _opened(path) as file:
        digest.update(file.read(END_BYTES))
        if size > END_BYTES:
            file.seek(max(END_BYTES, size - END_BYTES))
            digest.update(file.read(END_BYTES))
    return digest.hexdigest()


def _iso(seconds: float) -> str:
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{time:{_TIME}}"


def _opened(path: str) -> Any:
    if not is_bucket(path):
        return open(path, "rb")
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)

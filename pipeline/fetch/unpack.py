"""Unpacks a tar.gz so that a folder that has its name is complete.

All is written to a hidden folder beside it, which gets its name last; one that a killed
run left is removed by the next.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
import shutil
import tarfile
import zlib

import rich.progress
from rich.filesize import decimal

from pipeline.fetch.disk import require_room
from pipeline.fetch.errors import FetchError

RECORD = "fetched.json"  # in the unpacked folder: its checksum, and each file's size

# KuaiRand's releases have a few dozen members at most.
_MOST_MEMBERS = 10_000
# Beside twice what it should unpack to: what is said of a size is rounded.
_SPARE_BYTES = 1 << 30


def unpack(
    archive: pathlib.Path,
    folder: pathlib.Path,
    checksum: str,
    room_bytes: int,
    progress: rich.progress.Progress,
) -> None:
    """Unpacks the archive's folder with `data/log_*.csv` as `folder`, and its record.

    Args:
        folder: Must not exist.
        checksum: Of the archive; kept in the record.
        room_bytes: About what the unpacked files take.

    Raises:
        FetchError: No room, a broken archive, one that writes outside its folder, that
            unpacks to far more than `room_bytes`, or one without logs.
    """
    _require_filter()
    work = folder.with_name(f".{folder.name}.unpacking")
    _remove(work)
    require_room(folder.parent, room_bytes, f"unpacking {archive.name}")
    try:
        _extract(archive, work, 2 * room_bytes + _SPARE_BYTES, progress)
        found = _folder_of_logs(work, archive)
        _write_record(found, checksum)
        found.rename(folder)
    finally:
        _remove(work)


def is_complete(folder: pathlib.Path, checksum: str) -> bool:
    """Whether `folder` was unpacked from that archive and still has all its files.

    Raises:
        FetchError: There is a folder, but it is another or files are missing.
    """
    if not folder.exists():
        return False
    record_path = folder / RECORD
    if not record_path.is_file():
        raise FetchError(
            f"fetch: {folder} exists and was not put there by fetch, so whether it is "
            "complete is unknown. Use it as it is, or move it away and fetch again."
        )
    record = json.loads(record_path.read_text(encoding="utf-8"))
    if record["checksum"] != checksum:
        raise FetchError(
            f"fetch: {folder} came from an archive with {record['checksum']}, not "
            f"{checksum}. Move it away, or name another directory with --out."
        )
    for name, size_bytes in record["bytes"].items():
        if _size_bytes(folder / name) != size_bytes:
            raise FetchError(
                f"fetch: {folder / name} should have {size_bytes:,} bytes, but has "
                f"{_size_bytes(folder / name):,}. Remove {folder} and fetch again."
            )
    return True


def _require_filter() -> None:
    """FetchError on a Python whose `tarfile` has no filters (PEP 706)."""
    if not hasattr(tarfile, "data_filter"):
        raise FetchError(
            "fetch: unpacking needs Python 3.10.12, 3.11.4 or later, whose tarfile "
            "refuses files outside the folder; this is "
            f"{platform.python_version()}. Update Python and run the same command "
            "again."
        )


def _extract(
    archive: pathlib.Path,
    work: pathlib.Path,
    most_bytes: int,
    progress: rich.progress.Progress,
) -> None:
    """Writes the archive's files, and only files, below `work`."""
    work.mkdir()
    members = _Members(archive, most_bytes)
    try:
        with (
            progress.open(
                archive, "rb", description=f"unpacking {archive.name}"
            ) as packed,
            tarfile.open(fileobj=packed, mode="r|gz") as files,
        ):
            files.extractall(work, filter=members.accept)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FetchError(
            f"fetch: {archive} is no complete tar.gz ({error}). Get it again."
        ) from None


@dataclasses.dataclass
class _Members:
    """Which members of an archive are written, and how many were let through.

    Attributes:
        archive: For messages.
        most_bytes: Of all members together; more is a bomb.
        found: Members so far.
        found_bytes: What they unpack to.
    """

    archive: pathlib.Path
    most_bytes: int
    found: int = 0
    found_bytes: int = 0

    def accept(self, member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        """`tarfile`'s filter: what to write of a member, None to leave it out.

        Owners, modes and times of the archive are left.

        Raises:
            FetchError: The archive writes outside its folder, or does not end.
        """
        self._count(member)
        try:
            safe = tarfile.data_filter(member, folder)
        except tarfile.FilterError:
            raise self._untrusted(member) from None
        # No link at all: a data set needs none. The filter makes an absolute name
        # relative, which would put a file where nobody meant it.
        if not (member.isreg() or member.isdir()) or member.name.startswith("/"):
            raise self._untrusted(member)
        if pathlib.PurePosixPath(member.name).name.startswith("._"):
            return None  # macOS' file attributes
        return safe.replace(mode=None, mtime=None, deep=False)  # type: ignore[arg-type]

    def _count(self, member: tarfile.TarInfo) -> None:
        self.found += 1
        self.found_bytes += member.size
        if self.found > _MOST_MEMBERS or self.found_bytes > self.most_bytes:
            raise FetchError(
                f"fetch: {self.archive} unpacks to more than {_MOST_MEMBERS:,} members "
                f"or {decimal(self.most_bytes)}, far more than the data set has. It "
                "was not unpacked: do not trust that archive."
            )

    def _untrusted(self, member: tarfile.TarInfo) -> FetchError:
        return FetchError(
            f"fetch: {self.archive} holds {member.name!r}, which is no plain file "
            "inside its folder. It was not unpacked: do not trust that archive."
        )


def _folder_of_logs(work: pathlib.Path, archive: pathlib.Path) -> pathlib.Path:
    """The one folder that has `data/log_*.csv`."""
    found = {log.parent.parent for log in work.rglob("data/log_*.csv")}
    if len(found) != 1:
        raise FetchError(
            f"fetch: {archive} must hold one folder with data/log_*.csv, but holds "
            f"{len(found)}. It is not KuaiRand as published."
        )
    return found.pop()


def _write_record(folder: pathlib.Path, checksum: str) -> None:
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({"checksum": checksum, "bytes": sizes}, indent=1)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _size_bytes(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _remove(folder: pathlib.Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)

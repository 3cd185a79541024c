"""Unpacks a tar.gz so that a folder that has its name is complete.

All is written to a hidden folder beside it, which gets its name last; one that a killed
run left is removed by the next.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import tarfile
import zlib

import rich.progress

from pipeline.fetch.disk import require_room
from pipeline.fetch.errors import FetchError

RECORD = "fetched.json"  # in the unpacked folder: its checksum, and each file's size


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
        FetchError: No room, a broken archive, one that writes outside its folder, or
            one without logs.
    """
    work = folder.with_name(f".{folder.name}.unpacking")
    _remove(work)
    require_room(folder.parent, room_bytes, f"unpacking {archive.name}")
    try:
        _extract(archive, work, progress)
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


def _extract(
    archive: pathlib.Path, work: pathlib.Path, progress: rich.progress.Progress
) -> None:
    """Writes the archive's files, and only files, below `work`."""
    work.mkdir()
    try:
        with (
            progress.open(
                archive, "rb", description=f"unpacking {archive.name}"
            ) as packed,
            tarfile.open(fileobj=packed, mode="r|gz") as members,
        ):
            for member in members:
                _write_member(members, member, work, archive)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FetchError(
            f"fetch: {archive} is no complete tar.gz ({error}). Get it again."
        ) from None


def _write_member(
    members: tarfile.TarFile,
    member: tarfile.TarInfo,
    work: pathlib.Path,
    archive: pathlib.Path,
) -> None:
    """One file of the archive. Owners, modes and times of the archive are left."""
    name = pathlib.PurePosixPath(member.name)
    inside = not name.is_absolute() and ".." not in name.parts
    # A link could lead a later member out of the folder, so none is followed or made.
    if not inside or not (member.isreg() or member.isdir()):
        raise FetchError(
            f"fetch: {archive} holds {member.name!r}, which is no plain file inside "
            "its folder. It was not unpacked: do not trust that archive."
        )
    if member.isdir() or name.name.startswith("._"):  # macOS' file attributes
        return
    target = work / name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = members.extractfile(member)
    assert source is not None  # it is a plain file
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


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

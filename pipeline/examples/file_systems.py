"""Files below a directory by a glob, and their removal, on any of Beam's file systems.

Beam reads every path that it matches or deletes as a glob, the user's directory too.
Here only what is said to be a pattern is one: a directory may be called `logs [new]*`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence

from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems

from feature_specs.places import as_glob, is_bucket


def match(folder: str, *patterns: str) -> list[FileMetadata]:
    """The files below a directory that match, in the order of their paths.

    Args:
        folder: As it is called.
        patterns: A glob below it, in parts; `**` goes deeper, `*` does not.
    """
    pattern = "/".join(patterns)
    if is_bucket(folder):
        (found,) = FileSystems.match([FileSystems.join(as_glob(folder), pattern)])
        return sorted(found.metadata_list, key=lambda file: file.path)
    return [_described(path) for path in sorted(_local(folder, pattern))]


def match_paths(folder: str, *patterns: str) -> list[str]:
    """The paths of `match`."""
    return [file.path for file in match(folder, *patterns)]


def delete(paths: Sequence[str]) -> None:
    """Deletes files."""
    for path in paths if not is_bucket("".join(paths[:1])) else ():
        os.remove(path)
    if paths and is_bucket(paths[0]):
        FileSystems.delete([as_glob(path) for path in paths])


def remove(folder: str) -> None:
    """Removes a directory with all that is in it, if it is there."""
    if not is_bucket(folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        return
    delete(match_paths(folder, "**"))
    if FileSystems.exists(folder):
        FileSystems.delete([as_glob(folder)])


def _local(folder: str, pattern: str) -> Iterator[str]:
    """Paths of this machine; links are followed, round in a circle once."""
    fixed = re.match(r"([^*?[]*/)?", pattern)  # what is no glob is not searched for
    assert fixed
    start = os.path.join(folder, fixed.group().rstrip("/"))
    rest = pattern[fixed.end() :]
    regex = re.compile(FileSystem.translate_pattern(rest))
    depth = None if "**" in rest else rest.count("/")
    for path in _files(start, depth, ()):
        if regex.match(os.path.relpath(path, start)):
            yield path


def _files(directory: str, depth: int | None, above: tuple[str, ...]) -> Iterator[str]:
    """Files in a directory and so many levels below, None for all."""
    real = os.path.realpath(directory)
    if real in above or not os.path.isdir(directory):
        return
    for entry in os.scandir(directory):
        # A directory may be called as files are: whoever reads it says so.
        if depth == 0 or not entry.is_dir():
            yield entry.path
        else:
            below = None if depth is None else depth - 1
            yield from _files(entry.path, below, (*above, real))


def _described(path: str) -> FileMetadata:
    found = os.stat(path)
    return FileMetadata(path, found.st_size, found.st_mtime)

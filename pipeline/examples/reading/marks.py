"""Which files were read to their end by an earlier run, and have not changed since.

Where files are named by days, a run of new days leaves the others out by their names.
Where they are not, it leaves out those that held no row of a later day when they were
read, and are as they were then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from apache_beam.io.filesystem import FileMetadata

from feature_specs import Spec
from pipeline.examples.days import DayRange
from pipeline.examples.reading.log_files import has_days, match_files
from pipeline.examples.reading.readers import all_sources
from pipeline.examples.reading.sources import LOG, Source, history_of


class FileMark(NamedTuple):
    """What changes when a file does.

    Attributes:
        size: Of the file, in bytes.
        updated: When it was written last, unix seconds.
    """

    size: int
    updated: float

    @classmethod
    def of(cls, file: FileMetadata) -> FileMark:
        """The mark of a file as it is now."""
        return cls(int(file.size_in_bytes), float(file.last_updated_in_seconds))


Marks = Mapping[str, FileMark]  # of files by their paths


def unseen(files: Iterable[FileMetadata], seen: Marks) -> list[FileMetadata]:
    """The files that are new, or not as they were."""
    return [file for file in files if seen.get(file.path) != FileMark.of(file)]


def is_marked(source: Source, spec: Spec) -> bool:
    """Whether files of a source are left out by their marks.

    Side files are read anew by every run, and other files by their days.
    """
    has_rows_of_days = source.name == LOG or history_of(source.name, spec) is not None
    return has_rows_of_days and not has_days(source)


def read_files(
    spec: Spec,
    logs: str,
    days: DayRange | None = None,
    context: int | None = None,
    seen: Marks | None = None,
) -> list[FileMetadata]:
    """The files that are read for some days, source by source.

    Args:
        spec: Says which files there are.
        logs: Their directory.
        days: The days that become examples; None for those of all files.
        context: How many days before these are read too; None for all.
        seen: Files that are not read again.

    Raises:
        FileNotFoundError: A pattern matches no file, or a day has none.
    """
    windows = {entry.source: entry.window_days for entry in spec.events.values()}
    found = []
    for name, source in all_sources(spec).items():
        asked = None if name in spec.log.joins else days
        files = match_files(source, logs, asked, context, windows.get(name, 0))
        if is_marked(source, spec):
            files = unseen(files, seen or {})
        found += files
    return found


def fingerprint(files: Iterable[FileMetadata]) -> str:
    """Changes when one of the files does, or with which they are."""
    read = [(file.path, FileMark.of(file)) for file in files]
    return hashlib.sha256(repr(read).encode()).hexdigest()[:12]

"""A small copy of logs: all rows of some users, as far as the files were read.

The users are those with the smallest hashes, so that the same logs give the same
sample, whatever their order. Of files too large to be read here the beginning is read,
newest files first; then a user's rows are not all there, which `SampledLogs` says.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence

from apache_beam.io.filesystem import FileMetadata

from feature_specs import Spec
from feature_specs.errors import UsageError
from pipeline.dry_run.raw_rows import (
    Key,
    RawRows,
    TextForm,
    pick,
    read_parquet,
    read_text,
)
from pipeline.dry_run.sources import Files, log_files, other_files
from pipeline.examples.reading.log_files import day_of, has_days, match_files
from pipeline.examples.reading.sources import Source, open_file

MOST_BYTES = 48 << 20  # of the log, as text: about half a million rows
_SIDE_BYTES = 32 << 20  # of a side file
_MOST_FILES = 400  # of the log that are opened


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampledLogs:
    """A copy of some rows.

    Attributes:
        folder: Has files under the names that the spec's patterns match.
        rows: Of the log, in the copy.
        users: In the copy.
        rows_in_all: About how many the log has.
        bytes_in_all: Of the log's files.
        files_in_all: Of the log.
        biases: What is not as it is in the whole, a sentence each.
    """

    folder: str
    rows: int
    users: int
    rows_in_all: int
    bytes_in_all: int
    files_in_all: int
    biases: tuple[str, ...]


def sample_logs(spec: Spec, logs_dir: str, folder: str, rows: int) -> SampledLogs:
    """Copies about so many rows of the log, and what belongs to them, into a folder.

    Args:
        spec: Names the files.
        logs_dir: The logs.
        folder: Of this machine, empty.
        rows: Wanted; a user more than that are taken whole, at least one.

    Raises:
        NoLogsError: A pattern matches no file.
        UsageError: The log's format cannot be sampled.
    """
    reader = _Reader(spec, logs_dir, folder)
    return reader.run(rows)


class _Reader:
    def __init__(self, spec: Spec, logs_dir: str, folder: str):
        self._spec, self._logs, self._folder = spec, logs_dir, folder
        self._biases: list[str] = []

    def run(self, wanted: int) -> SampledLogs:
        files = log_files(self._spec)
        matched = self._match(files)
        some = list(self._some(matched))
        read = {file: self._read(file, files, MOST_BYTES // len(some)) for file in some}
        users, every = _choose(list(read.values()), wanted)
        count = self._copy_rows(files, read, users, every)
        self._tell_of_log(matched, read)
        for other in other_files(self._spec):
            self._copy_others(other)
        rows_read = sum(len(rows.keys) for rows in read.values())
        bytes_read = sum(rows.bytes_read for rows in read.values())
        total = sum(file.size_in_bytes for file in matched)
        return SampledLogs(
            folder=self._folder,
            rows=count,
            users=len(users),
            rows_in_all=round(rows_read * total / max(bytes_read, 1)),
            bytes_in_all=total,
            files_in_all=len(matched),
            biases=tuple(self._biases),
        )

    def _match(self, files: Files) -> list[FileMetadata]:
        return match_files(_source(files), self._logs)

    def _some(self, matched: Sequence[FileMetadata]) -> Iterator[FileMetadata]:
        """The newest files, by their paths."""
        if len(matched) > _MOST_FILES:
            self._biases.append(
                f"The last {_MOST_FILES:,} of {len(matched):,} files were looked at: "
                "earlier days are not in the sample."
            )
        yield from matched[-_MOST_FILES:]

    def _read(self, file: FileMetadata, files: Files, most: int) -> RawRows:
        log = self._spec.log
        header = tuple(log.header) if files.name == "log" else ()
        with open_file(file.path) as opened:
            if files.format == "parquet":
                return read_parquet(opened, file.size_in_bytes, files.key, most)
            if files.format in ("csv", "jsonl"):
                form = TextForm(files.format, log.separator, header)
                return read_text(opened, file.size_in_bytes, files.key, form, most)
        raise UsageError(
            f"{files.name}.format {files.format}: rows of it cannot be sampled, only "
            "those of csv, jsonl and parquet. Run some days of the whole: `trailrank "
            "examples --days`."
        )

    def _copy_rows(
        self,
        files: Files,
        read: Mapping[FileMetadata, RawRows],
        chosen: set[Key],
        every: int,
    ) -> int:
        """Writes the chosen rows of all files, and of a day that has none the first
        row, as each day must have a file; returns how many rows were written."""
        copied = {file: self._copy(file, read[file], chosen, every) for file in read}
        source = _source(files)
        by_day: dict[datetime.date | None, list[FileMetadata]] = {}
        for file in read:
            day = day_of(file.path, source) if has_days(source) else None
            by_day.setdefault(day, []).append(file)
        added = 0
        for alike in by_day.values():
            if not any(copied[file] for file in alike):
                first = next((f for f in alike if read[f].keys), alike[0])
                added += self._copy(first, read[first], set(read[first].keys[:1]), 1, 1)
        if added:
            self._biases.append(
                f"{files.name}: {added:,} rows of others were added, as each day must "
                "have a file."
            )
        return sum(copied.values()) + added

    def _copy(
        self,
        file: FileMetadata,
        rows: RawRows,
        chosen: set[Key],
        every: int,
        most: int | None = None,
    ) -> int:
        """Writes the chosen rows under the file's own name; returns how many."""
        places = list(pick(rows, chosen, every))[:most]
        if not places:
            return 0
        path = self._place(file)
        with open(path, "wb") as target:
            rows.write(target, places)
        return len(places)

    def _place(self, file: FileMetadata) -> str:
        relative = file.path.removeprefix(self._logs).lstrip("/")
        path = os.path.join(self._folder, relative)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _copy_others(self, files: Files) -> None:
        """Small side files whole; else rows whose key a sampled row of the log has."""
        matched = self._match(files)
        size = sum(file.size_in_bytes for file in matched)
        local = "://" not in self._logs
        if files.may_be_whole and size <= _SIDE_BYTES and local:
            for file in matched:
                os.symlink(os.path.abspath(file.path), self._place(file))
            return
        some = matched[-_MOST_FILES:]
        read = {f: self._read(f, files, _SIDE_BYTES // len(some)) for f in some}
        self._copy_rows(files, read, self._sampled(files.log_key), 1)
        whole = all(rows.is_whole for rows in read.values())
        if not whole or len(matched) > _MOST_FILES:
            self._biases.append(
                f"{files.name}: {size / 1e6:,.0f} MB were not read to their end; more "
                "rows of the log lack what it says than in a full run."
            )

    def _sampled(self, columns: tuple[str, ...]) -> set[Key]:
        """The values of some columns in the copied rows of the log."""
        log = log_files(self._spec)
        wanted = dataclasses.replace(log, key=columns)
        found: set[Key] = set()
        for file in match_files(_source(log), self._folder):
            found.update(self._read(file, wanted, MOST_BYTES).keys)
        return found - {()}

    def _tell_of_log(
        self, matched: Sequence[FileMetadata], read: Mapping[FileMetadata, RawRows]
    ) -> None:
        if any(not rows.is_whole for rows in read.values()):
            self._biases.append(
                "Files were read in part: of a user only some rows are there, so "
                "trails, histories and counters are shorter than in a full run."
            )
        filters = self._spec.filters
        if filters.min_item_impressions or filters.min_user_events:
            self._biases.append(
                "min_item_impressions and min_user_events were not asked: a video has "
                "fewer impressions in a sample."
            )
        if self._spec.statistics:
            self._biases.append(
                "Statistics (by user, by video) count the sample's rows only: those by "
                "video are nearer to their prior than in a full run."
            )


def _source(files: Files) -> Source:
    return Source(files.name.rpartition(".")[2], files.pattern, {})


def _choose(read: Sequence[RawRows], wanted: int) -> tuple[set[Key], int]:
    """(users with about so many rows together, one of how many unreadable rows to
    keep so that their share stays)."""
    counts: collections.Counter[Key] = collections.Counter()
    for rows in read:
        counts.update(rows.keys)
    counts.pop((), None)
    chosen: set[Key] = set()
    taken = 0
    for key in sorted(counts, key=_hash):
        if taken >= wanted:
            break
        chosen.add(key)
        taken += counts[key]
    return chosen, max(1, round(counts.total() / max(taken, 1)))


def _hash(key: Key) -> bytes:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()

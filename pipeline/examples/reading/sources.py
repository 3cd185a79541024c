"""Which files are read, and the part of a file that one step reads."""

from __future__ import annotations

import dataclasses
import functools
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec
from feature_specs.column_types import ColumnType, Text, parse_types
from feature_specs.spec import TfdsSpec
from pipeline.examples.days import DayRange, days_elsewhere
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.compression import Compression
from pipeline.examples.reading.times import TimeUnit

LOG = "log"
_HISTORIES = "histories."


@dataclasses.dataclass(frozen=True)
class Source:
    """Files of one kind: the log, one side file of it, or events.

    Attributes:
        name: `LOG`, the join's name, or `EventsSpec.source`.
        pattern: Glob inside the log directory; it may hold `{day}`, see `log_files`.
        columns: Column -> declared type.
        separator: Between the columns of a CSV line.
        format: `csv`, `jsonl`, `parquet`, `tfrecord` or `tfds`.
        units: Time column that is declared as a number or a text -> what a timestamp
            in it becomes.
        begin: How the log's rows tell when they begin.
        zone: Whose days a run is asked for.
        folder_zone: Whose days the pattern's are.
        section: Where the spec names these files, if it is neither the log nor a join.
        clock: Whose wall clock showed timestamps that have no zone; "" if not known.
        header: Names of the columns of a CSV file that has no line with them.
        needed: Columns without which a row is none; by default those without a `?`.
        tfds: The data set, where the format is TFDS'.
    """

    name: str
    pattern: str
    columns: dict[str, str]
    separator: str = ","
    format: str = "csv"
    units: dict[str, TimeUnit] = dataclasses.field(default_factory=dict)
    zone: str = "UTC"
    folder_zone: str = "UTC"
    section: str = ""
    clock: str = ""
    header: tuple[str, ...] = ()
    needed: frozenset[str] | None = None
    tfds: TfdsSpec | None = None
    begin: Begin | None = None

    @functools.cached_property
    def types(self) -> dict[str, ColumnType]:
        """Column -> its type; `optional` is whether a row may lack it."""
        types = parse_types(self.columns, self.zone, self.clock)
        if self.begin is not None and self.begin.shown_in:
            types[self.begin.name] = Text(name="string")
        if self.needed is None:
            return types
        return {
            column: dataclasses.replace(kind, optional=column not in self.needed)
            for column, kind in types.items()
        }

    @property
    def key(self) -> str:
        """Where the spec names these files."""
        own = LOG if self.name == LOG else f"log.joins.{self.name}"
        return self.section or own

    def folders(self, days: DayRange) -> DayRange:
        """The days of the files that rows of some days lie in."""
        if self.zone == self.folder_zone:
            return days
        return days_elsewhere(days, self.zone, self.folder_zone)


def source_name(history: str) -> str:
    """The name of a history's source, which no join has."""
    return f"{_HISTORIES}{history}"


def history_of(source: str, spec: Spec) -> str | None:
    """The history whose source this is; None if it is the log or a side file."""
    name = source.removeprefix(_HISTORIES)
    return name if source != name and name in spec.histories else None


@dataclasses.dataclass(frozen=True)
class FileRange:
    """A part of a file: the lines that begin in some bytes, or row groups, or all.

    Attributes:
        source: Name of its `Source`.
        path: The file.
        file: Position of the file among those of its source, from 0.
        number: Position of this range in the file, from 0.
        start: First byte; of a Parquet file the first row group.
        end: Byte, or row group, after the last.
        header: Names of the file's columns; of JSON lines and TFRecords none.
        first_line: Lines of the file before the first one with data.
        text_bytes: About how many bytes the range has as CSV text.
        compression: Of the whole file, which then is one range.
    """

    source: str
    path: str
    file: int
    number: int
    start: int
    end: int
    header: tuple[str, ...]
    first_line: int
    text_bytes: int
    compression: Compression = ""


def open_file(path: str) -> BinaryIO:
    """A file's bytes as they are stored, on any Beam file system."""
    plain = CompressionTypes.UNCOMPRESSED
    file: BinaryIO = FileSystems.open(path, compression_type=plain)
    return file

"""Which files are read, and the part of a file that one step reads."""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.examples.reading.compression import Compression

LOG = "log"


@dataclasses.dataclass(frozen=True)
class Source:
    """Files of one kind: the log, or one side file of it.

    Attributes:
        name: `LOG`, or the join's name.
        pattern: Glob inside the log directory; it may hold `{day}`, see `log_files`.
        columns: Column -> declared type.
        separator: Between the columns of a CSV line.
        limits: Column -> lowest and highest value that can be believed.
        format: `csv`, `jsonl`, `parquet` or `tfrecord`.
        units: Time column -> `s`, `ms` or `us`, which timestamps are converted to.
    """

    name: str
    pattern: str
    columns: dict[str, str]
    separator: str = ","
    limits: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    format: str = "csv"
    units: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where the spec names these files."""
        return "log" if self.name == LOG else f"log.joins.{self.name}"


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
        absent: Declared columns that the file does not have: missing in all its rows.
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
    absent: tuple[str, ...] = ()


def open_file(path: str) -> BinaryIO:
    """A file's bytes as they are stored, on any Beam file system."""
    plain = CompressionTypes.UNCOMPRESSED
    file: BinaryIO = FileSystems.open(path, compression_type=plain)
    return file

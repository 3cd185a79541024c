"""EXAMPLES/summaries/<split>.json.gz: a split's summary, beside its examples."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from feature_specs.errors import TrailrankError
from feature_specs.places import as_glob
from pipeline.summaries.exact import Moments
from pipeline.summaries.histogram import Histogram
from pipeline.summaries.summary import ColumnSummary, DaySummary

FOLDER = "summaries"
_FORM = 1  # of the file; another one is refused
_END = ".json.gz"
_GZIP_LEVEL = 6
_PLAIN = CompressionTypes.UNCOMPRESSED
_MOMENTS = ("moments", "log1p", "norms")


class SummaryError(TrailrankError, ValueError):
    """A summary is missing, or cannot be read."""


def summary_path(examples_dir: str, split: str) -> str:
    """Where the summary of a split lies."""
    path: str = FileSystems.join(examples_dir, FOLDER, f"{split}{_END}")
    return path


def read_summaries(examples_dir: str) -> dict[str, DaySummary]:
    """Split -> its summary, of all splits of an examples directory, in their order.

    Args:
        examples_dir: On any Beam file system.

    Raises:
        SummaryError: There is none, or one is damaged.
    """
    pattern = FileSystems.join(as_glob(examples_dir), FOLDER, f"*{_END}")
    (match,) = FileSystems.match([pattern])
    paths = sorted(file.path for file in match.metadata_list)
    if not paths:
        raise SummaryError(
            f"{examples_dir}: no summary of its days ({FOLDER}/*{_END}). Examples of "
            "an older version have none: make them again."
        )
    found = [_read(path) for path in paths]
    return {summary.split: summary for summary in found}


def read_summary(examples_dir: str, split: str) -> DaySummary:
    """The summary of one split.

    Raises:
        SummaryError: It is not there, or damaged.
    """
    path = summary_path(examples_dir, split)
    if not FileSystems.exists(path):
        raise SummaryError(
            f"{path}: is missing. Make the day's examples again (--replace)."
        )
    return _read(path)


def to_bytes(summary: DaySummary) -> bytes:
    """The file of a summary, always the same bytes for the same summary."""
    values = _plain(summary, trail_lengths=list(summary.trail_lengths.items()))
    values["columns"] = {n: _column_json(c) for n, c in summary.columns.items()}
    text = json.dumps(
        {"form": _FORM, **values}, ensure_ascii=False, separators=(",", ":")
    )
    return gzip.compress(text.encode(), _GZIP_LEVEL, mtime=0)


def from_bytes(data: bytes) -> DaySummary:
    """What `to_bytes` gave; ValueError and its like if it is something else."""
    values = json.loads(gzip.decompress(data))
    form = values.pop("form", None)
    if form != _FORM:
        raise ValueError(f"form {form}, where this version reads form {_FORM}")
    columns = {n: _column_of(c) for n, c in values.pop("columns").items()}
    lengths = dict(map(tuple, values.pop("trail_lengths")))
    return DaySummary(columns=columns, trail_lengths=lengths, **values)


def _read(path: str) -> DaySummary:
    with FileSystems.open(path, compression_type=_PLAIN) as file:
        data = file.read()
    try:
        return from_bytes(data)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error) as error:
        raise SummaryError(
            f"{path}: is no summary of a day ({type(error).__name__}: {error}). Make "
            "the day's examples again (--replace)."
        ) from None


def _plain(entry: Any, **changed: Any) -> dict[str, Any]:
    """The fields of a dataclass, some with other values."""
    fields = {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry)}
    return fields | changed


def _column_json(column: ColumnSummary) -> dict[str, Any]:
    """Plain values, without those that are the default."""
    values = _plain(
        column,
        lengths=list(column.lengths.items()),
        words=list(column.words.items()),
        top=list(column.top.items()),
        histogram=None if column.histogram is None else column.histogram.to_json(),
    )
    for name in _MOMENTS:
        values[name] = values[name].to_json() if values[name] is not None else None
    default = {"distinct_is_exact": True}
    return {
        name: value
        for name, value in values.items()
        if value != default.get(name) and value != []
    }


def _column_of(values: dict[str, Any]) -> ColumnSummary:
    """What `_column_json` gave."""
    for name in _MOMENTS:
        if name in values:
            values[name] = Moments.from_json(values[name])
    if "histogram" in values:
        values["histogram"] = Histogram.from_json(values["histogram"])
    for name in ("lengths", "words", "top"):
        values[name] = dict(map(tuple, values.get(name, [])))
    return ColumnSummary(**values)

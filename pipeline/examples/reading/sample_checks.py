"""What a sample of the files says against the spec, with a value that shows it.

    for finding in findings(source, sample_blocks(source, logs_dir)):
        print(finding)     # log.columns.tags: is declared string, but its values are...

A run tells the same of all rows by its rejects and its report; this looks at the first
rows of some files, before anything is made of them.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import polars as pl

from pipeline.examples.days import DayRange
from pipeline.examples.reading.blocks import Block
from pipeline.examples.reading.readers import plan_ranges, read_blocks
from pipeline.examples.reading.sources import Source
from pipeline.examples.reading.times import EARLIEST_S, LATEST_S, PER_SECOND

_SAMPLE_BYTES = 1 << 20
_FILES = 5
_MOST_VALUES = 1_000
_YEAR_S = 31_556_952


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that the spec says, and the files do not.

    Attributes:
        path: Key of the spec that is to be changed, or `log` for rejects in general.
        told: What is wrong and what to do.
        sample: A value that shows it.
        rows: Of how many rows of the sample.
    """

    path: str
    told: str
    sample: str
    rows: int

    def __str__(self) -> str:
        return f"{self.path}: {self.told} Such as {self.sample} ({self.rows:,} rows)."


def sample_blocks(
    source: Source,
    logs_dir: str,
    days: DayRange | None = None,
    files: int = _FILES,
) -> Iterator[Block]:
    """The first rows of some files of a source, spread over all of them.

    Args:
        source: See `readers.log_source` and `readers.join_sources`.
        logs_dir: The directory of the logs.
        days: Whose files are looked at, where files are named by days.
        files: How many.

    Raises:
        FileNotFoundError: Nothing matches.
        ValueError: A file cannot be one of the source.
    """
    ranges = plan_ranges(source, logs_dir, _SAMPLE_BYTES, days)
    firsts = [part for part in ranges if part.number == 0]
    step = max(1, len(firsts) // files)
    for part in firsts[::step][:files]:
        yield from itertools.islice(read_blocks(part, source), 1)


def findings(source: Source, blocks: Iterable[Block]) -> list[Finding]:
    """What some blocks of a source say against its declarations.

    Args:
        source: Whose.
        blocks: See `sample_blocks`.
    """
    counts: collections.Counter[str] = collections.Counter()
    samples: dict[str, str] = {}
    lists: dict[str, Finding] = {}
    for block in blocks:
        counts.update(reject.reason for reject in block.rejects)
        for reason, sample in block.samples.items():
            samples.setdefault(reason, sample)
        for finding in _texts_that_are_lists(source, block.rows):
            lists.setdefault(finding.path, finding)
    rejected = [
        _finding(source, reason, samples.get(reason, ""), rows)
        for reason, rows in counts.most_common()
    ]
    return [*lists.values(), *rejected]


def _texts_that_are_lists(source: Source, rows: pl.DataFrame) -> Iterator[Finding]:
    """The columns of texts of which every text is a JSON list."""
    for column, kind in source.types.items():
        if not kind.is_text:
            continue
        texts = rows[column].drop_nulls().head(_MOST_VALUES).to_list()
        values = [_json_list(text) for text in texts]
        lists = [value for value in values if value is not None]
        if not texts or len(lists) < len(texts):
            continue
        told = (
            "is declared string, but its values are lists. Declare it as "
            f"{fitting_type(lists)}."
        )
        path = f"{source.key}.columns.{column}"
        yield Finding(path, told, texts[0], rows[column].count())


def _finding(source: Source, reason: str, sample: str, rows: int) -> Finding:
    """What the rejects of one reason say."""
    column, _, why = reason.partition(": ")
    begin = source.begin
    if begin is not None and column == begin.name and sample.lstrip("-").isdigit():
        told = absurd_year(int(sample), begin.time.unit)
        if told:
            return Finding("log.time.unit", told, sample, rows)
    if column not in source.types:
        return Finding(source.key, f"rows are rejected: {reason}.", sample, rows)
    path = f"{source.key}.columns.{column}"
    values = _values_in(sample)
    advice = f" Declare it as {fitting_type(values)}." if values else ""
    return Finding(path, f"rows are rejected: {why}.{advice}", sample, rows)


def absurd_year(value: int, unit: str) -> str:
    """What a number since the epoch is in a unit, and which unit fits; "" if it fits.

    Args:
        value: The number.
        unit: Of `log.time.unit`.
    """
    per_second = PER_SECOND.get(unit)
    if per_second is None or EARLIEST_S <= value // per_second < LATEST_S:
        return ""
    told = f"is {unit}, which makes it the year {1970 + value // per_second // _YEAR_S}"
    for other, ticks in PER_SECOND.items():
        if EARLIEST_S <= value // ticks < LATEST_S:
            moment = datetime.datetime.fromtimestamp(
                value // ticks, datetime.timezone.utc
            )
            return f"{told}; in {other} it is {moment:%Y-%m-%d}. Write {other}."
    return f"{told}, and no other unit fits. Name the column that is a time."


def fitting_type(lists: Sequence[list[Any]]) -> str:
    """What columns of such lists are declared as."""
    parts = [part for value in lists for part in value if part is not None]
    if all(type(part) is int for part in parts) and parts:
        return "list<int64>"
    if all(type(part) in (int, float) for part in parts) and parts:
        lengths = {len(value) for value in lists if value}
        is_vector = len(lengths) == 1 and None not in itertools.chain(*lists)
        return f"vector<{lengths.pop()}>" if is_vector else "list<float64>"
    return "list<string>"


def _values_in(sample: str) -> list[list[Any]]:
    """The list in a sample such as `{"tags":["a"]}`, if it is one."""
    try:
        found = orjson.loads(sample)
    except orjson.JSONDecodeError:
        return []
    values = found.values() if isinstance(found, dict) else [found]
    return [value for value in values if isinstance(value, list)]


def _json_list(text: str) -> list[Any] | None:
    if not text.startswith("["):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None

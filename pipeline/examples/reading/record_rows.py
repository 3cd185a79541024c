"""TFRecord files of tf.Examples -> typed columns, and every record without a row.

A feature is a column and holds one value; a feature that is missing or has no value is
empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from pipeline.arrays import Ints
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.compression import Chunks
from pipeline.examples.reading.file_heads import read_head
from pipeline.examples.reading.record_frames import Records
from pipeline.examples.reading.sources import FileRange, Source, open_file
from pipeline.examples.reading.values import (
    as_json,
    broken_block,
    empty_rows,
    type_columns,
)

BATCH_BYTES = 1 << 24

_VERBOSITY = 5  # bytes of a record for one of CSV, about; gzip makes up for it

_Group = tuple[Ints, pl.DataFrame]  # places [G] in order, their features [G]


def plan(
    path: str, size: int, place: int, source: Source, range_bytes: int
) -> list[FileRange]:
    """The one range of a file: its records can only be found one after the other.

    Raises:
        ValueError: The file cannot be one of the source; see `read_head`.
    """
    del range_bytes
    head = read_head(path, source)
    part = FileRange(
        source.name,
        path,
        place,
        number=0,
        start=0,
        end=size,
        header=(),
        first_line=0,
        text_bytes=size if head.compression else size // _VERBOSITY,
        compression=head.compression,
    )
    return [part]


def read(part: FileRange, source: Source) -> Iterator[Block]:
    """The blocks of a file."""
    with open_file(part.path) as file:
        chunks = Chunks(file, part.compression)
        records = Records(chunks, BATCH_BYTES)
        count = 0
        for batch in records:
            yield parse_records(batch, source)
            count += len(batch)
        why = chunks.broken or records.broken
        if why:
            broken = f"{why} after record {count}: copy the file again"
            yield broken_block(source, broken)


def parse_records(records: list[tuple[bytes, bool]], source: Source) -> Block:
    """Reads some records, each with whether its checksum is right."""
    examples = [data for data, _ in records]
    damaged = [place for place, (_, is_right) in enumerate(records) if not is_right]
    reasons = Reasons(len(records))
    reasons.add("checksum", np.array(damaged, np.int64))
    groups = _decode(examples, source.columns, reasons)
    rows = [empty_rows(source)]
    for places, features in groups:
        raw = _single_values(features, places, source, reasons)
        rows.append(type_columns(raw, places, source, reasons))
    lines = np.concatenate([np.array([], np.int64), *(group[0] for group in groups)])
    order = np.argsort(lines)

    def text(line: int) -> str:
        return _text(line, groups, examples)

    return reasons.block(pl.concat(rows)[order], lines[order], text)


def _decode(
    examples: list[bytes], columns: Iterable[str], reasons: Reasons
) -> list[_Group]:
    """The examples that nothing is wrong with, in groups that agree on their types.

    As a rule that is one group. Decoding many at once fails as a whole, so that only
    then each is looked at alone.
    """
    decoder = ExamplesToRecordBatchDecoder()
    places = reasons.none()
    try:
        return [(places, _decode_some(decoder, examples, places, columns))]
    except RuntimeError:  # some are no example, or disagree
        by_types = _group_by_types(decoder, examples, places, reasons)
    return [
        (group, _decode_some(decoder, examples, group, columns)) for group in by_types
    ]


def _decode_some(
    decoder: ExamplesToRecordBatchDecoder,
    examples: list[bytes],
    places: Ints,
    columns: Iterable[str],
) -> pl.DataFrame:
    batch = decoder.DecodeBatch([examples[place] for place in places])
    found = {
        column: pl.from_arrow(batch.column(column))
        if column in batch.schema.names
        else pl.Series([None] * len(places))
        for column in columns
    }
    return pl.DataFrame(found)


def _group_by_types(
    decoder: ExamplesToRecordBatchDecoder,
    examples: list[bytes],
    places: Ints,
    reasons: Reasons,
) -> list[Ints]:
    groups: dict[str, list[int]] = {}
    broken = []
    for place in places.tolist():
        try:
            types = str(decoder.DecodeBatch([examples[place]]).schema)
        except RuntimeError:
            broken.append(place)
        else:
            groups.setdefault(types, []).append(place)
    reasons.add("not a tf.Example", np.array(broken, np.int64))
    return [np.array(group, np.int64) for group in groups.values()]


def _single_values(
    features: pl.DataFrame, places: Ints, source: Source, reasons: Reasons
) -> pl.DataFrame:
    """Lists [G] as the one value of each, null for none, where no list is declared."""
    values = []
    for feature in features.iter_columns():
        is_one = source.types[feature.name].has_order
        if feature.dtype == pl.List and is_one:
            many = (feature.list.len() > 1).fill_null(False).to_numpy()
            reasons.add(f"{feature.name}: more than one value", places[many])
            feature = feature.list.get(0, null_on_oob=True)
        values.append(feature)
    return pl.DataFrame(values)


def _text(line: int, groups: list[_Group], examples: list[bytes]) -> str:
    for places, features in groups:
        at = int(np.searchsorted(places, line))
        if at < len(places) and places[at] == line:
            return as_json(features.row(at, named=True))
    return examples[line].decode("utf-8", errors="backslashreplace")

"""Data sets that TensorFlow Datasets has prepared -> typed columns; nothing is
downloaded or prepared here.

TFDS tells what there is: its builder, read from the directory, has the splits, the
shards with their numbers of records, and the features. A record is a tf.Example,
whatever its file is (TFRecord, ArrayRecord), so that records are decoded many at once
as those of `record_rows` are. A nested feature is named by its path: `author.id`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from apache_beam.io.filesystems import FileSystems

from feature_specs.build import closest
from feature_specs.spec import TfdsSpec
from pipeline.examples.errors import LogsError
from pipeline.examples.reading import record_rows
from pipeline.examples.reading.blocks import Block
from pipeline.examples.reading.compression import Chunks
from pipeline.examples.reading.file_heads import check_columns
from pipeline.examples.reading.record_frames import Records
from pipeline.examples.reading.sources import FileRange, Source, open_file
from pipeline.examples.reading.values import broken_block

_ARRAY, _RECORD = "array_record", "tfrecord"
_BATCH_RECORDS = 1 << 14
_INFO = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """What TFDS says of a prepared data set.

    Attributes:
        form: Of its files.
        shards: File name -> its split and its number of records.
        features: Path of each feature that has one value a row, or a list -> the class
            names of a ClassLabel, none for all others.
        others: Paths of what cannot be a column.
    """

    form: str
    shards: Mapping[str, tuple[str, int]]
    features: Mapping[str, tuple[str, ...]]
    others: frozenset[str]


def plan(
    path: str, size: int, place: int, source: Source, range_bytes: int
) -> list[FileRange]:
    """The ranges of a shard: parts of an ArrayRecord, else one; none of other splits.

    Raises:
        ValueError: TFDS cannot read the directory, it lacks a split, a shard or a
            declared column, or there are several versions.
    """
    folder, name = path.rsplit("/", 1)
    found = _checked(folder, source)
    split, records = found.shards.get(name, ("", 0))
    if split not in _tfds(source).splits:
        return []
    if found.form == _RECORD:
        plain = dataclasses.replace(source, format="tfrecord")
        return record_rows.plan(path, size, place, plain, range_bytes)
    parts = max(1, -(-size // range_bytes))
    cuts = [records * part // parts for part in range(parts + 1)]
    return [
        FileRange(
            source.name,
            path,
            place,
            number=number,
            start=start,
            end=end,
            header=(),
            first_line=0,
            text_bytes=size // parts,
        )
        for number, (start, end) in enumerate(itertools.pairwise(cuts))
    ]


def read(part: FileRange, source: Source) -> Iterator[Block]:
    """The blocks of a range; it ends with what is broken if records are missing."""
    folder, name = part.path.rsplit("/", 1)
    found = _data_set(folder)
    count = 0
    if found.form == _RECORD:
        wanted = found.shards[name][1]
        batches = _of_records(part)
    else:
        wanted = part.end - part.start
        batches = _of_array(part)
    keys = {column: _key(column) for column in source.columns}
    try:
        for batch in batches:
            yield record_rows.parse_records(
                batch, source, keys, lambda rows: _with_names(rows, found, source)
            )
            count += len(batch)
    except _Broken as error:
        yield broken_block(source, f"{error} after record {count}: copy again")
        return
    if count != wanted:
        why = f"ends after {count} of {wanted} records: prepare the data set again"
        yield broken_block(source, why)


# --- records of a file ----------------------------------------------------------------


class _Broken(Exception):
    """Why no more records can be read."""


def _of_records(part: FileRange) -> Iterator[list[tuple[bytes, bool]]]:
    with open_file(part.path) as file:
        chunks = Chunks(file, part.compression)
        records = Records(chunks, record_rows.BATCH_BYTES)
        yield from records
        if chunks.broken or records.broken:
            raise _Broken(chunks.broken or records.broken)


def _of_array(part: FileRange) -> Iterator[list[tuple[bytes, bool]]]:
    """The reader judges checksums itself, and raises where one is wrong."""
    from array_record.python import array_record_module

    try:
        reader = array_record_module.ArrayRecordReader(part.path)
        for start in range(part.start, part.end, _BATCH_RECORDS):
            end = min(start + _BATCH_RECORDS, part.end)
            yield [(data, True) for data in reader.read(start, end)]
        reader.close()
    except (RuntimeError, ValueError, IndexError) as error:
        raise _Broken(f"ArrayRecord data is damaged ({_first_line(error)})") from None


# --- what TFDS says -------------------------------------------------------------------


def _checked(folder: str, source: Source) -> _DataSet:
    """The data set in a folder, if it has what is declared."""
    _check_versions(folder, source)
    found = _data_set(folder)
    splits = {split for split, _ in found.shards.values()}
    wanted = _tfds(source).splits
    for split in wanted:
        if split not in splits:
            hint = closest(split, sorted(splits))
            raise LogsError(
                f"{folder}: has no split {split!r} ({source.key}.tfds.split).{hint}"
            )
    _check_no_tensors(folder, found, source)
    check_columns(folder, tuple(found.features), source)
    _check_shards(folder, wanted)
    return found


def _tfds(source: Source) -> TfdsSpec:
    assert source.tfds is not None  # of this format
    return source.tfds


def _check_versions(folder: str, source: Source) -> None:
    above = folder.rsplit("/", 1)[0]
    (match,) = FileSystems.match([FileSystems.join(above, "*", _INFO)])
    versions = sorted(file.path.split("/")[-2] for file in match.metadata_list)
    if len(versions) > 1 and not _tfds(source).version:
        raise LogsError(
            f"{above}: has the versions {', '.join(versions)}. Name one in "
            f"{source.key}.tfds.version of the spec."
        )


def _check_no_tensors(folder: str, found: _DataSet, source: Source) -> None:
    for column in source.columns:
        if column in found.others:
            raise LogsError(
                f"{folder}: feature {column!r} is neither one value nor a list of "
                f"values a row. Leave it out of {source.key}.columns."
            )


@functools.lru_cache(maxsize=8)
def _check_shards(folder: str, splits: tuple[str, ...]) -> None:
    shards = _data_set(folder).shards
    (match,) = FileSystems.match([FileSystems.join(folder, "*")])
    there = {file.path.rsplit("/", 1)[1] for file in match.metadata_list}
    missing = [n for n in shards if shards[n][0] in splits and n not in there]
    if missing:
        raise LogsError(
            f"{folder}: {len(missing)} of {len(shards)} files are missing, such as "
            f"{missing[0]}. Copy them, or prepare the data set again."
        )


@functools.lru_cache(maxsize=8)
def _data_set(folder: str) -> _DataSet:
    import tensorflow_datasets as tfds

    try:
        info = tfds.builder_from_directory(folder).info
    except Exception as error:  # of many kinds, by what is damaged
        raise LogsError(
            f"{folder}: TensorFlow Datasets cannot read it ({_first_line(error)}). "
            "Prepare the data set again."
        ) from None
    form = info.file_format.value
    if form not in (_RECORD, _ARRAY):
        raise LogsError(
            f"{folder}: is written as {form}; tfrecord and array_record are read. "
            "Prepare it as one of these (tfds build --file_format=array_record)."
        )
    shards = {
        os.path.basename(name): (split, count)
        for split, told in info.splits.items()
        for name, count in zip(told.filenames, told.shard_lengths, strict=True)
    }
    leaves = dict(_leaves(info.features, "", tfds))
    features = {path: names for path, names in leaves.items() if names is not None}
    return _DataSet(form, shards, features, frozenset(leaves.keys() - features.keys()))


def _leaves(
    feature: Any, path: str, tfds: Any
) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """(path, class names) of each feature; None for what is no value and no list."""
    inner = getattr(feature, "feature", None)  # of a Sequence
    nested = feature if isinstance(feature, tfds.features.FeaturesDict) else inner
    if isinstance(nested, tfds.features.FeaturesDict):
        for key, entry in nested.items():
            yield from _leaves(entry, f"{path}.{key}" if path else key, tfds)
        return
    stored = feature.get_serialized_info()
    plain = hasattr(stored, "shape") and len(stored.shape) <= 1
    label = inner or feature
    is_label = isinstance(label, tfds.features.ClassLabel)
    names = tuple(label.names or ()) if is_label else ()
    yield path, names if plain else None


# --- values ---------------------------------------------------------------------------


def _key(column: str) -> str:
    """The name of a nested feature in an example."""
    return column.replace(".", "/")


def _with_names(
    features: pl.DataFrame, found: _DataSet, source: Source
) -> pl.DataFrame:
    """The class names of labels that are declared as text, not their numbers."""
    texts = [
        _named(column, found.features[column])
        for column, kind in source.columns.items()
        if found.features.get(column)
        and "string" in kind
        and features[column].dtype == pl.List(pl.Int64)
    ]
    return features.with_columns(texts)


def _named(column: str, names: tuple[str, ...]) -> pl.Expr:
    """Numbers as their names; -1, TFDS' unknown label, is missing."""
    known = dict(enumerate(names))
    name = pl.element().replace_strict(known, default=None, return_dtype=pl.String)
    return pl.col(column).list.eval(name)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")

"""Rows that were trained on, and the same rows with what a server read of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import FeatureSpec, Spec
from feature_specs.places import as_glob
from serving.skew.logged_rows import KEYS, Key
from trainer.days.raw_rows import raw_columns
from trainer.days.shards import check_whole

_BATCH = 4096

Batch = tuple[Sequence[bytes], list[Key]]


@dataclasses.dataclass(frozen=True)
class TrainedRow:
    """One raw example.

    Attributes:
        key: User, item and time.
        serialized: The whole `tf.Example`.
    """

    key: Key
    serialized: bytes


def sample_rows(
    spec: Spec,
    directories: Iterable[str],
    count: int,
    seed: int,
    wanted: Collection[Key] | None = None,
) -> list[TrainedRow]:
    """Rows of splits, drawn without replacement, each with the same chance.

    Args:
        spec: What the examples hold.
        directories: `.../Split-day-YYYYMMDD`.
        count: Rows at most.
        seed: Of the draws.
        wanted: Only rows with these keys; all by default.
    """
    batches = (batch for place in directories for batch in _batches(spec, place))
    return draw(batches, count, seed, wanted)


def draw(
    batches: Iterable[Batch],
    count: int,
    seed: int,
    wanted: Collection[Key] | None = None,
) -> list[TrainedRow]:
    """`sample_rows` of batches of serialized examples and their keys.

    Each row draws a number, and those with the smallest ones are kept: a reservoir, one
    pass over any number of rows (Efraimidis and Spirakis 2006, with equal weights).
    """
    draws = np.random.default_rng(seed)
    kept: list[tuple[float, TrainedRow]] = []
    for serialized, keys in batches:
        lots = draws.random(len(keys))
        found = [
            (lots[n], TrainedRow(key, serialized[n]))
            for n, key in enumerate(keys)
            if wanted is None or key in wanted
        ]
        kept = sorted([*kept, *found], key=lambda drawn: drawn[0])[:count]
    return [row for _, row in kept]


def _batches(spec: Spec, directory: str) -> Iterator[Batch]:
    """Serialized examples of a split, and their keys."""
    texts = [
        spec.column_types[column] == "string"
        for column in (spec.log.user, spec.log.item)
    ]
    dtypes = [tf.string if is_text else tf.int64 for is_text in texts] + [tf.int64]
    parsing = {
        key: tf.io.FixedLenFeature([], dtype)
        for key, dtype in zip(KEYS, dtypes, strict=True)
    }
    files = sorted(tf.io.gfile.glob(os.path.join(as_glob(directory), "*.gz")))
    check_whole(files)
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    for batch in records.batch(_BATCH):
        found = tf.io.parse_example(batch, parsing)
        columns = [map(_plain_key, found[key].numpy()) for key in KEYS]
        yield batch.numpy(), list(zip(*columns, strict=True))


def _plain_key(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else int(value)


def trained_values(spec: Spec, rows: Sequence[TrainedRow]) -> list[dict[str, Any]]:
    """Served feature -> its raw value, as a request's JSON has it, of each row."""
    features = spec.served_features
    serialized = [row.serialized for row in rows]
    found = tf.io.parse_example(serialized, raw_columns(features))
    values = {f.name: _plain(found[f.name], f) for f in features}
    return [
        dict(zip(values, row, strict=True))
        for row in zip(*values.values(), strict=True)
    ]


def _plain(parsed: tf.Tensor | tf.SparseTensor, feature: FeatureSpec) -> list[Any]:
    """A parsed feature, [B], [B, N] or sparse [B, ?] -> a value or a list a row."""
    if feature.is_sequence:
        found: list[Any] = tf.RaggedTensor.from_sparse(parsed).to_list()
    else:
        found = parsed.numpy().tolist()
    return [_decoded(row) for row in found] if feature.dtype == "string" else found


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value.decode("utf-8", "surrogateescape")


# --- what the model is given ----------------------------------------------------------


def with_values(
    spec: Spec, row: TrainedRow, arrays: Mapping[str, npt.NDArray[Any]], place: int
) -> bytes:
    """The row's example with the served features that a server read.

    Args:
        spec: Its features.
        row: Keys, labels and trail features stay its own.
        arrays: Input -> values of all rows, as a server read them.
        place: Which of these rows.
    """
    example = tf.train.Example.FromString(row.serialized)
    for feature in spec.served_features:
        values = np.atleast_1d(arrays[feature.name][place])
        if feature.is_sequence:  # the signature drops the padding
            values = values[_differs(values, feature.missing)]
        held = example.features.feature[feature.name]
        held.Clear()
        if feature.dtype == "string":
            held.bytes_list.value.extend(_as_bytes(values))
        elif feature.dtype == "int64":
            held.int64_list.value.extend(values.tolist())
        else:
            held.float_list.value.extend(values.tolist())
    serialized: bytes = example.SerializeToString()
    return serialized


def _differs(values: npt.NDArray[Any], missing: Any) -> npt.NDArray[np.bool_]:
    """As `serving.export.signatures` tells padding: NaN differs from NaN there, too."""
    if isinstance(missing, str):
        texts = [text not in (b"", "") for text in values.tolist()]
        return np.array(texts, np.bool_)
    found: npt.NDArray[np.bool_] = values != missing
    return found


def _as_bytes(values: npt.NDArray[Any]) -> Sequence[bytes]:
    return [v.encode() if isinstance(v, str) else v for v in values.tolist()]

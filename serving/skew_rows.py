"""Rows that were trained on, and the same rows as a backend would send them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import FeatureSpec, Spec
from feature_specs.errors import TrailrankError
from feature_specs.places import Place, as_glob
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER
from serving.rest_client import parsed
from trainer.days.raw_rows import raw_columns
from trainer.days.shards import check_whole

KEYS = (KEY_USER, KEY_ITEM, KEY_TIME)
_BATCH = 4096

Key = tuple[Any, ...]  # user, item, time in ms
Batch = tuple[Sequence[bytes], list[Key]]
Values = Mapping[str, Any]  # feature -> value; a list for sequences and vectors


class LoggedRowError(TrailrankError, ValueError):
    """Rows that cannot be compared; the message names the file's line."""


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


# --- a backend's rows -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LoggedRows:
    """What a backend sent.

    Attributes:
        rows: Key -> feature -> value, of the served features; others are left out.
        unknown: Names in it that the spec does not serve.
    """

    rows: dict[Key, dict[str, Any]]
    unknown: tuple[str, ...]


def read_logged(file: Place, spec: Spec) -> LoggedRows:
    """Rows that a backend logged: a JSON object on each line.

    It holds `key_user`, `key_item` and `key_time_ms`, by which the row is found in the
    examples, and the features as they were sent, by their names.

    Raises:
        LoggedRowError: It cannot be read, or a line is no such object.
    """
    try:
        content = pathlib.Path(file).read_bytes()
    except OSError as error:
        raise LoggedRowError(
            f"--requests {file}: cannot be read ({error.strerror})."
        ) from None
    served = {feature.name for feature in spec.served_features}
    rows: dict[Key, dict[str, Any]] = {}
    unknown: set[str] = set()
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        key, values = _logged(f"--requests {file}, line {number}", line)
        if key in rows:
            raise LoggedRowError(
                f"--requests {file}, line {number}: the row of user, item and time "
                f"{key} was on an earlier line, too. Keep one of them."
            )
        unknown |= values.keys() - served - {KEY_REQUEST}
        rows[key] = {name: values[name] for name in served & values.keys()}
    if not rows:
        raise LoggedRowError(f"--requests {file}: no row in it; one a line.")
    return LoggedRows(rows, tuple(sorted(unknown)))


def _logged(where: str, line: bytes) -> tuple[Key, dict[str, Any]]:
    try:
        values: Any = parsed(line)
    except ValueError as error:
        raise LoggedRowError(f"{where}: not JSON: {error}") from None
    if not isinstance(values, dict) or not set(KEYS) <= values.keys():
        raise LoggedRowError(
            f"{where}: must be an object with {', '.join(KEYS)} and the features by "
            f"their names. Got {line[:60].decode('utf-8', 'replace')}"
        )
    key = tuple(values.pop(name) for name in KEYS)
    if any(isinstance(part, bool) or not isinstance(part, int | str) for part in key):
        raise LoggedRowError(
            f"{where}: {', '.join(KEYS)} must be whole numbers or text. Got {key}."
        )
    return key, values


# --- what a server refuses ------------------------------------------------------------


def refusal(feature: FeatureSpec, value: Any) -> str:
    """Why a server refuses a value of a feature, by TensorFlow Serving's rules; or "".

    None and an absent value are missing, which a client fills in.
    """
    if value is None:
        return ""
    if not (feature.is_sequence or feature.width):
        return _refusal_of_one(feature, value)
    if not isinstance(value, list):
        return "must be a list"
    if feature.width and len(value) not in (0, feature.width):
        return f"must have {feature.width} numbers"
    if feature.is_sequence and None in value:
        return "must have no null in it"
    told = (_refusal_of_one(feature, one) for one in value if one is not None)
    return next((text for text in told if text), "")


def _refusal_of_one(feature: FeatureSpec, value: Any) -> str:
    if feature.dtype == "string":
        return "" if isinstance(value, str | bytes) else "must be text"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if feature.dtype == "int64":
        if not isinstance(value, int):
            return "must be a whole number"
        return "" if -(2**63) <= value < 2**63 else "must fit in 64 bits"
    return ""


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
    """As `serving.signatures` tells padding: NaN differs from NaN there, too."""
    if isinstance(missing, str):
        texts = [text not in (b"", "") for text in values.tolist()]
        return np.array(texts, np.bool_)
    found: npt.NDArray[np.bool_] = values != missing
    return found


def _as_bytes(values: npt.NDArray[Any]) -> Sequence[bytes]:
    return [v.encode() if isinstance(v, str) else v for v in values.tolist()]

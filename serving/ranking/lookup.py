"""Feature values of users and items, from the newest raw example that has them.

It stands in for a feature store: `trailrank rank` asks for a user as a backend would.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import FeatureSpec, Spec
from feature_specs.errors import TrailrankError
from feature_specs.places import as_glob
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER
from serving.export.requests import (
    candidate_features,
    paired_features,
    request_features,
)
from serving.export.signatures import example_spec
from trainer.days.shards import check_whole

Key = int | str
Values = dict[str, Any]

_BATCH = 4096
_SPLIT_PREFIX = "Split-day-"


class NoExamplesError(TrailrankError, RuntimeError):
    """A directory without splits of examples."""


class BadKeyError(TrailrankError, ValueError):
    """An id that cannot be one of the log's column."""


class _Found(NamedTuple):
    time_ms: int
    serialized: bytes


class Examples:
    """The raw examples of a run.

    Args:
        directory: Holds `Split-day-YYYYMMDD/*.gz`.
        spec: The run's.

    Raises:
        NoExamplesError: No split there.
    """

    def __init__(self, directory: str, spec: Spec):
        self._spec = spec
        self._splits = sorted(
            (
                os.path.join(directory, name.rstrip("/"))
                for name in _listdir(directory)
                if name.startswith(_SPLIT_PREFIX)
            ),
            reverse=True,
        )
        if not self._splits:
            raise NoExamplesError(
                f"{directory}: no {_SPLIT_PREFIX}* here, so no user or item can be "
                "looked up. Was the run's directory moved or cleaned?"
            )

    def user(self, user: Key) -> Values | None:
        """Query and context features at the user's newest impression; None if new."""
        found = self._search(KEY_USER, [user])
        if user not in found:
            return None
        return self._values(found[user], request_features(self._spec))

    def newest_users(self, count: int) -> list[Values]:
        """The same of the `count` users who were shown something last."""
        features = request_features(self._spec)
        found = self._newest_of(KEY_USER, count)
        return [self._values(row, features) for row in found.values()]

    def items(self, items: Iterable[Key]) -> dict[Key, Values]:
        """Item -> its candidate features at its newest impression; unknown left out.

        So are features of a user and an item together: they are some other user's.
        """
        found = self._search(KEY_ITEM, list(items))
        return self._item_values(found)

    def newest_items(self, count: int) -> dict[Key, Values]:
        """The same for the `count` items shown last."""
        return self._item_values(self._newest_of(KEY_ITEM, count))

    def _newest_of(self, key: str, count: int) -> dict[Key, _Found]:
        """The newest examples of the `count` users or items shown last."""
        found: dict[Key, _Found] = {}
        for split in self._splits:
            found = {**self._newest(split, key, None), **found}
            if len(found) >= count:
                break
        newest = sorted(found.items(), key=lambda item: item[1].time_ms, reverse=True)
        return dict(newest[:count])

    def _search(self, key: str, wanted: list[Key]) -> dict[Key, _Found]:
        """Newest splits first, until everything is found."""
        found: dict[Key, _Found] = {}
        for split in self._splits:
            open_keys = [k for k in wanted if k not in found]
            if not open_keys:
                break
            found |= self._newest(split, key, open_keys)
        return found

    def _newest(
        self, split: str, key: str, wanted: list[Key] | None
    ) -> dict[Key, _Found]:
        """Key -> its newest example in one split; every key if `wanted` is None."""
        newest: dict[Key, _Found] = {}
        for serialized, keys, times in self._batches(split, key):
            order = np.argsort(-times, kind="stable")
            if wanted is not None:
                order = order[np.isin(keys[order], _as_keys(wanted, keys.dtype))]
            found, first = np.unique(keys[order], return_index=True)
            for value, row in zip(found, order[first], strict=True):
                name, time_ms = _as_key(value), int(times[row])
                if name not in newest or time_ms > newest[name].time_ms:
                    newest[name] = _Found(time_ms, serialized[row])
        return newest

    def _batches(
        self, split: str, key: str
    ) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]:
        """Serialized examples, their keys and times, each [batch]."""
        column = {KEY_USER: self._spec.log.user, KEY_ITEM: self._spec.log.item}[key]
        parsing = {
            key: tf.io.FixedLenFeature([], _key_dtype(self._spec, column)),
            KEY_TIME: tf.io.FixedLenFeature([], tf.int64),
        }
        files = sorted(tf.io.gfile.glob(os.path.join(as_glob(split), "*.gz")))
        check_whole(files)
        records = tf.data.TFRecordDataset(files, compression_type="GZIP")
        for batch in records.batch(_BATCH):
            parsed = tf.io.parse_example(batch, parsing)
            yield batch.numpy(), parsed[key].numpy(), parsed[KEY_TIME].numpy()

    def _item_values(self, found: dict[Key, _Found]) -> dict[Key, Values]:
        paired = paired_features(self._spec)
        features = [f for f in candidate_features(self._spec) if f not in paired]
        return {key: self._values(row, features) for key, row in found.items()}

    def _values(self, found: _Found, features: list[FeatureSpec]) -> Values:
        parsing = example_spec(self._spec)
        own = {f.name: parsing[f.name] for f in features}
        if not own:
            return {}
        parsed = tf.io.parse_single_example(found.serialized, own)
        return {f.name: _plain(parsed[f.name], f) for f in features}


def as_key(text: str, spec: Spec, column: str) -> Key:
    """A user's or an item's id as typed -> as stored; ValueError if it is none."""
    if _key_dtype(spec, column) == tf.string:
        return text
    try:
        key = int(text)
    except ValueError:
        raise BadKeyError(f"{column} must be a whole number. Got {text!r}.") from None
    if not -(2**63) <= key < 2**63:
        raise BadKeyError(f"{column} must fit in 64 bits (int64). Got {text!r}.")
    return key


def _key_dtype(spec: Spec, column: str) -> tf.DType:
    is_text = spec.column_types[column] == "string"
    return tf.string if is_text else tf.int64


def _as_keys(wanted: list[Key], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind != "O":
        return np.array(wanted, dtype)
    return np.array([str(key).encode() for key in wanted], object)


def _as_key(value: Any) -> Key:
    return value.decode() if isinstance(value, bytes) else int(value)


def _plain(value: tf.Tensor | tf.SparseTensor, feature: FeatureSpec) -> Any:
    """A parsed feature -> what a request's JSON holds."""
    array = value.values.numpy() if feature.is_sequence else value.numpy()
    found = np.asarray(array).tolist()
    if feature.dtype != "string":
        return found
    if feature.is_sequence:
        return [item.decode("utf-8", "surrogateescape") for item in found]
    return found.decode("utf-8", "surrogateescape")


def _listdir(directory: str) -> list[str]:
    return tf.io.gfile.listdir(directory) if tf.io.gfile.isdir(directory) else []

"""A few examples before and after encoding, by the very functions of a run."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import polars as pl

from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER
from pipeline.dry_run.examples_frame import read_examples
from pipeline.dry_run.run import DryRun
from pipeline.quiet import quiet_imports

_KEY = (KEY_USER, KEY_ITEM, KEY_TIME)


@dataclasses.dataclass(frozen=True)
class EncodedExample:
    """One example, as it is trained on.

    Attributes:
        raw: Key -> value, as `trailrank examples` writes it.
        encoded: Key -> value, as a model reads it; empty where nothing was encoded.
    """

    raw: dict[str, Any]
    encoded: dict[str, Any]


def some_examples(run: DryRun, count: int = 3) -> list[EncodedExample]:
    """Examples of training days, spread over them.

    Their vocabularies and scales are those of the sample's training days: with all rows
    the numbers are others, what is missing is not.
    """
    train = list(run.report["train"])
    raw = read_examples(run.examples, train).sort(KEY_TIME)
    encoded = _encode(run, train)
    places = [place * (raw.height - 1) // max(count - 1, 1) for place in range(count)]
    return [_pair(raw, encoded, place) for place in dict.fromkeys(places)]


def _encode(run: DryRun, train: Sequence[str]) -> pl.DataFrame:
    """All examples of the training days as a model reads them, keys included."""
    from pipeline.encoding.make import encode_days

    with quiet_imports():
        import tensorflow as tf
        import tensorflow_transform as tft

        from pipeline.encoding.graph import feature_spec
    graph = os.path.join(run.examples, "_encoding")
    encode_days(run.spec, [(split, run.examples) for split in train], graph)
    files = [
        str(file)
        for split in train
        for file in sorted(pathlib.Path(run.examples, f"Split-{split}").glob("*.gz"))
    ]
    records = list(tf.data.TFRecordDataset(files, "GZIP"))
    batch = tf.io.parse_example(records, feature_spec(run.spec))
    found = tft.TFTransformOutput(graph).transform_features_layer()(batch)
    return pl.DataFrame([_series(name, value.numpy()) for name, value in found.items()])


def _series(name: str, values: npt.NDArray[Any]) -> pl.Series:
    if values.dtype == object:  # bytes
        return pl.Series(name, [value.decode() for value in values])
    return pl.Series(name, values)


def _pair(raw: pl.DataFrame, encoded: pl.DataFrame, place: int) -> EncodedExample:
    row = raw.row(place, named=True)
    same = [pl.col(name) == row[name] for name in _KEY]
    found = encoded.filter(pl.all_horizontal(same))
    return EncodedExample(row, found.row(0, named=True) if found.height else {})

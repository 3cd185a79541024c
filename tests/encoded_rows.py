"""Rows worked out by hand -> summaries, an encoding, its graph, encoded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import tensorflow as tf

from feature_specs import Spec
from pipeline.summaries.columns import columns_of, most_values
from pipeline.summaries.summarize import add_up_values, join, summarize
from pipeline.summaries.summary import DaySummary

Row = dict[str, Any]

_TYPES: dict[str, Any] = {"int64": pl.Int64, "float32": pl.Float32, "string": pl.String}


def summary_of(spec: Spec, rows: list[Row], split: str) -> DaySummary:
    """What the examples pass leaves of a split with these rows.

    Args:
        spec: What they hold.
        rows: Raw examples, every key; a vector is a list of floats.
        split: `day-YYYYMMDD`.
    """
    columns = columns_of(spec)
    frame = pl.DataFrame({c.key: _series(spec, c, rows) for c in columns})
    rows_, numbers, texts = summarize(frame, columns)
    parts = [rows_, add_up_values(numbers, columns), add_up_values(texts, columns)]
    users = len({row["key_user"] for row in rows})
    videos = len({row["key_item"] for row in rows})
    found = join(parts, most_values(spec))
    return DaySummary(
        split=split,
        rows=len(rows),
        users=users,
        videos=videos,
        read=len(rows),
        rejected=0,
        trail_lengths={},
        columns=found,
    )


def _series(spec: Spec, column: Any, rows: list[Row]) -> pl.Series:
    values, dtype = [row[column.key] for row in rows], _TYPES[column.dtype]
    feature = next((f for f in spec.features if f.name == column.key), None)
    if feature and feature.is_sequence:
        return pl.Series(values, dtype=pl.List(dtype))
    if feature and feature.width:
        return pl.Series(values, dtype=pl.Array(dtype, feature.width))
    return pl.Series(values, dtype=dtype)


def write_graph(spec: Spec, rows: list[Row], directory: str) -> Any:
    """Learns of one day's rows; the graph as `tft.TFTransformOutput`."""
    import tensorflow_transform as tft

    from pipeline.encoding.graph import write_transform_graph
    from pipeline.encoding.learn import learn

    encoding = learn(spec, [summary_of(spec, rows, "day-20240101")])
    write_transform_graph(encoding, spec, directory)
    return tft.TFTransformOutput(directory)


def as_examples(rows: list[Row]) -> list[bytes]:
    """Rows as `pipeline.examples` writes them."""
    return [_example(row).SerializeToString() for row in rows]


def _example(row: Row) -> tf.train.Example:
    features = tf.train.Features(feature={k: _feature(v) for k, v in row.items()})
    return tf.train.Example(features=features)


def _feature(value: Any) -> tf.train.Feature:
    values = value if isinstance(value, list) else [value]
    if values and isinstance(values[0], str):
        texts = tf.train.BytesList(value=[text.encode() for text in values])
        return tf.train.Feature(bytes_list=texts)
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def encoded(graph: str, spec: Spec, rows: list[Row]) -> dict[str, npt.NDArray[Any]]:
    """The rows through the graph in a directory, parsed as a reader of it does."""
    import tensorflow_transform as tft

    from pipeline.encoding.graph import feature_spec

    raw = tf.io.parse_example(as_examples(rows), feature_spec(spec))
    found = tft.TFTransformOutput(graph).transform_features_layer()(raw)
    return {name: np.asarray(value) for name, value in found.items()}


def splitmix64(value: int) -> int:
    """The generator's first output from a state, in Python's whole numbers.

    Source: the reference in C by Sebastiano Vigna, prng.di.unimi.it/splitmix64.c.
    """
    z = (value + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)

"""Exported models of one number of a row, and days of such rows as examples."""

import pathlib

import polars as pl
import tensorflow as tf

from tests.pipeline.evaluation.drawn import drawn_rows

ROWS = drawn_rows(400, seed=3).with_columns(
    taste=pl.col("score"), slice_liked=pl.col("key_item") % 2
)
DAYS = ("day-20240101", "day-20240102")


class _Exported(tf.Module):
    """Predicts from the number `taste`: the chance of a like, and the stay."""

    def __init__(self, slope: float, tasks):
        super().__init__()
        self._slope, self._tasks = tf.Variable(slope), tasks

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score_examples(self, examples):
        feature = {"taste": tf.io.FixedLenFeature([], tf.float32)}
        taste = tf.io.parse_example(examples, feature)["taste"]
        like = tf.sigmoid(self._slope * (taste - 0.5))
        found = {"like": like, "stay": 2 * self._slope * taste, "score": like**2}
        return {name: found[name] for name in (*self._tasks, "score")}


def save_model(folder, slope: float, tasks=("like", "stay")) -> str:
    """Exports a model; a slope below 0 orders rows the wrong way round."""
    module = _Exported(slope, tasks)
    signatures = {"score_examples": module.score_examples}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return str(folder)


def write_day(folder, number: int) -> tuple[str, str]:
    """Writes a day of `ROWS`, some of them for the evaluation only; (split, folder)."""
    rows = ROWS.filter(pl.col("key_split") == number)
    split = pathlib.Path(folder) / f"Split-{DAYS[number]}"
    split.mkdir(parents=True)
    files = {"data_tfrecord": rows[20:], "evaluation_only": rows[:20]}
    for name, part in files.items():
        path = str(split / f"{name}-00000-of-00001.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in part.iter_rows(named=True):
                writer.write(_example(row))
    return DAYS[number], str(folder)


def _example(row) -> bytes:
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return example.SerializeToString()

"""Exported models of one number of a row, and days of such rows."""

import polars as pl
import pytest
import tensorflow as tf

from tests.pipeline.evaluation.drawn import drawn_rows


class _Exported(tf.Module):
    """Predicts from one number of a row: the chance of a like, and the stay."""

    def __init__(self, slope: float, tasks=("like", "stay")):
        super().__init__()
        self._slope, self._tasks = tf.Variable(slope), tasks

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score_examples(self, examples):
        feature = {"taste": tf.io.FixedLenFeature([], tf.float32)}
        taste = tf.io.parse_example(examples, feature)["taste"]
        like = tf.sigmoid(self._slope * (taste - 0.5))
        found = {"like": like, "stay": self._slope * taste, "score": like**2}
        return {name: found[name] for name in (*self._tasks, "score")}


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """(name, slope, ...) -> the directory of an exported model."""
    folder = tmp_path_factory.mktemp("models")

    def save(name, *args, **options):
        module = _Exported(*args, **options)
        signatures = {"score_examples": module.score_examples}
        tf.saved_model.save(module, str(folder / name), signatures=signatures)
        return str(folder / name)

    return save


@pytest.fixture(scope="module")
def rows():
    frame = drawn_rows(400, seed=3)
    return frame.with_columns(taste=pl.col("score"), slice_liked=pl.col("key_item") % 2)


@pytest.fixture(scope="module")
def days(rows, tmp_path_factory):
    """Two days in two directories; some rows are for the evaluation only."""
    found = []
    for number, name in enumerate(("day-20240101", "day-20240102")):
        folder = tmp_path_factory.mktemp(name)
        own = rows.filter(pl.col("key_split") == number)
        files = {"data_tfrecord": own[20:], "evaluation_only": own[:20]}
        for file, part in files.items():
            path = folder / f"Split-{name}" / f"{file}-00000-of-00001.gz"
            path.parent.mkdir(exist_ok=True)
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for row in part.iter_rows(named=True):
                    writer.write(_example(row))
        found.append((name, str(folder)))
    return found


def _example(row):
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return example.SerializeToString()

"""The evaluation days through exported models, batch by batch.

Rows go through each SavedModel's `score_examples`, so that what is measured is what is
served: trail features are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import tensorflow as tf

from feature_specs import Spec, label_key, mask_key
from feature_specs.places import as_glob
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER, slice_key
from pipeline.evaluation.rows import (
    KEY_SPLIT,
    SCORE,
    prediction_key,
    score_key,
)
from serving.models.manifest import damaged_file
from serving.models.servable import named
from serving.models.session import LoadError, Signature, load_signatures
from trainer.days.input import match_files
from trainer.days.shards import check_whole

EXAMPLES_SIGNATURE = "score_examples"
_BATCH = 4096
_LOG_SCORE = "log_score"  # orders where `score` has no more room, if a model has it

Days: TypeAlias = Sequence[tuple[str, str]]  # split, directory of examples
# Serialized examples [B] -> more columns [B] of the rows that they are scored into.
More: TypeAlias = Callable[[tf.Tensor], Mapping[str, pl.Series]]


def score(
    spec: Spec, model_dir: str, examples_dir: str, splits: Sequence[str]
) -> pl.DataFrame:
    """Scores raw examples with an exported model, all rows in one frame.

    Returns:
        One row an impression: keys, slices, `label_<task>`, `mask_<task>`,
        `prediction_<task>` and `score`.
    """
    days = [(split, examples_dir) for split in splits]
    return pl.concat(score_days(spec, [model_dir], days))


def score_days(
    spec: Spec,
    model_dirs: Sequence[str],
    days: Days,
    more: More = lambda serialized: {},
) -> Iterator[pl.DataFrame]:
    """Scores days with several models in one pass; a frame a batch.

    Model 0 has the columns of `score`, and the others those of `prediction_key` and
    `score_key`. A task or score that a model does not have has no column.

    Raises:
        LoadError: A model cannot be loaded.
        DamagedExamplesError: A file is damaged or missing.
    """
    models = [load_scorer(path) for path in model_dirs]
    for number, (split, folder) in enumerate(days):
        files = files_of(split, folder)
        dataset = tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH).prefetch(2)
        for serialized in dataset:
            frame = labels_of(spec, serialized)
            numbers = pl.repeat(number, frame.height, dtype=pl.Int32, eager=True)
            columns = {KEY_SPLIT: numbers, **more(serialized)}
            for place, model in enumerate(models):
                outputs = model({"examples": serialized.numpy()})
                columns |= predictions_of(spec, outputs, place)
            yield frame.with_columns(**columns)


def count_rows(days: Days) -> int:
    """How many rows the days have; checks that their files are whole."""
    return sum(check_whole(files_of(split, folder)) for split, folder in days)


def files_of(split: str, folder: str) -> list[str]:
    """All files of a day, those too that only an evaluation reads."""
    pattern = os.path.join(as_glob(folder), f"Split-{split}", "*.gz")
    return match_files(split, [pattern], evaluation=True)


def predictions_of(
    spec: Spec, outputs: Mapping[str, np.ndarray], model: int = 0
) -> dict[str, pl.Series]:
    """The columns of what the model of that number says of a batch."""
    found = {
        prediction_key(task.name, model): pl.Series(outputs[task.name])
        for task in spec.tasks
        if task.name in outputs
    }
    score = outputs.get(_LOG_SCORE, outputs.get(SCORE))
    if score is not None:
        found[score_key(model)] = pl.Series(score)
    return found


def load_scorer(model_dir: str) -> Signature:
    """The signature for examples of an exported model.

    Raises:
        LoadError: It cannot be loaded.
    """
    remedy = "Bring it back from a copy, or run the pipeline into a new directory."
    if damage := damaged_file(model_dir):
        raise LoadError(f"{model_dir}: {damage}. {remedy}")
    try:
        return load_signatures(model_dir, [EXAMPLES_SIGNATURE])[EXAMPLES_SIGNATURE]
    except Exception as error:  # a broken graph raises KeyError, TypeError, ...
        raise LoadError(
            f"{model_dir}: cannot be loaded: {named(error)}. {remedy}"
        ) from error


def labels_of(spec: Spec, serialized: tf.Tensor) -> pl.DataFrame:
    """Keys, slices, labels and masks of serialized raw examples [B]."""
    types = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}
    names = {
        KEY_USER: types[spec.column_types[spec.log.user]],
        KEY_ITEM: types[spec.column_types[spec.log.item]],
        KEY_TIME: tf.int64,
    }
    if spec.log.request:
        names[KEY_REQUEST] = tf.int64
    for column in spec.evaluation.slices:
        names[slice_key(column)] = types[spec.column_types[column]]
    for task in spec.tasks:
        names[label_key(task.name)] = names[mask_key(task.name)] = tf.float32
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in names.items()}
    parsed = tf.io.parse_example(serialized, features)
    return pl.DataFrame({name: _series(parsed[name].numpy()) for name in names})


def _series(values: np.ndarray) -> pl.Series:
    """A NumPy column as Polars one, bytes as text."""
    if values.dtype != object:
        return pl.Series(values)
    return pl.Series(values.tolist(), dtype=pl.Binary).cast(pl.String)

"""Training and export of a run: days of raw examples in, a model to serve out.

Plain functions; `pipeline.steps.ranker_trainer` is the step of TFX around them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from feature_specs import ModelConfig, Spec
from feature_specs.places import as_glob
from serving.export.export import export
from serving.export.model_card import Lineage
from serving.export.quantile_tables import QUANTILES_FILE, read_tables
from serving.export.warmup import MOST_ROWS
from tpu_configs import SliceConfig
from trainer.cluster import is_chief
from trainer.days import checkpoints, day_ends
from trainer.days.checkpoints import CheckpointError, finished_days
from trainer.days.encoding import Encoding, read_encoding
from trainer.days.loop import Day, train
from trainer.days.options import LoopOptions
from trainer.ownership import sole_training

_ROWS_APART = 20  # of those that warmup requests are made of


class RunTraining(NamedTuple):
    """What a run trains.

    Attributes:
        spec: What the examples hold.
        preset: The ranker.
        slice: What it runs on.
        days: Split and examples directory of all days that will be in the weights, in
            order. A day that is trained already needs no directory any more.
        graph: Directory of the encoding, a `TransformGraph`.
        checkpoints: Begin of the checkpoints' directory; the encoding ends it.
        seed: Of weights, order of rows and dropout.
        map_encoding: Whether a training on a new encoding begins with the weights of
            the one before, each value's row at its new id.
        examples: Directory of the newest examples, an evaluation day's too.
    """

    spec: Spec
    preset: ModelConfig
    slice: SliceConfig
    days: Sequence[tuple[str, str]]
    graph: str
    checkpoints: str
    seed: int
    map_encoding: bool = False
    examples: str = ""


def train_and_export(run: RunTraining, model: str, log_dir: str) -> None:
    """Trains the days that the weights lack, and exports the three signatures.

    If all of them were trained before, it only restores and exports. The checkpoint of
    the last day's end is kept, so that a later run can go back to it.

    Args:
        run: What is trained.
        model: Gets the model to serve.
        log_dir: Gets TensorBoard summaries, and figures of experts and conflicts; empty
            if nobody looks at them.

    Raises:
        CheckpointError: The weights have seen other days.
        QuantilesError: A task has `seconds`, and its ranks' are not known.
    """
    encoding = read_encoding(run.graph)
    folders = [*(folder for _, folder in run.days), run.examples]
    quantiles = quantiles_of(run.spec, folders)
    directory = encoded_dir(run.checkpoints, encoding)
    splits = [split for split, _ in run.days]
    with sole_training(directory):
        source = _trained_before(run.checkpoints, directory) if run.map_encoding else ""
        if source:
            day_ends.begin_from(directory, source)
    check_days(directory, splits)
    ranker = train(
        run.spec,
        run.preset,
        [_day(split, folder) for split, folder in run.days],
        checkpoint_dir=directory,
        slice=run.slice,
        seed=run.seed,
        log_dir=log_dir,
        options=LoopOptions(map_encoding=run.map_encoding),
        graph=run.graph,
        encoding=encoding,
    )
    if not is_chief():  # of several workers, one writes
        return
    with sole_training(directory):
        day_ends.keep_day_end(directory)
    export(
        ranker,
        run.graph,
        run.spec,
        model,
        lineage=lineage_of(directory, run.seed),
        examples=newest_rows(run.days),
        quantiles=quantiles,
    )


def lineage_of(checkpoints_dir: str, seed: int) -> Lineage:
    """What an exported model's card tells of its training."""
    records = checkpoints.read_metrics(checkpoints_dir)
    metrics = records[-1] if records else {}
    days = tuple(finished_days(checkpoints_dir))
    return Lineage(days=days, seed=seed, metrics=metrics)


def quantiles_of(spec: Spec, folders: Sequence[str]) -> str | None:
    """The newest examples' `quantiles.json`; None if the spec has no use for it.

    It is read, as a training may take hours: what is wrong with it is told before.

    Args:
        spec: Of the model.
        folders: Of examples, the newest last; empty where they are gone.

    Raises:
        QuantilesError: It cannot be used.
    """
    labels = {task.label_column for task in spec.tasks if task.seconds}
    paths = [os.path.join(folder, QUANTILES_FILE) for folder in folders if folder]
    if not labels or not paths:
        return None
    # Days of one run have the same; those that an earlier release made have none.
    there = [path for path in paths if tf.io.gfile.exists(path)]
    path = [*paths, *there][-1]
    read_tables(path, [q for q in spec.quantiles if q.name in labels])
    return path


def newest_rows(days: Sequence[tuple[str, str]]) -> list[bytes]:
    """Raw examples for the warmup requests: of the newest day that is still there.

    They are spread over the first rows of a file, so that they are several users'.
    """
    for split, folder in reversed(days):
        (pattern,) = _day(split, folder)[1] or [""]
        files = sorted(tf.io.gfile.glob(pattern)) if pattern else []
        if files:
            rows = tf.data.TFRecordDataset(files, "GZIP").take(MOST_ROWS * _ROWS_APART)
            found = list(rows.as_numpy_iterator())
            return found[:: max(1, len(found) // MOST_ROWS)][:MOST_ROWS]
    return []


def encoded_dir(checkpoints: str, encoding: Encoding) -> str:
    """Of `dag.checkpoints_dir`, the directory of a training on one encoding, and on
    what extends it: examples that mean something else are another training's."""
    return f"{checkpoints}-{encoding.base}"


def check_days(directory: str, splits: Collection[str]) -> None:
    """That the weights there have seen no other days than this run trains on.

    Raises:
        CheckpointError: They have.
    """
    others = [day for day in finished_days(directory) if day not in splits]
    if others:
        raise CheckpointError(
            f"Checkpoints {directory}: must have trained no other days than this run, "
            f"which may only add later ones. Got {', '.join(others)}. Add these days "
            f"to the run's, or remove that directory to train anew."
        )


def _day(split: str, folder: str) -> Day:
    """Name and globs of a day; none of one whose examples are gone."""
    if not folder:
        return split, []
    return split, [os.path.join(as_glob(folder), f"Split-{split}", "*.gz")]


def _trained_before(checkpoints_prefix: str, own: str) -> str:
    """The directory of the same training on another encoding that came farthest.

    Empty if there is none, or if the own one has begun.
    """
    if checkpoints.find(own):
        return ""
    parent, name = os.path.split(checkpoints_prefix)
    listed = tf.io.gfile.listdir(parent) if tf.io.gfile.isdir(parent) else []
    of_key = re.compile(rf"{re.escape(name)}-[0-9a-f]{{12}}/?")  # none put aside
    others = [
        os.path.join(parent, o.rstrip("/")) for o in listed if of_key.fullmatch(o)
    ]
    reached = {other: finished_days(other) for other in others}
    found = [other for other in sorted(others) if reached[other]]
    if not found:
        return ""
    last = max(found, key=lambda other: (reached[other][-1], len(reached[other])))
    logging.info("Checkpoints %s: begin with those of %s, by value.", own, last)
    return last

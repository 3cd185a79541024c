"""Rows of days as frames: labels, masks, and what is told of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from feature_specs import FeatureSpec, Spec, label_key, mask_key
from feature_specs.spec import KEY_USER
from pipeline.compare.metrics import user_feature
from pipeline.compare.scores import batches
from trainer.days.loop import Day
from trainer.model.ranker import Batch


def plain_features(spec: Spec) -> list[FeatureSpec]:
    """Served features with one value a row."""
    return [f for f in spec.served_features if not f.shape]


def frames(
    spec: Spec,
    days: Sequence[Day],
    graph: str | None,
    features: Sequence[str],
    *,
    evaluation: bool = False,
) -> Iterator[pl.DataFrame]:
    """Labels, masks and `features` (those of one value a row), some rows at a time.

    The order of the rows of days to judge is that of `pipeline.compare.scores`.
    """
    for batch in batches(spec, days, graph, evaluation=evaluation):
        yield _frame(spec, batch, features)


def _frame(spec: Spec, batch: Batch, features: Sequence[str]) -> pl.DataFrame:
    real = batch.weight.numpy() > 0
    columns: dict[str, np.ndarray] = {}
    for index, task in enumerate(spec.tasks):
        columns[label_key(task.name)] = batch.labels[:, index].numpy()
        columns[mask_key(task.name)] = batch.masks[:, index].numpy()
    for name in features:
        columns[name] = batch.features[name].numpy()
    return pl.DataFrame({name: values[real] for name, values in columns.items()})


def judged(
    spec: Spec, frame: pl.DataFrame, predictions: dict[str, np.ndarray]
) -> pl.DataFrame:
    """What `pipeline.compare.scores` judges: users, labels, masks and predictions."""
    user = user_feature(spec)
    users = frame[user] if user else pl.Series(np.zeros(len(frame), np.int32))
    columns = {KEY_USER: users}
    for task in spec.tasks:
        for key in (label_key(task.name), mask_key(task.name)):
            columns[key] = frame[key]
        columns[f"prediction_{task.name}"] = pl.Series(predictions[task.name])
    return pl.DataFrame(columns).with_columns(pl.selectors.float().cast(pl.Float64))

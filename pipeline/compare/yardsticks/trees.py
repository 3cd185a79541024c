"""Gradient-boosted trees, a model a task, on encoded features (scikit-learn's)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from threadpoolctl import threadpool_limits

from feature_specs import FeatureSpec, Spec, TaskSpec, label_key, mask_key
from pipeline.compare.examples import Examples
from pipeline.compare.yardsticks.id_sums import IdSums
from pipeline.compare.yardsticks.rows import frames, judged, plain_features
from trainer.days.encoding import counted, read_encoding

MOST_ROWS = 1_000_000  # the newest; trees keep all of theirs in memory
_MOST_TASKS = 4  # at a time: each has a copy of the rows
_MOST_CODES = 250  # of a category; scikit-learn has bins for 255

_Floats = npt.NDArray[np.float64]


def predict(examples: Examples) -> Mapping[str, pl.DataFrame]:
    """`trees`: scikit-learn's HistGradientBoosting as it comes, early stopping and all.

    It sees every served feature with one value a row: numbers as they are, codes as
    categories if they are few, and of an id with many rows its smoothed label mean and
    number of rows on the training days *before* (a row's own label would tell itself).
    Sequences and vectors it does not see, and of the days only the newest `MOST_ROWS`
    rows.
    """
    graph = examples.encoding
    spec = counted(examples.spec, read_encoding(graph) if graph else None)
    features = plain_features(spec)
    names = [feature.name for feature in features]
    trained = _newest(
        pl.concat(list(frames(spec, [day], graph, names)))
        for day in reversed(examples.train)
    )
    tested = pl.concat(
        list(frames(spec, examples.evaluation, graph, names, evaluation=True))
    )

    def of_task(task: TaskSpec) -> _Floats:
        return _of_task(task, spec, features, trained, tested)

    # Tasks side by side, each in one thread: threads that share a tree wait for each
    # other in a loop, and beside other work take ten times the processor time.
    tasks = spec.tasks
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_TASKS)) as pool:
        found = dict(
            zip([t.name for t in tasks], pool.map(of_task, tasks), strict=True)
        )
    return {"trees": judged(spec, tested, found)}


def _newest(days: Iterable[pl.DataFrame]) -> list[pl.DataFrame]:
    """Days from the newest back -> the oldest first; no day is read beyond `MOST_ROWS`
    rows."""
    kept: list[pl.DataFrame] = []
    left = MOST_ROWS
    for frame in days:
        kept.append(frame.tail(left))
        left -= len(kept[-1])
        if not left:
            break
    return kept[::-1]


def _of_task(
    task: TaskSpec,
    spec: Spec,
    features: Sequence[FeatureSpec],
    trained: Sequence[pl.DataFrame],
    tested: pl.DataFrame,
) -> _Floats:
    """Predictions of the tested rows; the label mean where nothing can be learnt."""
    inputs, columns = _Inputs(task, spec, features), []
    for frame in trained:  # days in order: an id is known by the days before
        columns.append(inputs.of(frame))
        inputs.learn(frame)
    mask = np.concatenate([f[mask_key(task.name)].to_numpy() > 0 for f in trained])
    labels = np.concatenate([f[label_key(task.name)].to_numpy() for f in trained])
    x, y = np.concatenate(columns)[mask], labels[mask].astype(np.float64)
    mean = task.of_kind.mean_label(float(y.sum()), float(len(y)))
    if len(np.unique(y)) < 2:
        return np.full(len(tested), mean)
    options: dict[str, Any] = {
        "categorical_features": inputs.categories,
        "random_state": 0,
    }
    with threadpool_limits(limits=1, user_api="openmp"):
        if task.of_kind.is_probability:
            options["early_stopping"] = _can_stop(y)
            chances = HistGradientBoostingClassifier(**options).fit(x, y > 0.5)
            found = chances.predict_proba(inputs.of(tested))[:, 1]
        else:
            numbers = HistGradientBoostingRegressor(**options).fit(x, y)
            found = numbers.predict(inputs.of(tested))
    return np.asarray(found, np.float64)


def _can_stop(labels: _Floats) -> str | bool:
    """Whether a tenth of the rows can be held out with both labels on either side."""
    rarest = min(labels.sum(), len(labels) - labels.sum())
    return "auto" if rarest >= 20 else False


class _Inputs:
    """Features of rows as trees read them, for one task.

    Attributes:
        categories: Which columns are.
    """

    def __init__(self, task: TaskSpec, spec: Spec, features: Sequence[FeatureSpec]):
        self._task, self._features = task, features
        coded = [f for f in features if not f.of_kind.is_number]
        self._ids = {f.name for f in coded if f.rows(spec.tables) > _MOST_CODES}
        self._sums = {name: IdSums() for name in self._ids}
        self._mean = math.nan  # before the first day's end
        self.categories = [
            f in coded and f.name not in self._ids
            for f in features
            for _ in range(2 if f.name in self._ids else 1)
        ]

    def of(self, frame: pl.DataFrame) -> _Floats:
        """[N, columns]; NaN is missing."""
        columns: list[_Floats] = []
        for feature in self._features:
            values = frame[feature.name].to_numpy()
            if feature.name in self._ids:
                columns += self._known(feature.name, values)
            else:
                columns.append(values.astype(np.float64))
        return np.stack(columns, axis=1)

    def learn(self, frame: pl.DataFrame) -> None:
        """What the rows of a day say of ids."""
        mask = frame[mask_key(self._task.name)].to_numpy()
        labels = frame[label_key(self._task.name)].to_numpy()
        for name, sums in self._sums.items():
            sums.add(frame[name].to_numpy(), labels, mask)
            self._mean = sums.label_mean(self._task)  # of each feature's rows the same

    def _known(self, name: str, ids: npt.NDArray[Any]) -> list[_Floats]:
        """Smoothed mean and log of rows so far; missing before the first day's end."""
        if math.isnan(self._mean):
            return [np.full(len(ids), np.nan), np.full(len(ids), np.nan)]
        sums = self._sums[name]
        return [sums.means(ids, self._mean), np.log1p(sums.counts(ids))]

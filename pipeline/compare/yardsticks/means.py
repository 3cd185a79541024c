"""The label mean, and smoothed means of users and items."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import TaskSpec, label_key, mask_key
from pipeline.compare.examples import Examples
from pipeline.compare.metrics import user_feature
from pipeline.compare.yardsticks.rows import frames, item_feature, judged

STRENGTH = 20.0  # rows with the label mean that an id counts as having had
_RAREST = 1e-6  # means of binary tasks are kept this far from 0 and 1

_Floats = npt.NDArray[np.float64]


def predict(examples: Examples) -> Mapping[str, pl.DataFrame]:
    """`label mean`, `user's mean`, `item's mean` and `user's + item's mean`.

    An id's mean over the training rows of a task's sample space is
    (sum + 20 m) / (rows + 20), m the label mean; the sum of both adds what each differs
    by from m, for a binary task in log-odds. Names without an id feature are left out.
    """
    spec, graph = examples.spec, examples.encoding
    ids = {
        "user": user_feature(spec),
        "item": item_feature(spec),
    }
    known = {side: name for side, name in ids.items() if name}
    sums = {side: _Sums(name) for side, name in known.items()}
    overall = _Sums(None)
    for frame in frames(spec, examples.train, graph, [*known.values()]):
        for own in (overall, *sums.values()):
            own.add(spec.tasks, frame)
    found: dict[str, list[pl.DataFrame]] = {}
    for frame in frames(
        spec, examples.evaluation, graph, [*known.values()], evaluation=True
    ):
        for name, predictions in _predictions(spec.tasks, frame, overall, sums).items():
            found.setdefault(name, []).append(judged(spec, frame, predictions))
    return {name: pl.concat(parts) for name, parts in found.items()}


def _predictions(
    tasks: tuple[TaskSpec, ...],
    frame: pl.DataFrame,
    overall: _Sums,
    sums: Mapping[str, _Sums],
) -> dict[str, dict[str, _Floats]]:
    """Name -> task -> predictions of the frame's rows."""
    found: dict[str, dict[str, _Floats]] = {}
    for task in tasks:
        mean = overall.mean(task)
        label_mean = np.full(len(frame), mean)
        found.setdefault("label mean", {})[task.name] = label_mean
        own = {side: s.means(task, frame, mean) for side, s in sums.items()}
        for side, values in own.items():
            found.setdefault(f"{side}'s mean", {})[task.name] = values
        if len(own) == 2:
            both = _together(task, own["user"], own["item"], mean)
            found.setdefault("user's + item's mean", {})[task.name] = both
    return found


def _together(task: TaskSpec, one: _Floats, other: _Floats, mean: float) -> _Floats:
    if not task.of_kind.is_probability:
        return one + other - mean
    logit = _logit(one) + _logit(other) - _logit(np.array(mean))
    return 1 / (1 + np.exp(-logit))


def _logit(mean: _Floats) -> _Floats:
    mean = np.clip(mean, _RAREST, 1 - _RAREST)
    return np.log(mean / (1 - mean))


@dataclasses.dataclass
class _Sums:
    """Sums and numbers of labels, by the ids of a feature or of all rows.

    Attributes:
        feature: The id feature; None for all rows.
    """

    feature: str | None

    def __post_init__(self) -> None:
        self._totals: dict[str, _Floats] = {}
        self._counts: dict[str, _Floats] = {}

    def add(self, tasks: tuple[TaskSpec, ...], frame: pl.DataFrame) -> None:
        """Of rows as `frames` gives them."""
        ids = self._ids(frame)
        for task in tasks:
            mask = frame[mask_key(task.name)].to_numpy().astype(np.float64)
            labels = frame[label_key(task.name)].to_numpy() * mask
            for kept, values in ((self._totals, labels), (self._counts, mask)):
                new = np.bincount(ids, weights=values)
                kept[task.name] = added(kept.get(task.name), new)

    def mean(self, task: TaskSpec) -> float:
        """Over all rows, as training begins with it."""
        total, count = self._totals[task.name].sum(), self._counts[task.name].sum()
        return task.of_kind.mean_label(float(total), float(count))

    def means(self, task: TaskSpec, frame: pl.DataFrame, mean: float) -> _Floats:
        """Smoothed, of the id of each row; the label mean for one never seen."""
        ids = self._ids(frame)
        totals, counts = self._totals[task.name], self._counts[task.name]
        smoothed = (totals + STRENGTH * mean) / (counts + STRENGTH)
        found = np.full(len(ids), mean)
        seen = ids < len(smoothed)
        found[seen] = smoothed[ids[seen]]
        return found

    def _ids(self, frame: pl.DataFrame) -> npt.NDArray[np.int64]:
        if self.feature is None:
            return np.zeros(len(frame), np.int64)
        return frame[self.feature].to_numpy().astype(np.int64)


def added(one: _Floats | None, other: npt.NDArray[Any]) -> _Floats:
    """The sum of two arrays, the shorter one with zeros at its end."""
    one = np.zeros(0) if one is None else one
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total

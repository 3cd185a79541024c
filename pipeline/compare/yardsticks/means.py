"""The label mean, and smoothed means of users and items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import TaskSpec, label_key, mask_key
from pipeline.compare.examples import Examples
from pipeline.compare.metrics import item_feature, user_feature
from pipeline.compare.yardsticks.id_sums import IdSums
from pipeline.compare.yardsticks.rows import frames, judged

_RAREST = 1e-6  # means of binary tasks are kept this far from 0 and 1

_Floats = npt.NDArray[np.float64]


def predict(examples: Examples) -> Mapping[str, pl.DataFrame]:
    """`label mean`, `user's mean`, `item's mean` and `user's + item's mean`.

    An id's mean over the training rows of a task's sample space is
    (sum + 20 m) / (rows + 20), m the label mean; the sum of both adds what each differs
    by from m, for a binary task in log-odds. Names without an id feature are left out.
    """
    spec, graph = examples.spec, examples.encoding
    ids = {"user": user_feature(spec), "item": item_feature(spec)}
    known = {side: name for side, name in ids.items() if name}
    sums = _sums(examples, known)
    found: dict[str, list[pl.DataFrame]] = {}
    for frame in frames(
        spec, examples.evaluation, graph, [*known.values()], evaluation=True
    ):
        for name, predictions in _predictions(spec.tasks, frame, known, sums).items():
            found.setdefault(name, []).append(judged(spec, frame, predictions))
    return {name: pl.concat(parts) for name, parts in found.items()}


def _sums(
    examples: Examples, known: Mapping[str, str]
) -> dict[tuple[str, str], IdSums]:
    """(Side, task) -> sums of the training rows; side "" has all rows under one id."""
    tasks = examples.spec.tasks
    sums = {(side, t.name): IdSums() for side in ("", *known) for t in tasks}
    columns = [*known.values()]
    for frame in frames(examples.spec, examples.train, examples.encoding, columns):
        ids = {side: frame[name].to_numpy() for side, name in known.items()}
        ids[""] = np.zeros(len(frame), np.int64)
        for task in tasks:
            labels = frame[label_key(task.name)].to_numpy()
            mask = frame[mask_key(task.name)].to_numpy()
            for side, own in ids.items():
                sums[side, task.name].add(own, labels, mask)
    return sums


def _predictions(
    tasks: tuple[TaskSpec, ...],
    frame: pl.DataFrame,
    known: Mapping[str, str],
    sums: Mapping[tuple[str, str], IdSums],
) -> dict[str, dict[str, _Floats]]:
    """Name -> task -> predictions of the frame's rows."""
    found: dict[str, dict[str, _Floats]] = {}
    ids = {side: frame[name].to_numpy() for side, name in known.items()}
    for task in tasks:
        mean = sums["", task.name].label_mean(task)
        found.setdefault("label mean", {})[task.name] = np.full(len(frame), mean)
        own = {side: sums[side, task.name].means(ids[side], mean) for side in known}
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

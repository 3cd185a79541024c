"""Scored rows as the model gates take them: one task's columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec, label_key, mask_key
from feature_specs.spec import KEY_USER, slice_key
from pipeline.evaluation.fused import NDCG_KEY, lists
from pipeline.evaluation.rows import Rows, prediction_key, score_key
from pipeline.gates.rows import JudgedRows, Ranked, TaskRows


def judged_rows(spec: Spec, rows: Rows, models: Sequence[str]) -> JudgedRows:
    """What `pipeline.gates.model_gate.judge` compares.

    Args:
        spec: Of the rows.
        rows: Scored with all models.
        models: Their names, in the order of `rows`, the one to judge first. One that
            lacks a task of the spec, as of an older spec, is left out.
    """
    known = [0, *(n for n in range(1, len(models)) if _has_all(spec, rows, n))]
    return JudgedRows(
        models=tuple(models[number] for number in known),
        users=_users(_column(rows, KEY_USER)),
        tasks=_Tasks(spec, rows, known),
        ranked=_ranked(spec, rows, known),
        slices={
            column: _column(rows, slice_key(column)).to_numpy()
            for column in spec.evaluation.slices
        },
    )


class _Tasks(Mapping[str, TaskRows]):
    """Task -> its rows, read when they are asked for."""

    def __init__(self, spec: Spec, rows: Rows, models: Sequence[int]):
        self._names = tuple(task.name for task in spec.tasks)
        self._rows, self._models = rows, models

    def __getitem__(self, name: str) -> TaskRows:
        if name not in self._names:
            raise KeyError(name)
        columns = [label_key(name), mask_key(name)]
        columns += [prediction_key(name, model) for model in self._models]
        found = pl.concat(self._rows.read(columns))
        labels, mask, *predictions = (found[column].to_numpy() for column in columns)
        return TaskRows(labels, mask > 0, predictions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _has_all(spec: Spec, rows: Rows, model: int) -> bool:
    needed = [score_key(model)]
    needed += [prediction_key(task.name, model) for task in spec.tasks]
    return rows.columns.issuperset(needed)


def _ranked(spec: Spec, rows: Rows, models: Sequence[int]) -> Ranked | None:
    if score_key() not in rows.columns:
        return None
    found = [lists(spec, rows, model) for model in models]
    ndcg = np.stack([frame[NDCG_KEY].to_numpy() for frame in found])
    return Ranked(_users(found[0][KEY_USER]), ndcg)


def _column(rows: Rows, name: str) -> pl.Series:
    return pl.concat(rows.read([name]))[name]


def _users(users: pl.Series) -> npt.NDArray[Any]:
    """[N] whole numbers, one a user."""
    if users.dtype == pl.Int64:
        return users.to_numpy()
    return users.hash(seed=0).to_numpy().view(np.int64)

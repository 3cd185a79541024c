"""Reads and checks the section `evaluation`: when a model may replace the one that
serves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl

from feature_specs.log_section import joined_columns
from feature_specs.model_section import check_tasks
from feature_specs.past import REQUEST_COLUMNS
from feature_specs.past_section import Past
from feature_specs.reading import Reading
from feature_specs.spec import EvaluationSpec, LogSpec, TaskSpec
from feature_specs.utility import mistake_in

# Limits of which tasks: those with a probability have an AUC, the others an error.
_OF_PROBABILITIES = ("min_auc", "min_gauc", "min_slice_auc")
_OF_NUMBERS = ("max_rmse",)
_OF_ALL = ("miscalibration",)


def read_evaluation(
    reading: Reading, log: LogSpec | None, past: Past, tasks: list[TaskSpec]
) -> EvaluationSpec:
    """The slices and limits."""
    evaluation: EvaluationSpec | None = reading.section(EvaluationSpec, "evaluation")
    if evaluation is None:
        return EvaluationSpec()
    if log is not None:
        _check_slices(reading, log, past, evaluation)
    kinds = {task.name: task.of_kind for task in tasks}
    chances = {name for name, kind in kinds.items() if kind.is_probability}
    for key in (*_OF_PROBABILITIES, *_OF_NUMBERS, *_OF_ALL):
        check_tasks(reading, f"evaluation.{key}", getattr(evaluation, key))
    _check_kinds(reading, evaluation, _OF_PROBABILITIES, set(kinds) - chances, "AUC")
    _check_kinds(reading, evaluation, _OF_NUMBERS, chances, "error to limit")
    if evaluation.utility:
        names = [str(entry["name"]) for entry in _entries(reading)]
        if mistake := mistake_in(evaluation.utility, names):
            reading.problems.add(
                "evaluation.utility", f"{mistake}.", evaluation.utility
            )
    if evaluation.min_slice_auc and not evaluation.slices:
        rule = "has no use without `slices`; name columns there, or remove this."
        reading.problems.add("evaluation.min_slice_auc", rule)
    return evaluation


def _check_kinds(
    reading: Reading,
    evaluation: EvaluationSpec,
    keys: Collection[str],
    wrong: Collection[str],
    metric: str,
) -> None:
    """That no task in `wrong` has a limit under one of `keys`."""
    which = "probabilities" if metric == "AUC" else "regressions"
    kinds = {str(entry["name"]): entry.get("kind") for entry in _entries(reading)}
    for key in keys:
        for name in getattr(evaluation, key):
            if name in wrong:
                rule = f"is a {kinds[name]} task; only {which} have an {metric}."
                reading.problems.add(f"evaluation.{key}.{name}", rule)


def _entries(reading: Reading) -> list[dict[str, Any]]:
    """The tasks as they are written, those with other mistakes too."""
    tasks = reading.raw.get("tasks") or []
    return [entry for entry in tasks if isinstance(entry, dict) and "name" in entry]


def _check_slices(
    reading: Reading, log: LogSpec, past: Past, evaluation: EvaluationSpec
) -> None:
    known = {*joined_columns(log), *past.derived, *past.scope.broken}
    if log.request is not None:
        known.update(REQUEST_COLUMNS)
    reading.columns("evaluation.slices", evaluation.slices, known)
    for index, column in enumerate(evaluation.slices):
        if column in past.derived and isinstance(past.scope.types.get(column), pl.List):
            rule = "is a list; a slice needs one value a row."
            reading.problems.add(f"evaluation.slices[{index}]", rule, column)

"""Outcomes -> tasks, what a history keeps, and how the tasks become one score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from feature_specs.task_kinds import TASK_KINDS
from pipeline.proposing.columns import Column, mean_of, words_of
from pipeline.proposing.guess_outcomes import BAD, unit_of
from pipeline.proposing.names import feature_name, sql

SPARSE = 1e-2  # mean below which a task's loss wants a larger weight (SFV sec. 5.2)
_LONGEST_RATING = 12  # different values: more are an amount


@dataclasses.dataclass(frozen=True)
class TaskGuess:
    """A proposed task.

    Attributes:
        name: Of the task.
        kind: `binary` or `regression`.
        label: SQL.
        mean: Of the label in the sample; of a regression NaN if it is not known.
        loss_weight: Of a sparse task above 1.
        fusion: Weight in the fused score; 0 leaves it out.
        why: A comment.
    """

    name: str
    kind: str
    label: str
    mean: float
    loss_weight: int = 1
    fusion: float = 0.0
    why: str = ""

    @property
    def is_sparse(self) -> bool:
        """Whether positives are so rare that the loss wants a weight."""
        return self.is_binary and self.mean < SPARSE

    @property
    def is_binary(self) -> bool:
        """Whether it predicts a probability."""
        return TASK_KINDS[self.kind].is_probability


def guess_tasks(
    columns: Mapping[str, Column],
    outcomes: Sequence[str],
    watched: Column | None,
    length: Column | None,
) -> tuple[list[TaskGuess], dict[str, str]]:
    """(the tasks, outcome -> why it is none)."""
    tasks: list[TaskGuess] = []
    left_out: dict[str, str] = {}
    for name in outcomes:
        column = columns[name]
        if watched is not None and name == watched.name:
            continue
        found, why = _of_column(column)
        tasks += found
        if why:
            left_out[name] = why
    has_finish = any(
        {"finish", "finished", "complete"} & set(words_of(t.name)) for t in tasks
    )
    in_log = length is not None and length.name in columns
    made = _of_watching(watched, length, in_log)
    tasks += [task for task in made if task.name != "finish" or not has_finish]
    return _named_once(tasks), left_out


def of_action(action: str, column: str, mean: float) -> TaskGuess:
    """The task of an event's kind, which a column of `events` counts.

    Args:
        action: The event.
        column: Of the spec's section.
        mean: Events a row of the log, as far as the samples tell.
    """
    bad = bool(set(action.lower().split("_")) & BAD)
    return TaskGuess(
        feature_name(action),
        "binary",
        sql(column),
        mean,
        loss_weight(mean),
        fusion=-0.2 if bad else 0.2,
        why="events a row of the log, which may be fewer than its labels",
    )


def positive_rule(tasks: Sequence[TaskGuess]) -> str:
    """SQL of what a history keeps: the binary tasks that are neither rare nor the rule.

    "TRUE" if there is none.
    """
    good = [t for t in tasks if t.is_binary and t.fusion > 0]
    medium = [t for t in good if 0.02 <= t.mean <= 0.6]
    chosen = sorted(medium, key=lambda task: abs(task.mean - 0.25))[:1]
    return " OR ".join(task.label for task in chosen) or "TRUE"


def loss_weight(mean: float) -> int:
    """5 from 2e-3 on, 20 below: a task of a hundredth of the positives is not lost."""
    if mean >= SPARSE:
        return 1
    return 5 if mean >= 2e-3 else 20


def _of_column(column: Column) -> tuple[list[TaskGuess], str]:
    name = feature_name(column.name).removeprefix("is_").removeprefix("has_")
    if column.distinct <= 1:
        return [], f"it is {column.some()!r} in the whole sample: nothing to learn"
    bad = bool(set(column.words) & BAD)
    if column.is_flag:
        mean = column.mean()
        is_bool = column.type == "bool"
        label = sql(column.name) if is_bool else f"{sql(column.name)} = 1"
        weight = loss_weight(mean)
        fusion = (-0.2 if bad else 0.2) if weight > 1 else (-0.5 if bad else 1.0)
        return [TaskGuess(name, "binary", label, mean, weight, fusion)], ""
    if not column.is_number:
        return [], f"it is {column.declared}: say in SQL what of it is a label"
    if column.distinct <= _LONGEST_RATING:
        return _of_rating(column, name), ""
    scale = 1000 if unit_of(column) == "ms" else 1
    label = f"LN(1 + {sql(column.name)} / {scale})"
    why = "its logarithm: times and counts are skewed"
    return [TaskGuess(name, "regression", label, float("nan"), why=why)], ""


def _of_rating(column: Column, name: str) -> list[TaskGuess]:
    """The value itself, and whether it is among the best: above the median."""
    best = column.quantile(0.5) if column.quantile(0.5) > 0 else column.most
    if best == column.values.min():
        best = column.most
    flags = (column.values >= best).cast(int)
    label = f"{sql(column.name)} >= {best:g}"
    mean = mean_of(flags)
    return [
        TaskGuess(name, "regression", sql(column.name), column.mean()),
        TaskGuess(
            f"high_{name}",
            "binary",
            label,
            mean,
            loss_weight(mean),
            1.0,
            why="could not know from which value on it is good: the median",
        ),
    ]


def _of_watching(
    watched: Column | None, length: Column | None, in_log: bool
) -> list[TaskGuess]:
    if watched is None:
        return []
    scale = 1000 if unit_of(watched) == "ms" else 1
    seconds = sql(watched.name) if scale == 1 else f"{sql(watched.name)} / {scale}"
    tasks = [
        TaskGuess(
            "watch_time",
            "regression",
            f"LN(1 + {seconds})",
            float("nan"),
            fusion=0.5,
            why="log seconds: raw ones are extremely skewed (SFV fig. 3)",
        )
    ]
    if length is None:
        return tasks
    factor = (1000 if unit_of(length) == "ms" else 1) / scale
    full = sql(length.name) if factor == 1 else f"{sql(length.name)} / {factor:g}"
    full = f"({full})" if factor != 1 else full
    return [
        *tasks,
        TaskGuess(
            "finish",
            "binary",
            f"{sql(watched.name)} >= {full}",
            _finished(watched, length, factor) if in_log else float("nan"),
            fusion=0.5,
        ),
        TaskGuess(
            "completion",
            "regression",
            f"LEAST({sql(watched.name)} / {full}, 3)",
            float("nan"),
            fusion=0.5,
            why="a third time and more counts as three",
        ),
    ]


def _finished(watched: Column, length: Column, factor: float) -> float:
    """The share of rows watched to the end."""
    return mean_of(watched.values >= length.values / factor)


def _named_once(tasks: Sequence[TaskGuess]) -> list[TaskGuess]:
    """Tasks with a name each; of two alike the first keeps it."""
    found: dict[str, TaskGuess] = {}
    for task in tasks:
        name = task.name
        while name in found:
            name = f"{name}_2"
        found[name] = dataclasses.replace(task, name=name)
    return list(found.values())

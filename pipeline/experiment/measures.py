"""What is measured of each user on each day: sums over sums, so that days add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from feature_specs import Spec, TaskSpec, expressions
from feature_specs.missing import evaluate_all
from pipeline.arrays import Array
from pipeline.experiment import viewers
from pipeline.experiment.watching import WELL_SPENT_S, WORTH

ENJOYMENT = "overall_enjoyment"
# Of each user, over days; a day away counts with 0.
DAILY = (
    ENJOYMENT,
    "days_present",
    "minutes_well_spent",
    "minutes_watched",
    "impressions",
)
USER = "user_id"
MEAN_WORTH = "mean_worth"


def sum_column(measure: str) -> str:
    """The column of a measure's numerator."""
    return f"sum of {measure}"


def count_column(measure: str) -> str:
    """The column of its denominator: days, or impressions of the sample space."""
    return f"count of {measure}"


@dataclasses.dataclass(frozen=True)
class Measures:
    """The measures of an experiment.

    Attributes:
        spec: Whose tasks are measured.
        tasks: Those whose label is made of the log's columns alone.
        left_out: Names of the others.
    """

    spec: Spec
    tasks: tuple[TaskSpec, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, spec: Spec) -> Measures:
        known = {*spec.log.columns}
        found: list[TaskSpec] = []
        others: list[TaskSpec] = []
        for task in spec.tasks:
            texts = [task.label, task.sample_space or "TRUE"]
            read = {name for text in texts for name in expressions.columns_of(text)}
            (found if read <= known else others).append(task)
        return cls(spec, tuple(found), tuple(task.name for task in others))

    @property
    def names(self) -> tuple[str, ...]:
        return (*DAILY, *(task.name for task in self.tasks))

    def of_day(
        self, users: Array, log: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """One row a user [U]: the sums of a day, and `MEAN_WORTH` (NaN when away).

        Args:
            users: [U] ids, ascending.
            log: Lines [I] of these users with `watching.TRUTH`.
            rows: The same as `rows_of` gives them, for the tasks.
        """
        place = np.searchsorted(users, log["user_id"].to_numpy())

        def total(values: Array | pl.Series) -> Array:
            found = np.asarray(values, np.float64)
            return np.bincount(place, found, len(users))

        count = total(np.ones(log.height))
        minutes = total(log[WELL_SPENT_S] / 60)
        daily = {
            ENJOYMENT: viewers.enjoyment(minutes),
            "days_present": (count > 0).astype(np.float64),
            "minutes_well_spent": minutes,
            "minutes_watched": total(log["play_time_ms"] / 60_000),
            "impressions": count,
        }
        columns = {USER: users}
        for name, values in daily.items():
            columns[sum_column(name)] = values
            columns[count_column(name)] = np.ones(len(users))
        for task, label, mask in self._labels(rows):
            columns[sum_column(task)] = total(label * mask)
            columns[count_column(task)] = total(mask)
        with np.errstate(invalid="ignore"):
            columns[MEAN_WORTH] = total(log[WORTH]) / count
        return pl.DataFrame(columns)

    def _labels(self, rows: pl.DataFrame) -> Sequence[tuple[str, Array, Array]]:
        """(task, labels [I], whether each row counts [I])."""
        texts = {f"label {t.name}": t.label for t in self.tasks}
        texts |= {f"mask {t.name}": t.sample_space or "TRUE" for t in self.tasks}
        found = evaluate_all(rows, texts)
        labels = []
        for task in self.tasks:
            label = found[f"label {task.name}"].cast(pl.Float64)
            mask = found[f"mask {task.name}"].cast(pl.Boolean).fill_null(False)
            mask &= label.is_not_null()
            labels.append(
                (task.name, label.fill_null(0).to_numpy(), mask.cast(int).to_numpy())
            )
        return labels

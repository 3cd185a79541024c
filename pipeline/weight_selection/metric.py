"""The combined metric M (SFV sec. 5.3)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping

from feature_specs import Spec
from pipeline.compare.scores import Scores
from pipeline.weight_selection.labels import Labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class CombinedMetric:
    """M(w) = sum_i alpha_i M_i(w).

    M_i is the AUC of a binary task, as in SFV sec. 6.1. Of a regression it is the RMSE
    there; to add up it is taken as a share of the labels' standard deviation, so that
    no unit counts, and below 0, so that more is better.

    Attributes:
        importance: Task -> alpha, of the tasks that count.
        spread: Regression task -> standard deviation of its labels.
        left_out: Tasks without a metric on these rows.
    """

    importance: Mapping[str, float]
    spread: Mapping[str, float]
    left_out: tuple[str, ...] = ()

    def of(self, scores: Scores, without: Collection[str] = ()) -> float:
        """M of one training; NaN if it diverged.

        Args:
            scores: Task -> metric -> value; empty if it diverged.
            without: Tasks that are not trained in it.
        """
        if not scores:
            return math.nan
        return math.fsum(
            alpha * self._of_task(task, scores)
            for task, alpha in self.importance.items()
            if task not in without
        )

    def _of_task(self, task: str, scores: Scores) -> float:
        if task in self.spread:
            return -scores[task]["rmse"] / self.spread[task]
        return scores[task]["auc"]


def combined_metric(
    spec: Spec, importance: Mapping[str, float], judging: Labels
) -> CombinedMetric:
    """M on some rows: a task without both labels there, or whose all are alike, has no
    metric and is left out.

    Args:
        spec: Its tasks.
        importance: Task -> alpha; 1 for those it does not name.
        judging: Labels of the evaluation rows.
    """
    alphas = {task.name: importance.get(task.name, 1.0) for task in spec.tasks}
    none = [task.name for task in spec.tasks if not judging[task.name].sd > 0]
    return CombinedMetric(
        importance={n: a for n, a in alphas.items() if a > 0 and n not in none},
        spread={
            task.name: judging[task.name].sd
            for task in spec.tasks
            if not task.of_kind.is_probability and task.name not in none
        },
        left_out=tuple(none),
    )

"""`kind: binary`."""

from __future__ import annotations

from feature_specs.task_kinds.base import TaskKind, task_kind


@task_kind("binary")
class Binary(TaskKind):
    """Whether something happens: labels 0 and 1, predictions are probabilities."""

    plural = "binary tasks"
    default_loss = "cross_entropy"
    is_probability = True
    label_range = (0.0, 1.0)
    metrics = ("auc", "gauc", "log_loss")
    uses = frozenset(
        {
            "negative_rate",
            "positive_rate",
            "balance",
            "balance_by_auc",
            "positive_weight",
        }
    )

    def mean_label(self, total: float, rows: float) -> float:
        """Smoothed by half a row of each label: one never seen is rare, not
        impossible."""
        return (total + 0.5) / (rows + 1)

"""The metrics of a task: which there are, and which way is better."""

from __future__ import annotations

from feature_specs import Spec, TaskSpec

# Metric -> 1 if a higher value is better, -1 if a lower one is (PLE eq. 11).
DIRECTIONS = {"auc": 1, "gauc": 1, "log_loss": -1, "mse": -1, "rmse": -1, "r2": 1}
FEW = 100  # positives: an AUC's own standard error is 0.03 or so
NAMES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log loss",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
}


def headline(task: TaskSpec) -> str:
    """The metric of a task that tables and figures show (PLE table 1)."""
    return task.of_kind.metrics[0]


def metrics_of(task: TaskSpec, spec: Spec) -> tuple[str, ...]:
    """All metrics of a task, the headline first; GAUC needs the user as a feature."""
    users = user_feature(spec)
    return tuple(m for m in task.of_kind.metrics if users or m != "gauc")


def user_feature(spec: Spec) -> str | None:
    """The id feature that is the user's column, if there is one."""
    return _id_of(spec, spec.log.user)


def item_feature(spec: Spec) -> str | None:
    """The id feature that is the item's column, if there is one."""
    return _id_of(spec, spec.log.item)


def _id_of(spec: Spec, column: str) -> str | None:
    for feature in spec.served_features:
        is_its = (feature.column or feature.name) == column
        if feature.of_kind.is_id and is_its:
            return feature.name
    return None

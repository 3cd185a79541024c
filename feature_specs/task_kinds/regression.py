"""`kind: regression`."""

from __future__ import annotations

from feature_specs.task_kinds.base import TaskKind, task_kind


@task_kind("regression")
class Regression(TaskKind):
    """How much of something: labels are numbers, predictions their mean."""

    plural = "regressions"
    default_loss = "squared_error"
    metrics = ("mse", "rmse", "r2")

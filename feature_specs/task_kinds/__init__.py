"""What kinds of tasks there are, and the losses that each may have.

`TASK_KINDS["binary"]` is the object behind `kind: binary`; `TaskSpec.of_kind` has it.
`@task_kind(name)` registers another one: see docs/extending.md.
"""

from feature_specs.task_kinds import losses  # noqa: F401  declares them
from feature_specs.task_kinds.base import (
    LOSS_KINDS,
    LOSS_NAMES,
    TASK_KINDS,
    LossKind,
    TaskKind,
    declare_loss,
    losses_of,
    task_kind,
)
from feature_specs.task_kinds.binary import Binary
from feature_specs.task_kinds.regression import Regression

__all__ = [
    "LOSS_KINDS",
    "LOSS_NAMES",
    "TASK_KINDS",
    "Binary",
    "LossKind",
    "Regression",
    "TaskKind",
    "declare_loss",
    "losses_of",
    "task_kind",
]

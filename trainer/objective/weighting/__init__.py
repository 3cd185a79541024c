"""How the leaves' losses become the one that training minimises."""

from trainer.objective.weighting.base import (
    TASK_WEIGHTS,
    TaskWeights,
    task_weights,
)
from trainer.objective.weighting.create import create

__all__ = ["TASK_WEIGHTS", "TaskWeights", "create", "task_weights"]

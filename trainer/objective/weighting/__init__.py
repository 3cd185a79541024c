"""How the leaves' losses become the one that training minimises."""

from trainer.objective.weighting.base import TaskWeights
from trainer.objective.weighting.create import create

__all__ = ["TaskWeights", "create"]

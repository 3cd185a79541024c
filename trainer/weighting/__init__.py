"""How the leaves' losses become the one that training minimises."""

from trainer.weighting.base import TaskWeights
from trainer.weighting.create import create

__all__ = ["TaskWeights", "create"]

"""How switchers are nested, from the shared bottom to the towers (MFH sec. IV)."""

from trainer.model.structures.base import Leaf, PlacedGating, Structure, Structured
from trainer.model.structures.create import create

__all__ = ["Leaf", "PlacedGating", "Structure", "Structured", "create"]

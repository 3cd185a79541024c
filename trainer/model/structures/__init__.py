"""How switchers are nested, from the shared bottom to the towers (MFH sec. IV)."""

from trainer.model.structures.base import (
    STRUCTURES,
    Leaf,
    PlacedGating,
    Structure,
    Structured,
    structure,
)
from trainer.model.structures.create import create

__all__ = [
    "STRUCTURES",
    "Leaf",
    "PlacedGating",
    "Structure",
    "Structured",
    "create",
    "structure",
]

"""Sharing structures: one input, K outputs (the switchers of MFH fig. 1).

`create` picks the one that a preset names. How switchers are nested is the affair of
`trainer.model.structures`.
"""

from trainer.model.switchers.base import Gating, Switched, Switcher
from trainer.model.switchers.create import create

__all__ = ["Gating", "Switched", "Switcher", "create"]

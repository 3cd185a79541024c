"""Sharing structures: one input, K outputs (the switchers of MFH fig. 1).

`create` picks the one that a preset names, `@switcher(name)` registers another. How
switchers are nested is the affair of `trainer.model.structures`.
"""

from trainer.model.switchers.base import (
    SWITCHERS,
    Gating,
    Switched,
    Switcher,
    switcher,
)
from trainer.model.switchers.create import create

__all__ = ["SWITCHERS", "Gating", "Switched", "Switcher", "create", "switcher"]

"""Which class is which kind: each registers itself as its file is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feature_specs.model import SwitcherConfig
from trainer.model.switchers import (  # noqa: F401  the shipped ones
    extraction,
    mixtures,
    routing,
    shared,
    stitch,
)
from trainer.model.switchers.base import SWITCHERS, Switcher


def create(
    config: SwitcherConfig, names: Sequence[str], groups: int = 1, **kwargs: Any
) -> Switcher:
    """The switcher that a preset names, with an output for each of `names`."""
    return SWITCHERS[config.kind](config, names, groups, **kwargs)

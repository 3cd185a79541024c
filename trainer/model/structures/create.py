"""Which class is which kind: each registers itself as its file is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from feature_specs.model import ModelConfig
from trainer.model.structures import checks, flat, nested  # noqa: F401  the shipped
from trainer.model.structures.base import STRUCTURES, Structure


def create(
    config: ModelConfig,
    tasks: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    **kwargs: Any,
) -> Structure:
    """The structure that a preset names; `single` is a flat one for each task.

    Args:
        config: Its `structure` and `switcher` are used.
        tasks: In the spec's order.
        facets: Each facet of the spec -> names of its partitions.

    Raises:
        ValueError: The preset names what there is not, or names it twice.
    """
    cls: Any = STRUCTURES[config.structure.kind]  # made with the preset, not leaves
    checks.check_facets(config.structure, facets)
    cls.check(config.structure, tasks)
    return cls(config, tasks, facets, **kwargs)

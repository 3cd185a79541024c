"""Which class is which kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feature_specs.model import ModelConfig
from trainer.model.structures import checks
from trainer.model.structures.base import Structure
from trainer.model.structures.flat import Flat
from trainer.model.structures.nested import Hierarchical, MultiFacet

_STRUCTURES: dict[str, type] = {
    "flat": Flat,
    "hierarchical": Hierarchical,
    "multi_facet": MultiFacet,
}


def create(
    config: ModelConfig,
    tasks: Sequence[str],
    facets: Mapping[str, Sequence[str]],
    **kwargs,
) -> Structure:
    """The structure that a preset names; `single` is a flat one for each task.

    Args:
        config: Its `structure` and `switcher` are used.
        tasks: In the spec's order.
        facets: Each facet of the spec -> names of its partitions.
    """
    checks.check(config.structure, tasks, facets)
    return _STRUCTURES[config.structure.kind](config, tasks, facets, **kwargs)

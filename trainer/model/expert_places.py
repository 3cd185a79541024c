"""Which expert is whose: names for experts, of the gates that weigh them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trainer.model.structures import PlacedGating
from trainer.model.switchers import Gating


class ExpertPlace(NamedTuple):
    """What one tensor [B, G, E, H] of `Structured.experts` holds.

    Attributes:
        nodes: G codes.
        level: Inside the switcher, from 1.
        names: E names.
        gates: Positions in `Structured.gates` of the gates that weigh these experts.
    """

    nodes: tuple[str, ...]
    level: int
    names: tuple[str, ...]
    gates: tuple[int, ...]


def expert_places(
    gatings: Sequence[PlacedGating], sizes: Sequence[tuple[int, int]]
) -> list[ExpertPlace]:
    """Names for experts, which have none but in the gates that weigh them.

    Both lists go through the switchers in one order and up their levels, so that each
    tensor of experts belongs to the next level of gates of its size; one without
    gates (SNR) gets plain names.

    Args:
        gatings: Those of a structure.
        sizes: G and E of each tensor of experts.
    """
    weighed = list(_weighed(gatings))
    places = []
    for position, (groups, experts) in enumerate(sizes):
        fits = [
            i
            for i, p in enumerate(weighed)
            if (len(p.nodes), len(p.names)) == (groups, experts)
        ]
        if fits:
            places.append(weighed[fits[0]])
            weighed = weighed[fits[0] + 1 :]
        else:
            places.append(_plain(position, groups, experts))
    return places


def _weighed(gatings: Sequence[PlacedGating]) -> Iterator[ExpertPlace]:
    """The experts of each level of each switcher."""
    numbered = enumerate(gatings)
    for (nodes, level), same in itertools.groupby(
        numbered, lambda item: (item[1].groups, item[1].gating.level)
    ):
        positions, placed = zip(*same, strict=True)
        names = _expert_names(placed[0].gating)
        yield ExpertPlace(nodes, level, names, tuple(positions))


def _expert_names(gating: Gating) -> tuple[str, ...]:
    """Each reader's own experts, then those that all readers weigh."""
    common = [
        name for name in gating.experts[0] if all(name in own for own in gating.experts)
    ]
    own = [n for names in gating.experts for n in names if n not in common]
    return (*dict.fromkeys(own), *common)


def _plain(position: int, groups: int, experts: int) -> ExpertPlace:
    nodes = ("",) if groups == 1 else tuple(f"{g}" for g in range(groups))
    names = tuple(f"expert {e}" for e in range(experts))
    return ExpertPlace(nodes, position + 1, names, ())

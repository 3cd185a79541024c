"""Which expert is whose: names for experts, of the gates that weigh them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.errors import ModelError
from trainer.model.structures import PlacedGating
from trainer.model.switchers import Gating
from trainer.objective.disentangle import all_pairs


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


def pairs_kept_apart(
    places: Sequence[ExpertPlace], left_out: Sequence[str]
) -> list[npt.NDArray[np.float32]]:
    """Which experts the disentangle loss keeps apart, [G, E, E] of each place.

    Args:
        places: Of all experts.
        left_out: Not kept apart: with `level 2` the experts of all switchers' second
            levels, with a node those that read it, with a task its own from others.

    Raises:
        ModelError: Nothing is called so.
    """
    known: dict[str, None] = {}
    found = []
    for place in places:
        owners = [_owner(name) for name in place.names]
        names = [f"level {place.level}", *filter(None, (*place.nodes, *owners))]
        known |= dict.fromkeys(names)
        pairs = all_pairs(len(place.nodes), len(place.names))
        if names[0] in left_out:
            pairs[:] = 0
        pairs[[node in left_out for node in place.nodes]] = 0
        out = [owner in left_out for owner in owners]
        pairs[:, out, :] = 0
        pairs[:, :, out] = 0
        found.append(pairs)
    for name in left_out:
        if name not in known:
            rule = "names no experts."
            raise ModelError(
                f"disentangle_without: {rule} Got {name!r}. Known: {', '.join(known)}."
            )
    return found


def _owner(name: str) -> str:
    """`like` of `like expert 0`; empty for an expert that is nobody's own."""
    owner = name.rpartition("expert ")[0].strip()
    return "" if owner.startswith("level ") else owner


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

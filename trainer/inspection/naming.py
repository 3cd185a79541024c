"""Which expert is whose, and which variables are which layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.model.network import Network
from trainer.model.structures import PlacedGating
from trainer.model.structures.nested import Nested
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


# --- layers ---------------------------------------------------------------------------


def shared_layers(network: Network) -> dict[str, list[tf.Variable]]:
    """The layers below the towers, from the input: name -> trainable variables."""
    layers = {
        "request": network.request_layer.trainable_variables,
        "candidate": network.candidate_layer.trainable_variables,
        "joint": [
            v
            for layer in (
                *network.cross,
                *network.attention.values(),
                *([network.joint_layer] if network.joint_layer else []),
            )
            for v in layer.trainable_variables
        ],
        "bottom": [network.bottom_bias, *network.bottom.trainable_variables],
        **_structure_layers(network.structure),
    }
    return {name: list(found) for name, found in layers.items() if found}


def _structure_layers(structure: Any) -> dict[str, list[tf.Variable]]:
    if not isinstance(structure, Nested):
        switcher = getattr(structure, "switcher", None)
        if switcher is None:  # a registered structure, of which nothing else is known
            return {"structure": list(structure.trainable_variables)}
        return _switcher_layers(switcher)
    layers: dict[str, list[tf.Variable]] = {}
    for index, level in enumerate(structure.levels):
        layers[f"nodes {index}"] = level.nodes.trainable_variables
        layers[f"switchers {index}"] = [
            v for fork in level.forks for v in fork.trainable_variables
        ]
        layers[f"mix {index}"] = [] if level.mix is None else [level.mix]
    return layers


# Attributes of switchers that hold their levels -> number of the first one.
_LEVELS = {"networks": 1, "first": 1, "others": 2}


def _switcher_layers(switcher: tf.keras.layers.Layer) -> dict[str, list[tf.Variable]]:
    """A switcher's attributes, those that are a level by level."""
    children: Mapping[str, Any] = tf.train.TrackableView.children(switcher)
    layers: dict[str, list[tf.Variable]] = {}
    for name, child in children.items():
        for label, part in _parts(name, child):
            layers.setdefault(label, []).extend(_variables(part))
    return dict(sorted(layers.items(), key=lambda item: "level" not in item[0]))


def _parts(name: str, child: Any) -> Iterator[tuple[str, Any]]:
    label = "level" if name in _LEVELS else name.replace("_", " ")
    first = _LEVELS.get(name, 1)
    if not hasattr(child, "__len__") or isinstance(child, tf.Variable):
        yield (f"{label} {first}" if name in _LEVELS else label), child
        return
    for index, part in enumerate(child):
        yield f"{label} {first + index}", part


def _variables(part: Any) -> list[tf.Variable]:
    if isinstance(part, tf.Variable):
        return [part] if part.trainable else []
    return list(getattr(part, "trainable_variables", ()))

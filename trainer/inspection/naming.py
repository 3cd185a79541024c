"""Which variables are which layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from trainer.model.network import Network
from trainer.model.structures.nested import Nested


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

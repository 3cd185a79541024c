"""What a checkpoint calls each variable: the shortest path to it from the root."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

SLOT = "/.OPTIMIZER_SLOT/"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def paths(root: Any) -> list[tuple[Any, str]]:
    """Each object that `root` tracks, itself first, with its path."""
    view = tf.train.TrackableView(root)
    found, seen = [], {id(root)}
    queue = collections.deque([(root, "")])
    while queue:
        node, path = queue.popleft()
        found.append((node, path))
        for name, child in view.children(node).items():
            if id(child) not in seen:
                seen.add(id(child))
                escaped = name.replace(".", "..").replace("/", ".S")
                queue.append((child, f"{path}/{escaped}" if path else escaped))
    return found


def keyed_variables(root: Any) -> Iterator[tuple[str, tf.Variable]]:
    """Every variable below `root`, optimizers' slots included, by its key."""
    nodes = paths(root)
    optimizers = [
        (path, node)
        for node, path in nodes
        if isinstance(node, tf.keras.optimizers.legacy.Optimizer)
    ]
    for node, path in nodes:
        if not isinstance(node, tf.Variable):
            continue
        yield path + VALUE, node
        for place, optimizer in optimizers:
            for name in optimizer.get_slot_names():
                slot = _slot(optimizer, node, name)
                if slot is not None:
                    yield f"{path}{SLOT}{place}/{name}{VALUE}", slot


def _slot(
    optimizer: tf.keras.optimizers.Optimizer, variable: tf.Variable, name: str
) -> tf.Variable | None:
    try:
        return optimizer.get_slot(variable, name)
    except (KeyError, ValueError):
        return None  # another optimizer's

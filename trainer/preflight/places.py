"""From a TensorFlow op's name to the layer and the Python line that made it."""

from __future__ import annotations

import linecache
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

# How TensorFlow's messages name an op.
NODE = re.compile(r"\{\{node ([^}]+)\}\}")

# Frames in installed packages are not where a mistake is mended.
_INSTALLED = (
    sysconfig.get_paths()["purelib"],
    sysconfig.get_paths()["platlib"],
    sysconfig.get_paths()["stdlib"],
)
_HERE = os.path.dirname(os.path.abspath(__file__))


class Place(NamedTuple):
    """Where an op comes from.

    Attributes:
        op: Its name in the graph.
        kind: Its type, like `MatMul`.
        layer: The layers it was made in, outermost first; empty outside of layers.
        file: Python file; empty if none of ours made it.
        line: Line in it.
        code: That line's text.
    """

    op: str
    kind: str
    layer: str = ""
    file: str = ""
    line: int = 0
    code: str = ""

    def __str__(self) -> str:
        where = f"{_short(self.file)}:{self.line}: {self.code}" if self.file else ""
        layer = f"layer {self.layer}" if self.layer else ""
        told = "; ".join(part for part in (layer, where) if part)
        name = f"{self.kind or 'op'} {self.op}".strip()
        return name + (f" ({told})" if told else "")


class Places:
    """The places of all ops of a graph, those in loops and branches too."""

    def __init__(self, graph: tf.Graph):
        self._ops: dict[str, tf.Operation] = {}
        for inner in _graphs(graph):
            for op in inner.get_operations():
                self._ops.setdefault(op.name, op)

    def find(self, name: str) -> Place | None:
        """The place of the op, or None if the graph has none of this name.

        A compiler's name may begin with that of the whole program, and end in a part
        that it added itself.
        """
        name = name.removeprefix("jit(call_exported)/").rstrip(":")
        for candidate in _candidates(name):
            op = self._ops.get(candidate)
            if op is not None:
                return _place(op)
        return None

    def of_kind(self, pattern: str) -> list[Place]:
        """The places of all ops whose type matches a regular expression."""
        ops = self._ops.values()
        return [_place(op) for op in ops if re.search(pattern, op.type)]


def user_line(frames: Iterable[Any]) -> tuple[str, int] | None:
    """File and line of the innermost frame in code that is not installed."""
    own = [f for f in frames if _is_own(f.filename)]
    return (own[-1].filename, own[-1].lineno) if own else None


def _candidates(name: str) -> Iterator[str]:
    parts = name.split("/")
    for first in range(len(parts)):
        for last in range(len(parts), first, -1):
            yield "/".join(parts[first:last])


def _graphs(graph: tf.Graph) -> Iterator[tf.Graph]:
    """The graph and those of the functions that its ops call."""
    yield graph
    for function in getattr(graph, "_functions", {}).values():
        inner = getattr(function, "graph", None)
        if inner is not None:
            yield from _graphs(inner)


def _place(op: tf.Operation) -> Place:
    at = user_line(op.traceback)
    scope = op.name.rpartition("/")[0]
    if at is None:
        return Place(op.name, op.type, scope)
    code = linecache.getline(*at).strip()
    return Place(op.name, op.type, scope, at[0], at[1], code)


def _is_own(file: str) -> bool:
    if file.startswith(("<", _HERE)):
        return False
    return not file.startswith(_INSTALLED) and "site-packages" not in file


def _short(file: str) -> str:
    """A path below the working directory without what leads there."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative

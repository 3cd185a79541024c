"""What is seen inside a trained ranker, as plain numbers and names.

T = tasks, Q = gates that read one node, E = experts.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

UNUSED = 0.05  # of an even share: a smaller mean weight counts as none


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GateUse:
    """How the gates of one level weigh its experts (PLE sec. 5.3, fig. 8).

    Over the rows that a gate is there for: one of node `new`, or to the leaf
    `skip&new`, counts the rows of partition `new`.

    Attributes:
        node: Code of the node below the switcher; empty for the only one.
        level: Level inside the switcher, from 1.
        readers: Q names of what the gates lead to.
        experts: For each reader the names of the E experts that it weighs.
        rows: [Q], the rows counted.
        mean: [Q, E], mean weights; each row sums to 1, or is NaN without a row.
        sd: [Q, E], standard deviations over rows.
        entropy: [Q], mean over rows of -sum_e w_e log w_e, in nats.
    """

    node: str
    level: int
    readers: tuple[str, ...]
    experts: tuple[tuple[str, ...], ...]
    rows: npt.NDArray[Any]
    mean: npt.NDArray[Any]
    sd: npt.NDArray[Any]
    entropy: npt.NDArray[Any]

    @property
    def title(self) -> str:
        """`level 1`, or `node new, level 1`."""
        return _title(self.node, self.level)

    @property
    def width(self) -> int:
        """E."""
        return self.mean.shape[1]

    @property
    def entropy_share(self) -> npt.NDArray[Any]:
        """[Q], entropy over log E: 1 for even weights; NaN for a single expert."""
        if self.width == 1:
            return np.full(len(self.readers), math.nan)
        return self.entropy / math.log(self.width)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ExpertUse:
    """How alike the experts of one level are, and which of them do nothing.

    Attributes:
        node: Code of the node below the switcher; empty for the only one.
        level: Level inside the switcher, from 1.
        names: E names.
        correlation: [E, E], the root mean square of the Pearson correlations between
            the outputs of two experts, those that are not constant. It is the term of
            the disentangle loss (SFV sec. 5.1) as a mean and on the scale of a
            correlation, so that presets of other sizes compare. NaN on the diagonal and
            where all outputs of an expert are constant.
        moving: [E], share of outputs that are not constant; NaN without a row.
        largest_weight: [E], the largest mean weight that any gate gives the expert, in
            even shares 1 / E; NaN where no gate weighs it.
    """

    node: str
    level: int
    names: tuple[str, ...]
    correlation: npt.NDArray[Any]
    moving: npt.NDArray[Any]
    largest_weight: npt.NDArray[Any]

    @property
    def title(self) -> str:
        """`level 1`, or `node new, level 1`."""
        return _title(self.node, self.level)

    @property
    def overlap(self) -> float:
        """Mean of `correlation` over pairs; NaN without a pair."""
        pairs = self.correlation[np.triu_indices(len(self.names), 1)]
        known = pairs[np.isfinite(pairs)]
        return float(known.mean()) if known.size else math.nan

    @property
    def constant(self) -> tuple[str, ...]:
        """Experts whose outputs are the same for every row."""
        return _chosen(self.names, self.moving == 0)

    @property
    def unused(self) -> tuple[str, ...]:
        """Experts that no gate weighs with a twentieth of an even share."""
        return _chosen(self.names, self.largest_weight < UNUSED)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LayerGradients:
    """What each task's loss alone would do to the weights of one layer.

    Only entries that two tasks or more move count, as in gradient surgery: what one
    task has for itself cannot conflict.

    Attributes:
        name: Of the layer.
        norms: [T], of the gradient of the task's loss times its weight.
        cosines: [T, T] between the tasks' gradients, which conflict below 0; NaN for a
            task without a gradient.
    """

    name: str
    norms: npt.NDArray[Any]
    cosines: npt.NDArray[Any]

    @property
    def conflict_share(self) -> float:
        """Share of the pairs of tasks that conflict; NaN without a pair."""
        pairs = self.cosines[np.triu_indices(len(self.norms), 1)]
        known = pairs[np.isfinite(pairs)]
        return float((known < 0).mean()) if known.size else math.nan


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """A look inside a ranker.

    Attributes:
        tasks: T names.
        step: Training steps taken.
        rows: Rows that gates and experts were seen on.
        gradient_rows: Rows of the gradients; they are means over batches of training's
            size.
        gates: Every level of gates of every node; none for a preset without gates.
        experts: Every level with experts of every node.
        layers: Layers below the towers that two tasks or more move, from the input;
            the first one is all of them.
    """

    tasks: tuple[str, ...]
    step: int
    rows: int
    gradient_rows: int
    gates: tuple[GateUse, ...] = ()
    experts: tuple[ExpertUse, ...] = ()
    layers: tuple[LayerGradients, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader should know first: dead experts, and what there is not."""
        notes = []
        for level in self.experts:
            for what, names in (
                ("Constant outputs", level.constant),
                ("Hardly used", level.unused),
            ):
                if names:
                    notes.append(f"{what}, {level.title}: {', '.join(names)}.")
        if not self.gates:
            notes.append("No gates: this preset's sharing has none.")
        if not self.layers:
            notes.append("No conflicts: no two tasks move the same dense weight.")
        return notes


def _title(node: str, level: int) -> str:
    return f"node {node}, level {level}" if node else f"level {level}"


def _chosen(names: tuple[str, ...], which: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(name for name, chosen in zip(names, which, strict=True) if chosen)

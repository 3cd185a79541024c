"""What is added up over rows, on the device, and the figures that come of it.

B = batch, G = nodes, Q = gates that read one node, E = experts, H = width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import Spec
from trainer.inspection.inspection import ExpertUse, GateUse
from trainer.inspection.moments import Moments
from trainer.inspection.rows import PartitionRows
from trainer.model.expert_places import ExpertPlace, expert_places
from trainer.model.network import Features, Network
from trainer.model.structures import PlacedGating, Structured
from trainer.replicas import global_sum

_ROOT = "input"  # the node without a code, where there are others
OUTPUTS = 64  # of each expert, at most: their products with all others are kept
_CONSTANT = 1e-5  # a smaller share of the mean is float32 rounding (`disentangle`)

_Sums = tuple[
    tf.Tensor, tf.Tensor, tf.Tensor
]  # rows, mean, centred squares or products


class NetworkSums:
    """What is added up over rows for one network: first its gates, then its experts."""

    def __init__(self, spec: Spec, network: Network):
        self._gatings = network.structure.gatings
        self._prefix = "" if network.name == "network" else network.name
        self._root = _ROOT if any(any(g.groups) for g in self._gatings) else ""
        self._spec = spec
        self._facets = {name for leaf in network.leaves for name, _ in leaf.partitions}
        self._gate_rows = [self._rows(_gate_codes(g)) for g in self._gatings]
        self._places: list[ExpertPlace] = []

    def _rows(self, codes: Sequence[str]) -> PartitionRows:
        return PartitionRows(self._spec, self._facets, codes)

    def of_batch(
        self, structured: Structured, features: Features, weight: tf.Tensor
    ) -> list[_Sums]:
        """Rows, mean and centred products of every tensor, for `Moments.add`."""
        sizes = [(e.shape[1], e.shape[2]) for e in structured.experts]
        self._places = expert_places(self._gatings, sizes)
        sums = [
            _gate_sums(gate, rows(features, weight))
            for gate, rows in zip(structured.gates, self._gate_rows, strict=True)
        ]
        for experts, place in zip(structured.experts, self._places, strict=True):
            rows = self._rows(place.nodes)
            sums.append(_expert_sums(experts, rows(features, weight)))
        return sums

    def uses(self, found: Sequence[Moments]) -> tuple[list[GateUse], list[ExpertUse]]:
        """What was seen of each node, from the sums over all batches."""
        gates, experts = found[: len(self._gatings)], found[len(self._gatings) :]
        by_tensor = [
            [self._gate_use(placed, node, own) for node in range(len(placed.groups))]
            for placed, own in zip(self._gatings, gates, strict=True)
        ]
        expert_uses = [
            self._expert_use(
                place, node, own, [by_tensor[g][node] for g in place.gates]
            )
            for place, own in zip(self._places, experts, strict=True)
            for node in range(len(place.nodes))
        ]
        return [use for uses in by_tensor for use in uses], expert_uses

    def _gate_use(self, placed: PlacedGating, node: int, moments: Moments) -> GateUse:
        rows = moments.rows[node]
        seen = np.where(rows > 0, 1.0, math.nan)[:, np.newaxis]
        mean, sd = moments.mean[node] * seen, moments.sd[node] * seen
        return GateUse(
            node=self._node(placed.groups[node]),
            level=placed.gating.level,
            readers=placed.gating.readers,
            experts=placed.gating.experts,
            rows=rows,
            mean=mean[:, :-1],
            sd=sd[:, :-1],
            entropy=mean[:, -1],
        )

    def _expert_use(
        self,
        place: ExpertPlace,
        node: int,
        moments: Moments,
        weighing: Sequence[GateUse],
    ) -> ExpertUse:
        count, rows = len(place.names), moments.rows[node]
        moving = _moving(moments.mean[node], moments.products[node], rows)
        shares = moving.reshape(count, -1).mean(axis=1)
        return ExpertUse(
            node=self._node(place.nodes[node]),
            level=place.level,
            names=place.names,
            correlation=_correlation(moments.products[node], moving, count),
            moving=np.where(rows > 0, shares, math.nan),
            largest_weight=_largest_weights(place.names, weighing),
        )

    def _node(self, code: str) -> str:
        return "/".join(part for part in (self._prefix, code or self._root) if part)


# --- one batch ------------------------------------------------------------------------


def _gate_sums(gates: tf.Tensor, weight: tf.Tensor) -> _Sums:
    """Gates [B, G, Q, E], weights [B, G * Q] -> rows [G, Q], mean and centred squares
    [G, Q, E + 1]; the last column is the gate's entropy."""
    entropy = -tf.reduce_sum(tf.math.xlogy(gates, gates), axis=3, keepdims=True)
    x = tf.concat([gates, entropy], axis=3)
    weight = tf.reshape(weight, [-1, *gates.shape[1:3]])
    rows = global_sum(tf.reduce_sum(weight, axis=0))
    mean, centred = _centred(x, weight, rows)
    return rows, mean, global_sum(tf.reduce_sum(tf.square(centred), axis=0))


def _expert_sums(experts: tf.Tensor, weight: tf.Tensor) -> _Sums:
    """Experts [B, G, E, H], weights [B, G] -> rows [G], mean [G, E * H] and centred
    products [G, E * H, E * H]; of the first outputs of each expert."""
    _, groups, count, width = experts.shape
    kept = tf.cast(experts[..., :OUTPUTS], tf.float32)
    flat = tf.reshape(kept, [-1, groups, count * min(width, OUTPUTS)])
    rows = global_sum(tf.reduce_sum(weight, axis=0))
    mean, centred = _centred(flat, weight, rows)
    products = tf.einsum("bgi,bgj->gij", centred, centred)
    return rows, mean, global_sum(products)


def _centred(
    x: tf.Tensor, weight: tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean of x [B, ..., N] over rows of weight 1, and x less it, 0 in other rows."""
    weight = tf.expand_dims(weight, axis=-1)
    total = global_sum(tf.reduce_sum(x * weight, axis=0))
    mean = tf.math.divide_no_nan(total, tf.expand_dims(rows, axis=-1))
    return mean, (x - mean) * weight


# --- from sums to figures -------------------------------------------------------------


def _gate_codes(placed: PlacedGating) -> list[str]:
    """Of each gate, its node's and its reader's: G * Q."""
    return [f"{node}&{r}" for node in placed.groups for r in placed.gating.readers]


def _moving(
    mean: npt.NDArray[Any], products: npt.NDArray[Any], rows: float
) -> npt.NDArray[Any]:
    """[N] bool, the columns that are not constant."""
    return np.diag(products) > np.square(_CONSTANT * mean) * rows


def _correlation(
    products: npt.NDArray[Any], moving: npt.NDArray[Any], count: int
) -> npt.NDArray[Any]:
    """[E, E], root mean squares over the blocks of the correlation matrix [N, N]."""
    scale = np.sqrt(np.where(moving, np.diag(products), 1.0))
    squares = np.square(products / scale / scale[:, np.newaxis])
    both = np.outer(moving, moving)
    blocks = (squares * both).reshape(count, -1, count, len(moving) // count)
    pairs = both.reshape(blocks.shape).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        found = np.sqrt(blocks.sum(axis=(1, 3)) / pairs)
    np.fill_diagonal(found, math.nan)
    return found


def _largest_weights(
    names: Sequence[str], weighing: Sequence[GateUse]
) -> npt.NDArray[Any]:
    """[E], in even shares; NaN for an expert that no gate weighs."""
    found = dict.fromkeys(names, math.nan)
    for use in weighing:
        for own, mean in zip(use.experts, use.mean * use.width, strict=True):
            for name, weight in zip(own, mean, strict=True):
                found[name] = float(np.fmax(found[name], weight))
    return np.array(list(found.values()))

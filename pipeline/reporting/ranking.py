"""Metrics of orders inside groups (requests, or a user's day), all groups at once.

N = rows, sorted by group; G = groups. Rows with the same score share their places: each
counts as the mean over the orders in which they could stand (McSherry and Najork,
2008), so that a constant score is worth what a random order is.

A group in which no order is better than another has NaN.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.reporting.metrics import Column, MetricError, require_finite

_Array: TypeAlias = "npt.NDArray[Any]"
_Floats: TypeAlias = "npt.NDArray[np.float64]"


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which rows belong together.

    Attributes:
        starts: [G], the first row of each group; none is empty.
        rows: N.
    """

    starts: npt.NDArray[np.int64]
    rows: int

    @classmethod
    def of(cls, *ids: Sequence[Any] | _Array | pl.Series) -> Groups:
        """Rows that follow each other and have the same ids, each of them [N]."""
        columns = [np.asarray(values) for values in ids]
        rows = len(columns[0])
        is_first = np.zeros(rows, bool)
        is_first[:1] = True
        for values in columns:
            is_first[1:] |= values[1:] != values[:-1]
        return cls(np.flatnonzero(is_first), rows)

    def __len__(self) -> int:
        return len(self.starts)

    @functools.cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """[G] rows of each group."""
        return np.diff(np.append(self.starts, self.rows))

    @functools.cached_property
    def index(self) -> npt.NDArray[np.int64]:
        """[N], the number of each row's group."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def sums(self, values: Column) -> _Floats:
        """[G] sums of values [N]."""
        known = np.asarray(values, np.float64)
        return np.add.reduceat(known, self.starts) if len(self) else np.zeros(0)

    def is_mixed(self, values: Column) -> npt.NDArray[np.bool_]:
        """[G] whether values [N] differ inside the group."""
        known = np.asarray(values)
        if not len(self):
            return np.zeros(0, bool)
        least = np.minimum.reduceat(known, self.starts)
        found: npt.NDArray[np.bool_] = np.maximum.reduceat(known, self.starts) > least
        return found


@dataclasses.dataclass(frozen=True)
class Order:
    """The rows of each group by falling score.

    Attributes:
        groups: Of the rows.
        rows: [N], the rows in order, group after group.
        before: [N], as `rows`: how many rows of the group score higher.
        through: [N]: these and all that score the same.
    """

    groups: Groups
    rows: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    through: npt.NDArray[np.int64]

    @classmethod
    def of(cls, groups: Groups, scores: Column) -> Order:
        """Orders rows by scores [N], which may be infinite.

        Raises:
            MetricError: A score is NaN, or there are more or fewer than rows.
        """
        known = _scores(groups, scores)
        rows = _falling(groups.index, known)
        ordered = known[rows]
        blocks = Groups.of(groups.index, ordered)  # a row's group is `index` still
        starts = groups.starts[groups.index]
        first = np.repeat(blocks.starts, blocks.sizes)
        before = first - starts
        size = np.repeat(blocks.sizes, blocks.sizes)
        return cls(groups, rows, before, np.add(before, size))

    def sums(self, values: Column, discounts: _Floats) -> _Floats:
        """[G] sums of values [N], times the discount of the place where each stands.

        Args:
            values: [N].
            discounts: Of the first place, the second...; those behind have 0.
        """
        total = np.concatenate([[0.0], np.cumsum(discounts)])
        near = np.flatnonzero(self.before < len(discounts))
        before = self.before[near]
        through = np.minimum(self.through[near], len(discounts))
        mean = (total[through] - total[before]) / (self.through[near] - before)
        worth = np.asarray(values, np.float64)[self.rows[near]] * mean
        count = len(self.groups)
        return np.bincount(self.groups.index[near], worth, count).astype(np.float64)

    @functools.cached_property
    def ranks(self) -> _Floats:
        """[N], as `rows`: 1 for the lowest score of the group; ties have their mean."""
        size = self.groups.sizes[self.groups.index]
        return size + 1 - (self.before + self.through + 1) / 2


def dcg(order: Order, gains: Column, k: int) -> _Floats:
    """[G] discounted cumulative gain of the first k: sum of gain / log2(1 + place).

    Source: Järvelin and Kekäläinen, 2002, with linear gains [N].
    """
    return order.sums(gains, 1 / np.log2(np.arange(2, k + 2)))


def ndcg(order: Order, gains: Column, k: int, best: _Floats | None = None) -> _Floats:
    """[G] DCG over that of the best order; NaN where all gains are the same.

    Args:
        order: What is judged.
        gains: [N], none below 0.
        k: Places that count.
        best: [G], `dcg` of the order by the gains, where it is known already.
    """
    if best is None:
        best = dcg(Order.of(order.groups, gains), gains, k)
    found = np.full(len(order.groups), math.nan)
    counts = order.groups.is_mixed(gains)
    np.divide(dcg(order, gains, k), best, out=found, where=counts)
    return found


def at_top(order: Order, labels: Column, k: int) -> tuple[_Floats, _Floats]:
    """Precision and recall of the first k, each [G].

    Precision is the share of positives among the first k, or among all rows if they are
    fewer; recall is the share of the positives that stand there. Both are NaN where all
    labels [N], 0 or 1, are the same.
    """
    groups = order.groups
    hits = order.sums(labels, np.ones(k))
    is_mixed = groups.is_mixed(labels)
    found = np.full((2, len(groups)), math.nan)
    np.divide(hits, np.minimum(groups.sizes, k), out=found[0], where=is_mixed)
    np.divide(hits, groups.sums(labels), out=found[1], where=is_mixed)
    return found[0], found[1]


def group_auc(order: Order, labels: Column) -> _Floats:
    """[G] AUC of labels [N], 0 or 1; NaN where all are the same."""
    known = np.asarray(labels, np.float64)[order.rows]
    positives = order.groups.sums(known)
    negatives = order.groups.sizes - positives
    right = order.groups.sums(known * order.ranks) - positives * (positives + 1) / 2
    found = np.full(len(order.groups), math.nan)
    pairs = positives * negatives
    np.divide(right, pairs, out=found, where=pairs > 0)
    return found


def xauc(labels: Column, scores: Column) -> float:
    """Share of the pairs of rows with different labels that the scores order alike.

    Ties of scores count half. With labels of 0 and 1 it is the AUC.
    Source: Zhan et al., Deconfounding Duration Bias in Watch-time Prediction, KDD 2022,
    sec. 5.1 (XAUC), which draws pairs; here are all of them.

    Args:
        labels: [N], any numbers.
        scores: [N], which may be infinite.

    Returns:
        NaN if all labels are the same.

    Raises:
        MetricError: A label or a score is NaN, or the lengths differ.
    """
    groups = Groups.of(np.zeros(len(labels)))
    known, truth = _scores(groups, scores), _scores(groups, labels)
    require_finite("labels", truth)
    order = np.lexsort((known, truth))
    known, truth = known[order], truth[order]
    pairs = len(truth) * (len(truth) - 1) / 2 - _ties(Groups.of(truth))
    if not pairs:
        return math.nan
    places = np.unique(known, return_inverse=True)[1]
    tied = _ties(Groups.of(np.sort(places))) - _ties(Groups.of(truth, places))
    return float(1 - (_inversions(places) + tied / 2) / pairs)


# --- the parts ------------------------------------------------------------------------


def _ties(groups: Groups) -> float:
    """Pairs of rows of the same group."""
    sizes = groups.sizes.astype(np.float64)
    return float((sizes * (sizes - 1) / 2).sum())


def _inversions(values: npt.NDArray[np.int64]) -> float:
    """Pairs of which the earlier one is larger, of whole numbers [N] from 0.

    Bit by bit from the highest: of values that agree in all bits above, those with a 1
    are larger than the later ones with a 0; then those with a 0 go before the others.
    """
    found, values = 0.0, values.copy()
    for bit in reversed(range(int(values.max(initial=0)).bit_length())):
        blocks = Groups.of(values >> (bit + 1))
        is_one = (values >> bit) & 1
        ones = np.cumsum(is_one) - is_one  # before each, in all blocks
        ones -= ones[blocks.starts][blocks.index]
        found += float(ones[is_one == 0].sum())
        place = np.arange(len(values))
        start = blocks.starts[blocks.index]
        zeros = (blocks.sizes - np.add.reduceat(is_one, blocks.starts))[blocks.index]
        place = np.where(is_one, start + zeros + ones, place - ones)
        values[place] = values.copy()
    return found


def _falling(index: npt.NDArray[np.int64], scores: _Array) -> npt.NDArray[np.int64]:
    """The rows by group, and inside it by falling score."""
    if scores.dtype != np.float32 or len(index) >= 2**31:
        return np.lexsort((-scores, index))
    # A group's number and a score in one integer: one sort, twice as fast.
    keys = (index.astype(np.uint64) << np.uint64(32)) | ordered_bits(-scores)
    return np.argsort(keys, kind="stable")


def ordered_bits(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Whole numbers [N] in the order of the scores; -0 is 0, NaN has no place."""
    bits = (scores + np.float32(0)).view(np.uint32)
    sign = np.uint32(1 << 31)
    return np.where(bits & sign, ~bits, bits | sign)


def _scores(groups: Groups, scores: Column) -> _Array:
    known = np.asarray(scores)
    if known.dtype != np.float32:
        known = known.astype(np.float64)
    if known.shape != (groups.rows,):
        raise MetricError(
            f"scores: must be one a row, {groups.rows}. Got {known.shape}."
        )
    if np.isnan(known).any():
        require_finite("scores", np.where(np.isinf(known), 0, known))
    return known

"""A value's rank among the training days' impressions of its group (D2Q).

Zhan et al., KDD 2022, sec. 4: the quantile of a watch time within impressions of like
duration is a label that no longer favours long videos. Ranks are read from histograms,
which shards count alone and which are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import QuantileSpec
from pipeline.arrays import Bools, Ints
from pipeline.examples.columns.evaluate import numbers


def none(spec: Spec) -> list[Ints]:
    """`histogram` of no rows."""
    return [np.zeros(_shape(quantile), np.int64) for quantile in spec.quantiles]


def histogram(frame: pl.DataFrame, spec: Spec) -> list[Ints]:
    """How many rows each bin of each group has.

    Args:
        frame: Impressions of training days, each once; log columns.
        spec: Its `quantiles` may be none.

    Returns:
        Int64 [groups, bins] for each quantile of the spec.
    """
    return [_histogram(frame, quantile) for quantile in spec.quantiles]


def add_up(parts: Iterable[Sequence[Ints]]) -> list[Ints]:
    """The histograms of all parts together."""
    return [np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True)]


def add_quantiles(
    frame: pl.DataFrame, histograms: Sequence[Ints], spec: Spec
) -> pl.DataFrame:
    """Adds a column (float64, 0 to 1) a quantile.

    It is the share of the group's rows in lower bins and of half of those in the same
    bin; null where value or group is, or where the group has no row.

    Args:
        frame: Impressions [B].
        histograms: `histogram` of all rows of the training days.
        spec: See `feature_specs`.
    """
    return frame.with_columns(
        _ranks(frame, quantile, counts)
        for quantile, counts in zip(spec.quantiles, histograms, strict=True)
    )


def _histogram(frame: pl.DataFrame, quantile: QuantileSpec) -> Ints:
    """Rows in each bin, int64 [groups, bins]."""
    groups, bins, known = _places(frame, quantile)
    shape = _shape(quantile)
    places = np.ravel_multi_index((groups[known], bins[known]), shape)
    return np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)


def _ranks(frame: pl.DataFrame, quantile: QuantileSpec, counts: Ints) -> pl.Series:
    """The quantile's column [B]; `counts` is its histogram [groups, bins]."""
    groups, bins, known = _places(frame, quantile)
    below = np.cumsum(counts, axis=1) - counts / 2
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(below, rows, out=np.full(counts.shape, np.nan), where=rows > 0)
    ranks = np.where(known, shares[groups, bins], np.nan)
    return pl.Series(quantile.name, ranks, nan_to_null=True)


def _places(frame: pl.DataFrame, quantile: QuantileSpec) -> tuple[Ints, Ints, Bools]:
    """(group, bin, whether there is one) of each row, int64, int64 and bool [B]."""
    values = numbers(frame, quantile.value)
    by = numbers(frame, quantile.by or "0")
    known = ~(np.isnan(values) | np.isnan(by))
    clipped = np.clip(np.where(known, values, 0), 0, quantile.max)
    groups = np.searchsorted(quantile.boundaries, by, side="right")
    bins = np.floor(clipped / quantile.step).astype(np.int64)
    return np.where(known, groups, 0), bins, known


def _shape(quantile: QuantileSpec) -> tuple[int, int]:
    """(groups, bins); the last bin begins at or below `max`."""
    return len(quantile.boundaries) + 1, int(quantile.max / quantile.step) + 1

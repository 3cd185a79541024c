"""Sums -> relative rates with their bands: the statistics, see the package's docstring.

The delete-a-group jackknife is Kott's (J. Official Statistics, 2001); its band covers
what it claims, see `tests/pipeline/trail_bias/curves_test.py`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pipeline.arrays import Numbers
from pipeline.reporting.intervals import LEVEL, student_t
from pipeline.trail_bias.sums import COUNT, POSITIVE_WEIGHT, POSITIVES, WEIGHT

MIN_EVENTS = 5  # positives in a bin and in the first one; the jackknife needs some
MIN_GROUPS = 10  # groups of users with rows; fewer say nothing of how much they differ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """Ratios by bin [B] with their limits; NaN where there are none."""

    ratio: Numbers
    low: Numbers
    high: Numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One behaviour along the trail, on one slice; all attributes are by bin [B].

    Attributes:
        impressions: Rows of the task's sample space.
        positives: Those with label 1.
        rate: Weighted share of positives; NaN without impressions.
        relative: `rate` over that of the first bin.
    """

    impressions: Numbers
    positives: Numbers
    rate: Numbers
    relative: Band


def curve(cells: Numbers) -> Curve:
    """The curve of one task on one slice; cells [B, G, 4] as in `Sums`."""
    totals = cells.sum(axis=1)  # [B, 4]
    logs = _LogRates.of(cells)
    return Curve(
        impressions=totals[:, COUNT],
        positives=totals[:, POSITIVES],
        rate=np.exp(logs.all),
        relative=logs.relative().band(),
    )


def compare(cells: Numbers, others: Numbers) -> Band:
    """The relative rates of one slice over those of another, both [B, G, 4].

    The slices share their users, so a group is left out of both at once.
    """
    return _LogRates.of(cells).relative().over(_LogRates.of(others).relative()).band()


@dataclasses.dataclass(frozen=True)
class _LogRates:
    """Logarithms of rates, or of ratios of rates.

    Attributes:
        all: On all users [B].
        without: Without each group of users [B, G].
        enough: Whether a bin has `MIN_EVENTS` positives [B].
        present: Whether a group has any rows [G].
    """

    all: Numbers
    without: Numbers
    enough: Numbers
    present: Numbers

    @classmethod
    def of(cls, cells: Numbers) -> _LogRates:
        """The rates of cells [B, G, 4]."""
        weight = cells[..., WEIGHT].astype(np.float64)
        positive = cells[..., POSITIVE_WEIGHT].astype(np.float64)
        all_weight = weight.sum(axis=1)
        all_positive = positive.sum(axis=1)
        return cls(
            _log_ratio(all_positive, all_weight),
            _log_ratio(
                all_positive[:, np.newaxis] - positive,
                all_weight[:, np.newaxis] - weight,
            ),
            np.asarray(cells[..., POSITIVES].sum(axis=1) >= MIN_EVENTS),
            cells[..., COUNT].any(axis=0),
        )

    def relative(self) -> _LogRates:
        """Against the first bin."""
        with np.errstate(invalid="ignore"):
            return dataclasses.replace(
                self,
                all=self.all - self.all[:1],
                without=self.without - self.without[:1],
                enough=self.enough & self.enough[:1],
            )

    def over(self, other: _LogRates) -> _LogRates:
        """The quotient of two."""
        with np.errstate(invalid="ignore"):
            return _LogRates(
                self.all - other.all,
                self.without - other.without,
                self.enough & other.enough,
                self.present | other.present,
            )

    def band(self) -> Band:
        """95 % of Student's t about the logarithm, by the jackknife over groups.

        There is none with fewer than `MIN_GROUPS` groups, nor for a bin with fewer than
        `MIN_EVENTS` positives, or with all of them in one group.
        """
        groups = int(self.present.sum())
        if groups < MIN_GROUPS:
            half = np.full(len(self.all), math.nan)
        else:
            with np.errstate(invalid="ignore"):
                squares = ((self.without - self.all[:, np.newaxis]) ** 2).sum(axis=1)
            error = np.sqrt(squares * (groups - 1) / groups)
            known = self.enough & np.isfinite(error)
            error = np.where(known, error, math.nan)
            half = error * student_t(LEVEL, groups - 1)
        ratio = np.exp(self.all)
        return Band(ratio=ratio, low=ratio * np.exp(-half), high=ratio * np.exp(half))


def _log_ratio(positive: Numbers, weight: Numbers) -> Numbers:
    """log(positive / weight); NaN for 0 / 0, minus infinity without positives."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(positive / weight)

"""Sums -> the curves of both slices, and what they say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from pipeline.arrays import Numbers
from pipeline.trail_bias import curves
from pipeline.trail_bias.curves import Band, Curve
from pipeline.trail_bias.errors import TrailBiasError
from pipeline.trail_bias.study import SLICES, Study
from pipeline.trail_bias.sums import COUNT, Sums

MIN_POSITIVES = 100  # in each bin of a plotted curve: a band of about 30 % each way

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)

Direction = Literal["falls", "rises", "unclear", "too few"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """What a study found.

    Attributes:
        study: What was asked.
        curves: Slice -> task -> its curve; a slice without impressions is not there.
        feed_over_random: Task -> relative rate of the feed over that of the random
            slice; empty if one of them is not there.
        impressions: Slice -> labelled rows on whole, long enough trails.
        trails: Whole trails that are long enough.
        lengths: Share of all whole trails -> greatest length of these.
        short: Whole trails that are too short.
        cut: Trails left out because they may go on before or after the days.
    """

    study: Study
    curves: Mapping[str, Mapping[str, Curve]]
    feed_over_random: Mapping[str, Band]
    impressions: Mapping[str, int]
    trails: int
    lengths: Mapping[float, int]
    short: int
    cut: int

    def too_sparse(self, name: str) -> dict[str, int]:
        """Tasks whose curve on a slice is noise -> positives of the poorest bin."""
        poorest = {
            task: int(curve.positives.min())
            for task, curve in self.curves[name].items()
        }
        return {task: count for task, count in poorest.items() if count < MIN_POSITIVES}


def find(sums: Sums, study: Study) -> Findings:
    """The findings of a study.

    Raises:
        ValueError: No whole trail is long enough, or no row of these has a label.
    """
    long = {n: count for n, count in sums.lengths.items() if n >= study.min_length}
    if not long:
        raise TrailBiasError(_no_trail(sums, study))
    rows = sums.cells[..., COUNT].sum(axis=(2, 3)).max(axis=0)  # [2]
    if not rows.any():
        raise TrailBiasError(
            f"{sum(long.values())} trails are long enough, but none of their rows "
            f"passes filters.keep ({', '.join(study.keep)}) and has a label. Check the "
            "spec's filters and tasks."
        )
    cells = {
        name: {task.name: sums.cells[t, s] for t, task in enumerate(study.tasks)}
        for s, name in enumerate(SLICES)
        if rows[s]
    }
    return Findings(
        study=study,
        curves={
            name: {task: curves.curve(found) for task, found in of_tasks.items()}
            for name, of_tasks in cells.items()
        },
        feed_over_random=_compared(cells),
        impressions=dict(zip(SLICES, rows.tolist(), strict=True)),
        trails=sum(long.values()),
        lengths=_quantiles(sums.lengths),
        short=sum(sums.lengths.values()) - sum(long.values()),
        cut=sums.cut,
    )


def direction(band: Band) -> Direction:
    """What the last bin says against the first one."""
    low, high = band.low[-1], band.high[-1]
    if math.isnan(low):
        return "too few"
    if high < 1:
        return "falls"
    return "rises" if low > 1 else "unclear"


def _compared(cells: Mapping[str, Mapping[str, Numbers]]) -> dict[str, Band]:
    """Task -> the feed's curve over the random slice's; empty without one of them."""
    if len(cells) < len(SLICES):
        return {}
    return {
        task: curves.compare(found, cells["random"][task])
        for task, found in cells["feed"].items()
    }


def _no_trail(sums: Sums, study: Study) -> str:
    if not sums.lengths:
        return (
            f"No whole watch trail on the days {study.days}; {sums.cut} may go on "
            "before or after them. Give more days."
        )
    lengths = _quantiles(sums.lengths)
    shown = ", ".join(f"{share:.0%} at most {n}" for share, n in lengths.items())
    return (
        f"No watch trail of {study.min_length} impressions (--min_length) on the days "
        f"{study.days}. Impressions of the {sum(sums.lengths.values())} whole ones: "
        f"{shown}. Lower --min_length, and --bins (now {study.bins}) if it is larger "
        "then; or look at trail.gap_minutes and trail.scope of the spec."
    )


def _quantiles(lengths: Mapping[int, int]) -> dict[float, int]:
    """Share of the trails -> greatest length of these."""
    ordered = np.array(sorted(lengths))
    upto = np.cumsum([lengths[n] for n in ordered.tolist()])
    places = np.searchsorted(upto, np.array(_QUANTILES) * upto[-1] - 1e-9)
    return dict(zip(_QUANTILES, ordered[places].tolist(), strict=True))

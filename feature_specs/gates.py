"""The spec's classes for the gates that a day passes before anything is trained on it.

How a day is measured and compared: `pipeline.gates`, docs/gates.md.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

from feature_specs.fields import PositiveFloat, Rule, Share, between

# What is measured of a day beside its columns: names for `not_judged`.
DAY_MEASURES = ("rows", "users", "videos", "trail_lengths", "reject_share")

Factor = Annotated[float, Rule("must be above 1: a factor, either way.", gt=1)]
Window = Annotated[int, between(1, 365)]
Ratios = Annotated[
    tuple[float, ...],
    Rule(
        "must be two positive numbers: the least and the most of a day, as a multiple "
        "of the days before it.",
        gt=0,
        min_length=2,
        max_length=2,
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnGateSpec:
    """Limits of one column where they differ from those of the section.

    Attributes:
        z: As `DataGatesSpec.z`.
        label_odds: As `DataGatesSpec.label_odds`.
        shift: As `DataGatesSpec.shift`.
        distance: As `DataGatesSpec.distance`.
        jensen_shannon: As `DataGatesSpec.jensen_shannon`.
        missing: As `DataGatesSpec.missing`.
        unseen: As `DataGatesSpec.unseen`.
    """

    z: PositiveFloat | None = None
    label_odds: Factor | None = None
    shift: PositiveFloat | None = None
    distance: Share | None = None
    jensen_shannon: Share | None = None
    missing: Share | None = None
    unseen: Share | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataGatesSpec:
    """When a day is too unlike the days before it to be trained on.

    A measure stops a day if it is further from the days before than noise explains
    (`z`), and by more than matters (its own limit). Every spec has these gates; the
    section is for other limits.

    Attributes:
        enabled: Whether a suspicious day stops the run; it is measured all the same.
        window: Days before that a day is compared with, the nearest.
        min_days: With fewer days before it only what is impossible stops a day: a
            column without values, a unit that changed, a label that never or always
            happens.
        z: Multiples of the expected noise (of the spread of the days before, and of
            what so many rows of so many users leave to chance).
        label_odds: Factor, either way, by which the odds of a label of 0 and 1, or of a
            sample space, may change.
        shift: Of the mean of a number, in standard deviations of its rows.
        distance: Largest distance of two distribution functions of a number
            (Kolmogorov and Smirnov's), 0 to 1: where its quantiles move.
        jensen_shannon: Divergence of the mix of values of a category, 0 to 1.
        missing: Change of the share of rows without a value.
        unseen: Share of rows whose value no earlier day had, of a category.
        rows_ratio: Least and most rows of a day, as a multiple of the days before; of
            users, videos and the mean length of trails as well. Where days share a
            split (`days_per_split`) only trails are judged by it.
        reject_share: Unreadable rows of the day, as a share of all, above that of the
            days before.
        columns: Name in the examples (`tab`, `label_like`, `mask_share`) -> its limits.
        not_judged: Columns that are not judged, and `rows`, `users`, `videos`,
            `trail_lengths`, `reject_share`.
    """

    enabled: bool = True
    window: Window = 14
    min_days: Window = 5
    z: PositiveFloat = 5.0
    label_odds: Factor = 1.6
    shift: PositiveFloat = 0.5
    distance: Share = 0.25
    jensen_shannon: Share = 0.03
    missing: Share = 0.2
    unseen: Share = 0.1
    rows_ratio: Ratios = (0.6, 1.8)
    reject_share: Share = 0.05
    columns: dict[str, ColumnGateSpec] = dataclasses.field(default_factory=dict)
    not_judged: tuple[str, ...] = ()

    def of_column(self, column: str) -> DataGatesSpec:
        """With the limits of one column in the place of the section's."""
        own = self.columns.get(column)
        if own is None:
            return self
        said = {
            f.name: getattr(own, f.name)
            for f in dataclasses.fields(own)
            if getattr(own, f.name) is not None
        }
        return dataclasses.replace(self, **said)

"""What earlier days leave to later ones, of some users: sums instead of their rows.

A row is *folded* into these once every later row knows its outcome: when it is known
before the next day begins. Rows that still run at midnight are carried as they are, and
stand in the frame of the next days, before those.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.arrays import Bools, Ints
from pipeline.examples.days import DAY

USER, VALUE = "user", "value"  # in the tables of what is carried


@dataclasses.dataclass(frozen=True, kw_only=True)
class Carried:
    """What is carried of some users; a table is None where nobody has any of it.

    Attributes:
        day: The last day that it knows; rows of this day and earlier are carried ones.
        users: One row a user, see `columns.remembering`.
        counters: `match` of the spec's counters -> one row a (`USER`, `VALUE`).
        sessions: One row a (`USER`, session) that may go on.
        sums: `statistics.daily_sums` by user.
        histories: History -> its newest events, settled.
    """

    day: datetime.date
    users: pl.DataFrame | None = None
    counters: Mapping[str, pl.DataFrame | None] = dataclasses.field(
        default_factory=dict
    )
    sessions: pl.DataFrame | None = None
    sums: pl.DataFrame | None = None
    histories: Mapping[str, pl.DataFrame | None] = dataclasses.field(
        default_factory=dict
    )

    def are_new(self, frame: pl.DataFrame) -> Bools:
        """Which impressions are of later days than it knows, bool [B]."""
        new: Bools = (frame[DAY] > self.day).to_numpy()
        return new


def are_new(frame: pl.DataFrame, carried: Carried | None) -> Bools:
    """Which impressions are not carried ones, bool [B]; all, where nothing is."""
    return np.ones(frame.height, bool) if carried is None else carried.are_new(frame)


def users_of(
    frame: pl.DataFrame, users: Ints, spec: Spec, carried: Carried | None
) -> Ints:
    """Where each user of a frame stands in `Carried.users`, -1 for nowhere [U].

    Args:
        frame: Impressions [B], sorted by user.
        users: `Timeline.users`, int64 [B].
        spec: Of the run.
        carried: Of these users, and of others.
    """
    firsts = np.flatnonzero(np.diff(users, prepend=-1))
    if carried is None:
        return np.full(len(firsts), -1)
    own = frame[spec.log.user].gather(firsts).alias(USER).to_frame()
    return places(own, carried.users, [USER])


def places(asked: pl.DataFrame, table: pl.DataFrame | None, key: list[str]) -> Ints:
    """Where each asked key stands in a table that has it once; -1 for nowhere [N]."""
    if table is None or not table.height:
        return np.full(asked.height, -1)
    numbered = table.select(key).with_row_index("_place")
    found = asked.join(numbered, on=key, how="left", maintain_order="left")
    place: Ints = found["_place"].cast(pl.Int64).fill_null(-1).to_numpy()
    return place


def taken(values: pl.Series | None, place: Ints, missing: int | float) -> np.ndarray:
    """A table's values at places [N], `missing` where there is none."""
    if values is None or not len(values):
        return np.full(len(place), missing)
    found = values.fill_null(missing).to_numpy()
    return np.where(place >= 0, found[np.maximum(place, 0)], missing)

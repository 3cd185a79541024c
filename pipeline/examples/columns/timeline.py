"""The impressions of many users on one axis of time, each user on a stretch of his own.

Rows are sorted by user and begin, so that what is asked of one user's past (the largest
end so far, who knows of an event by now) is asked of all users in one call.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.spec import Duration
from pipeline.arrays import Bools, Ints

TIME_MS = "_time_ms"  # an impression's begin, unix milliseconds


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Begins and ends of impressions, sorted by user and begin.

    The axis is as long as the spans of all users together: int64 would hold more than
    two million users with a century each.

    Attributes:
        users: Number of each row's user, from 0 in the order of rows, int64 [B].
        begins: Place of each impression's begin on the axis, int64 [B].
        ends: Place of its end, int64 [B]; an end after the user's last begin is put
            1 ms after that begin, which none of his impressions can tell apart.
    """

    users: Ints
    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, frame: pl.DataFrame, spec: Spec) -> Timeline:
        """The timeline of a frame that is sorted by user and `TIME_MS`."""
        user = frame[spec.log.user]
        users = (user.rle_id() if len(user) else user).to_numpy().astype(np.int64)
        times = frame[TIME_MS].to_numpy()
        firsts = np.flatnonzero(np.diff(users, prepend=-1))
        lasts = np.append(firsts[1:], len(users))[: len(firsts)] - 1
        stretches = times[lasts] - times[firsts] + 2
        shifts = np.cumsum(stretches) - stretches - times[firsts]  # one a user
        begins = times + shifts[users]
        latest = (times[lasts] + shifts + 1)[users]
        return cls(users, begins, np.minimum(begins + watched_ms(frame, spec), latest))

    @property
    def starts(self) -> Bools:
        """Whether a row is its user's first, bool [B]."""
        starts: Bools = np.diff(self.users, prepend=-1) != 0
        return starts

    @functools.cached_property
    def known_from(self) -> Ints:
        """Where each impression's outcome is known from, int64 [B].

        That is its end, or the next millisecond if it has no length.
        """
        return np.maximum(self.ends, self.begins + 1)

    @functools.cached_property
    def seen_by(self) -> Ints:
        """The user's first row that knows each impression's outcome, int64 [B].

        Where he has none, the row after his last.
        """
        return np.searchsorted(self.begins, self.known_from)

    @functools.cached_property
    def ranks(self) -> Ints:
        """Each row's rank by (user, `known_from`, row), int64 [B]."""
        ranks = np.empty_like(self.users)
        ranks[np.argsort(self.known_from, kind="stable")] = np.arange(len(ranks))
        return ranks


def known_from_ms(frame: pl.DataFrame, spec: Spec) -> Ints:
    """Unix milliseconds from which each impression's outcome is known, int64 [B]."""
    begins: Ints = frame[TIME_MS].to_numpy()
    known_from: Ints = begins + np.maximum(watched_ms(frame, spec), 1)
    return known_from


def watched_ms(frame: pl.DataFrame, spec: Spec) -> Ints:
    """How long each impression lasted, int64 [B]; 0 where the log does not say.

    A longer one than `log.time.longest_ms` is taken for that long.
    """
    watched = spec.log.time.watched
    if watched is None:
        return np.zeros(frame.height, np.int64)
    return milliseconds(frame, watched, spec)


def milliseconds(frame: pl.DataFrame, duration: Duration, spec: Spec) -> Ints:
    """Whole lengths that can be added, int64 [B]; 0 for missing and negative ones."""
    longest = spec.log.time.longest_ms
    length = pl.col(duration.column)
    if frame.schema[duration.column].is_float():
        length = (length * duration.unit_ms).round().clip(0, longest)
    else:  # clipped first, as the product of a damaged length may not fit
        length = length.clip(0, longest // duration.unit_ms + 1) * duration.unit_ms
    whole = length.cast(pl.Int64, strict=False).fill_null(0).clip(0, longest)
    found: Ints = frame.select(whole).to_series().to_numpy()
    return found

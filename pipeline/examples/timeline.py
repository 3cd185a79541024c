"""The impressions of many users on one axis of time, each user on a stretch of his own.

Rows are sorted by user and begin, so that what is asked of one user's past (the largest
end so far, how many events ended by now) is asked of all users in one call.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from feature_specs import Spec

TIME_MS = "_time_ms"  # an impression's begin, unix milliseconds


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Begins and ends of impressions, sorted by user and begin.

    Attributes:
        users: Number of each row's user, from 0 in the order of rows, int64 [B].
        begins: Place of each impression's begin on the axis, int64 [B].
        ends: Place of its end, int64 [B]; an end after the last begin of all is put
            1 ms after that begin, which no impression can tell apart.
        stride: Length of a user's stretch, ms.
    """

    users: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    stride: int

    @classmethod
    def of(cls, frame: pl.DataFrame, spec: Spec) -> Timeline:
        """The timeline of a frame that is sorted by user and `TIME_MS`."""
        user = frame[spec.log.user]
        users = (user.rle_id() if len(user) else user).to_numpy().astype(np.int64)
        times = frame[TIME_MS].to_numpy()
        first, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        stride = last - first + 2
        if len(users) and (int(users[-1]) + 1) * stride >= 2**63:
            raise ValueError(
                f"A shard of {users[-1] + 1} users over {stride} ms is too large. "
                "Ask for more shards."
            )
        watched = _watched_ms(frame, spec)
        begins = users * stride + (times - first)
        room = last + 1 - times  # bounds an absurd watched time before it is added
        return cls(users, begins, begins + np.minimum(watched, room), stride)

    @property
    def starts(self) -> np.ndarray:
        """Whether a row is its user's first, bool [B]."""
        return np.diff(self.users, prepend=-1) != 0


def _watched_ms(frame: pl.DataFrame, spec: Spec) -> np.ndarray:
    """How long each impression lasted, int64 [B]; 0 where the log does not say."""
    column = spec.log.time.watched_ms
    if column is None:
        return np.zeros(frame.height, np.int64)
    return frame[column].cast(pl.Int64).clip(lower_bound=0).to_numpy()

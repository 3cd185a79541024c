"""Draws of users (bootstrap): how far a value would move with other users.

Users are summed up in at most `GROUPS` groups by a hash of the user, and groups are
drawn with replacement. They are drawn alike for all models, tasks and slices, so that
what is compared is paired. A metric is made of sums over users
(`pipeline.evaluation.user_sums`), so a thousand draws cost a product of matrices,
however many rows there are. D = draws, G = groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.evaluation.user_sums import UserSums

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Of users. With fewer of them most have a group of their own; with a thousand groups an
# interval's width is itself known to 2 % (1 / sqrt(2 * groups)), however many the rows.
GROUPS = 1024
_SEED = 20240607  # any; the same rows are judged alike every time


class Draws:
    """Draws of all groups, each as often as it comes.

    Attributes:
        counts: [D, G]. Groups without a row are drawn, too, and add nothing: how many
            others there are differs from draw to draw, as in a Poisson bootstrap.
    """

    def __init__(self, draws: int):
        generator = np.random.default_rng(_SEED)
        even = np.full(GROUPS, 1 / GROUPS)
        found = generator.multinomial(GROUPS, even, size=draws)
        self.counts: Floats = found.astype(np.float64)
        self._known: dict[bytes, Floats] = {}

    @staticmethod
    def grouped(sums: UserSums) -> UserSums:
        """The sums of users as sums of the groups that have any, by their numbers."""
        groups, place = np.unique(groups_of(sums.users), return_inverse=True)
        found = {
            name: np.bincount(place, column, len(groups)).astype(np.float64)
            for name, column in sums.sums.items()
        }
        return UserSums(pl.Series(groups), found)

    def of_metric(self, metric: str, sums: UserSums) -> Floats:
        """[D], a metric of all draws of grouped sums; NaN where one has no number."""
        groups = sums.users.to_numpy()
        key = groups.tobytes()
        if key not in self._known:  # a few users' groups cost as much as a few
            self._known = {key: self.counts[:, groups]}
        drawn: Floats = sums.draws(metric, self._known[key])
        return drawn


def groups_of(users: pl.Series) -> Ints:
    """The group [U] of each user: of a number or a text, whatever stands beside it."""
    if users.dtype.is_integer():
        values = users.to_numpy().astype(np.uint64, copy=False)
    else:
        values = users.hash(seed=0).to_numpy()
    return (_mixed(values) % np.uint64(GROUPS)).astype(np.int64)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finalizer: ids that follow each other are spread."""
    x = values + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bound(
    losses: Floats, drawn: Floats, confidence: float
) -> tuple[Floats, Floats, float]:
    """Intervals [C] of losses that hold together.

    The largest of the studentized differences of a draw says how far the luckiest of
    all comparisons may be out (Westfall and Young, 1993, ch. 2; step 1 of their maxT),
    whatever there is between them: a hundred comparisons together have the chance
    1 - `confidence` that one of them is thought a loss where there is none.

    Args:
        losses: [C] as they were found.
        drawn: [D, C] the same in each draw.
        confidence: Of all intervals together.

    Returns:
        Lower ends, upper ends, and by how many standard errors they are apart from the
        losses.
    """
    if not losses.size:
        return losses, losses, 0.0
    apart = drawn - losses
    errors = np.sqrt((apart**2).mean(axis=0))
    away = np.divide(apart, errors, out=np.zeros_like(apart), where=errors > 0)
    width = float(np.quantile(away.max(axis=1), confidence))
    return losses - width * errors, losses + width * errors, width

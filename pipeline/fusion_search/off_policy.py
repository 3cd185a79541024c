"""What another order would have brought, from impressions that were drawn at random.

N = random impressions, M = other candidates scored beside each, K = candidates a set.

*The policy.* When a random impression (x_i, a_i, r_i) is due, K candidates are drawn
from what the slice draws from, and the one with the highest fused score under weights w
in context x_i is shown; of equal scores each is as likely. K = 1 is the slice itself.

*Its probability.* a_i is one such draw. Given the set, each of the K is as likely to be
the one that was logged, so that the propensity inside it is 1 / K, whatever the pool's
size. `p_i`, the chance that a_i comes first in a set of a_i and K - 1 of the M others,
is counted, not drawn: with b_i others above and t_i level,

    p_i = [C(M - b_i + 1, K) - C(M - b_i - t_i, K)] / ((t_i + 1) C(M, K - 1))

the mean over the places that a tie leaves of C(n, K - 1) / C(M, K - 1), n others below.
The weight of the impression is `v_i = p_i / (1 / K) = K p_i`, of mean 1.

*The estimates.* `V = sum_i v_i r_i / sum_i v_i`: self-normalised inverse propensities
(Swaminathan and Joachims, 2015). With M = K - 1 it is replay (Li et al., 2011): an
impression counts where the policy would have shown what was logged. Both estimate the
same; counting all sets spares the variance of drawing one.

*The effective sample size* is `(sum v)^2 / sum v^2` (Kish, 1965; Owen, Monte Carlo, ch.
9), of impressions, and of users with each one's sum.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.fusion_search.candidates import Sums
from pipeline.fusion_search.judging import difference
from pipeline.reporting.intervals import Gain

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_Places: TypeAlias = "npt.NDArray[np.int64]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What random impressions came to.

    Attributes:
        users: [N] the number of each one's user, from 0 on without a gap.
        values: Name -> [N] outcome, 0 where it is not known.
        known: Name -> [N] 1 where the outcome counts, 0 outside its sample space.
    """

    users: _Places
    values: Mapping[str, _Floats]
    known: Mapping[str, _Floats]

    def by_user(self, name: str, weights: _Floats) -> Sums:
        """[U] sums of one outcome under importance weights [N]."""
        counted = weights * self.known[name]
        sums = (counted * self.values[name], counted)
        over, under = (np.bincount(self.users, own) for own in sums)
        return Sums(over.astype(np.float64), under.astype(np.float64))


def set_weights(own: _Floats, others: _Floats, k: int) -> _Floats:
    """[N] importance weights `v_i` of the policy, as at the top of this module.

    Args:
        own: [N] scores of what was logged.
        others: [N, M] scores of the others in the same context.
        k: Candidates of a set, 1 to M + 1.
    """
    above = (others > own[:, np.newaxis]).sum(axis=1)
    level = (others == own[:, np.newaxis]).sum(axis=1)
    return weights_of_places(above, level, others.shape[1], k)


def weights_of_places(above: _Places, level: _Places, others: int, k: int) -> _Floats:
    """The same of the numbers of others that score higher, and as high, [N] each."""
    # Of C(n, k) / C(others, k - 1) by n; their quotients, as they may be huge.
    sets = math.comb(others, k - 1)
    chances = np.array([math.comb(n, k) / sets for n in range(others + 2)])
    first = chances[others - above + 1] - chances[others - above - level]
    found: _Floats = k * first / (level + 1)
    return found


def estimate(outcomes: Outcomes, name: str, weights: _Floats) -> Gain:
    """The value of one outcome under importance weights [N], with its interval."""
    sums = outcomes.by_user(name, weights)
    return difference(sums, Sums(np.zeros_like(sums.over), sums.under))


def effective(weights: _Floats) -> float:
    """Effective sample size of importance weights [N]."""
    total = float(weights.sum())
    return total**2 / float((weights**2).sum()) if total else 0.0


def effective_users(outcomes: Outcomes, weights: _Floats) -> float:
    """The same of users, by each one's sum."""
    return effective(np.bincount(outcomes.users, weights).astype(np.float64))

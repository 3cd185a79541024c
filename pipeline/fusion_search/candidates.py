"""Scored rows as arrays, and what an order by some weights does with them.

N = rows, G = groups (requests, or users' days), U = users, J = weights searched.

The fused score is `exp(sum_t w_t log g_t + e log f(length))` (PLE eq. 1), so with other
weights `log score = rest + sum_j w_j log g_j`, where the rest is what is not searched:
what was served, less the searched factors under the weights it was served with.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.reporting import ranking
from pipeline.reporting.ranking import Groups, Order

VALUE = "value"  # instead of a task: the mean NDCG

_Floats: TypeAlias = "npt.NDArray[np.float64]"


@dataclasses.dataclass(frozen=True)
class Sums:
    """A ratio of sums: of groups [G], or of users [U].

    Attributes:
        over: Numerators.
        under: Denominators.
    """

    over: _Floats
    under: _Floats

    @property
    def ratio(self) -> float:
        """Of all; NaN where there is nothing to divide by."""
        under = float(self.under.sum())
        return float(self.over.sum()) / under if under else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates:
    """Rows that some weights put in order.

    Attributes:
        users: [N] the number of each row's user.
        group: [N] the number of each row's group; rows of one lie together.
        rest: [N] float64, the part of the log score that is not searched.
        factors: [N, J] float64, log g of what is searched.
        gains: [N], none below 0.
        labels: Task -> [N] label, 0 outside its sample space.
        known: Task -> [N] 1 inside its sample space, else 0.
        k: Places that count.
    """

    users: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    rest: _Floats
    factors: _Floats
    gains: _Floats
    labels: Mapping[str, _Floats]
    known: Mapping[str, _Floats]
    k: int

    def __len__(self) -> int:
        return len(self.users)

    @functools.cached_property
    def groups(self) -> Groups:
        """Whose rows are put in order."""
        return Groups.of(self.group)

    @functools.cached_property
    def spread(self) -> _Floats:
        """[J] standard deviation of each factor inside the groups."""
        if not len(self):
            return np.zeros(self.factors.shape[1])
        sums = [self.groups.sums(column) for column in self.factors.T]
        means = np.stack(sums, axis=1) / self.groups.sizes[:, None]
        inside = self.factors - means[self.groups.index]
        found: _Floats = np.sqrt(np.mean(inside**2, axis=0))
        return found

    @functools.cached_property
    def _most(self) -> _Floats:
        return ranking.dcg(Order.of(self.groups, self.gains), self.gains, self.k)

    @functools.cached_property
    def _discounts(self) -> _Floats:
        found: _Floats = 1 / np.log2(np.arange(2, self.k + 2))
        return found

    def take(self, rows: npt.NDArray[np.bool_]) -> Candidates:
        """Those rows [N]; of a group all or none."""
        return dataclasses.replace(
            self,
            users=self.users[rows],
            group=self.group[rows],
            rest=self.rest[rows],
            factors=self.factors[rows],
            gains=self.gains[rows],
            labels={name: values[rows] for name, values in self.labels.items()},
            known={name: values[rows] for name, values in self.known.items()},
        )

    def order(self, weights: _Floats) -> Order:
        """The rows of each group by the fused score with weights [J], or [N, J]."""
        if weights.ndim == 1:
            return Order.of(self.groups, self.rest + self.factors @ weights)
        return Order.of(self.groups, self.rest + (self.factors * weights).sum(axis=1))

    def measure(self, weights: _Floats, names: Iterable[str]) -> dict[str, Sums]:
        """What an order comes to in each group, [G].

        Args:
            weights: [J], or of each row, [N, J].
            names: `VALUE` for NDCG@k of the gains, over the groups whose gains differ;
                a task for its discounted rate: sum of discount times label over sum of
                discount, of the first k in its sample space.
        """
        order = self.order(weights)
        found = {}
        for name in names:
            if name == VALUE:
                ndcg = ranking.ndcg(order, self.gains, self.k, self._most)
                found[name] = Sums(np.nan_to_num(ndcg), (~np.isnan(ndcg)).astype(float))
            else:
                hits = order.sums(self.labels[name], self._discounts)
                shown = order.sums(self.known[name], self._discounts)
                found[name] = Sums(hits, shown)
        return found

    def by_user(self, sums: Sums) -> Sums:
        """Those of groups added up by user, [U]."""
        owners = np.unique(self.users[self.groups.starts], return_inverse=True)[1]
        over, under = (np.bincount(owners, v) for v in (sums.over, sums.under))
        return Sums(over.astype(np.float64), under.astype(np.float64))

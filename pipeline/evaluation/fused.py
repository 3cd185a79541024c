"""How good the fused score ranks: inside requests, or a user's days.

An impression's *gain* is what the labels of the fusion's tasks came to:
`max(0, sum_t w_t * max(0, y_t) / s_t)`, with the spec's exponents w_t as weights and
s_t the mean of the task's labels above 0. So a positive of a binary task is worth its
exponent, a regression's typical label the same, and a negative exponent takes away;
labels outside a task's sample space count as 0. The fused score multiplies
probabilities (PLE eq. 1); labels of 0 would make a product of them 0, hence a sum.
With `evaluation.utility` it is that of the row instead (`pipeline.evaluation.utility`).

Orders are compared by NDCG of these gains: that of the fused score, of each task alone,
the one that was shown (by time: users answered to that one, so it is no fair rival),
a random one, and, where the log's truth is known, the best possible one by it. Groups
in which all gains are the same do not count.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec, label_key, mask_key
from feature_specs.spec import KEY_REQUEST, KEY_TIME, KEY_USER, NO_REQUEST, TaskSpec
from pipeline.evaluation import task_sums, utility
from pipeline.evaluation.rows import (
    KEY_SPLIT,
    Rows,
    oracle_key,
    prediction_key,
    score_key,
)
from pipeline.evaluation.sampled_pairs import sampled_xauc
from pipeline.evaluation.user_sums import ALL, CUTOFFS, FUSED, SLICE, USER
from pipeline.reporting import metrics, ranking
from pipeline.reporting.ranking import Groups, Order

SHOWN, RANDOM, ORACLE = "(shown)", "(random)", "(oracle)"  # no names of tasks
BY_REQUEST, BY_DAY = "request", "user and day"

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_NAN = math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrderQuality:
    """One way to order the rows of a group.

    Attributes:
        order: `score` (fused), a task, `(shown)`, `(random)` or `(oracle)`.
        ndcg: k, as text -> mean NDCG@k of the gains.
        utility: The same of the true utility, where the truth is known: 1 is the best
            that any ranking can come to.
    """

    order: str
    ndcg: dict[str, float]
    utility: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopQuality:
    """What one order does for the labels of one task.

    Attributes:
        task: Whose labels.
        order: `score` (fused), the task itself, or `(shown)`.
        groups: Those that have a positive and a negative.
        auc: Of all rows, under the fused score; NaN for other orders, and regressions.
        gauc: Mean AUC inside the groups, weighted by rows.
        xauc: Under the fused score, of regressions.
        precision: k, as text -> mean share of positives among the first k.
        recall: k, as text -> mean share of the positives that are among the first k.
    """

    task: str
    order: str
    groups: int = 0
    auc: float = _NAN
    gauc: float = _NAN
    xauc: float = _NAN
    precision: dict[str, float] = dataclasses.field(default_factory=dict)
    recall: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """How good the order by the fused score is, beside others.

    Attributes:
        by: What a group is: `request`, or `user and day`.
        groups: Those whose gains differ.
        rows: In these.
        scales: Task of the fusion -> its s_t.
        orders: NDCG of each order.
        tasks: Precision and recall of each task under some orders.
        utility: `evaluation.utility`, if the gains are made of it.
    """

    by: str
    groups: int
    rows: int
    scales: dict[str, float]
    orders: tuple[OrderQuality, ...]
    tasks: tuple[TopQuality, ...]
    utility: str = ""

    def order(self, name: str = FUSED) -> OrderQuality:
        """One order; KeyError if there is none of the name."""
        for found in self.orders:
            if found.order == name:
                return found
        raise KeyError(name)

    def in_order(self, tasks: Sequence[str]) -> Ranking:
        """The same with its tasks in another order."""
        places = {FUSED: -1, **{name: place for place, name in enumerate(tasks)}}
        last = len(places)
        return dataclasses.replace(
            self,
            orders=tuple(sorted(self.orders, key=lambda o: places.get(o.order, last))),
            tasks=tuple(sorted(self.tasks, key=lambda t: places[t.task])),
        )


def measure_ranking(
    spec: Spec, rows: Rows, model: int = 0, *, alone: bool = False
) -> tuple[Ranking, pl.DataFrame]:
    """The ranking by the fused score of the model of that number.

    Args:
        spec: Of the rows.
        rows: Scored ones.
        model: Its number.
        alone: Whether to leave out all other orders, and the tasks under it.

    Returns:
        Also the sums of `UserSums`, for `FUSED`.

    Raises:
        NotFiniteError: A fused score is NaN.
    """
    scales = label_scales(spec, rows)
    sums = _Sums(spec, rows, model, scales, alone)
    try:
        parts = [sums.add(frame) for frame in rows.read(sums.columns)]
        tasks = [] if alone else [sums.top(task) for task in spec.tasks]
    except metrics.NotFiniteError as error:
        raise metrics.NotFiniteError(
            f"The fused score: {error} The model has diverged, or a feature has absurd "
            "numbers. Lower the learning rates of the preset or set "
            "optimizer.clip_norm, and train again."
        ) from error
    by_user = pl.concat(parts).sort(SLICE, USER)
    found = Ranking(
        by=BY_REQUEST if KEY_REQUEST in rows.columns else BY_DAY,
        groups=int(by_user["groups"].sum()),
        rows=sums.rows,
        scales=scales,
        orders=sums.orders(),
        tasks=tuple(found for by_order in tasks for found in by_order),
        utility=spec.evaluation.utility,
    )
    return found, by_user


def label_scales(spec: Spec, rows: Rows) -> dict[str, float]:
    """Mean of the labels above 0 of each task of the fusion; 1 if there is none.

    A utility scales by itself: with one there are none.
    """
    found: dict[str, float] = {}
    if spec.evaluation.utility:
        return found
    for task in fusion_tasks(spec):
        total, count = 0.0, 0
        for frame in rows.read_task(task.name):
            labels = frame[label_key(task.name)].to_numpy().astype(np.float64)
            total += float(labels[labels > 0].sum())
            count += int((labels > 0).sum())
        found[task.name] = total / count if count else 1.0
    return found


def fusion_tasks(spec: Spec) -> list[TaskSpec]:
    """The tasks that the fused score depends on."""
    return [task for task in spec.tasks if spec.fusion.weights.get(task.name)]


def gains(spec: Spec, frame: pl.DataFrame, scales: Mapping[str, float]) -> _Floats:
    """[N] gains, as at the top of this module."""
    if spec.evaluation.utility:
        worth = utility.utility_of(spec.evaluation.utility, spec, frame)
        return utility.gains_of(worth, groups_of(frame))
    total = np.zeros(frame.height)
    for task in fusion_tasks(spec):
        labels = frame[label_key(task.name)].to_numpy().astype(np.float64)
        known = (frame[mask_key(task.name)] > 0).to_numpy() & (labels > 0)
        weight = spec.fusion.weights[task.name] / scales[task.name]
        total += np.where(known, labels, 0) * weight
    return np.maximum(total, 0)


def utilities(spec: Spec, frame: pl.DataFrame, groups: Groups) -> _Floats | None:
    """[N] expected gains of the tasks with an oracle; None without such a task.

    Nor is that of `evaluation.utility` known, which may be any function of labels.
    All rows of a group have 0 where the truth of one of them is not known.
    """
    known = [t for t in fusion_tasks(spec) if oracle_key(t.name) in frame.columns]
    if not known or spec.evaluation.utility:
        return None
    total = np.zeros(frame.height)
    for task in known:
        chances = frame[oracle_key(task.name)].cast(pl.Float64).to_numpy()
        total += chances * spec.fusion.weights[task.name]
    has_gaps = groups.sums(np.isnan(total))[groups.index] > 0
    return np.where(has_gaps, 0, np.maximum(total, 0))


def grouped(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that are in a group."""
    if KEY_REQUEST not in frame.columns:
        return frame
    return frame.filter(pl.col(KEY_REQUEST) != NO_REQUEST)


def groups_of(frame: pl.DataFrame) -> Groups:
    """Requests of users, or else their days; of sorted rows."""
    group = frame[KEY_REQUEST if KEY_REQUEST in frame.columns else KEY_SPLIT]
    return Groups.of(frame[KEY_USER].rle_id(), group)


class _Sums:
    """Sums over the groups of all parts.

    Args:
        spec: Of the rows.
        rows: All rows.
        model: Its number.
        scales: See `label_scales`.
        alone: See `measure_ranking`.
    """

    def __init__(
        self,
        spec: Spec,
        rows: Rows,
        model: int,
        scales: dict[str, float],
        alone: bool,
    ):
        self._spec, self._all, self._model, self._scales = spec, rows, model, scales
        self._alone = alone
        self._score = score_key(model)
        self._tasks = [t for t in spec.tasks if self._own(t) in rows.columns]
        self._ndcg: dict[tuple[str, str, int], float] = {}  # kind, order, k -> sum
        self._counts: dict[str, int] = {}  # kind -> groups
        self._top: dict[tuple[str, str], _Top] = {}
        self._no_order: set[str] = set()
        self._names: list[str] = []
        self.rows = 0

    @property
    def columns(self) -> list[str]:
        """What `add` reads."""
        labels = [f(t.name) for t in self._spec.tasks for f in (label_key, mask_key)]
        oracles = [oracle_key(t.name) for t in fusion_tasks(self._spec)]
        tasks = [] if self._alone else self._tasks
        scores = [self._score, *map(self._own, tasks)]
        keys = [KEY_USER, KEY_REQUEST, KEY_SPLIT, KEY_TIME]
        return [*keys, *labels, *oracles, *scores]

    def _own(self, task: TaskSpec) -> str:
        return prediction_key(task.name, self._model)

    def add(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Adds a part; returns the fused score's sums by user."""
        frame = grouped(frame)
        users = Groups.of(frame[KEY_USER].rle_id())
        groups = groups_of(frame)
        found = gains(self._spec, frame, self._scales)
        counts = groups.is_mixed(found)
        self.rows += int(groups.sizes[counts].sum())
        truth = utilities(self._spec, frame, groups)
        orders = dict(self._orders(frame, groups, truth))
        self._names = self._names or list(orders)
        by_group = self._add_ndcg("gain", groups, orders, found)
        if truth is not None:
            self._add_ndcg("utility", groups, orders, truth)
        if not self._alone:
            self._add_top(frame, groups, orders)
        sums = {"groups": counts.astype(np.float64)}
        sums |= {f"ndcg@{k}": np.nan_to_num(by_group[k]) for k in CUTOFFS}
        return _by_user(frame, users, groups, sums)

    def _orders(
        self, frame: pl.DataFrame, groups: Groups, truth: _Floats | None
    ) -> Iterable[tuple[str, Order]]:
        yield FUSED, Order.of(groups, frame[self._score].to_numpy())
        if self._alone:
            return
        for task in self._tasks:
            scores = frame[self._own(task)].to_numpy()
            if np.isnan(scores).any():  # it need not predict outside its sample space
                self._no_order.add(task.name)
                scores = np.nan_to_num(scores)
            is_bad = self._spec.fusion.weights.get(task.name, 0) < 0
            yield task.name, Order.of(groups, -scores if is_bad else scores)
        yield SHOWN, Order.of(groups, -frame[KEY_TIME].to_numpy().astype(np.float64))
        yield RANDOM, Order.of(groups, np.zeros(frame.height, np.float32))
        if truth is not None:
            yield ORACLE, Order.of(groups, truth)

    def _add_ndcg(
        self, kind: str, groups: Groups, orders: Mapping[str, Order], values: _Floats
    ) -> dict[int, _Floats]:
        """Adds every order's; returns the fused score's [G] by k."""
        best = Order.of(groups, values)
        counts = int(groups.is_mixed(values).sum())
        self._counts[kind] = self._counts.get(kind, 0) + counts
        fused = {}
        for k in CUTOFFS:
            most = ranking.dcg(best, values, k)
            for name, order in orders.items():
                found = ranking.ndcg(order, values, k, most)
                place = (kind, name, k)
                self._ndcg[place] = self._ndcg.get(place, 0) + float(np.nansum(found))
                if name == FUSED:
                    fused[k] = found
        return fused

    def orders(self) -> tuple[OrderQuality, ...]:
        """What all parts have come to, for each order that all of them have."""
        return tuple(
            OrderQuality(
                order=name,
                ndcg=self._means("gain", name),
                utility=self._means("utility", name),
            )
            for name in self._names
            if name not in self._no_order
        )

    def _means(self, kind: str, name: str) -> dict[str, float]:
        if kind not in self._counts:
            return {}
        count = self._counts[kind]
        return {
            str(k): self._ndcg.get((kind, name, k), 0.0) / count if count else _NAN
            for k in CUTOFFS
        }

    # --- single tasks -----------------------------------------------------------------

    def _add_top(
        self, frame: pl.DataFrame, groups: Groups, orders: Mapping[str, Order]
    ) -> None:
        for task in self._tasks:
            if not task.of_kind.is_probability:
                continue
            known = (frame[mask_key(task.name)] > 0).to_numpy()
            labels = frame[label_key(task.name)].to_numpy().astype(np.float64)[known]
            own = groups if known.all() else Groups.of(groups.index[known])
            columns = {
                FUSED: frame[self._score].to_numpy(),
                task.name: frame[self._own(task)].to_numpy(),
                SHOWN: -frame[KEY_TIME].to_numpy().astype(np.float64),
            }
            for name, scores in columns.items():
                is_whole = (
                    known.all() and name != task.name
                )  # which may be turned round
                order = orders[name] if is_whole else Order.of(own, scores[known])
                self._top.setdefault((task.name, name), _Top()).add(order, labels)

    def top(self, task: TaskSpec) -> list[TopQuality]:
        """What all parts have come to for one task."""
        if not task.of_kind.is_probability:
            fused = sampled_xauc(self._all, task, self._score)
            return [TopQuality(task=task.name, order=FUSED, xauc=fused)]
        found = [
            top.quality(task.name, name)
            for (of_task, name), top in self._top.items()
            if of_task == task.name
        ]
        area = task_sums.area(self._all, task, self._score)
        return [
            dataclasses.replace(one, auc=area) if one.order == FUSED else one
            for one in found
        ]


class _Top:
    """Sums of one task's labels under one order, over groups with both labels."""

    def __init__(self) -> None:
        self._groups, self._rows, self._area = 0, 0, 0.0
        self._precision = dict.fromkeys(CUTOFFS, 0.0)
        self._recall = dict.fromkeys(CUTOFFS, 0.0)

    def add(self, order: Order, labels: _Floats) -> None:
        areas = ranking.group_auc(order, labels)
        is_mixed = ~np.isnan(areas)
        sizes = order.groups.sizes[is_mixed]
        self._groups += len(sizes)
        self._rows += int(sizes.sum())
        self._area += float(areas[is_mixed] @ sizes)
        for k in CUTOFFS:
            precision, recall = ranking.at_top(order, labels, k)
            self._precision[k] += float(np.nansum(precision))
            self._recall[k] += float(np.nansum(recall))

    def quality(self, task: str, order: str) -> TopQuality:
        def means(sums: Mapping[int, float]) -> dict[str, float]:
            count = self._groups
            return {str(k): v / count if count else _NAN for k, v in sums.items()}

        return TopQuality(
            task=task,
            order=order,
            groups=self._groups,
            gauc=self._area / self._rows if self._rows else _NAN,
            precision=means(self._precision),
            recall=means(self._recall),
        )


def _by_user(
    frame: pl.DataFrame, users: Groups, groups: Groups, sums: Mapping[str, _Floats]
) -> pl.DataFrame:
    """Sums over groups [G], added up for each user."""
    owners = users.index[groups.starts]
    keys = {SLICE: pl.repeat(ALL, len(users), eager=True)}
    keys[USER] = frame[KEY_USER].gather(users.starts)
    added = {n: np.bincount(owners, v, len(users)) for n, v in sums.items()}
    return pl.DataFrame({**keys, **added})

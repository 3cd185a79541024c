"""What a search has found, and how it is judged on rows that it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy.typing as npt

from feature_specs import Spec
from pipeline.fusion_search.by_facet import FacetWeights
from pipeline.fusion_search.candidates import VALUE, Sums
from pipeline.fusion_search.estimate import FusionEstimate
from pipeline.fusion_search.judging import difference
from pipeline.fusion_search.pareto import Front
from pipeline.fusion_search.scored import LENGTH, Part
from pipeline.reporting.intervals import Gain

BETTER, WORSE = "better", "worse"
UNCLEAR, SAME = "not shown to be better", "the default is kept"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """The value, or a task's rate, under both orders.

    Attributes:
        default: Under the default weights.
        found: Under the weights found.
        change: Of the value, the difference; of a rate, the change as a share of the
            default's. With a 95 % interval over users.
    """

    default: float
    found: float
    change: Gain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgement:
    """Default and found weights on the same rows.

    Attributes:
        rows: Their number.
        users: Likewise.
        groups: Those whose gains differ.
        value: Mean NDCG@k of the gains.
        rates: Task -> its discounted rate among the first k.
    """

    rows: int
    users: int
    groups: int
    value: Compared
    rates: dict[str, Compared]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionSearch:
    """Weights of the fused score, and how good they are.

    Attributes:
        spec: The run's, with the weights found.
        default: What was searched -> the weight that it had.
        found: ... and the one found.
        utility: What the gains are, as it was asked; "" are those of an evaluation.
        k: Places that count.
        by: What is put in order: a `request`, or `user and day`.
        constraints: As they were asked.
        scale_free: Whether a multiple of all weights is the same order.
        by_users: Whether other users judged, of the same day, rather than another day.
        searched_days: Where weights were searched.
        judged_days: Where they were judged.
        trained_days: Those of both that the model was trained on.
        searched: Both on the rows searched.
        judged: Both on the others.
        trials: How many weights were tried.
        seed: Of the draws.
        front: Of the tasks asked for; None without.
        parted: Weights by a facet; None where none was asked for. `found` are the
            common ones.
        estimate: Both on the random rows of the rows that judge; None without.
        no_estimate: Why there is none.
    """

    spec: Spec
    default: dict[str, float]
    found: dict[str, float]
    utility: str
    k: int
    by: str
    constraints: tuple[str, ...]
    scale_free: bool
    by_users: bool
    searched_days: tuple[str, ...]
    judged_days: tuple[str, ...]
    trained_days: tuple[str, ...]
    searched: Judgement
    judged: Judgement
    trials: int
    seed: int
    front: Front | None = None
    parted: FacetWeights | None = None
    estimate: FusionEstimate | None = None
    no_estimate: str = ""

    @property
    def verdict(self) -> str:
        """Of the value on the rows not searched: `better` where its interval is."""
        change = self.judged.value.change
        if self.found == self.default and not (self.parted and self.parted.own):
            return SAME
        if change.low > 0:
            return BETTER
        return WORSE if change.high < 0 else UNCLEAR


def judge(rows: Part, default: npt.NDArray, found: npt.NDArray) -> Judgement:
    """Measures both on some rows: weights [J], and [P, J] by partition, or [1, J]."""
    candidates = rows.candidates
    names = [VALUE, *candidates.labels]
    own = found[0] if len(found) == 1 else found[rows.places]
    by_user: list[dict[str, Sums]] = []
    for weights in (default, own):
        sums = candidates.measure(weights, names)
        by_user.append({name: candidates.by_user(one) for name, one in sums.items()})
    before, after = by_user
    compared = {
        name: Compared(
            default=before[name].ratio,
            found=after[name].ratio,
            change=difference(after[name], before[name], relative=name != VALUE),
        )
        for name in names
    }
    value = compared.pop(VALUE)
    return Judgement(
        rows=len(candidates),
        users=len(before[VALUE].over),
        groups=int(before[VALUE].under.sum()),
        value=value,
        rates=compared,
    )


def with_weights(
    spec: Spec, found: Mapping[str, float], parted: FacetWeights | None = None
) -> Spec:
    """The spec whose fused score has other weights; the rest stays as it is."""
    fusion = spec.fusion
    weights = {**fusion.weights, **{n: w for n, w in found.items() if n != LENGTH}}
    length = fusion.length
    if length is not None and LENGTH in found:
        length = dataclasses.replace(length, weight=found[LENGTH])
    facets = dict(fusion.facets)
    if parted is not None and parted.own:
        before = facets.get(parted.facet, {})
        facets[parted.facet] = {
            name: {**before.get(name, {}), **parted.own.get(name, {})}
            for name in dict.fromkeys([*before, *parted.own])
        }
    changed = dataclasses.replace(fusion, weights=weights, length=length, facets=facets)
    return dataclasses.replace(spec, fusion=changed)

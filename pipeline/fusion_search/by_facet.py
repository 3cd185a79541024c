"""Other weights where a facet has a partition, searched on that partition's groups."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from feature_specs import Spec
from pipeline.fusion_search.candidates import VALUE
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.judging import difference
from pipeline.fusion_search.search import search
from pipeline.reporting.intervals import Gain

if TYPE_CHECKING:
    from pipeline.fusion_search.scored import Part

FEWEST_USERS = 50  # of a partition that gets weights of its own

_Floats: TypeAlias = "npt.NDArray[np.float64]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacetWeights:
    """Weights by a facet.

    Attributes:
        facet: Its name.
        own: Partition -> task -> weight, of those that have weights of their own.
        kept: Partition -> why it keeps the common ones.
        users: Partition -> users in whose groups it was searched.
        change: Of the value on rows not searched: with own weights less with the common
            ones, with a 95 % interval over users.
    """

    facet: str
    own: dict[str, dict[str, float]]
    kept: dict[str, str]
    users: dict[str, int]
    change: Gain


class Partitioned(NamedTuple):
    """What a search by a facet of P partitions found.

    Attributes:
        partitions: Names.
        weights: [P, J].
        kept: Partition -> why it keeps the common weights.
        users: Partition -> users in whose groups it was searched.
        trials: How many weights were tried.
    """

    partitions: tuple[str, ...]
    weights: _Floats
    kept: dict[str, str]
    users: dict[str, int]
    trials: int


def check_facet(spec: Spec, name: str, *, length: bool) -> None:
    """FusionSearchError where weights cannot go by a facet."""
    if length:
        raise FusionSearchError(
            "--by, --length: the length's exponent is one for all rows (fusion.facets "
            "has tasks only). Leave one of both out."
        )
    if name not in spec.facets:
        raise FusionSearchError(
            f"--by: there is no facet {name!r}. The spec's facets are "
            f"{', '.join(spec.facets) or 'none'}."
        )
    feature = spec.feature(spec.facets[name].feature)
    if feature.group == "candidate":
        raise FusionSearchError(
            f"--by {name}: goes by {feature.name!r}, a feature of the candidate, "
            "so that rows of several partitions are in one order. Name a facet of the "
            "user or of the request."
        )


def search_partitions(
    rows: Part,
    partitions: tuple[str, ...],
    *,
    default: _Floats,
    common: _Floats,
    constraints: Sequence[Constraint],
    evaluations: int,
    seed: int,
    keep_signs: bool,
    scale_free: bool,
    report: Callable[[int], None] = lambda done: None,
) -> Partitioned:
    """Weights of each partition, searched on the groups all of whose rows are in it.

    Args:
        rows: To search on.
        partitions: Names, P of them.
        default: [J], which constraints look at.
        common: [J] weights found for all rows; each search begins there.
        constraints: Of each partition by itself.
        evaluations: Trials a partition.
        seed: Of the draws.
        keep_signs: As in `search`.
        scale_free: Likewise.
        report: Likewise, of all trials here.
    """
    groups = rows.candidates.groups
    is_pure = ~groups.is_mixed(rows.places)[groups.index]
    weights = np.tile(common, (len(partitions), 1))
    kept: dict[str, str] = {}
    users: dict[str, int] = {}
    done = 0
    for place, name in enumerate(partitions):
        part = rows.candidates.take(is_pure & (rows.places == place))
        users[name] = len(np.unique(part.users))
        if users[name] < FEWEST_USERS:
            kept[name] = f"{users[name]} users to search on, {FEWEST_USERS} are needed"
            continue
        try:
            weights[place], trials = search(
                part,
                common,
                constraints,
                default=default,
                evaluations=evaluations,
                seed=seed,
                keep_signs=keep_signs,
                scale_free=scale_free,
                report=functools.partial(_report_from, report, done),
            )
        except FusionSearchError as error:
            kept[name] = str(error)
            continue
        done += len(trials)
        if (weights[place] == common).all():
            kept[name] = "none that was tried is better"
    return Partitioned(partitions, weights, kept, users, done)


def _report_from(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)


def told(
    facet: str, names: Sequence[str], found: Partitioned, judged: Part, common: _Floats
) -> FacetWeights:
    """What `search_partitions` found, judged on rows not searched."""
    candidates = judged.candidates
    after, before = (
        candidates.by_user(candidates.measure(own, [VALUE])[VALUE])
        for own in (found.weights[judged.places], common)
    )
    return FacetWeights(
        facet=facet,
        own={
            partition: dict(zip(names, own.tolist(), strict=True))
            for partition, own in zip(found.partitions, found.weights, strict=True)
            if partition not in found.kept
        },
        kept=found.kept,
        users=found.users,
        change=difference(after, before),
    )

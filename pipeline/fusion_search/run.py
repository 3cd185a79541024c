"""The search for the fused score's weights from Python: a run to a section to paste."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from feature_specs import Spec, read_spec
from feature_specs.locks import owned
from feature_specs.places import Place, absolute, check_writable_directory
from feature_specs.utility import mistake_in
from pipeline.fusion_search import by_facet, inputs
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError, NoEstimateError
from pipeline.fusion_search.estimate import (
    EstimateOptions,
    estimate_run,
    reason_against,
)
from pipeline.quiet import quiet_imports
from pipeline.reporting.figures import require_matplotlib
from pipeline.run_record import RunRecord, read_record

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.fusion_search.candidates import Candidates
    from pipeline.fusion_search.pareto import Front
    from pipeline.fusion_search.result import FusionSearch
    from pipeline.fusion_search.scored import Part, Scored

_LEAST, _MOST = 10, 1_000_000  # of evaluations
_FEWEST_USERS = 2  # on either side, for an interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """What `fusion_search` takes, checked."""

    utility: str
    k: int
    tasks: Sequence[str]
    length: bool
    limits: Sequence[Constraint]
    keep_signs: bool
    pareto: Sequence[str]
    evaluations: int
    seed: int
    by: str
    report: Callable[[int], None]


def fusion_search(
    root: Place,
    out: Place,
    *,
    utility: str = "",
    k: int = 10,
    tasks: Sequence[str] = (),
    length: bool = False,
    constraints: Sequence[str] = (),
    keep_signs: bool = False,
    pareto: Sequence[str] = (),
    by: str = "",
    days: Sequence[str] = (),
    evaluations: int = 600,
    seed: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> FusionSearch:
    """Weights of the fused score that put what is worth most first; no training.

    `out` gets `fusion.yaml` (the section to paste), `spec.yaml` (the run's spec with
    it), `report.md`, `search.json`, and figures where matplotlib is installed.

    >>> found = trailrank.fusion_search(
    ...     "run", "searched", utility="watch_time + 20 * interact", evaluations=30,
    ...     constraints=["skip <= 5%"],
    ... )
    >>> found.searched.value.found >= found.searched.value.default
    True
    >>> found.verdict in ("better", "not shown to be better", "worse",
    ...                   "the default is kept")
    True

    Args:
        root: Directory of a finished run; its model scores the rows.
        out: Directory for the result.
        utility: What a row is worth, SQL over labels by the names of their tasks; by
            default the spec's `evaluation.utility`, and without one the gains of an
            evaluation's NDCG, by the fusion's weights.
        k: Places of a request, or of a user's day, that count.
        tasks: Whose weights are searched; by default of all that have one.
        length: Whether the exponent of the video's length is searched, too.
        constraints: Such as `skip <= 1%`: its rate among the first k rises by 1 % at
            most.
        keep_signs: Whether weights above 0 stay so, and those below.
        pareto: Two or three tasks, for the front of their rates.
        by: A facet of the user or of the request: then each of its partitions with
            users enough gets tasks' weights of its own.
        days: YYYYMMDD, by default the run's evaluation days. Half of the users judge:
            on the last day, where there are more, the others searched before it.
        evaluations: How many weights are tried; for a front as many again, and for each
            partition.
        seed: Of the search, and of the halves of users.
        report: Is called with the number of weights tried so far.

    Raises:
        NoRunError: There is no finished run.
        PlaceError: The run's model or examples are gone.
        LockedError: Another command writes to `out`.
        FusionSearchError: The utility, a constraint, tasks or rows do not fit.
        UtilityError: A row's utility is no number.
    """
    record = read_record(os.fspath(root))
    spec = read_spec(record.spec_text)
    utility = utility or spec.evaluation.utility
    splits = inputs.splits(record, days)
    limits = _checked(spec, utility, constraints, pareto, k, evaluations)
    if by:
        by_facet.check_facet(spec, by, length=length)
    inputs.check_inputs(record, splits)
    check_writable_directory("--out", out)
    asked = _Asked(
        utility=utility,
        k=k,
        tasks=tasks,
        length=length,
        limits=limits,
        keep_signs=keep_signs,
        pareto=pareto,
        evaluations=evaluations,
        seed=seed,
        by=by,
        report=report,
    )
    with owned(out):
        found = _search(record, spec, splits, asked)
        found = _with_estimate(record, spec, found)
        _write(found, absolute(out))
    return found


def _checked(
    spec: Spec,
    utility: str,
    constraints: Sequence[str],
    pareto: Sequence[str],
    k: int,
    evaluations: int,
) -> list[Constraint]:
    """The constraints; FusionSearchError if one of the settings cannot be."""
    names = [task.name for task in spec.tasks]
    if utility and (mistake := mistake_in(utility, names)):
        raise FusionSearchError(f"--utility {utility!r}: {mistake}.")
    if not 1 <= k <= 1_000:
        raise FusionSearchError(f"--k: must be 1 to 1,000. Got {k}.")
    if not _LEAST <= evaluations <= _MOST:
        raise FusionSearchError(
            f"--evaluations: must be {_LEAST} to {_MOST:,}. Got {evaluations}."
        )
    if pareto:
        require_matplotlib()
        known = [name for name in dict.fromkeys(pareto) if name in names]
        if len(known) != len(pareto) or len(known) not in (2, 3):
            raise FusionSearchError(
                f"--pareto: must name two or three of {', '.join(names)}. Got "
                f"{', '.join(pareto)}."
            )
    return [Constraint.parse(text, names) for text in constraints]


def _search(
    record: RunRecord, spec: Spec, splits: Sequence[str], asked: _Asked
) -> FusionSearch:
    from pipeline.fusion_search import result, scored
    from pipeline.fusion_search.search import search

    names = scored.searched_names(spec, asked.tasks, asked.length)
    start = scored.default_weights(spec, names)
    rows = _scored(record, spec, splits, names, asked)
    searched, judged = halves(rows, len(splits))
    weights, trials = search(
        searched.candidates,
        start,
        asked.limits,
        evaluations=asked.evaluations,
        seed=asked.seed,
        keep_signs=asked.keep_signs,
        scale_free=scored.is_scale_free(spec, names),
        report=asked.report,
    )
    own = _by_facet(spec, searched, (start, weights), asked, len(trials))
    tried = len(trials) + (own.trials if own else 0)
    by_partition = own.weights if own else weights[np.newaxis]
    parted = None
    if own:
        parted = by_facet.told(asked.by, names, own, judged, weights)
    one_day = len(splits) == 1
    found = dict(zip(names, weights.tolist(), strict=True))
    return result.FusionSearch(
        spec=result.with_weights(spec, found, parted),
        default=dict(zip(names, start.tolist(), strict=True)),
        found=found,
        parted=parted,
        utility=asked.utility,
        k=asked.k,
        by=rows.by,
        constraints=tuple(map(str, asked.limits)),
        scale_free=scored.is_scale_free(spec, names),
        by_users=one_day,
        searched_days=tuple(splits if one_day else splits[:-1]),
        judged_days=tuple(splits[-1:]),
        trained_days=tuple(s for s in splits if s not in record.eval_splits),
        searched=result.judge(searched, start, by_partition),
        judged=result.judge(judged, start, by_partition),
        trials=tried,
        seed=asked.seed,
        front=_front(spec, searched.candidates, start, asked, tried),
    )


def _by_facet(
    spec: Spec,
    searched: Part,
    weights: tuple[npt.NDArray, npt.NDArray],
    asked: _Asked,
    before: int,
) -> by_facet.Partitioned | None:
    """Weights of each partition, where they are asked for; `before` were tried."""
    from pipeline.fusion_search import scored

    if not asked.by:
        return None
    names = scored.searched_names(spec, asked.tasks, asked.length)
    return by_facet.search_partitions(
        searched,
        tuple(spec.facets[asked.by].partitions),
        default=weights[0],
        common=weights[1],
        constraints=asked.limits,
        evaluations=asked.evaluations,
        seed=asked.seed,
        keep_signs=asked.keep_signs,
        scale_free=scored.is_scale_free(spec, names),
        report=lambda done: asked.report(before + done),
    )


def _with_estimate(record: RunRecord, spec: Spec, found: FusionSearch) -> FusionSearch:
    """The same, with what random exposure says of the rows that judge."""
    options = EstimateOptions(utility=found.utility, seed=found.seed)
    if why := reason_against(spec):
        return dataclasses.replace(found, no_estimate=why)
    fusions = (found.spec.fusion, spec.fusion)
    days = found.judged_days
    try:
        estimate = estimate_run(record, spec, days, fusions, options, half=1)
    except NoEstimateError as error:
        return dataclasses.replace(found, no_estimate=str(error))
    return dataclasses.replace(found, estimate=estimate)


def _front(
    spec: Spec, searched: Candidates, start: npt.NDArray, asked: _Asked, before: int
) -> Front | None:
    """The front asked for; `before` weights have been tried."""
    from pipeline.fusion_search.pareto import search_front

    if not asked.pareto:
        return None
    weights = spec.fusion.weights
    return search_front(
        searched,
        start,
        asked.pareto,
        [-1 if weights.get(name, 0.0) < 0 else 1 for name in asked.pareto],
        evaluations=asked.evaluations,
        seed=asked.seed,
        keep_signs=asked.keep_signs,
        report=lambda done: asked.report(before + done),
    )


def _scored(
    record: RunRecord,
    spec: Spec,
    splits: Sequence[str],
    names: Sequence[str],
    asked: _Asked,
) -> Scored:
    with quiet_imports():
        from pipeline.evaluation.model_evaluation import scored_rows
        from pipeline.fusion_search.partitions import partition_column
        from pipeline.fusion_search.scored import scored
    days = [(split, record.examples_of(split)) for split in splits]
    more = partition_column(spec, record.transform_graph, asked.by)
    with scored_rows(spec, [record.model], days, more=more) as rows:
        return scored(
            spec, rows, names, utility=asked.utility, k=asked.k, seed=asked.seed
        )


def halves(rows: Scored, days: int) -> tuple[Part, Part]:
    """(what is searched, what judges): of other users, and days if there are several.

    Raises:
        FusionSearchError: One of them has fewer than two users.
    """
    from pipeline.fusion_search.scored import Part

    judges, searches = rows.half == 1, rows.half == 0
    if days > 1:
        judges &= rows.day == days - 1
        searches &= rows.day < days - 1
    parts = []
    for name, chosen in (("searched", searches), ("judged", judges)):
        part = Part(rows.candidates.take(chosen), rows.places[chosen])
        users = len(set(part.candidates.users.tolist()))
        if users < _FEWEST_USERS:
            raise FusionSearchError(
                f"The rows to be {name} are of {users} users, and the interval is over "
                f"users: {_FEWEST_USERS} at least are needed. Name more --days."
            )
        parts.append(part)
    return parts[0], parts[1]


def _write(found: FusionSearch, out: str) -> None:
    from pipeline.fusion_search import plot, report
    from pipeline.reporting import figures
    from pipeline.reporting.files import write_bytes

    contents = report.files(found)
    if figures.is_possible():
        contents["rates.png"] = figures.png(plot.draw_rates(found))
        if found.front is not None:
            contents["pareto.png"] = figures.png(plot.draw_front(found, found.front))
    for name, content in contents.items():
        write_bytes(os.path.join(out, name), content)

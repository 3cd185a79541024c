"""The search for the fused score's weights from Python: a run to a section to paste."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from feature_specs import Spec, read_spec
from feature_specs.locks import owned
from feature_specs.places import Place, absolute, check_writable_directory
from feature_specs.utility import mistake_in
from pipeline.fusion_search import inputs
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.quiet import quiet_imports
from pipeline.reporting.figures import require_matplotlib
from pipeline.run_record import RunRecord, read_record

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.fusion_search.candidates import Candidates
    from pipeline.fusion_search.pareto import Front
    from pipeline.fusion_search.result import FusionSearch
    from pipeline.fusion_search.scored import Scored

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
        days: YYYYMMDD, by default the run's evaluation days. The last one judges; with
            one day, half of the users do.
        evaluations: How many weights are tried; for a front, as many again.
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
        report=report,
    )
    with owned(out):
        found = _search(record, spec, splits, asked)
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
    scale_free = scored.is_scale_free(spec, names)
    weights, trials = search(
        searched,
        start,
        asked.limits,
        evaluations=asked.evaluations,
        seed=asked.seed,
        keep_signs=asked.keep_signs,
        scale_free=scale_free,
        report=asked.report,
    )
    default = dict(zip(names, start.tolist(), strict=True))
    found = dict(zip(names, weights.tolist(), strict=True))
    by_users = len(splits) == 1
    return result.FusionSearch(
        spec=result.with_weights(spec, found),
        default=default,
        found=found,
        utility=asked.utility,
        k=asked.k,
        by=rows.by,
        constraints=tuple(map(str, asked.limits)),
        scale_free=scale_free,
        by_users=by_users,
        searched_days=tuple(splits if by_users else splits[:-1]),
        judged_days=tuple(splits[-1:]),
        trained_days=tuple(s for s in splits if s not in record.eval_splits),
        searched=result.judge(searched, default, found),
        judged=result.judge(judged, default, found),
        trials=len(trials),
        seed=asked.seed,
        front=_front(spec, searched, start, asked, len(trials)),
    )


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
        from pipeline.fusion_search.scored import scored
    days = [(split, record.examples_of(split)) for split in splits]
    with scored_rows(spec, [record.model], days) as rows:
        return scored(
            spec, rows, names, utility=asked.utility, k=asked.k, seed=asked.seed
        )


def halves(rows: Scored, days: int) -> tuple[Candidates, Candidates]:
    """(the rows that are searched, those that judge): the last day, or half the users.

    Raises:
        FusionSearchError: One of them has fewer than two users.
    """
    judges = rows.day == days - 1 if days > 1 else rows.half == 1
    parts = rows.candidates.take(~judges), rows.candidates.take(judges)
    for name, part in zip(("searched", "judged"), parts, strict=True):
        users = len(set(part.users.tolist()))
        if users < _FEWEST_USERS:
            raise FusionSearchError(
                f"The rows to be {name} are of {users} users, and the interval is over "
                f"users: {_FEWEST_USERS} at least are needed. Name more --days."
            )
    return parts


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

"""What orders by some weights would have brought, from the rows shown at random."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feature_specs import Spec, expressions, read_spec
from feature_specs.places import Place
from feature_specs.spec import FusionSpec
from feature_specs.utility import mistake_in
from pipeline.fusion_search import inputs, sections
from pipeline.fusion_search.errors import FusionSearchError, NoEstimateError
from pipeline.quiet import quiet_imports
from pipeline.reporting.intervals import Gain
from pipeline.run_record import RunRecord, read_record

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.fusion_search.off_policy import Outcomes
    from pipeline.fusion_search.random_slice import RandomSlice

DEFAULT = "default"  # instead of a file: the weights that the run has
VALUE = "value"  # instead of a task: what a row is worth
MIN_ESS = 100.0  # impressions; below some tens the interval's normal law fails
MIN_USERS = 20.0  # likewise, of users
FEWEST_EVENTS = 20.0  # of an outcome, for its interval to be told
_MOST_CANDIDATES = 50
_OTHERS = 4  # scored beside each, times the candidates of a set
_MOST_ROWS = 20_000  # random impressions that are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrderEstimate:
    """One order.

    Attributes:
        fusion: The section that makes it.
        snips: `VALUE` or task -> its mean, by self-normalised inverse propensities.
        replay: The same by replay.
        events: `VALUE` or task -> effective number of outcomes that make up `snips`.
        matched: Impressions that replay counts.
        ess: Effective sample size of `snips`, in impressions.
        ess_users: The same in users.
    """

    fusion: FusionSpec
    snips: dict[str, Gain]
    replay: dict[str, Gain]
    events: dict[str, float]
    matched: float
    ess: float
    ess_users: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionEstimate:
    """Two orders by what they would have brought where videos were drawn at random.

    Attributes:
        found: The order asked for.
        against: The one it is compared with.
        shown: `VALUE` or task -> its mean in the slice as it was, drawn at random.
        change: `VALUE` or task -> found less against, in pairs; of tasks as a share.
        replayed: The same of replay.
        utility: What a row is worth; "" are the gains of an evaluation.
        candidates: K of a set.
        days: Whose random impressions are counted.
        rows: Their number.
        users: Theirs.
        items: Different ones that were drawn.
        paired: Features left out of all candidates.
        trained_days: Days that the model was trained on.
        seed: Of the draws.
    """

    found: OrderEstimate
    against: OrderEstimate
    shown: dict[str, Gain]
    change: dict[str, Gain]
    replayed: dict[str, Gain]
    utility: str
    candidates: int
    days: tuple[str, ...]
    rows: int
    users: int
    items: int
    paired: tuple[str, ...]
    trained_days: tuple[str, ...]
    seed: int

    @property
    def verdict(self) -> str:
        """Of the value: `better` or `worse` where the interval of the change is."""
        if not self.is_known(VALUE):
            return "too few outcomes to tell"
        change = self.change[VALUE]
        if change.low > 0:
            return "better"
        return "worse" if change.high < 0 else "not shown to differ"

    def is_known(self, name: str) -> bool:
        """Whether both orders have outcomes enough for an interval."""
        orders = (self.found, self.against)
        return all(order.events[name] >= FEWEST_EVENTS for order in orders)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """How orders are estimated.

    >>> trailrank.EstimateOptions(candidates=5).min_ess
    100.0

    Attributes:
        utility: What a row is worth, SQL over labels by the names of their tasks; by
            default as `fusion_search` has it.
        candidates: How many are drawn for each impression; the first by the score is
            shown. More tell the orders further apart, and count fewer impressions.
        min_ess: The least effective sample size, in impressions, that is told.
        min_users: The same in users.
        seed: Of the draws.
    """

    utility: str = ""
    candidates: int = 10
    min_ess: float = MIN_ESS
    min_users: float = MIN_USERS
    seed: int = 0

    def check(self, spec: Spec) -> None:
        """FusionSearchError if one of them cannot be."""
        names = [task.name for task in spec.tasks]
        if self.utility and (mistake := mistake_in(self.utility, names)):
            raise FusionSearchError(f"--utility {self.utility!r}: {mistake}.")
        if not 2 <= self.candidates <= _MOST_CANDIDATES:
            raise FusionSearchError(
                f"--candidates: must be 2 to {_MOST_CANDIDATES}. Got {self.candidates}."
            )
        if not (self.min_ess >= 2 and self.min_users >= 2):
            raise FusionSearchError(
                "--min_ess, --min_users: must be 2 at least. Got "
                f"{self.min_ess:g} and {self.min_users:g}."
            )


def fusion_estimate(
    root: Place,
    *,
    weights: Mapping[str, float] | None = None,
    fusion: Place | None = None,
    against: Place = DEFAULT,
    days: Sequence[str] = (),
    options: EstimateOptions | None = None,
) -> FusionEstimate:
    """What an order would have brought, without bias by what users were shown.

    Only rows that were drawn at random count (`log.random`). For each, K candidates are
    drawn as the slice draws, and the first by the fused score is shown: see
    `pipeline.fusion_search.off_policy` for the estimates.

    >>> options = trailrank.EstimateOptions(
    ...     candidates=2, utility="watch_time", min_users=10
    ... )
    >>> found = trailrank.fusion_estimate(
    ...     "run", weights={"skip": -2.0}, options=options
    ... )
    >>> value = found.change["value"]
    >>> value.low < value.mean < value.high
    True

    Args:
        root: Directory of a finished run; its model scores the rows.
        weights: Task -> exponent in place of the run's, for all rows, as in a request.
        fusion: Instead of `weights`: a YAML file with a section `fusion`.
        against: `default` for the run's own section, or a file likewise.
        days: YYYYMMDD, by default the run's evaluation days.
        options: By default `EstimateOptions()`.

    Raises:
        NoRunError: There is no finished run.
        PlaceError: The run's model or examples are gone.
        NoEstimateError: There are no random rows, or too few that tell.
        FusionSearchError: Weights, a section or an option cannot be.
    """
    record = read_record(os.fspath(root))
    spec = read_spec(record.spec_text)
    options = options or EstimateOptions()
    options = dataclasses.replace(
        options, utility=options.utility or spec.evaluation.utility
    )
    options.check(spec)
    if (weights is None) == (fusion is None):
        raise FusionSearchError("--weights, --fusion: give one of both.")
    if weights is not None:
        asked = sections.with_task_weights(spec, weights)
    else:
        assert fusion is not None
        asked = sections.read_section(spec, "--fusion", fusion)
    other = spec.fusion
    if os.fspath(against) != DEFAULT:
        other = sections.read_section(spec, "--against", against)
    splits = inputs.splits(record, days)
    check_slice(spec)
    inputs.check_inputs(record, splits)
    return estimate_run(record, spec, splits, (asked, other), options)


def check_slice(spec: Spec) -> None:
    """NoEstimateError where a spec's examples do not tell random rows."""
    if why := reason_against(spec):
        raise NoEstimateError(why)


def reason_against(spec: Spec) -> str:
    """Why nothing can be estimated by the spec; "" if something can be."""
    if not spec.log.random:
        return (
            "log.random: the spec names no rows that were shown at random, and from "
            "what a ranker chose nothing follows for what it did not choose. Show a "
            "share of impressions at random, and say in log.random which they are."
        )
    read = expressions.columns_of(spec.log.random)
    if unknown := sorted(read - set(spec.evaluation.slices)):
        return (
            f"log.random: reads {', '.join(unknown)}, which examples keep only as a "
            "slice. Add it to evaluation.slices, and run the pipeline again."
        )
    return ""


def estimate_run(
    record: RunRecord,
    spec: Spec,
    splits: Sequence[str],
    fusions: tuple[FusionSpec, FusionSpec],
    options: EstimateOptions,
    half: int | None = None,
) -> FusionEstimate:
    """`fusion_estimate` of two sections, once all is checked.

    `half` takes the users of that half of a search with the same seed only.

    Raises:
        NoEstimateError: There are no random rows, or too few that tell.
    """
    with quiet_imports():
        from pipeline.fusion_search import random_slice
    days = [(split, record.examples_of(split)) for split in splits]
    rows = random_slice.read_slice(spec, days, _MOST_ROWS, options.seed, half)
    if len(rows) < 2:
        raise NoEstimateError(
            f"log.random: {len(rows)} rows of {', '.join(splits)} fulfil "
            f"{spec.log.random!r}. Name other --days."
        )
    others = random_slice.draw_others(
        rows.day, _OTHERS * options.candidates, options.seed
    )
    graph = record.transform_graph
    scores = random_slice.score_sets(spec, record.model, graph, rows, others, fusions)
    outcomes = outcomes_of(spec, rows, options.utility)
    weights = [_both_weights(s, options.candidates) for s in scores]
    orders = [
        _order(outcomes, fusion, *own)
        for fusion, own in zip(fusions, weights, strict=True)
    ]
    for order in orders:
        _check_size(order, options)
    return FusionEstimate(
        found=orders[0],
        against=orders[1],
        shown=_each(outcomes, outcomes.known[VALUE]),  # 1 each
        change=_changes(outcomes, weights[0][0], weights[1][0]),
        replayed=_changes(outcomes, weights[0][1], weights[1][1]),
        utility=options.utility,
        candidates=options.candidates,
        days=tuple(splits),
        rows=len(rows),
        users=int(outcomes.users.max()) + 1,
        items=rows.items,
        paired=tuple(f.name for f in spec.served_features if f.paired),
        trained_days=tuple(s for s in splits if s not in record.eval_splits),
        seed=options.seed,
    )


def outcomes_of(spec: Spec, rows: RandomSlice, utility: str) -> Outcomes:
    """What each random impression came to: its worth, and each task's label."""
    import numpy as np
    import polars as pl

    from feature_specs import label_key, mask_key
    from feature_specs.spec import KEY_USER
    from pipeline.evaluation import fused
    from pipeline.evaluation.rows import Rows
    from pipeline.evaluation.utility import utility_of
    from pipeline.fusion_search.off_policy import Outcomes

    frame = rows.frame
    if utility:
        worth = utility_of(utility, spec, frame)
    else:
        worth = fused.gains(spec, frame, fused.label_scales(spec, Rows.of(frame)))
    values, known = {VALUE: worth}, {VALUE: np.ones(len(rows))}
    for task in spec.tasks:
        inside = (frame[mask_key(task.name)] > 0).to_numpy()
        labels = frame[label_key(task.name)].cast(pl.Float64).to_numpy()
        values[task.name] = np.where(inside, labels, 0)
        known[task.name] = inside.astype(np.float64)
    users = np.unique(frame[KEY_USER].to_numpy(), return_inverse=True)[1]
    return Outcomes(users=users, values=values, known=known)


# --- the parts ------------------------------------------------------------------------


def _both_weights(scores: npt.NDArray, k: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Importance weights [N] by all sets, and of replay, of scores [N, 1 + M]."""
    from pipeline.fusion_search.off_policy import set_weights

    own, others = scores[:, 0], scores[:, 1:]
    return set_weights(own, others, k), set_weights(own, others[:, : k - 1], k)


def _order(
    outcomes: Outcomes, fusion: FusionSpec, snips: npt.NDArray, replay: npt.NDArray
) -> OrderEstimate:
    from pipeline.fusion_search import off_policy

    return OrderEstimate(
        fusion=fusion,
        snips=_each(outcomes, snips),
        replay=_each(outcomes, replay),
        events={
            name: off_policy.effective(abs(snips * values))
            for name, values in outcomes.values.items()
        },
        matched=float((replay > 0).sum()),
        ess=off_policy.effective(snips),
        ess_users=off_policy.effective_users(outcomes, snips),
    )


def _each(outcomes: Outcomes, weights: npt.NDArray) -> dict[str, Gain]:
    from pipeline.fusion_search import off_policy

    return {
        name: off_policy.estimate(outcomes, name, weights) for name in outcomes.values
    }


def _changes(
    outcomes: Outcomes, found: npt.NDArray, against: npt.NDArray
) -> dict[str, Gain]:
    from pipeline.fusion_search.judging import difference

    return {
        name: difference(
            outcomes.by_user(name, found),
            outcomes.by_user(name, against),
            relative=name != VALUE,
        )
        for name in outcomes.values
    }


def _check_size(order: OrderEstimate, options: EstimateOptions) -> None:
    if order.ess >= options.min_ess and order.ess_users >= options.min_users:
        return
    raise NoEstimateError(
        f"The random rows are worth {order.ess:.0f} impressions of "
        f"{order.ess_users:.0f} users for this order (effective sample size), and "
        f"{options.min_ess:g} of {options.min_users:g} at least are asked for: the "
        "interval would be too short. Name more --days, or fewer --candidates."
    )

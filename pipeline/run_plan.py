"""What a run of the pipeline sets out to do, from what its directory has already.

    plan = plan_run(read_ledger(root), key, days_in_the_logs, eval_days=1)
    plan.new       # "20220415:20220415": the days whose examples are made
    plan.earlier   # days made before, with the directories of their examples

A first run makes all days. A later one makes those that are new, trains what the
weights lack, and is judged on the newest days. With nothing new it sets out to do what
the last one did, so that TFX takes every cached result that still holds.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping
from typing import Any

from feature_specs.errors import TrailrankError
from pipeline.ledger import Ledger, MadeDay, RunEntry

_DAY = datetime.timedelta(days=1)
_FORM = "%Y%m%d"
_SPLIT = "day-"


class PlanError(TrailrankError, ValueError):
    """Days that a run cannot go on with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Days:
    """Calendar days, both ends included, as `20220408`.

    Attributes:
        first: The first.
        last: The last.
    """

    first: str
    last: str

    @classmethod
    def parse(cls, text: str) -> Days:
        """Of `20220408:20220414`."""
        first, _, last = text.partition(":")
        return cls(first=first, last=last or first)

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"

    def __len__(self) -> int:
        return (_date(self.last) - _date(self.first)).days + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run sets out to do.

    Attributes:
        new: Days whose examples are made.
        new_eval_days: How many of them are for evaluation when they are made.
        earlier: (split, directory) of the days made before, in order.
        state_from: Directory of the `DayState` before `new`; empty reads the log.
        learned_through: Last training day of the first run, by which filters and
            quantiles are settled; empty in a first run.
        encoding: Directory of the encoding that is extended; empty learns one.
        fixed_encoding: Whether that encoding is taken as it is.
        refresh_encoding: What of it is learned anew, of all training days: `none`,
            `all` or `vocabularies`.
        empty_days: Days before `new` that the logs lack and that somebody named.
        sparse_weights: Tasks whose loss weight a step selects.
        loss_weights: Those of them that are known already, and not selected.
        key: Of the examples.
    """

    new: str
    new_eval_days: int
    earlier: tuple[tuple[str, str], ...] = ()
    state_from: str = ""
    learned_through: str = ""
    encoding: str = ""
    fixed_encoding: bool = False
    refresh_encoding: str = "none"
    empty_days: tuple[str, ...] = ()
    sparse_weights: tuple[str, ...] = ()
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the ledger."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunPlan:
        """What `to_json` gave, to be done again."""
        earlier = tuple((split, place) for split, place in values["earlier"])
        lists = {"earlier": earlier, "empty_days": tuple(values["empty_days"])}
        tasks = tuple(values.get("sparse_weights", ()))  # no older run has them
        return cls(**{**values, **lists, "sparse_weights": tasks})

    @property
    def is_first(self) -> bool:
        """Whether nothing was made before."""
        return not self.earlier


def plan_run(
    ledger: Ledger,
    key: str,
    asked: Days,
    *,
    eval_days: int,
    encoding: str = "",
    fixed_encoding: str = "",
    refresh_encoding: str = "none",
    missing: Collection[str] = (),
    replace_from: str = "",
    sparse_weights: tuple[str, ...] = (),
    loss_weights: Mapping[str, float] | None = None,
    refresh_sparse_weights: bool = False,
) -> RunPlan:
    """The plan of a run.

    Args:
        ledger: Of its directory.
        key: Of the examples that it needs; days of another key do not count.
        asked: All days that the weights and the evaluation are to know.
        eval_days: How many of the newest are kept for evaluation.
        encoding: That the newest run of this key has left; empty if none holds.
        fixed_encoding: One that is taken as it is instead; empty for none.
        refresh_encoding: What of it is learned anew.
        missing: Days known to be missing from the logs, which are passed over.
        replace_from: A day that is made again, with all after it; empty for none.
        sparse_weights: Tasks whose loss weight is selected.
        loss_weights: Task -> its weight, of those that were selected before.
        refresh_sparse_weights: Whether all are selected again.

    Raises:
        PlanError: The days begin later or end earlier than those that are made, or
            leave a gap.
    """
    made = ledger.made(key)
    if replace_from:
        made = _before(made, replace_from)
    if not made or asked.first < _first_day(made[0]):
        plan = RunPlan(new=str(asked), new_eval_days=eval_days, key=key)
    else:
        _check(asked, made)
        plan = _going_on(ledger, key, asked, made, eval_days, encoding, missing)
    if fixed_encoding:
        plan = dataclasses.replace(plan, encoding=fixed_encoding, fixed_encoding=True)
    if refresh_encoding != "none":
        if not plan.encoding:  # of what is done again: scales and room are kept
            plan = dataclasses.replace(plan, encoding=encoding)
        plan = dataclasses.replace(plan, refresh_encoding=refresh_encoding)
    if plan.sparse_weights != sparse_weights or refresh_sparse_weights:
        # What is done again as it was takes the same cached selection.
        before = {} if refresh_sparse_weights else loss_weights or {}
        known = {task: before[task] for task in sparse_weights if task in before}
        plan = dataclasses.replace(
            plan, sparse_weights=sparse_weights, loss_weights=known
        )
    return plan


def _going_on(
    ledger: Ledger,
    key: str,
    asked: Days,
    made: tuple[MadeDay, ...],
    eval_days: int,
    encoding: str,
    missing: Collection[str],
) -> RunPlan:
    """The days after those that are made; the last plan again where there are none."""
    first, empty = _next_day(_last_day(made[-1])), []
    while first in missing:
        empty.append(first)
        first = _next_day(first)
    if first > asked.last:
        return _again(ledger, made)
    new = Days(first=first, last=asked.last)
    return RunPlan(
        new=str(new),
        new_eval_days=min(eval_days, len(new)),
        earlier=tuple((day.split, day.examples) for day in made),
        state_from=made[-1].state,
        learned_through=_learned_through(ledger, made),
        encoding=encoding,
        empty_days=tuple(empty),
        key=key,
    )


def judged_of(splits: Collection[str], last: str, eval_days: int) -> tuple[str, ...]:
    """The splits of the last `eval_days` days; the last one if none begins in them.

    Args:
        splits: In order.
        last: The last day of all.
        eval_days: How many.
    """
    first = f"{_SPLIT}{_date(last) - _DAY * (eval_days - 1):%Y%m%d}"
    found = tuple(split for split in splits if split >= first)
    return found or tuple(splits)[-1:]


def _before(made: tuple[MadeDay, ...], day: str) -> tuple[MadeDay, ...]:
    """The days before one that is made again, which must be made already."""
    found = tuple(d for d in made if _last_day(d) < day)
    if len(found) == len(made):
        known = f"It has {_span(made)}." if made else "It has none yet."
        raise PlanError(
            f"--replace {day}: must be a day whose examples this run has made. {known}"
        )
    return found


def _check(asked: Days, made: tuple[MadeDay, ...]) -> None:
    if asked.last < _last_day(made[-1]):
        raise PlanError(
            f"--days {asked}: must not end before the days that this run has made "
            f"already ({_span(made)}). Name later ones, go back with `trailrank "
            f"pipeline rollback`, or run into another --root."
        )
    if asked.first > _next_day(_last_day(made[-1])):
        raise PlanError(
            f"--days {asked}: leaves days out after those that this run has made "
            f"({_span(made)}). Begin at {_next_day(_last_day(made[-1]))} or before; "
            f"days that the log lacks are named with --missing_day."
        )


def _again(ledger: Ledger, made: tuple[MadeDay, ...]) -> RunPlan:
    """What the last run of the newest days set out to do."""
    run = _run_of(ledger, made[-1])
    if run is not None:
        same = [r for r in ledger.runs if _is_of(r, run.plan)]
        run = same[-1] if same else run
    if run is None or not run.plan:
        raise PlanError(
            f"The ledger does not know how {made[-1].split} was made. Make it again "
            f"with --replace {_first_day(made[-1])}."
        )
    return RunPlan.from_json(run.plan)


def _learned_through(ledger: Ledger, made: tuple[MadeDay, ...]) -> str:
    """The last training day of the run that made the first day."""
    run = _run_of(ledger, made[0])
    if run is None or not run.plan:
        return ""
    plan = RunPlan.from_json(run.plan)
    if plan.learned_through:
        return plan.learned_through
    last = _date(Days.parse(plan.new).last)
    return f"{last - _DAY * plan.new_eval_days:%Y%m%d}"


def _is_of(run: RunEntry, plan: dict[str, Any]) -> bool:
    """Whether a run was of the same new days."""
    return bool(run.plan) and all(run.plan[k] == plan.get(k) for k in ("new", "key"))


def _run_of(ledger: Ledger, day: MadeDay) -> RunEntry | None:
    return next((run for run in ledger.runs if run.id == day.run), None)


def _span(made: tuple[MadeDay, ...]) -> str:
    return f"{_first_day(made[0])} to {_last_day(made[-1])}"


def _first_day(day: MadeDay) -> str:
    return day.split.removeprefix(_SPLIT)


def _last_day(day: MadeDay) -> str:
    return day.last or _first_day(day)


def _next_day(day: str) -> str:
    return f"{_date(day) + _DAY:%Y%m%d}"


def _date(day: str) -> datetime.date:
    return datetime.datetime.strptime(day, _FORM).date()

"""Making examples from Python, without the other steps of the pipeline."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feature_specs import Spec
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import Place, absolute, check_writable_directory
from pipeline.examples.ownership import sole_making
from pipeline.log_places import check_logs
from pipeline.quiet import load_beam

if TYPE_CHECKING:
    from pipeline.examples.request import ExamplesRequest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExamplesReport:
    """What example generation read and made.

    Attributes:
        out: Directory with a `Split-day-YYYYMMDD` a day, `report.json` and `rejects/`.
        figures: All of `report.json`.
    """

    out: str
    figures: Mapping[str, Any]

    @property
    def examples(self) -> dict[str, int]:
        """Split -> its examples, in order."""
        return dict(self.figures["examples"])

    @property
    def train(self) -> list[str]:
        """Splits to train on, in order."""
        return list(self.figures["train"])

    @property
    def evaluation(self) -> list[str]:
        """Splits that are kept for evaluation, in order."""
        return list(self.figures["evaluation"])

    @property
    def rows_in(self) -> int:
        """Rows of the log."""
        return int(self.figures["rows_in"])

    @property
    def rejected(self) -> int:
        """Rows that could not be read; each is in `rejects/` with its reason."""
        return int(self.figures["rejected"])

    @property
    def filtered(self) -> dict[str, int]:
        """Rule of the spec -> rows that it left out."""
        return dict(self.figures["filtered"])


def make_examples(
    spec: SpecLike,
    logs: Place,
    out: Place,
    *,
    days: str | None = None,
    eval_days: int = 1,
    context_days: int | None = None,
    label_delay: str = "",
    replace: str | None = None,
    allow_small_days: bool = False,
    seed: int = 0,
    shards: int | None = None,
    state_from: Place | None = None,
    state_to: Place | None = None,
    learned_through: str | None = None,
    empty_days: Sequence[str] = (),
    beam_args: Sequence[str] = (),
) -> ExamplesReport:
    """Raw impression logs -> day-sequenced tf.Examples.

    >>> report = trailrank.make_examples(
    ...     "kuairand", "logs/data", "examples", days="20220408:20220409"
    ... )
    >>> list(report.examples)
    ['day-20220408', 'day-20220409']

    Args:
        spec: What the logs hold: a shipped name, a file or a spec.
        logs: Directory of the raw logs; may lie in a bucket.
        out: Directory to write, a new one; may lie in a bucket.
        days: First and last day, `20220408:20220414`; by default all in the logs.
        eval_days: Last days kept for evaluation.
        context_days: Days before `days` that are read for trails, history and
            statistics; by default all that the logs have.
        label_delay: How long labels wait for their events, `1d`: so many of the newest
            days become no examples yet.
        replace: Days of finished examples that are written anew, the others stay.
        allow_small_days: Whether a day with unusually few rows passes.
        seed: Of the order inside a day.
        shards: Parts that users are hashed into; by default chosen by the log's size.
        state_from: Directory of the state at the end of the day before `days`: then
            nothing is read of the logs but files with rows of `days`, and `eval_days`
            may be 0 or all of them.
        state_to: Directory that gets the state at the end of `days`, a new one.
        learned_through: Last day, `20220412`, that quantiles are learned on and that
            training-only filters look ahead to; by default that of `state_from`, or
            the last training day.
        empty_days: Days between the state's and `days` that have no logs.
        beam_args: Beam's options; without `--runner` it runs in this process.

    Raises:
        SpecError: The spec has mistakes.
        PlaceError: There are no logs, or `out` cannot be a directory.
        LockedError: Another command writes to `out`.
        ExamplesError: Rows are lost or unreadable, or a day lacks its rows.
        StateError: `state_from` is no state of these days and this spec, or the spec
            has what no state can carry.
        FileNotFoundError, ValueError: Files or options are unusable.
    """
    found = as_spec(spec)
    check_places(found, logs, out)
    with sole_making(out):
        request = plan_request(
            found,
            logs,
            out,
            days=days,
            eval_days=eval_days,
            context_days=context_days,
            label_delay=label_delay,
            replace=replace,
            allow_small_days=allow_small_days,
            seed=seed,
            shards=shards,
            state_from=state_from,
            state_to=state_to,
            learned_through=learned_through,
            empty_days=empty_days,
        )
        return run_request(request, beam_args)


def check_places(spec: Spec, logs: Place, out: Place) -> None:
    """PlaceError if there are no logs, or `out` cannot be a directory."""
    check_logs(spec, absolute(logs))
    check_writable_directory("--out", out)


def plan_request(
    spec: Spec,
    logs: Place,
    out: Place,
    *,
    days: str | None,
    label_delay: str,
    replace: str | None,
    state_from: Place | None = None,
    state_to: Place | None = None,
    learned_through: str | None = None,
    empty_days: Sequence[str] = (),
    **settings: Any,
) -> ExamplesRequest:
    """The request of `make_examples`, whose arguments these are; Beam gets loaded."""
    load_beam()
    from pipeline.day_state.state import read_state
    from pipeline.examples.days import DayRange, parse_one, without_newest
    from pipeline.examples.read_logs import new_days
    from pipeline.examples.reading.log_files import find_logs
    from pipeline.examples.reading.readers import discover_days
    from pipeline.examples.request import ExamplesRequest

    found, directory = find_logs(spec, absolute(logs)), absolute(out)
    if days:
        asked = DayRange.parse(days)
    elif state_from:
        asked = new_days(spec, found, read_state(absolute(state_from)))
    else:
        asked = discover_days(spec, found)
    return ExamplesRequest(
        spec=spec,
        logs_dir=found,
        examples_dir=directory,
        rejects_dir=os.path.join(directory, "rejects"),
        report_path=os.path.join(directory, "report.json"),
        days=without_newest(asked, label_delay) if label_delay else asked,
        only=DayRange.parse(replace) if replace else None,
        state_from=absolute(state_from) if state_from else None,
        state_to=absolute(state_to) if state_to else None,
        learned_through=parse_one(learned_through) if learned_through else None,
        empty_days=tuple(map(parse_one, empty_days)),
        **settings,
    )


def run_request(
    request: ExamplesRequest, beam_args: Sequence[str] = ()
) -> ExamplesReport:
    """Makes the examples of a request; Beam is loaded already."""
    from pipeline.examples.build import run_examples

    figures = run_examples(request, beam_args)
    return ExamplesReport(out=request.examples_dir, figures=figures)

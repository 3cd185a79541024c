"""What one analysis of the trail asks of the logs, checked before they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from feature_specs import Spec, TaskSpec, expressions
from feature_specs.build import closest
from feature_specs.log_section import EVENT_TIME
from feature_specs.past import TRAIL_COLUMNS, TRAIL_LAST
from pipeline.examples.days import DayRange
from pipeline.trail_bias.errors import TrailBiasError

SLICES = ("random", "feed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One analysis.

    Attributes:
        spec: What the logs hold; with a `trail` section.
        days: Days that are read; a trail lies in them as a whole.
        tasks: Binary tasks whose label and sample space the log alone can tell.
        keep: Rules of `filters.keep` that the log alone can tell.
        derived: Derived columns that tasks and rules may read, in order.
        notes: What is left out of the analysis, and why.
        bins: Parts of a trail.
        min_length: Fewest impressions of a trail.
        groups: Groups of users, of which each is left out once.
    """

    spec: Spec
    days: DayRange
    tasks: tuple[TaskSpec, ...]
    keep: tuple[str, ...]
    derived: tuple[str, ...]
    notes: tuple[str, ...] = ()
    bins: int = 10
    min_length: int = 10
    groups: int = 200

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise TrailBiasError(
                f"--bins must be at least 2, got {self.bins}: a point is compared with "
                "the first one."
            )
        if self.min_length < self.bins:
            raise TrailBiasError(
                f"--min_length must be at least --bins = {self.bins}, got "
                f"{self.min_length}: a shorter trail has no impression in some bins."
            )


def plan_study(
    spec: Spec, days: DayRange, tasks: Sequence[str] = (), **settings: int
) -> Study:
    """The study of some binary tasks, by default of all that the log can tell.

    Args:
        spec: See `feature_specs`.
        days: Days to read.
        tasks: Names of tasks.
        **settings: `bins`, `min_length` or `groups` of `Study`.

    Raises:
        ValueError: The spec has no trails, or a task cannot be studied.
    """
    require_trail(spec)
    spec = _of_the_log(spec)
    columns = _columns(spec)
    needs = {task.name: _missing(task, columns) for task in spec.tasks}
    binary = [task.name for task in spec.tasks if task.of_kind.is_probability]
    for name in tasks:
        _check_task(name, spec, binary, needs)
    chosen = tuple(tasks) or tuple(name for name in binary if not needs[name])
    if not chosen:
        raise TrailBiasError(
            f"Spec {spec.name!r} has no binary task whose label reads only the log's, "
            "the trail's and derived columns; the trail is studied on such tasks."
        )
    rules = {
        rule: sorted(expressions.columns_of(condition) - columns)
        for rule, condition in spec.filters.keep.items()
    }
    notes = [_left_out(f"Task {n}", needs[n]) for n in binary if needs[n]]
    notes += [_left_out(f"Filter {rule}", rules[rule]) for rule in rules if rules[rule]]
    return Study(
        spec=spec,
        days=days,
        tasks=tuple(task for task in spec.tasks if task.name in chosen),
        keep=tuple(rule for rule in rules if not rules[rule]),
        derived=tuple(name for name in spec.derived if name in columns),
        notes=tuple(notes),
        **settings,
    )


def require_trail(spec: Spec) -> None:
    """ValueError if a spec has no watch trails."""
    if spec.trail is None:
        raise TrailBiasError(
            f"Spec {spec.name!r} has no `trail` section, so there are no watch trails "
            f"to look at. Add one: trail: {{gap_minutes: 30, scope: [{spec.log.user}]}}"
        )


def _of_the_log(spec: Spec) -> Spec:
    """The spec without a video's length that a side file has: no side file is read.

    Raises:
        ValueError: A side file has the time watched, by which trails end.
    """
    log, time = spec.log, spec.log.time
    if time.watched is not None and time.watched.column not in log.columns:
        raise TrailBiasError(
            f"Spec {spec.name!r} has the time watched in a side file "
            f"({time.watched.column}), and this analysis reads the log alone. Trails "
            "end by it: bring the column into the log."
        )
    if time.length is None or time.length.column in log.columns:
        return spec
    time = dataclasses.replace(time, length_ms=None, length_s=None)
    return dataclasses.replace(spec, log=dataclasses.replace(log, time=time))


def _columns(spec: Spec) -> set[str]:
    """The columns that a study has: of the log, of the trail, derived of these."""
    assert spec.trail is not None
    time = spec.log.time
    trail = {
        name
        for name, column in TRAIL_COLUMNS.items()
        if all(getattr(time, key) is not None for key in column.needs)
    }
    columns = {*spec.log.columns, *trail, EVENT_TIME}
    columns |= {TRAIL_LAST + name for name in spec.trail.last}
    for name, text in spec.derived.items():
        if expressions.columns_of(text) <= columns:
            columns.add(name)
    return columns


def _missing(task: TaskSpec, columns: set[str]) -> list[str]:
    read = expressions.columns_of(task.label)
    if task.sample_space:
        read |= expressions.columns_of(task.sample_space)
    return sorted(read - columns)


def _check_task(
    name: str, spec: Spec, binary: Sequence[str], needs: dict[str, list[str]]
) -> None:
    if name not in needs:
        raise TrailBiasError(
            f"--tasks {name!r}: spec {spec.name!r} has no such task."
            f"{closest(name, list(binary))}"
        )
    if name not in binary:
        raise TrailBiasError(
            f"--tasks {name!r}: must be binary, and it is a {spec.task(name).kind}: a "
            f"rate needs a label of 0 and 1. Binary: {', '.join(binary)}."
        )
    if needs[name]:
        raise TrailBiasError(
            f"--tasks {name!r}: reads {', '.join(needs[name])}, and this analysis has "
            "only the log's and the trail's columns, and what is derived of them. "
            "Leave the task out."
        )


def _left_out(what: str, missing: Sequence[str]) -> str:
    return f"{what} is left out: it reads {', '.join(missing)}, not of the log alone."

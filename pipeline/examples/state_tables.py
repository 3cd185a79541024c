"""The tables of a day's state: what each holds, and by which column it is sharded.

`docs/day_state.md` says the same for people; change both together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from feature_specs import Spec, expressions
from feature_specs.events import reads_events
from feature_specs.past import (
    REQUEST_COLUMNS,
    REQUEST_SIZE,
    TRAIL_FUTURE,
    with_readers,
)
from pipeline.day_state.errors import StateError
from pipeline.examples.columns.carried import USER
from pipeline.examples.events import OWNER

USERS, RUNNING, EARLY, SESSIONS = "users", "running", "early", "sessions"
SHOWN, QUANTILES = "shown", "quantiles"


@dataclasses.dataclass(frozen=True)
class StateTables:
    """The tables that a spec's state has, by name.

    Attributes:
        by_user: Those that go to the shard of a user -> the user's column in them.
        by_key: Those that go to the shard of a key -> (the key, its column there).
        counters: `match` of the spec's counters -> its table.
        histories: History -> its table.
        events: Section of events -> its table.
        sums: Column of statistics -> its table.
    """

    by_user: Mapping[str, str]
    by_key: Mapping[str, str]
    counters: Mapping[str, str]
    histories: Mapping[str, str]
    events: Mapping[str, str]
    sums: Mapping[str, str]

    @classmethod
    def of(cls, spec: Spec) -> StateTables:
        """The tables of a spec."""
        user = spec.log.user
        matches = sorted({counter.match for counter in spec.counters})
        counters = {match: f"counters-{n}" for n, match in enumerate(matches)}
        histories = {name: f"history-{name}" for name in spec.histories}
        columns = sorted({statistic.by for statistic in spec.statistics})
        sums = {column: f"statistics-{column}" for column in columns}
        by_user = {USERS: USER, RUNNING: user, EARLY: user, SESSIONS: USER}
        by_user |= dict.fromkeys(counters.values(), USER)
        by_user |= {t: spec.histories[name].user for name, t in histories.items()}
        events = {name: f"events-{name}" for name in spec.events}
        by_user |= dict.fromkeys(events.values(), OWNER)
        by_user |= {sums[user]: user} if user in sums else {}
        by_key = {table: c for c, table in sums.items() if c != user}
        if spec.filters.min_item_impressions:
            by_key[SHOWN] = spec.log.item
        return cls(by_user, by_key, counters, histories, events, sums)

    @property
    def columns(self) -> dict[str, str]:
        """Table -> the column by whose hash it is sharded."""
        return {**self.by_user, **self.by_key}


def check_can_be_carried(spec: Spec) -> None:
    """StateError, with the key of the spec, for what no state can carry exactly."""
    for counter in spec.counters:
        texts = [counter.where, counter.value]
        if counter.measure == "mean" and reads_events(texts, spec.events):
            raise StateError(
                f"counters.{counter.name}: its sum changes with events that come in "
                "between others, so it cannot go on from where it was. Do without it, "
                "or make the examples from the logs' earlier days (without --state_to)."
            )
    if spec.log.days_per_split > 1:
        raise StateError(
            f"log.days_per_split: {spec.log.days_per_split} days share a split, and a "
            "state ends with a day that may lie inside one. Set it to 1, or make the "
            "examples from the logs' earlier days (without --state_to)."
        )
    request = spec.log.request
    if (
        request is not None
        and request.column
        and (read := _read(spec, REQUEST_COLUMNS))
    ):
        raise StateError(
            f"log.request.column: {', '.join(read)} counts all impressions of a "
            "request, whenever they begin, so a state had to remember each request "
            "for ever. Take log.request.session, do without the column, or make the "
            "examples from the logs' earlier days (without --state_to)."
        )


def can_be_carried(spec: Spec) -> bool:
    """Whether a state can be kept for a spec; see `check_can_be_carried`."""
    try:
        check_can_be_carried(spec)
    except StateError:
        return False
    return True


def state_lines(spec: Spec) -> list[str]:
    """What a user should know of days that are made one by one, a line each."""
    try:
        check_can_be_carried(spec)
    except StateError as error:
        return [f"Each run reads the log's earlier days again. {error}"]
    ahead = looking_ahead(spec)
    if not ahead:
        return []
    return [
        f"{', '.join(ahead)}: look at later impressions, and no further than the last "
        "day of a run, so that a trail over midnight counts as far as it was there."
    ]


def looking_ahead(spec: Spec) -> list[str]:
    """Columns in use that see later impressions, so no further than the day's end.

    One pass over several days sees further for what goes on over midnight.
    """
    return _read(spec, {*TRAIL_FUTURE, REQUEST_SIZE})


def _read(spec: Spec, columns: set[str] | Mapping[str, str]) -> list[str]:
    """Those of some columns that are in use, and the derived ones that read them."""
    derived = with_readers(columns, spec.derived)
    texts = [*spec.filters.keep.values(), *(f.expr for f in spec.features)]
    for task in spec.tasks:
        texts += [task.label, task.sample_space]
    used = {name for text in texts if text for name in expressions.columns_of(text)}
    used |= {*spec.evaluation.slices}
    return sorted(used & derived)

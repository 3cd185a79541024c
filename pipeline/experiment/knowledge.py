"""What is known of users and videos when a request comes, as features: by the examples.

A request's candidates are laid beside the day's log as impressions that begin now and
have no outcome yet. Trails, histories, counters, statistics and features are then those
of `pipeline.examples`, function by function, so that what is served is what a later
training will read of the same moment. Nothing is computed a second time here.

What earlier days left is what a `DayState` carries: of a shard's users in `Known`, of
videos and other keys, from all users of all arms, in `sums`.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.column_types import parse_types
from feature_specs.spec import KEY_ITEM, KEY_USER
from pipeline.arrays import Ints
from pipeline.examples import joins
from pipeline.examples.columns import quantiles, statistics
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.remembering import remember
from pipeline.examples.columns.stages import Versions
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import DayRange, SplitPlan
from pipeline.examples.duplicates import identity
from pipeline.examples.encode import encode
from pipeline.examples.shard import add_columns, settle
from pipeline.examples.state_tables import check_can_be_carried
from pipeline.experiment.errors import ExperimentError
from pipeline.simulator.block import LOG_COLUMNS, clock_columns

Sums = Mapping[str, pl.DataFrame]  # key -> its `statistics.daily_sums`, added up
Sides = Mapping[str, pl.DataFrame]  # side file -> its rows, each key once

_NEVER = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class Known:
    """What earlier days left of a shard's users.

    Attributes:
        carried: See `Carried`; None before the first day.
        running: Log rows of impressions that were not over at midnight.
    """

    carried: Carried | None = None
    running: pl.DataFrame | None = None


def check_spec(spec: Spec) -> None:
    """Refuses a spec that reads what the simulator does not write.

    Raises:
        ExperimentError: It reads other columns, times, events or logs.
        StateError: No state can carry what it says.
    """
    unknown = sorted({*spec.log.columns} - {*LOG_COLUMNS})
    if unknown:
        raise ExperimentError(
            f"spec {spec.name}: the simulator's log has no column "
            f"{', '.join(unknown)}. Take a spec of simulated logs, such as kuairand."
        )
    others = [*spec.events, *spec.histories]
    if others:
        raise ExperimentError(
            f"spec {spec.name}: {', '.join(others)} is read from files beside the log, "
            "which the simulator does not write. Take a spec without them."
        )
    time = spec.log.time
    if time.column != "time_ms":
        raise ExperimentError(
            f"spec {spec.name}: log.time.column must be time_ms, as in the simulator's "
            f"log. Got {time.column}."
        )
    check_can_be_carried(spec)


def side_rows(
    spec: Spec, tables: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """Side file of the spec -> its rows as the readers give them.

    Args:
        spec: Its joins are by user or video.
        tables: Name of a simulator's table -> the table.
    """
    found = {}
    for name, join in spec.log.joins.items():
        of_key = [t for t in tables.values() if {*join.columns} <= {*t.columns}]
        if not of_key:
            raise ExperimentError(
                f"spec {spec.name}: log.joins.{name} reads columns that no table of "
                "the simulator has together."
            )
        types = parse_types(join.columns, spec.log.timezone)
        found[name] = of_key[0].select(
            pl.col(column).cast(kind.polars) for column, kind in types.items()
        )
    return found


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """How a spec sees a day, of any users.

    Attributes:
        spec: Of the models.
        sides: Its side files.
        day: The day that is served.
        sums: Of the days before.
    """

    spec: Spec
    sides: Sides
    day: datetime.date
    sums: Sums

    def rows_of(self, log: pl.DataFrame) -> pl.DataFrame:
        """Log lines [I] as the readers give them: declared columns and `TIME_MS`."""
        types = parse_types(self.spec.log.columns, self.spec.log.timezone)
        columns = [pl.col(c).cast(kind.polars) for c, kind in types.items()]
        return log.select(*columns, pl.col("time_ms").cast(pl.Int64).alias(TIME_MS))

    def features(
        self, known: Known, today: pl.DataFrame | None, asked: pl.DataFrame
    ) -> pl.DataFrame:
        """Features of candidates [N], as an example of each would have them.

        Args:
            known: Of these users, and of others.
            today: Log rows of the day so far (`rows_of`), of these users.
            asked: [N] candidates as log lines of the moment of their request, without
                outcomes, sorted by user, time and video; later than all of `today`.

        Returns:
            `encode`'s columns [N], in the order of `asked`.
        """
        spec = self.spec
        now = self.rows_of(self._without_outcomes(asked))
        parts = [part for part in (known.running, today) if part is not None]
        parts = [self._of_users(part, now) for part in parts]
        frame, _ = settle(pl.concat([*parts, now]), spec, self.day)
        frame = self._joined(frame)
        frame, _ = joins.add_own(
            frame, spec, self.sides, Versions.none(), known.carried
        )
        frame = add_columns(frame, spec, quantiles.none(spec), None, known.carried)
        moments = now.select(spec.log.user, TIME_MS).unique()
        frame = frame.join(
            moments, on=[spec.log.user, TIME_MS], how="semi", maintain_order="left"
        )
        found, _ = encode(frame, spec)
        names = {spec.log.user: KEY_USER, spec.log.item: KEY_ITEM}
        same = now.select(*names).rename(names)
        if not same.equals(found.select(*names.values())):
            raise RuntimeError("Candidates and their features differ. Report this.")
        return found

    def end_of_day(
        self, known: Known, log: pl.DataFrame, day: datetime.date
    ) -> tuple[Known, dict[str, pl.DataFrame]]:
        """(what later days know of the users, the sums of keys that they add).

        Args:
            known: Of the shard's users before.
            log: All lines since, with outcomes.
            day: The last day of them.
        """
        spec, carried = self.spec, known.carried
        rows = self.rows_of(log)
        if known.running is not None:
            rows = pl.concat([known.running, rows])
        frame, _ = settle(rows, spec, _NEVER)
        after = carried.day if carried else None
        added = {
            key.column: statistics.daily_sums(frame, spec, key.column, None, after)
            for key in self._keys
            if key.by_day
        }
        if not frame.height:
            own, _ = remember(None, spec, carried, day)
            sums = carried.sums if carried else None
            return Known(_with_sums(own, sums, spec, day)), added
        frame = self._joined(frame)
        frame, sums = joins.add_own(frame, spec, self.sides, Versions.none(), carried)
        own, running = remember(frame, spec, carried, day)
        own = _with_sums(own, sums, spec, day)
        if running is None or not running.any():
            return Known(own), added
        those = frame.filter(pl.Series(running)).select(identity(spec))
        kept = rows.join(those, on=identity(spec), how="semi", maintain_order="left")
        return Known(own, kept), added

    @property
    def _keys(self) -> list[joins.Key]:
        # How often a video is shown drops training rows; at a request it drops none.
        keys = joins.plan_keys(self.spec)
        return [dataclasses.replace(key, counted=False) for key in keys]

    def _joined(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Impressions with what is known of their keys."""
        plan = SplitPlan(DayRange(self.day, self.day), 0, 1, _NEVER, continues=True)
        for key in self._keys:
            asked = joins.ask(frame, key, 0)
            sums = self.sums.get(key.column)
            if key.by_day and sums is None:
                sums = statistics.daily_sums(frame.head(0), self.spec, key.column)
            told = joins.answer(asked, key, self.spec, plan, self.sides, sums)
            frame = joins.add_answers(frame, key, told)
        return frame

    def _without_outcomes(self, asked: pl.DataFrame) -> pl.DataFrame:
        outcomes = [c for c in self.spec.log.columns if c not in asked.columns]
        return asked.with_columns(pl.lit(None).alias(c) for c in outcomes)

    def _of_users(self, rows: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
        user = self.spec.log.user
        return rows.join(
            now.select(user).unique(), on=user, how="semi", maintain_order="left"
        )


def _with_sums(
    own: Carried, sums: pl.DataFrame | None, spec: Spec, day: datetime.date
) -> Carried:
    if sums is not None:
        sums = statistics.remembered(sums, spec, spec.log.user, day)
    return dataclasses.replace(own, sums=sums)


def add_sums(
    before: Sums, parts: Sequence[Sums], spec: Spec, day: datetime.date
) -> dict[str, pl.DataFrame]:
    """The sums of keys at the end of a day, of all shards' parts."""
    found = {}
    for column in sorted({key for part in parts for key in part}):
        there = [part[column] for part in parts]
        if column in before:
            there.insert(0, before[column])
        added = statistics.add_up(there)
        found[column] = statistics.remembered(added, spec, column, day)
    return found


def candidate_lines(
    user: Ints, video_id: Ints, time_ms: Ints, duration_ms: Ints, tab: Ints
) -> pl.DataFrame:
    """Candidates [N] as log lines without outcomes."""
    return pl.DataFrame(
        {
            "user_id": user,
            "video_id": video_id,
            "time_ms": time_ms,
            "duration_ms": duration_ms,
            "is_rand": np.zeros(len(user), np.int64),
            "tab": tab,
            **clock_columns(time_ms),
        }
    )

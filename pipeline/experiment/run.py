"""Simulated live experiments from Python: arms and users to a table of effects."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from feature_specs import Spec
from feature_specs.locks import owned
from feature_specs.named import SpecLike
from feature_specs.places import Place, check_writable_directory, is_bucket
from pipeline.experiment import knowledge
from pipeline.experiment.arms import ArmLike, choose
from pipeline.experiment.crew import Crew, Task
from pipeline.experiment.design import Design
from pipeline.experiment.errors import ExperimentError
from pipeline.experiment.nights import Nights, check_can_retrain
from pipeline.experiment.play import Player, ShardDay
from pipeline.experiment.result import Experiment
from pipeline.experiment.store import Store
from pipeline.simulator import behaviour, world
from pipeline.simulator.block import LOG_COLUMNS
from pipeline.simulator.logs import MODEL_FILE

VIDEOS = 4_000  # of a world of its own, at least: a small one is soon seen through
MOST_WORKERS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an experiment is.

    Attributes:
        done: Days of shards that are finished.
        total: All of them.
        impressions: Served by this run.
        left_s: Seconds that the rest will take; None before anything is known.
    """

    done: int
    total: int
    impressions: int
    left_s: float | None


def experiment(
    out: Place,
    control: ArmLike,
    treatments: Sequence[ArmLike],
    *,
    days: int = 14,
    pre_days: int = 7,
    users: int | None = None,
    logs: Place | None = None,
    spec: SpecLike | None = None,
    candidates: int = 200,
    rows_per_user_day: float = 60.0,
    videos: int | None = None,
    trail_effect: float | None = None,
    retrain: bool = False,
    seed: int = 0,
    workers: int = 1,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Experiment:
    """Rankers serve simulated users side by side, day after day.

    An arm is `oracle`, `feed`, `popular`, `random` or `antioracle` (reference rankers),
    the directory of a run or of an exported model, `NAME=` before it for another name
    and `@fusion.yaml` behind it for other weights of the fused score; or an `Arm`.

    `out` gets `experiment.json`, `report.md`, `report.html` with its curves where
    matplotlib is installed, and `logs/<arm>/`, the logs of the users that the arm
    served. What is finished there is not served again.

    >>> found = trailrank.experiment(
    ...     "tried", "random", ["feed", "again=random"], users=60, days=2, pre_days=1,
    ...     candidates=20, rows_per_user_day=10,
    ... )
    >>> found.is_same("again"), found.is_same("feed")
    (True, False)
    >>> gain = found.effect("feed", "overall_enjoyment")
    >>> gain.low < gain.change < gain.high
    True

    Args:
        out: Directory of this machine.
        control: Serves everybody on the days before, and its own users after them.
        treatments: Each serves its own users; a hash of the user's id says whose.
        days: Of the treatments.
        pre_days: Days before, which CUPED takes a user's habits from; 0 for none.
        users: Of a world of its own; not with `logs`.
        logs: What `simulate` wrote: its world goes on after the days that are not
            served, which models may be trained on, and which features remember.
        spec: What models read, and whose tasks are measured; by default the first
            run's, or `kuairand`.
        candidates: Most a request.
        rows_per_user_day: Impressions that the mean user has time for on a day.
        videos: Of a world of its own.
        trail_effect: Of a world of its own, as of `simulate`.
        retrain: Whether the models of runs are trained each night on what their own
            arm showed, and serve it the next day.
        seed: Of all draws, and of the split.
        workers: Processes; the result is the same with any number.
        report: Is told how it goes.

    Raises:
        ExperimentError: Arguments that do not go together, or `out` has another
            experiment.
        NoRunError, ModelCardError, SpecError: An arm or the spec cannot be read.
        LockedError: Another command writes to `out`.
    """
    _check(out, workers, logs, users, videos, trail_effect)
    chosen = choose(control, treatments, spec)
    knowledge.check_spec(chosen.spec)
    settings = (
        _settings_of(pathlib.Path(logs))
        if logs is not None
        else _own_world(
            users=1_000 if users is None else users,
            days=pre_days + days,
            seed=seed,
            rows_per_user_day=rows_per_user_day,
            videos=videos,
            trail_effect=1.0 if trail_effect is None else trail_effect,
        )
    )
    design = Design(
        arms=chosen.arms,
        days=days,
        pre_days=pre_days,
        history_days=settings.days - pre_days - days,
        settings=settings,
        seed=seed,
        candidates=candidates,
        rows_per_user_day=rows_per_user_day,
        retrain=retrain,
    )
    if design.history_days < 0:
        raise ExperimentError(
            f"{logs}: its world has {settings.days} days, and {pre_days} + {days} are "
            "to be served. Simulate more days, or serve fewer."
        )
    if retrain:
        check_can_retrain(design)
    with owned(out):
        found = _serve(design, chosen.spec, pathlib.Path(out), logs, workers, report)
        _write(found, pathlib.Path(out))
    return found


def _check(
    out: Place,
    workers: int,
    logs: Place | None,
    users: int | None,
    videos: int | None,
    trail_effect: float | None,
) -> None:
    if is_bucket(out):
        raise ExperimentError(f"--out {out}: must be a directory of this machine.")
    check_writable_directory("--out", out)
    if not 1 <= workers <= MOST_WORKERS:
        raise ExperimentError(f"--workers: must be 1 to {MOST_WORKERS}, got {workers}.")
    own = {"users": users, "videos": videos, "trail_effect": trail_effect}
    both = [f"--{name}" for name, value in own.items() if value is not None]
    if logs is not None and both:
        raise ExperimentError(
            f"--logs has a world of its own: leave {', '.join(both)} out."
        )


def _own_world(
    *,
    users: int,
    days: int,
    seed: int,
    rows_per_user_day: float,
    videos: int | None,
    trail_effect: float,
) -> world.Settings:
    rows = users * max(days, 1) * rows_per_user_day
    if videos is None:
        videos = max(VIDEOS, round(rows / world.ROWS_PER_VIDEO))
    return world.Settings(
        users=users,
        days=days,
        seed=seed,
        start=datetime.date(2022, 4, 8),
        rows_per_user_day=rows_per_user_day,
        videos=videos,
        random_share=0.05,
        dirty_share=0.0,
        trail_effect=trail_effect,
    )


def _model_json(logs: pathlib.Path) -> dict:
    path = logs / "truth" / MODEL_FILE
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"--logs {logs}: must be what `trailrank simulate` wrote, with {path} "
            f"({error})."
        ) from None


def _settings_of(logs: pathlib.Path) -> world.Settings:
    """Of a simulation."""
    found = _model_json(logs)["settings"]
    start = datetime.date.fromisoformat(found["start"])
    return world.Settings(**{**found, "start": start})


def _constants(design: Design, logs: Place | None) -> behaviour.Intercepts:
    """Of behaviour in the feed: the simulation's, or calibrated as it calibrates."""
    if logs is None:
        return world.calibrate(world.create_world(design.settings)).feed
    found = _model_json(pathlib.Path(logs))["intercepts"]["feed"]
    numbers = pl.Series(found["interactions"]).to_numpy()
    return behaviour.Intercepts(**{**found, "interactions": numbers})


def _history(design: Design, logs: Place | None) -> pl.DataFrame:
    """Log lines of the days before the first served one."""
    columns = dict.fromkeys(LOG_COLUMNS, pl.Int64)
    if logs is None or not design.history_days:
        return pl.DataFrame(schema=columns)
    files = sorted(pathlib.Path(logs, "data").glob("log_*.csv"))
    try:
        lines = pl.concat([pl.read_csv(f, schema_overrides=columns) for f in files])
    except (OSError, pl.exceptions.PolarsError, ValueError) as error:
        raise ExperimentError(f"--logs {logs}: cannot be read: {error}") from None
    return lines.filter(pl.col("time_ms") < design.midnight_ms(0))


# --- serving --------------------------------------------------------------------------


def _serve(
    design: Design,
    spec: Spec,
    out: pathlib.Path,
    logs: Place | None,
    workers: int,
    report: Callable[[Progress], None],
) -> Experiment:
    """Serves what is not finished; the same files whoever serves what."""
    store = Store(out)
    store.begin(design, spec, "" if logs is None else _digest(logs))
    player = Player(design, spec, _constants(design, logs), out)
    store.write_tables(design, player.tables)
    nights = Nights(design, spec, out, player.tables) if design.retrain else None
    clock = _Clock(design, report)
    with Crew(player, store, workers) as crew:
        if player.needs_features and not store.sums_file(-1).exists():
            history = _history(design, logs)
            if nights is not None:
                nights.before(history)
            _remember(player, store, history)
        for day in range(design.played):
            _serve_day(player, store, crew, day, clock, nights)
    days = [
        pl.concat(
            store.read(store.users_file(day, shard))
            for shard in range(len(design.shards))
        )
        for day in range(design.played)
    ]
    return Experiment.of(
        design, player.measures, days, seconds=clock.seconds, fresh=clock.impressions
    )


def _remember(player: Player, store: Store, history: pl.DataFrame) -> None:
    """Writes what is known before the first served day."""
    design, parts = player.design, []
    for shard in range(len(design.shards)):
        known, sums = player.history(shard, history)
        store.write(store.known_file(shard), known)
        parts.append(sums)
    total = knowledge.add_sums({}, parts, player.spec, design.date(-1))
    store.write(store.sums_file(-1), total)


def _serve_day(
    player: Player,
    store: Store,
    crew: Crew,
    day: int,
    clock: _Clock,
    nights: Nights | None,
) -> None:
    """Serves a day's shards, then writes its log and what it adds to what is known.

    Models are retrained where there are nights, but for the last one: nobody would see
    what it brought.
    """
    design = player.design
    shards = range(len(design.shards))
    if store.day_is_whole(day):
        clock.skip(len(shards))
        return
    open_ones = [s for s in shards if not store.shard_file(day, s).exists()]
    clock.skip(len(shards) - len(open_ones))
    for impressions in crew.work([Task(day, shard) for shard in open_ones]):
        clock.tick(impressions)
    parts: list[ShardDay] = [store.read(store.shard_file(day, s)) for s in shards]
    if player.needs_features:
        before = store.read(store.sums_file(day - 1))
        total = knowledge.add_sums(
            before, [part.sums for part in parts], player.spec, design.date(day)
        )
        store.write(store.sums_file(day), total)
    store.write_log(design, day, [part.log for part in parts])
    if nights is not None and day + 1 < design.played:
        with clock.paused():
            nights.after(day, pl.concat([part.log for part in parts]))
    store.finish_day(day)


class _Clock:
    """Counts what is served, and how long the rest will take."""

    def __init__(self, design: Design, report: Callable[[Progress], None]):
        self._total = len(design.shards) * design.played
        self._report, self._done, self._served = report, 0, 0
        self.impressions = 0
        self._began = self._last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the beginning, up to what was served last."""
        return self._last - self._began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is done meanwhile is no serving."""
        paused = time.perf_counter()
        yield
        gone = time.perf_counter() - paused
        self._began += gone
        self._last += gone

    def skip(self, shards: int) -> None:
        self._done += shards
        if shards:
            self._tell()

    def tick(self, impressions: int) -> None:
        self._done += 1
        self._served += 1
        self.impressions += impressions
        self._last = time.perf_counter()
        self._tell()

    def _tell(self) -> None:
        left = None
        if self._served:
            left = self.seconds / self._served * (self._total - self._done)
        self._report(
            Progress(
                done=self._done,
                total=self._total,
                impressions=self.impressions,
                left_s=left,
            )
        )


def _digest(logs: Place) -> str:
    """What tells one simulation from another: its settings, and its files' sizes."""
    settings = _model_json(pathlib.Path(logs))["settings"]
    sizes = {
        file.name: file.stat().st_size
        for file in sorted(pathlib.Path(logs, "data").glob("log_*.csv"))
    }
    return json.dumps({"settings": settings, "sizes": sizes}, sort_keys=True)


def _write(found: Experiment, out: pathlib.Path) -> None:
    from pipeline.experiment import page
    from pipeline.reporting.files import write_bytes

    for name, content in page.files(found).items():
        write_bytes(out / name, content)

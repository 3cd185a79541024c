"""Writes a simulated KuaiRand: logs, features, and the truth beside them.

    OUT/data/log_standard_4_08_to_4_14_pure.csv   the feed
    OUT/data/log_random_4_08_to_4_14_pure.csv     the random slice of the same trails
    OUT/data/user_features_pure.csv
    OUT/data/video_features_basic_pure.csv
    OUT/data/video_features_statistic_pure.csv
    OUT/truth/impressions-00000.parquet ...       true probabilities of every row
    OUT/truth/model.json                          the parameters behind them
    OUT/truth/oracles.json                        what they are probabilities of

The truth is for studies only: nothing in the pipeline reads it. Logs are sorted by
user, then time. (user_id, video_id, time_ms) is unique but for the duplicated rows
that `dirty_share` asks for.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from collections.abc import Callable

import numpy as np

from feature_specs import locks
from feature_specs.places import Place
from pipeline.reporting.files import write_json
from pipeline.simulator import behaviour, exposure, features, population, world
from pipeline.simulator.block import LOG_COLUMNS, simulate_block
from pipeline.simulator.errors import SimulationError
from pipeline.simulator.oracles import ORACLES, ORACLES_FILE
from pipeline.simulator.summary import SimulationSummary, Totals

TABLES = ("user_features", "video_features_basic", "video_features_statistic")
MODEL_FILE = "model.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Paths:
    """Every file of a simulation, in the order of writing."""

    root: pathlib.Path
    first_day: datetime.date
    last_day: datetime.date
    blocks: int

    @classmethod
    def of(cls, root: pathlib.Path, settings: world.Settings) -> _Paths:
        """Of the logs that these settings make."""
        return cls(
            root=root,
            first_day=settings.start,
            last_day=settings.last_day,
            blocks=len(settings.blocks()),
        )

    def _log(self, kind: str) -> pathlib.Path:
        first, last = (
            f"{day.month}_{day.day:02d}" for day in (self.first_day, self.last_day)
        )
        return self.root / "data" / f"log_{kind}_{first}_to_{last}_pure.csv"

    @property
    def standard_log(self) -> pathlib.Path:
        return self._log("standard")

    @property
    def random_log(self) -> pathlib.Path:
        return self._log("random")

    def table(self, name: str) -> pathlib.Path:
        return self.root / "data" / f"{name}_pure.csv"

    @property
    def model(self) -> pathlib.Path:
        return self.root / "truth" / MODEL_FILE

    @property
    def oracles(self) -> pathlib.Path:
        return self.root / "truth" / ORACLES_FILE

    def truth(self, block: int) -> pathlib.Path:
        return self.root / "truth" / f"impressions-{block:05d}.parquet"

    def all(self) -> list[pathlib.Path]:
        return [
            self.standard_log,
            self.random_log,
            *(self.table(name) for name in TABLES),
            self.model,
            self.oracles,
            *(self.truth(block) for block in range(self.blocks)),
        ]


def _make_room(root: pathlib.Path) -> None:
    """Empties `root` of an earlier simulation; refuses anything else."""
    model = root / "truth" / MODEL_FILE
    names = json.loads(model.read_text())["files"] if model.exists() else []
    earlier = {root / name for name in names}
    for path in root.rglob("*"):
        mine = path in earlier or path.name == locks.NAME
        if not path.is_dir() and not mine:
            raise SimulationError(
                f"simulate: {root} must be empty or hold only an earlier simulation, "
                f"but there is {path.relative_to(root)}. Name another directory with "
                "--out, or empty this one."
            )
    for path in earlier:
        path.unlink(missing_ok=True)
    for folder in ("data", "truth"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def _model_json(made: world.World, kinds: world.Constants, paths: _Paths) -> str:
    """The generative parameters, for people and for studies."""
    last = behaviour.TRAIL_LAST_POSITION
    content = {
        "files": [str(path.relative_to(paths.root)) for path in paths.all()],
        "settings": vars(made.settings),
        "intercepts": {
            kind: {**vars(value), "interactions": value.interactions.tolist()}
            for kind, value in vars(kinds).items()
        },
        "interactions": population.INTERACTIONS,
        "interactions_need_valid_play": population.INTERACTIONS[:-1],
        "play_law": {
            "stay": "P(play >= t) = 1 / (1 + (t / exp(depth)) ** 4)",
            "swipe": "P(play >= t) = 1 / (1 + (t / exp(swipe)) ** 2)",
            "P(stay)": "sigmoid(watch)",
            "cap_s": behaviour.PLAY_CAP_S,
        },
        "trail": {
            "curve": f"g = log1p(min(position, {last})) / log1p({last})",
            "curve_values": behaviour.trail_curve(np.arange(last + 1)).tolist(),
            "effect_at_g_1": {
                name: made.settings.trail_effect * effect
                for name, effect in behaviour.TRAIL_EFFECT.items()
            },
            "p_and_u": "p_<signal> has the effect, u_<signal> has g = 0",
        },
        "group_match": dict(zip(population.GROUPS, exposure.GROUP_MATCH, strict=True)),
        "group_quality": dict(
            zip(population.GROUPS, exposure.GROUP_QUALITY, strict=True)
        ),
        "match_effect": behaviour.MATCH_EFFECT,
        "quality_effect": behaviour.QUALITY_EFFECT,
        "tab_effect": behaviour.TAB_EFFECT.tolist(),
        "day_effect": made.day_effect.tolist(),
        "random_pool_video_ids": sorted(
            made.videos.video_id[made.videos.random_pool].tolist()
        ),
    }
    return json.dumps(content, indent=1, default=str) + "\n"


def _write_blocks(
    made: world.World,
    kinds: world.Constants,
    paths: _Paths,
    on_progress: Callable[[int, int], None] | None,
) -> Totals:
    """Writes logs and truth block by block, so that memory does not grow."""
    totals = Totals(len(made.videos))
    blocks = made.settings.blocks()
    with paths.standard_log.open("wb") as standard, paths.random_log.open("wb") as rand:
        for log_file in (standard, rand):
            log_file.write(",".join(LOG_COLUMNS).encode() + b"\n")
        for block, members in enumerate(blocks):
            log, truth = simulate_block(made, block, members, kinds)
            totals.add(log, truth)
            for kind, log_file in enumerate((standard, rand)):
                lines = log.filter(log["is_rand"] == kind).drop("video")
                lines.write_csv(log_file, include_header=False)
            truth.write_parquet(paths.truth(block))
            if on_progress:
                on_progress(block + 1, len(blocks))
    return totals


def _write_tables(made: world.World, totals: Totals, paths: _Paths) -> None:
    start, days = made.settings.start, made.settings.days
    rng = made.settings.random_generator(world.TABLES)
    tables = (
        features.user_features(rng, made.users),
        features.video_features_basic(rng, made.videos, start),
        features.video_features_statistic(rng, made.videos, totals.counters, days),
    )
    for name, table in zip(TABLES, tables, strict=True):
        table.write_csv(paths.table(name))


def simulate(
    out_dir: Place,
    *,
    users: int,
    days: int,
    seed: int = 0,
    start: datetime.date = datetime.date(2022, 4, 8),
    rows_per_user_day: float = 381.0,
    videos: int | None = None,
    random_share: float = 0.05,
    dirty_share: float = 0.001,
    trail_effect: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> SimulationSummary:
    """Writes a simulated KuaiRand to `out_dir`.

    The same arguments give the same bytes. An earlier simulation in `out_dir` is
    replaced; any other file there is an error.

    >>> summary = trailrank.simulate("logs", users=3, days=2, rows_per_user_day=40)
    >>> summary.users, str(summary.last_day)
    (3, '2022-04-09')

    Args:
        out_dir: Created where it is missing.
        users: Users; rows per user are lognormal around the mean.
        days: Calendar days in China time.
        seed: Of all draws.
        start: First day.
        rows_per_user_day: Mean impressions, random ones included.
        videos: Videos; by default one for 14 expected rows (at least 160), as a video
            of 27K's tail has about ten impressions.
        random_share: Share of the impressions that show a random video. The default
            leaves enough of them to measure on; 27K has 0.004, Pure 0.45.
        dirty_share: Share of rows with a dirty value, in three equal parts: videos of
            33 ms or 9 h, play times of hours, duplicated lines. All are valid lines.
        trail_effect: How many times the usual effect the watch trail has on every
            behaviour; 0 is none. The rates of the labels stay KuaiRand's.
        on_progress: Called with (blocks done, blocks in all).

    Raises:
        SimulationError: An argument is out of range, or `out_dir` holds other files.
    """
    settings = world.Settings(
        users=users,
        days=days,
        seed=seed,
        start=start,
        rows_per_user_day=rows_per_user_day,
        videos=videos,
        random_share=random_share,
        dirty_share=dirty_share,
        trail_effect=trail_effect,
    )
    return _simulate(settings, pathlib.Path(out_dir), on_progress)


def _simulate(
    settings: world.Settings,
    root: pathlib.Path,
    on_progress: Callable[[int, int], None] | None,
) -> SimulationSummary:
    paths = _Paths.of(root, settings)
    if root.is_file():
        raise SimulationError(
            f"simulate: --out must be a directory, got the file {root}. Name another."
        )
    with locks.owned(root):
        _make_room(root)
        made = world.create_world(settings)
        kinds = world.calibrate(made)
        # First, so that an interrupted run is known as ours and can be replaced.
        paths.model.write_text(_model_json(made, kinds, paths))
        totals = _write_blocks(made, kinds, paths, on_progress)
        _write_tables(made, totals, paths)
        write_json(paths.oracles, ORACLES)  # last: what has it is a whole simulation
    return totals.summary(settings, tuple(str(path) for path in paths.all()))

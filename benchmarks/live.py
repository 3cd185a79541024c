"""Live tables: variants trained on the same logs serve simulated users side by side.

    world of a seed: simulated logs -> examples of the first days, their encoding
    -> each variant trained on them, exported
    -> `trailrank.experiment` on the days after, the control and all treatments in one,
       some times, each with another split of the users
    -> each treatment's relative changes, averaged over splits and worlds

The tables (`live_table1.py` and others) only say which variants there are, which one is
the control, and which measures are columns. Two intervals go with each mean, 95 %:

- by users: from the experiments' own intervals (delta method, CUPED). Worlds are
  independent, and so are splits of the same users, as each is drawn by itself. It takes
  the trained models as they are, as a live experiment does.
- over worlds: Student's t. Users, videos, training rows and the training's seed differ
  between worlds, so this says what to expect of another training.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import hashlib
import json
import math
import os
import pathlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import measured
import rich.console
import simulated
import tensorflow as tf

import trailrank
from feature_specs import ModelConfig, Spec, load_spec, read_spec, views
from pipeline.examples.days import DayRange
from pipeline.experiment.design import Arm
from pipeline.experiment.effects import Effect
from pipeline.experiment.measures import ENJOYMENT
from pipeline.experiment.result import Experiment
from pipeline.reporting.files import plain
from pipeline.reporting.intervals import Summary, summarise
from pipeline.reporting.tables import SIGNIFICANT, new_table
from trainer.days.folders import find_days

# Dense ones first, then sparse ones: few, for each model predicts all of them for every
# candidate, and so many that a live table can count the events of one arm.
DENSE = ("valid_play", "long_view", "watch_time", "skip")
SPARSE = ("like", "profile_enter")
TASKS = (*DENSE, *SPARSE)
# Of the fused score: those of `kuairand`, and the sparse tasks of their own.
_FUSION = {
    "valid_play": 0.5,
    "long_view": 1.0,
    "watch_time": 0.5,
    "skip": -0.3,
    "like": 0.2,
    "profile_enter": 0.1,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large an experiment is.

    Attributes:
        users: Of a world; all arms share them.
        history_days: Days of logs, which models are trained on.
        history_rows: Their mean rows of a user on a day.
        pre_days: Days after them on which the control serves all.
        days: Days on which every arm serves its own users.
        rows: Impressions that the mean user has time for on a served day.
        candidates: Most a request.
        trail_effect: Of the simulator, 1 is its usual one.
    """

    users: int
    history_days: int
    history_rows: float
    pre_days: int
    days: int
    rows: float
    candidates: int
    trail_effect: float = 1.0

    @property
    def served(self) -> int:
        """Days of the experiment."""
        return self.pre_days + self.days


Found = dict[int, list[Experiment]]  # seed of a world -> one experiment a split

FULL = Sizes(
    users=300,
    history_days=4,
    history_rows=80,
    pre_days=2,
    days=5,
    rows=40,
    candidates=60,
)
SEEDS = tuple(simulated.log_numbers(2))  # of worlds
SPLITS = 4  # of each world's users
QUICK = Sizes(
    users=60,
    history_days=2,
    history_rows=40,
    pre_days=1,
    days=1,
    rows=15,
    candidates=20,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What one arm's model is trained with.

    Attributes:
        preset: Of the model.
        has_trail: Whether it is trained on trail features, in towers of their own.
    """

    preset: ModelConfig
    has_trail: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveTable:
    """A live table of a paper.

    Attributes:
        title: Of what is printed.
        name: Of the JSON line, and of folders.
        variants: Name -> variant; the first is the control.
        columns: Head -> measure; overall enjoyment comes before them.
        quick: Names of the variants of `--quick`, the control first.
    """

    title: str
    name: str
    variants: Mapping[str, Variant]
    columns: Mapping[str, str]
    quick: Sequence[str]

    @property
    def measures(self) -> dict[str, str]:
        """Head -> measure, of all columns."""
        return {"Overall Enjoyment": ENJOYMENT, **self.columns}

    def only(self, names: Sequence[str]) -> LiveTable:
        """With some of the variants."""
        kept = {name: self.variants[name] for name in names}
        return dataclasses.replace(self, variants=kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """A simulated world whose first days are examples.

    Attributes:
        folder: Has all that is made of it.
        seed: Of the world, of trainings on it and of experiments in it.
        spec: Of the examples.
    """

    folder: pathlib.Path
    seed: int
    spec: Spec

    @property
    def logs(self) -> pathlib.Path:
        return self.folder / "logs"

    @property
    def examples(self) -> pathlib.Path:
        return self.folder / "examples"

    @property
    def encoding(self) -> pathlib.Path:
        return self.folder / "encoding"


def main(table: LiveTable, description: str) -> None:
    """Runs the table's experiments as the command line says, and prints it."""
    args = _arguments(description)
    sizes = QUICK if args.quick else FULL
    asked = {
        name: value
        for name in ("users", "trail_effect")
        if (value := getattr(args, name)) is not None
    }
    sizes = dataclasses.replace(sizes, **asked)
    seeds = args.seeds or (SEEDS[:1] if args.quick else SEEDS)
    splits = args.splits or (1 if args.quick else SPLITS)
    chosen = table.only(table.quick) if args.quick else table
    console = rich.console.Console(width=measured.COLUMNS)
    began = _cpu_s()
    with simulated.work_folder(args.work) as work:
        found = run(chosen, sizes, seeds, splits, work, console, args.workers)
    console.print(shown(chosen, found))
    print(json.dumps(summary(chosen, sizes, found, _cpu_s() - began)))


def _arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="two variants in one tiny world")
    add("--work", help="folder that keeps worlds, models and experiments")
    told = ", ".join(map(str, SEEDS))
    add("--seeds", type=int, nargs="+", help=f"of worlds, one each ({told})")
    add("--splits", type=int, help=f"of the users of each world ({SPLITS})")
    add("--users", type=int, help=f"of each world ({FULL.users})")
    add("--trail_effect", type=float, help="of the simulator (1)")
    add("--workers", type=int, default=1, help="processes that serve (1)")
    return parser.parse_args()


def _cpu_s() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def run(
    table: LiveTable,
    sizes: Sizes,
    seeds: Sequence[int],
    splits: int,
    work: pathlib.Path,
    console: rich.console.Console,
    workers: int = 1,
) -> Found:
    """Trains and serves; `work` keeps what is finished."""
    found: Found = {}
    for seed in seeds:
        world = make_world(work, live_spec(), sizes, seed)
        arms = []
        for name, variant in table.variants.items():
            console.print(f"world {seed}: {name}", highlight=False)
            model = train_and_export(world, variant)
            arms.append(Arm(name=name, kind="model", model=str(model)))
        found[seed] = []
        for split in range(splits):
            one = trailrank.experiment(
                world.folder / "experiments" / f"{_digest(table, sizes)}-{split}",
                arms[0],
                arms[1:],
                logs=world.logs,
                spec=world.spec,
                days=sizes.days,
                pre_days=sizes.pre_days,
                candidates=sizes.candidates,
                rows_per_user_day=sizes.rows,
                seed=seed + 1_000 * split,
                workers=workers,
            )
            line = f"world {seed}, split {split}: {one.impressions:,} impressions"
            console.print(line, highlight=False)
            found[seed].append(one)
    return found


# --- worlds and models ----------------------------------------------------------------


def live_spec() -> Spec:
    """The shipped spec with the tables' tasks alone, and a fused score of them."""
    whole = load_spec("kuairand")
    fusion = dataclasses.replace(whole.fusion, weights=_FUSION, transforms={})
    few = dataclasses.replace(
        whole, tasks=tuple(whole.task(name) for name in TASKS), fusion=fusion
    )
    return read_spec(views.written(few))


def without_trail(spec: Spec) -> Spec:
    """The spec without trail features: a model without trail towers."""
    kept = tuple(f for f in spec.features if f.group != "trail")
    return dataclasses.replace(spec, features=kept)


def make_world(work: pathlib.Path, spec: Spec, sizes: Sizes, seed: int) -> World:
    """Simulates a world and makes the examples of its first days, once in `work`."""
    decides = [sizes.users, sizes.history_days, sizes.history_rows, sizes.served]
    size = "-".join(f"{value:g}" for value in (*decides, sizes.trail_effect))
    meaning = views.digest(spec, views.ENCODING)
    folder = work / f"world-{size}-seed{seed}-{meaning}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=work) as name:
            made = World(folder=pathlib.Path(name, "whole"), seed=seed, spec=spec)
            _simulate(made, sizes)
            with contextlib.suppress(OSError):  # another table was faster
                made.folder.rename(folder)
    return World(folder=folder, seed=seed, spec=spec)


def _simulate(world: World, sizes: Sizes) -> None:
    days = DayRange.parse(f"20220408:{20220408 + sizes.history_days - 1}")
    with simulated.silent():  # the imports warn
        trailrank.simulate(
            str(world.logs),
            users=sizes.users,
            days=sizes.history_days + sizes.served,
            rows_per_user_day=sizes.history_rows,
            trail_effect=sizes.trail_effect,
            seed=world.seed,
        )
        trailrank.make_examples(
            world.spec,
            world.logs / "data",
            world.examples,
            days=str(days),
            eval_days=0,
            learned_through=str(days).split(":")[1],
            allow_small_days=True,
        )
        trailrank.make_encoding(world.spec, world.examples, world.encoding)


def train_and_export(world: World, variant: Variant) -> pathlib.Path:
    """The directory of the variant's model, trained in the world if it is not there."""
    spec = world.spec if variant.has_trail else without_trail(world.spec)
    model = world.folder / "models" / _of(dataclasses.asdict(variant)) / "1"
    if model.exists():
        return model
    ranker = simulated.fit(
        spec,
        variant.preset,
        find_days(str(world.examples)),
        str(world.encoding),
        world.seed,
    )
    with simulated.silent():
        trailrank.export(ranker, world.encoding, spec, model)
    del ranker
    tf.keras.backend.clear_session()
    gc.collect()
    return model


def _digest(table: LiveTable, sizes: Sizes) -> str:
    """What tells an experiment in a world from others in it."""
    variants = {n: dataclasses.asdict(v) for n, v in table.variants.items()}
    return f"{table.name}-{_of([dataclasses.asdict(sizes), variants])}"


def _of(told: Any) -> str:
    text = json.dumps(told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- what came out --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pooled:
    """A treatment's relative change of a measure, averaged over splits and worlds.

    Attributes:
        change: 0.02 is 2 % more; NaN where a world has too few events to tell.
        half_users: Half of its 95 % interval by users, for these trained models.
        over_worlds: Of the worlds' changes: its interval is for other trainings, too.
    """

    change: float
    half_users: float
    over_worlds: Summary

    @property
    def is_significant(self) -> bool:
        """Whether the interval by users leaves 0 out."""
        return abs(self.change) > self.half_users

    @property
    def is_significant_over_worlds(self) -> bool:
        """Whether that over worlds does."""
        return abs(self.change) > self.over_worlds.half


def pooled(by_world: Sequence[Sequence[Effect]]) -> Pooled:
    """The mean over worlds of one effect a split of each; all are independent.

    A world's splits are added up before they are compared, the treatments' sum over the
    controls' sum: so each split's relative change weighs as its control does. A mean of
    ratios over few events would be too high.
    """
    changes, halves = [], []
    for effects in by_world:
        controls = [one.control for one in effects]
        weights = [control / sum(controls) for control in controls]
        told = list(zip(weights, effects, strict=True))
        changes.append(sum(weight * one.change for weight, one in told))
        halves.append(math.hypot(*(weight * one.half for weight, one in told)))
    over = summarise(changes)
    whole = over.n == len(by_world)
    return Pooled(
        change=over.mean if whole else math.nan,
        half_users=math.hypot(*halves) / len(halves),
        over_worlds=over,
    )


def effects(found: Found, variant: str, measure: str) -> Pooled:
    """Of a treatment in all worlds."""
    return pooled(
        [[one.effect(variant, measure) for one in splits] for splits in found.values()]
    )


def cell(one: Pooled) -> str:
    """`+0.39 % ±0.30* (±1.20)`: by users, and over worlds where there are several."""
    if math.isnan(one.change):
        return "-"
    told = f"{100 * one.change:+.2f} % ±{100 * one.half_users:.2f}"
    told += SIGNIFICANT * one.is_significant
    if math.isnan(one.over_worlds.half):
        return told
    star = SIGNIFICANT * one.is_significant_over_worlds
    return f"{told} (±{100 * one.over_worlds.half:.2f}{star})"


def shown(table: LiveTable, found: Found) -> rich.table.Table:
    """In the shape of the paper's: a row a treatment, a column a measure."""
    control, *treatments = table.variants
    title = f"{table.title}: relative change over {control}"
    told = new_table(title, ["", *table.measures])
    values = (control_value(found, measure) for measure in table.measures.values())
    told.add_row(control, *(f"{value:.4g}" for value in values))
    for name in treatments:
        changes = (cell(effects(found, name, m)) for m in table.measures.values())
        told.add_row(name, *changes)
    told.caption = (
        f"Worlds: {len(found)}, splits: {len(_all(found)) // len(found)}; ± 95 % by "
        "users, CUPED (in brackets: over worlds, Student's t); * leaves 0 out. The "
        "control's row has values."
    )
    return told


def control_value(found: Found, measure: str) -> float:
    """The control's own, the mean over worlds."""
    return statistics.fmean(one.value(one.control, measure) for one in _all(found))


def _all(found: Found) -> list[Experiment]:
    return [one for splits in found.values() for one in splits]


def summary(
    table: LiveTable, sizes: Sizes, found: Found, seconds: float
) -> dict[str, Any]:
    """What the last line says."""
    control, *treatments = table.variants
    return {
        "study": table.name,
        "control": control,
        "values": {m: plain(control_value(found, m)) for m in table.measures.values()},
        "changes": {
            name: {m: _told(found, name, m) for m in table.measures.values()}
            for name in treatments
        },
        "seeds": list(found),
        "users": {
            name: [one.users_of(name) for one in _all(found)] for name in table.variants
        },
        "splits": len(_all(found)) // len(found),
        "impressions": sum(one.impressions for one in _all(found)),
        "sizes": dataclasses.asdict(sizes),
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _told(found: Found, name: str, measure: str) -> dict[str, Any]:
    whole = effects(found, name, measure)
    each = {
        seed: [one.effect(name, measure) for one in splits]
        for seed, splits in found.items()
    }
    return plain(
        {
            "change": whole.change,
            "half_users": whole.half_users,
            "half_worlds": whole.over_worlds.half,
            "worlds": {
                str(seed): [[one.change, one.half] for one in splits]
                for seed, splits in each.items()
            },
        },
        figures=6,
    )

"""Does a meta learner find the loss weight that a grid on all data finds (SFV table 3)?

    python benchmarks/study_weights.py [--quick] [--work DIR] [--out DIR]

One log: a dense task and sparse ones of rising rarity, drawn as in MMoE's synthetic
study (Ma et al., KDD 2018, sec. 3.2): each task has a direction in the space of the
inputs, half of which all tasks share; a score is the projection on it, plus waves of
it, and labels are drawn with probability sigmoid(c * score + b). Two of the sparse
tasks, with label means of 1e-3 and 1.4e-4, are held out in turn, and `trailrank weights
select` chooses their weight on a share of the rows, with all rivals on all rows.

Seeds draw first weights, order of rows and the sample; the log stays. Intervals are
95 % of Student's t over them, paired. Processor seconds are those of all cores.

Prints tables, and as the last line one JSON object; `--out` gets the figures, `--work`
keeps rows and trainings for another run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import time
from typing import Any

import measured
import numpy as np
import rich.console
import simulated  # first of all that imports TensorFlow: it silences its log
import tensorflow as tf

import trailrank
from feature_specs import Spec, label_key, mask_key, read_preset, read_spec
from pipeline.reporting import figures
from pipeline.reporting.files import write_bytes
from pipeline.weight_selection import plot, report
from pipeline.weight_selection.findings import META, Selection
from pipeline.weight_selection.options import RIVALS, WeightOptions
from pipeline.weight_selection.run import Listener
from tpu_configs import SliceConfig

_INPUTS, _WAVES = 16, 4
_SHARED = 0.5  # cosine of any two tasks' directions
_STEEPNESS = 1.5  # c: a standard deviation of the score is so much in the log of odds
_LOG = 0  # seed of directions and rows
_BLOCK = 50_000  # rows drawn at once
_SLICE = SliceConfig(
    name="study", accelerator="cpu", batch_size=1024, steps_per_call=16
)
_PRESET = """
bottom: [32]
switcher: {kind: mmoe, experts: 4, units: [16]}
tower: [8]
optimizer: {kind: adam, learning_rate: 0.003}
"""


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What is trained.

    Attributes:
        rows: Of the day to train on and of the one that judges.
        means: Task -> label mean; the first one is dense.
        sample: Share of the rows.
        held_out: Tasks whose weight is chosen -> options of their own.
        options: What else is not a default.
    """

    rows: tuple[int, int]
    means: dict[str, float]
    sample: float
    held_out: dict[str, dict[str, Any]]
    options: dict[str, Any]


_FULL = _Sizes(
    (500_000, 200_000),
    {
        "dense": 0.5,
        "one_in_100": 1e-2,
        "one_in_300": 1 / 300,
        "one_in_1000": 1e-3,
        "one_in_3000": 1 / 3000,
        "one_in_7000": 1 / 7000,
    },
    0.2,
    {
        "one_in_1000": {"candidates": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)},
        "one_in_7000": {
            "candidates": (1.0, 10.0, 100.0, 1000.0),
            "rivals": ("uniform", "grid"),
        },
    },
    {"seeds": 3, "weights": (1.0, 30.0, 1000.0), "rivals": RIVALS},
)
_QUICK = _Sizes(
    (4_000, 2_000),
    {"dense": 0.5, "one_in_10": 0.1, "one_in_20": 0.05, "one_in_30": 1 / 30},
    0.5,
    {"one_in_30": {}},
    {
        "seeds": 1,
        "weights": (1.0, 100.0),
        "candidates": (1.0, 10.0),
        "rivals": ("uniform", "grid"),
        "runs": 3,
    },
)


def main() -> None:
    """Selects the weights, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        spec = make_spec(sizes.means)
        examples = make_log(work, sizes.rows, sizes.means)
        found = {}
        for task in sizes.held_out:
            own = found[task] = _select(work / task, spec, examples, task, sizes)
            _show(own, console)
            if args.out:
                file = pathlib.Path(args.out) / f"study_weights_{task}.png"
                write_bytes(file, figures.png(plot.draw(own)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(found, sizes, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--work", help="folder that keeps rows and trainings")
    parser.add_argument("--out", help="folder for the figures")
    return parser.parse_args()


# --- data -----------------------------------------------------------------------------


def make_spec(means: dict[str, float]) -> Spec:
    """Inputs and tasks; those with a label mean below 0.2 are sparse."""
    names = [f"x{i}" for i in range(_INPUTS)]
    sides = ["query", "candidate"]
    features = "\n".join(
        f"  - {{name: {name}, group: {sides[i % 2]}, kind: number, scale: none}}"
        for i, name in enumerate(names)
    )
    tasks = "\n".join(
        f'  - {{name: {task}, kind: binary, label: "{task} = 1"'
        + (", sparse: true}" if mean < 0.2 else "}")
        for task, mean in means.items()
    )
    columns = ", ".join(f"{name}: float64" for name in (*names, *means))
    return read_spec(
        f"""
name: weights
log:
  files: none.csv
  user: user
  item: item
  time: {{column: time_ms}}
  columns: {{user: int64, item: int64, time_ms: int64, {columns}}}
  outcomes: [{", ".join(means)}]
features:
{features}
tasks:
{tasks}
fusion: {{weights: {{{next(iter(means))}: 1.0}}}}
"""
    )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Where labels come from.

    Attributes:
        directions: [tasks, inputs], of length 1.
        waves: [tasks, waves, 2], factor and shift of each.
        biases: [tasks], b of each.
    """

    directions: np.ndarray
    waves: np.ndarray
    biases: np.ndarray

    @classmethod
    def drawn(cls, seed: int, means: list[float]) -> Recipe:
        """One whose tasks have these label means."""
        rng = np.random.default_rng([seed, 0])
        axes = np.linalg.qr(rng.normal(size=(_INPUTS, len(means) + 1)))[0].T
        own = math.sqrt(1 - _SHARED) * axes[1:]
        directions = math.sqrt(_SHARED) * axes[0] + own
        waves = rng.uniform(0.5, 2.0, (len(means), _WAVES, 2))
        unbiased = cls(directions, waves, np.zeros(len(means)))
        scores = unbiased.scores(rng.normal(size=(200_000, _INPUTS)))
        biases = [_bias(s, mean) for s, mean in zip(scores.T, means, strict=True)]
        return dataclasses.replace(unbiased, biases=np.array(biases))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """x [N, inputs] -> c * score + b, [N, tasks]."""
        along = x @ self.directions.T
        factor, shift = self.waves[..., 0], self.waves[..., 1]
        waves = np.sin(along[..., np.newaxis] * factor + shift).sum(axis=2)
        return _STEEPNESS * (along + waves / _WAVES) + self.biases


def _bias(scores: np.ndarray, mean: float) -> float:
    """b with which sigmoid(score + b) has the mean, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        if sigmoid(scores + middle).mean() < mean:
            low = middle
        else:
            high = middle
    return middle


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Of log odds, the probability."""
    return 1 / (1 + np.exp(-x))


def make_log(
    work: pathlib.Path, rows: tuple[int, int], means: dict[str, float]
) -> pathlib.Path:
    """Encoded examples of two days, if `work` does not have them."""
    recipe = Recipe.drawn(_LOG, list(means.values()))
    folder = work / f"examples-{rows[0]}-{rows[1]}-{len(means)}"
    for day, count in enumerate(rows):
        file = folder / f"Split-day-2024010{day + 1}" / "data.gz"
        if file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with tf.io.TFRecordWriter(str(part), "GZIP") as writer:
            for begin in range(0, count, _BLOCK):
                rng = np.random.default_rng([_LOG, day + 1, begin])
                size = min(_BLOCK, count - begin)
                x = rng.normal(size=(size, _INPUTS)).astype(np.float32)
                chances = sigmoid(recipe.scores(x))
                _write(writer, x, rng.random(chances.shape) < chances, list(means))
        part.rename(file)
    return folder


def _write(
    writer: tf.io.TFRecordWriter, x: np.ndarray, labels: np.ndarray, tasks: list[str]
) -> None:
    names = [f"x{i}" for i in range(_INPUTS)]
    names += [label_key(task) for task in tasks] + [mask_key(task) for task in tasks]
    values = np.concatenate([x, labels, np.ones_like(labels)], axis=1)
    for row in values.astype(np.float32).tolist():
        example = tf.train.Example()
        feature = example.features.feature
        for name, value in zip(names, row, strict=True):
            feature[name].float_list.value.append(value)
        writer.write(example.SerializeToString())


# --- selecting ------------------------------------------------------------------------


class _Progress(Listener):
    """A line a training, on the error stream's side of the tables."""

    def training(self, number: int, total: int, trial: Any, left_s: Any) -> None:
        left = "" if left_s is None else f", about {left_s / 60:.0f} min to go"
        print(f"{number}/{total} {trial.entrant.name}, seed {trial.seed}{left}")


def _select(
    out: pathlib.Path,
    spec: Spec,
    examples: pathlib.Path,
    task: str,
    sizes: _Sizes,
) -> Selection:
    tf.get_logger().setLevel("ERROR")  # a ranker's step is traced for every ranker
    return trailrank.select_weight(
        task,
        read_preset(_PRESET),
        out,
        spec=spec,
        examples=examples,
        options=WeightOptions(
            sample=sizes.sample, **(sizes.options | sizes.held_out[task])
        ),
        slice=_SLICE,
        listener=_Progress(),
    )


def _show(found: Selection, console: rich.console.Console) -> None:
    for table in (
        report.votes_table(found),
        report.held_out_table(found),
        report.ways_table(found),
    ):
        if table is not None:
            console.print(table)
    for note in (report.method(found), *found.notes):
        console.print(note, highlight=False, markup=False)


def _summary(
    found: dict[str, Selection], sizes: _Sizes, seconds: float
) -> dict[str, Any]:
    def told(own: Selection) -> dict[str, Any]:
        values = report.summary(own)
        kept = ("weight", "votes", "ways", "held_out", "positives", "compared_with")
        ways = {way.name: way for way in own.ways}
        cost = ways[META].selecting_s / ways[own.baseline].selecting_s
        return {key: values[key] for key in kept} | {"cost_of_grid": round(cost, 3)}

    return {
        "study": "weights",
        "rows": sizes.rows,
        "label_means": {task: round(mean, 6) for task, mean in sizes.means.items()},
        "seeds": sizes.options["seeds"],
        "sample": sizes.sample,
        "selections": {task: told(own) for task, own in found.items()},
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


if __name__ == "__main__":
    main()

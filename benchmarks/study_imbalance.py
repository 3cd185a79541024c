"""Which treatment of rare labels helps a sparse task beside a dense one (SFV fig. 4)?

    python benchmarks/study_imbalance.py [--quick] [--work DIR] [--out DIR]

Synthetic data in the manner of MMoE (Ma et al., KDD 2018, sec. 3.2): each task has a
direction in the space of the inputs, and the cosine of the two is set; a score is the
projection on it, plus waves of it. Labels are drawn with probability sigmoid(c * score
+ b), c the same for both tasks, b such that the dense task's label mean is 0.5 and the
sparse one's what is asked for. The ranker itself is trained, one pass, with every
strategy of `imbalance`, `loss_weights` and `separate` in turn, on the same rows and
from the same weights. A seed draws directions, rows and weights.

Test rows count as positives with their true probability, so that no luck of labels is
in an AUC, which a label mean of 1e-6 would have none of. Calibration is the mean
prediction over the mean probability. Intervals are 95 % of Student's t over seeds,
paired.

Prints tables, and as the last line one JSON object; `--out` gets study_imbalance.png,
`--work` keeps results for another run. One thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import measured
import numpy as np
import rich.console
import scipy.optimize
import simulated  # first of all that imports TensorFlow: it silences its log
import tensorflow as tf
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Results

from feature_specs import ModelConfig, Spec, read_preset, read_spec
from feature_specs.imbalance import ImbalanceConfig
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import gain_text, new_table
from trainer.days import averaging, optimizers
from trainer.model.ranker import Batch, Ranker

_INPUTS, _WAVES = 32, 4
_COSINE = 0.5  # of the two tasks' directions
_STEEPNESS = 1.5  # c: a standard deviation of the score is so much in the log of odds
_BATCH = 1024
_TEST_ROWS = 100_000
_DENSE, _SPARSE = "dense", "sparse"
_FACTOR = 50.0  # of upweighting, as SFV sec. 6.3.2 settles for
_NONE, _SEPARATE = "none", "separate"

_PRESET = """
bottom: [64]
switcher: {kind: mmoe, experts: 4, units: [32]}
tower: [16]
optimizer: {kind: adam, learning_rate: 0.003}
"""


def _strategies() -> dict[str, ModelConfig]:
    """Name -> preset."""
    plain = read_preset(_PRESET)

    def with_rare(**said: Any) -> ModelConfig:
        own = {_SPARSE: ImbalanceConfig(**said)}
        return dataclasses.replace(plain, imbalance=own)

    return {
        _NONE: plain,
        f"upweighted {_FACTOR:g}": dataclasses.replace(
            plain, loss_weights={_SPARSE: _FACTOR}
        ),
        f"positives times {_FACTOR:g}": with_rare(positive_weight=_FACTOR),
        f"up-sampled {_FACTOR:g}": with_rare(positive_rate=_FACTOR),
        "down-sampled to 0.1": with_rare(negative_rate=0.1),
        "balanced 0.5": with_rare(balance=0.5),
        "focal": with_rare(loss="focal"),
        "class-balanced": with_rare(loss="class_balanced"),
        _SEPARATE: dataclasses.replace(plain, separate=(_SPARSE,)),
    }


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What is trained.

    Attributes:
        rows: Of a training.
        means: Label means of the sparse task.
        seeds: Trainings of each strategy and label mean.
    """

    rows: int
    means: tuple[float, ...]
    seeds: int


_FULL = _Sizes(1_000_000, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2), seeds=5)
_QUICK = _Sizes(20_000, (1e-2,), seeds=2)


def main() -> None:
    """Trains all strategies, prints what came out."""
    args = _arguments()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        found = _run(work, sizes, console)
    for mean in sizes.means:
        console.print(_table(found[mean], mean, sizes))
    if args.out:
        file = pathlib.Path(args.out) / "study_imbalance.png"
        write_bytes(file, figures.png(_draw(found, sizes)))
    print(json.dumps(_summary(found, sizes, time.process_time() - began)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--work", help="folder that keeps results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


# --- data -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Where labels come from.

    Attributes:
        directions: [2, inputs], of length 1.
        waves: [2, waves, 2], factor and shift of each.
        biases: [2], b of each task.
    """

    directions: np.ndarray
    waves: np.ndarray
    biases: np.ndarray

    @classmethod
    def drawn(cls, seed: int, mean: float) -> Recipe:
        """One whose tasks have label means of 0.5 and `mean`."""
        rng = np.random.default_rng([seed, 0])
        first, other = np.linalg.qr(rng.normal(size=(_INPUTS, 2)))[0].T
        turned = _COSINE * first + math.sqrt(1 - _COSINE**2) * other
        waves = rng.uniform(0.5, 2.0, (2, _WAVES, 2))
        unbiased = cls(np.stack([first, turned]), waves, np.zeros(2))
        scores = unbiased.scores(rng.normal(size=(200_000, _INPUTS)))
        biases = [_bias(s, m) for s, m in zip(scores.T, (0.5, mean), strict=True)]
        return dataclasses.replace(unbiased, biases=np.array(biases))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """x [N, inputs] -> c * score + b, [N, 2]."""
        along = x @ self.directions.T
        factor, shift = self.waves[..., 0], self.waves[..., 1]
        waves = np.sin(along[..., np.newaxis] * factor + shift).sum(axis=2)
        return _STEEPNESS * (along + waves / _WAVES) + self.biases


def _bias(scores: np.ndarray, mean: float) -> float:
    def excess(bias: float) -> float:
        return float(_sigmoid(scores + bias).mean() - mean)

    return float(scipy.optimize.brentq(excess, -60.0, 60.0))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _inputs(seed: int, stream: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng([seed, stream])
    return rng.normal(size=(rows, _INPUTS)).astype(np.float32)


def _spec() -> Spec:
    names = [f"x{i}" for i in range(_INPUTS)]
    sides = ["query", "candidate"]
    features = "\n".join(
        f"  - {{name: {name}, group: {sides[i % 2]}, kind: number, scale: none}}"
        for i, name in enumerate(names)
    )
    columns = ", ".join(f"{name}: float64" for name in (*names, _DENSE, _SPARSE))
    return read_spec(
        f"""
name: imbalance
log:
  files: none.csv
  user: user
  item: item
  time: {{column: time_ms}}
  columns: {{user: int64, item: int64, time_ms: int64, {columns}}}
  outcomes: [{_DENSE}, {_SPARSE}]
features:
{features}
tasks:
  - {{name: {_DENSE}, kind: binary, label: "{_DENSE} = 1"}}
  - {{name: {_SPARSE}, kind: binary, label: "{_SPARSE} = 1", sparse: true}}
fusion: {{weights: {{{_DENSE}: 1.0}}}}
"""
    )


# --- trainings ------------------------------------------------------------------------


def _run(
    work: pathlib.Path, sizes: _Sizes, console: rich.console.Console
) -> dict[float, Results]:
    """Label mean -> strategy -> (seed, 0) -> measures."""
    spec, strategies = _spec(), _strategies()
    found: dict[float, Results] = {mean: {} for mean in sizes.means}
    for seed in range(sizes.seeds):
        for mean in sizes.means:
            for name, config in strategies.items():
                decides = {
                    "study": "imbalance",
                    "config": dataclasses.asdict(config),
                    "rows": sizes.rows,
                    "mean": mean,
                    "seed": seed,
                }
                measures = simulated.keep(
                    work,
                    decides,
                    lambda: _measure(spec, config, sizes.rows, mean, seed),  # noqa: B023
                )
                found[mean].setdefault(name, {})[seed, 0] = measures
                line = f"seed {seed}, label mean {mean:g}, {name}: AUC of sparse "
                line += f"{measures['auc sparse']:.4f}, dense "
                line += f"{measures['auc dense']:.4f}, calibration "
                line += f"{measures['calibration sparse']:.3f}"
                console.print(line, highlight=False, soft_wrap=True)
    return found


def _measure(
    spec: Spec, config: ModelConfig, rows: int, mean: float, seed: int
) -> dict[str, float]:
    """Trains a ranker and judges it against the truth."""
    recipe = Recipe.drawn(seed, mean)
    x = _inputs(seed, 1, rows)
    draws = np.random.default_rng([seed, 2]).random((rows, 2))
    labels = (draws < _sigmoid(recipe.scores(x))).astype(np.float32)
    ranker = _trained(spec, config, x, labels, seed)
    x = _inputs(seed, 3, _TEST_ROWS)
    truth = _sigmoid(recipe.scores(x))
    predicted = ranker(_features(tf.constant(x)))
    found = {"positives": float(labels[:, 1].sum())}
    found["weights"] = float(
        sum(v.shape.num_elements() for v in ranker.dense_variables)
    )
    for index, task in enumerate((_DENSE, _SPARSE)):
        scores = predicted[task].numpy().astype(np.float64)
        found[f"auc {task}"] = metrics.expected_auc(truth[:, index], scores)
        found[f"calibration {task}"] = float(scores.mean() / truth[:, index].mean())
    return found


def _trained(
    spec: Spec, config: ModelConfig, x: np.ndarray, labels: np.ndarray, seed: int
) -> Ranker:
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    # A label never seen counts as half of one, as in the label means of days.
    positives = labels.sum(axis=0, dtype=np.float64)
    means = (positives + 0.5) / (len(labels) + 1)
    names = (_DENSE, _SPARSE)
    ranker = Ranker(
        spec,
        config,
        dict(zip(names, means.tolist(), strict=True)),
        label_rows=dict.fromkeys(names, float(len(labels))),
        seed=seed,
    )
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
    average = averaging.create(ranker, config.optimizer.average_steps)

    @tf.function(autograph=False)
    def step(x: tf.Tensor, labels: tf.Tensor) -> None:
        rows = tf.ones([_BATCH])
        masks = tf.ones([_BATCH, len(names)])
        ranker.train_step(Batch(_features(x), labels, masks, rows))
        average.update(ranker.steps)

    for batch, own in _batches(x, labels):
        step(batch, own)
    average.apply()
    return ranker


def _batches(
    x: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Whole batches, in order."""
    for begin in range(0, len(x) - _BATCH + 1, _BATCH):
        chosen = slice(begin, begin + _BATCH)
        yield tf.constant(x[chosen]), tf.constant(labels[chosen])


def _features(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {f"x{i}": column for i, column in enumerate(tf.unstack(x, axis=1))}


# --- what came out --------------------------------------------------------------------


def _gain(results: Results, name: str, measure: str) -> Gain:
    return simulated.gain(results, name, _NONE, measure)


def _table(results: Results, mean: float, sizes: _Sizes) -> Table:
    positives = simulated.mean(results, _NONE, "positives")
    title = f"Label mean {mean:g}: {positives:,.0f} positives of {sizes.rows:,} rows"
    heads = ["strategy", "AUC sparse", "more than none", "dense: more", "calibration"]
    table = new_table(f"{title}; intervals over {sizes.seeds} seeds", heads)
    for name in results:
        gains = (_gain(results, name, f"auc {task}") for task in (_SPARSE, _DENSE))
        table.add_row(
            name,
            f"{simulated.mean(results, name, 'auc sparse'):.4f}",
            *(gain_text(gain) if name != _NONE else "" for gain in gains),
            f"{simulated.mean(results, name, 'calibration sparse'):.3f}",
        )
    return table


def _summary(
    found: Mapping[float, Results], sizes: _Sizes, seconds: float
) -> dict[str, Any]:
    def told(results: Results, name: str) -> dict[str, Any]:
        measures = ("auc sparse", "auc dense", "calibration sparse", "weights")
        own: dict[str, Any] = {
            m: round(simulated.mean(results, name, m), 5) for m in measures
        }
        runs = results[name].values()
        own["calibrations"] = [round(r["calibration sparse"], 3) for r in runs]
        if name != _NONE:
            own["more_than_none"] = {
                task: simulated.as_json(_gain(results, name, f"auc {task}"))
                for task in (_SPARSE, _DENSE)
            }
        return own

    return {
        "study": "imbalance",
        "rows": sizes.rows,
        "seeds": sizes.seeds,
        "cosine": _COSINE,
        "by_label_mean": {
            f"{mean:g}": {
                "positives": round(simulated.mean(results, _NONE, "positives"), 1),
                **{name: told(results, name) for name in results},
            }
            for mean, results in found.items()
        },
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _draw(found: Mapping[float, Results], sizes: _Sizes) -> Figure:
    """As SFV fig. 4: AUC over the label mean, of the sparse task and of the dense."""
    figure = figures.new_figure(10.5, 4.2)
    panels = figure.subplots(1, 2)
    for panel, task in zip(panels, (_SPARSE, _DENSE), strict=True):
        for number, name in enumerate(_strategies()):
            means = list(found)
            areas = [simulated.mean(found[m], name, f"auc {task}") for m in means]
            panel.plot(
                means,
                areas,
                marker=figures.marker(number),
                color=figures.colour(number),
                label=name,
                ms=5,
                linewidth=1.2,
            )
        panel.set_xscale("log")
        panel.set_xlabel("label mean of the sparse task")
        panel.set_title(f"AUC of the {task} task", fontsize=10)
        figures.tidy(panel, "both")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        fontsize=8,
        frameon=False,
    )
    figure.suptitle(
        f"{sizes.rows:,} rows, {sizes.seeds} seeds, against the true probability",
        fontsize=10,
    )
    return figure


if __name__ == "__main__":
    main()

"""Is PLE best whatever the tasks' correlation? Synthetic data (PLE sec. 5.2, fig. 7).

    python benchmarks/study_ple_synthetic.py [--quick] [--figure FILE.png]
    python benchmarks/study_ple_synthetic.py --samples 1400000   # PLE's number
    python benchmarks/study_ple_synthetic.py --tune              # the learning rate

Two regression tasks on synthetic data whose correlation is set (MMoE, Ma et al., KDD
2018, sec. 3.2, with PLE's c = 1, m = 10, d = 512). Structures of one size are trained
on one pass over the same rows. The MTL gain (PLE eq. 11) is the MSE of two networks of
their own minus the structure's, seed by seed; a seed draws recipe, rows and weights.

Prints tables, and as the last line one JSON object; docs/studies.md says what came out.
One thread, whatever the machine has.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import pathlib
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measured
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

from feature_specs.model import ModelConfig, SwitcherConfig
from pipeline.reporting import figures
from pipeline.reporting.files import rounded, write_bytes
from pipeline.reporting.intervals import Gain, paired_gain, summarise
from trainer.model import structures
from trainer.model.towers import Towers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# PLE sec. 5.2.1 and 5.2.2.
_INPUTS, _WAVES, _SCALE = 512, 10, 1.0
_TOWER = (256, 128, 64)
_PAPER_SAMPLES = 1_400_000

_NOISE_VARIANCE = 0.01  # MMoE sec. 3.2
_TASKS = ("task 1", "task 2")
_BATCH = 256
_LEARNING_RATE = 0.005  # by --tune: the mildest worst run
_WARM_UP = 0.1  # share of the steps; without it whole towers of ReLUs die
_RATES = (0.003, 0.005, 0.01)
_TUNING_SEEDS, _TUNING_CORRELATION = (100, 101, 102, 103), 0.5
_TEST_ROWS, _MEAN_ROWS = 20_000, 4_096
_COLOURS = (
    figures.BLUE,
    figures.VERMILLION,
    figures.ORANGE,
    figures.GREEN,
    figures.PINK,
)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A sharing structure. Widths give all contenders as many weights, within 3 %.

    Attributes:
        title: As people call it.
        switcher: One layer an expert and, as in PLE sec. 5.3, one expert in each
            module of CGC and PLE, three in a level of MMoE and ML-MMoE.
        apart: Whether every task has a network of its own.
    """

    title: str
    switcher: SwitcherConfig
    apart: bool = False


_SINGLE = "single"
_CONTENDERS = {
    _SINGLE: Contender(
        "single-task", SwitcherConfig(kind="shared_bottom", units=(256,)), apart=True
    ),
    "hard": Contender(
        "hard sharing", SwitcherConfig(kind="shared_bottom", units=(384,))
    ),
    "mmoe": Contender("MMoE", SwitcherConfig(kind="mmoe", units=(192,), experts=3)),
    "ml_mmoe": Contender(
        "ML-MMoE", SwitcherConfig(kind="ml_mmoe", units=(152,), experts=3, levels=2)
    ),
    "cgc": Contender("CGC", SwitcherConfig(kind="cgc", units=(192,), experts=1)),
    "ple": Contender(
        "PLE", SwitcherConfig(kind="ple", units=(152,), experts=1, levels=2)
    ),
}
_RIVALS = tuple(name for name in _CONTENDERS if name != _SINGLE)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is trained.

    Attributes:
        samples: Training rows of a run; each is seen once.
        correlations: p of MMoE's recipe.
        seeds: Runs of each contender and p.
    """

    samples: int = 100_000
    correlations: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
    seeds: int = 5


_FULL = Sizes()
_QUICK = Sizes(samples=5_120, correlations=(0.0, 1.0), seeds=2)


@dataclasses.dataclass(frozen=True)
class Run:
    """All contenders on the data of one seed and correlation.

    Attributes:
        mse: Contender -> MSE of each task on the test rows.
        label_correlation: Pearson's, of the two labels.
        label_variance: Mean of the two.
    """

    seed: int
    correlation: float
    mse: dict[str, tuple[float, ...]]
    label_correlation: float
    label_variance: float


def main() -> None:
    """Trains, and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows, runs and p")
    parser.add_argument("--samples", type=int, help="training rows of a run")
    parser.add_argument("--seeds", type=int, help="runs of each structure and p")
    parser.add_argument("--correlations", type=float, nargs="+", help="p, 0 to 1")
    parser.add_argument("--figure", type=pathlib.Path, help="draw fig. 7 to FILE.png")
    parser.add_argument("--tune", action="store_true", help="try learning rates only")
    args = parser.parse_args()
    sizes = _sizes(parser, args)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    console = rich.console.Console(width=measured.COLUMNS)
    trainees = {name: Trainee(name) for name in _CONTENDERS}
    if args.tune:
        return _tune(trainees, sizes, console)
    began, cpu = time.perf_counter(), time.process_time()
    runs = _run_all(trainees, sizes, console)
    result = {
        **_summary(runs, trainees, sizes),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 used",
        "commit": measured.commit(),
    }
    _print_tables(runs, result, console)
    if args.figure:
        _draw(runs, args.figure)
    print(json.dumps(result))


def _sizes(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Sizes:
    sizes = _QUICK if args.quick else _FULL
    asked = {"samples": args.samples, "seeds": args.seeds}
    asked["correlations"] = args.correlations and tuple(args.correlations)
    known = {key: value for key, value in asked.items() if value is not None}
    sizes = dataclasses.replace(sizes, **known)
    if sizes.samples < _BATCH:
        parser.error(f"--samples: at least a batch, {_BATCH}. Got {sizes.samples}.")
    if not 1 <= sizes.seeds <= _TUNING_SEEDS[0]:
        rule = f"1 to {_TUNING_SEEDS[0]}; higher ones are the tuning's"
        parser.error(f"--seeds: {rule}. Got {sizes.seeds}.")
    if not all(0 <= p <= 1 for p in sizes.correlations):
        parser.error(f"--correlations: 0 to 1. Got {list(sizes.correlations)}.")
    return sizes


# --- data -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How labels come of inputs (MMoE sec. 3.2); d = inputs, m = waves.

    y_k = w_k x + sum over i of sin(alpha_i w_k x + beta_i) + noise, x ~ N(0, I)

    Attributes:
        weights: [d, 2], w_1 = c u_1 and w_2 = c (p u_1 + sqrt(1 - p^2) u_2), where u_1
            and u_2 are orthogonal and of length 1.
        alpha: [m], of both tasks; standard normal, as PLE draws them.
        beta: [m].
    """

    weights: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray

    @classmethod
    def drawn(cls, seed: int, correlation: float) -> Recipe:
        """The recipe of a seed; all but the correlation is the seed's alone."""
        generator = np.random.default_rng([seed, 0])
        u1, u2 = np.linalg.qr(generator.standard_normal((_INPUTS, 2)))[0].T
        w2 = correlation * u1 + math.sqrt(1 - correlation**2) * u2
        waves = generator.standard_normal((2, _WAVES))
        return cls(_SCALE * np.stack([u1, w2], axis=1), *waves)

    def rows(
        self, generator: np.random.Generator, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [count, d] and labels [count, 2], float32."""
        x = generator.standard_normal((count, _INPUTS), dtype=np.float32)
        projected = x @ self.weights.astype(np.float32)  # [count, 2]
        waves = np.sin(projected[..., np.newaxis] * self.alpha + self.beta)
        noise = generator.standard_normal(projected.shape)
        y = projected + waves.sum(axis=2) + math.sqrt(_NOISE_VARIANCE) * noise
        return x, y.astype(np.float32)


def _batches(
    recipe: Recipe, seed: int, samples: int
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    generator = np.random.default_rng([seed, 1])
    for _ in range(samples // _BATCH):
        x, y = recipe.rows(generator, _BATCH)
        yield tf.constant(x), tf.constant(y)


# --- training -------------------------------------------------------------------------


class Network(tf.keras.layers.Layer):
    """A switcher and the towers of its tasks: [B, d] -> [B, tasks]."""

    def __init__(self, switcher: SwitcherConfig, means: Mapping[str, float]):
        super().__init__()
        config = ModelConfig(switcher=switcher, tower=_TOWER)
        self.structure = structures.create(config, tuple(means), {})
        self.towers = Towers(self.structure.leaves, config, tuple(means.values()))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.towers(self.structure(x).outputs)


class Trainee:
    """One contender with its optimizer; `restart` makes it new, but traced only once.

    Attributes:
        parameters: Trainable weights of both tasks.
    """

    def __init__(self, name: str):
        self.contender = _CONTENDERS[name]
        self.networks = self._drawn([0.0] * len(_TASKS))
        self.variables = [v for n in self.networks for v in n.trainable_variables]
        self.parameters = sum(math.prod(v.shape) for v in self.variables)
        self.optimizer = tf.keras.optimizers.Adam()
        self.optimizer.build(self.variables)
        self.step = tf.function(self._step)

    def restart(self, seed: int, means: Sequence[float]) -> None:
        """Weights of a seed; untrained predictions are the labels' means."""
        tf.keras.utils.set_random_seed(seed)
        for network, drawn in zip(self.networks, self._drawn(means), strict=True):
            network.set_weights(drawn.get_weights())
        for variable in self.optimizer.variables:
            variable.assign(tf.zeros_like(variable))

    def mse(self, x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        """Of each task."""
        errors = (self._predict(tf.constant(x)).numpy() - y) ** 2
        return tuple(float(mse) for mse in errors.mean(axis=0))

    def _drawn(self, means: Sequence[float]) -> list[Network]:
        by_task = dict(zip(_TASKS, means, strict=True))
        apart = [{task: mean} for task, mean in by_task.items()]
        parts = apart if self.contender.apart else [by_task]
        networks = [Network(self.contender.switcher, part) for part in parts]
        for network in networks:
            network(tf.zeros([1, _INPUTS]))  # makes the weights
        return networks

    def _predict(self, x: tf.Tensor) -> tf.Tensor:
        return tf.concat([network(x) for network in self.networks], axis=1)

    def _step(self, x: tf.Tensor, y: tf.Tensor, rate: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            # A sum over tasks: apart or not, a task's own weights get its own gradient.
            mses = tf.reduce_mean((self._predict(x) - y) ** 2, axis=0)
            loss = tf.reduce_sum(mses)
        self.optimizer.learning_rate.assign(rate)
        gradients = tape.gradient(loss, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))


def _run(
    trainees: Mapping[str, Trainee],
    seed: int,
    correlation: float,
    samples: int,
    rate: float = _LEARNING_RATE,
) -> Run:
    """Trains all side by side, so that they see the same batches."""
    recipe = Recipe.drawn(seed, correlation)
    means = recipe.rows(np.random.default_rng([seed, 3]), _MEAN_ROWS)[1].mean(axis=0)
    for trainee in trainees.values():
        trainee.restart(seed, means)
    steps = samples // _BATCH
    for done, (x, y) in enumerate(_batches(recipe, seed, samples)):
        now = tf.constant(rate * _ramp(done, steps), tf.float32)
        for trainee in trainees.values():
            trainee.step(x, y, now)
    x, y = recipe.rows(np.random.default_rng([seed, 2]), _TEST_ROWS)
    return Run(
        seed,
        correlation,
        {name: trainee.mse(x, y) for name, trainee in trainees.items()},
        float(np.corrcoef(y.T)[0, 1]),
        float(y.var(axis=0).mean()),
    )


def _ramp(done: int, steps: int) -> float:
    """Share of the learning rate: up in the first steps, then down to 0."""
    warm = max(1, round(_WARM_UP * steps))
    return min((done + 1) / warm, (steps - done) / max(1, steps - warm))


def _run_all(
    trainees: Mapping[str, Trainee], sizes: Sizes, console: rich.console.Console
) -> list[Run]:
    runs = []
    for seed in range(sizes.seeds):
        for correlation in sizes.correlations:
            runs.append(_run(trainees, seed, correlation, sizes.samples))
            console.print(f"seed {seed}, p {correlation}: {_told(runs[-1])}")
    return runs


def _told(run: Run) -> str:
    told = (
        f"{_CONTENDERS[name].title} " + " ".join(f"{mse:.4f}" for mse in mses)
        for name, mses in run.mse.items()
    )
    return ", ".join(told)


def _tune(
    trainees: Mapping[str, Trainee], sizes: Sizes, console: rich.console.Console
) -> None:
    """MSEs by learning rate, on seeds that no result uses."""
    found: dict[float, list[Run]] = {rate: [] for rate in _RATES}
    for seed, (rate, runs) in itertools.product(_TUNING_SEEDS, found.items()):
        runs.append(_run(trainees, seed, _TUNING_CORRELATION, sizes.samples, rate))
        console.print(f"seed {seed}, learning rate {rate}: {_told(runs[-1])}")
    title = (
        f"{sizes.samples:,} training rows: geometric mean of the MSEs, and the worst"
    )
    table = rich.table.Table("", *(f"{rate:g}" for rate in _RATES), title=title)
    for name, contender in _CONTENDERS.items():
        mses = [np.array([run.mse[name] for run in runs]) for runs in found.values()]
        told = (f"{np.exp(np.log(m).mean()):.4f}, {m.max():.4f}" for m in mses)
        table.add_row(contender.title, *told)
    console.print(table)
    mse = {f"{rate:g}": [run.mse for run in runs] for rate, runs in found.items()}
    tuning = {"seeds": _TUNING_SEEDS, "p": _TUNING_CORRELATION, "mse": mse}
    print(json.dumps({"study": "ple_synthetic", "samples": sizes.samples, **tuning}))


# --- what came out --------------------------------------------------------------------


def _gain(runs: Sequence[Run], name: str, task: int) -> Gain:
    """PLE eq. 11 for an error: single minus MTL, paired by seed."""
    single, rival = (
        {run.seed: run.mse[who][task] for run in runs} for who in (_SINGLE, name)
    )
    return paired_gain(rival, single, direction=-1)


def _share(runs: Sequence[Run], name: str) -> Gain:
    """Share of the single-task MSE that is gone, over tasks and runs of a seed.

    By means of logarithms: the recipes of some seeds are much harder than others, and
    differences of their MSEs would be all that counts.
    """
    single, rival = (
        {
            seed: float(np.mean(np.log([r.mse[who] for r in runs if r.seed == seed])))
            for seed in {run.seed for run in runs}
        }
        for who in (_SINGLE, name)
    )
    log = paired_gain(rival, single, direction=-1)
    mean, low, high = (-math.expm1(-end) for end in (log.mean, log.low, log.high))
    return Gain(mean=mean, low=low, high=high, pairs=log.pairs)


def _outcomes(runs: Sequence[Run], name: str) -> dict[str, int]:
    """Runs in which both tasks gain, one gains and one loses, or both lose."""
    found = {"both_gain": 0, "seesaw": 0, "both_lose": 0}
    for run in runs:
        pairs = zip(run.mse[_SINGLE], run.mse[name], strict=True)
        gaining = sum(rival < single for single, rival in pairs)
        found[("both_lose", "seesaw", "both_gain")[gaining]] += 1
    return found


def _by_correlation(runs: Sequence[Run]) -> dict[float, list[Run]]:
    return {
        p: [run for run in runs if run.correlation == p]
        for p in sorted({run.correlation for run in runs})
    }


def _summary(
    runs: Sequence[Run], trainees: Mapping[str, Trainee], sizes: Sizes
) -> dict[str, Any]:
    return {
        "study": "ple_synthetic",
        "samples": sizes.samples // _BATCH * _BATCH,
        "paper_samples": _PAPER_SAMPLES,
        "test_rows": _TEST_ROWS,
        "seeds": sizes.seeds,
        "batch": _BATCH,
        "learning_rate": _LEARNING_RATE,
        "tower": _TOWER,
        "parameters": {name: trainee.parameters for name, trainee in trainees.items()},
        "by_correlation": {
            f"{p:g}": _findings(chosen) for p, chosen in _by_correlation(runs).items()
        },
        "all": {
            name: {
                "gain": round(
                    float(np.mean(_mse(runs, _SINGLE) - _mse(runs, name))), 5
                ),
                "share": _interval(_share(runs, name)),
                "outcomes": _outcomes(runs, name),
            }
            for name in _RIVALS
        },
    }


def _findings(runs: Sequence[Run]) -> dict[str, Any]:
    """What one correlation gives."""
    tasks = range(len(_TASKS))
    correlation = summarise([run.label_correlation for run in runs])
    variances = [run.label_variance for run in runs]
    return {
        "label_correlation": round(correlation.mean, 3),
        "label_correlation_sd": rounded(correlation.sd, 3),
        "label_variance": [round(min(variances), 2), round(max(variances), 2)],
        "mse": {n: [round(m, 5) for m in _mse(runs, n).tolist()] for n in _CONTENDERS},
        "gain": {
            name: [_interval(_gain(runs, name, task)) for task in tasks]
            for name in _RIVALS
        },
        "share": {name: _interval(_share(runs, name)) for name in _RIVALS},
        "outcomes": {name: _outcomes(runs, name) for name in _RIVALS},
    }


def _mse(runs: Sequence[Run], name: str) -> np.ndarray:
    """Mean over runs, [tasks]."""
    return np.mean([run.mse[name] for run in runs], axis=0)


def _interval(gain: Gain) -> dict[str, float | None]:
    """Mean and 95 % interval of Student's t over seeds; one seed has none."""
    ends = {"mean": gain.mean, "low": gain.low, "high": gain.high}
    return {name: rounded(end, 5) for name, end in ends.items()}


def _print_tables(
    runs: Sequence[Run], result: Mapping[str, Any], console: rich.console.Console
) -> None:
    caption = (
        f"{result['samples']:,} training rows, {result['seeds']} seeds. r: correlation "
        "of the labels. Gain: MSE of single-task minus MSE (PLE eq. 11). Share: of the "
        "single-task MSE that is gone, both tasks. 95 % intervals; * leaves out 0."
    )
    table = rich.table.Table(title="MTL gain on synthetic data", caption=caption)
    table.add_column("p (r)", no_wrap=True)
    table.add_column("", no_wrap=True)
    for title in ("MSE 1", "MSE 2", "gain 1", "gain 2", "share, %", "seesaw"):
        table.add_column(title, justify="right", no_wrap=True)
    for p, chosen in _by_correlation(runs).items():
        told = result["by_correlation"][f"{p:g}"]["label_correlation"]
        for name, contender in _CONTENDERS.items():
            label = f"{p:g} ({told:.2f})" if name == _SINGLE else ""
            mses = [f"{mse:.4f}" for mse in _mse(chosen, name)]
            table.add_row(label, contender.title, *mses, *_cells(chosen, name))
        table.add_section()
    console.print(table)
    for name, contender in _CONTENDERS.items():
        weights = f"{contender.title}: {result['parameters'][name]:,} weights"
        overall = f"; over all p {_percent(_share(runs, name))} of the MSE gone"
        console.print(weights + (overall if name != _SINGLE else ""))


def _cells(runs: Sequence[Run], name: str) -> list[str]:
    if name == _SINGLE:
        return []
    gains = [_shown(_gain(runs, name, task)) for task in range(len(_TASKS))]
    seesaw = f"{_outcomes(runs, name)['seesaw']}/{len(runs)}"
    return [*gains, _percent(_share(runs, name)), seesaw]


def _shown(gain: Gain) -> str:
    if not gain.has_interval:
        return f"{gain.mean:+.4f}"
    return f"{gain.mean:+.4f} ± {gain.half:.4f}{'*' if gain.is_significant else ' '}"


def _percent(share: Gain) -> str:
    """ "+12 (+5 to +18)*"."""
    if not share.has_interval:
        return f"{share.mean:+.0%}"
    ends = f"({share.low * 100:+.0f} to {share.high * 100:+.0f})"
    return f"{share.mean * 100:+.0f} {ends}{'*' if share.is_significant else ' '}"


def _draw(runs: Sequence[Run], path: pathlib.Path) -> None:
    """As PLE fig. 7, a panel a structure: MSE of every run over the single-task one's.

    On a log scale, as a recipe is learned or is not, and the MSE then differs by 20.
    """
    figure = figures.new_figure(12.4, 3.6)
    panels = figure.subplots(1, len(_RIVALS), sharey=True)
    for panel, name, colour in zip(panels, _RIVALS, _COLOURS, strict=True):
        _draw_panel(panel, runs, name, colour)
    panels[0].set_ylabel("MSE / single-task MSE")
    figure.supxlabel(
        "correlation p; a dot a run and task, a bar the median", fontsize=9
    )
    write_bytes(path, figures.png(figure))


def _draw_panel(panel: Axes, runs: Sequence[Run], name: str, colour: str) -> None:
    by_correlation = _by_correlation(runs)
    panel.axhline(1, color="0.4", linewidth=0.8, zorder=1)
    for place, chosen in enumerate(by_correlation.values()):
        ratios = np.array([np.divide(r.mse[name], r.mse[_SINGLE]) for r in chosen])
        offsets = np.linspace(-0.18, 0.18, ratios.size)
        panel.plot(place + offsets, ratios.ravel(), "o", color=colour, ms=3, alpha=0.6)
        panel.hlines(
            np.median(ratios), place - 0.3, place + 0.3, color=colour, linewidth=2
        )
    panel.set_yscale("log", base=2)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.set_xticks(range(len(by_correlation)), [f"{p:g}" for p in by_correlation])
    panel.set_title(_CONTENDERS[name].title, fontsize=10)
    figures.tidy(panel, "y")


if __name__ == "__main__":
    main()

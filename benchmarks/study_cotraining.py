"""Should sparse tasks be trained beside dense ones, or separately (SFV table 4)?

    python benchmarks/study_cotraining.py [--quick] [--work DIR] [--out DIR]

Simulated logs become examples of the shipped spec once, with four dense tasks and two
sparse ones: `share`, whose label mean is about 1e-3, and `like_and_follow`, both in one
impression, about 1e-4. On them the default preset is trained with the sparse tasks
apart (SFV fig. 5a: a bottom and a tower each, behind a stopped gradient), and together
with the dense ones (fig. 5b): without a strategy, balanced by down-sampling,
up-sampled, and with their losses times 10 to 1000. All on the same rows and from the
same seed.

The evaluation day is scored as served. The *expected AUC* of a task takes the true
probability of each row: it is a positive with this probability and a negative with the
rest, so that no luck of labels is in it. Calibration is the mean prediction over the
mean probability. Intervals are 95 % of Student's t over logs, paired: users, videos,
rows and the training's seed differ between logs.

Prints tables, and as the last line one JSON object; `--out` gets study_cotraining.png,
`--work` keeps examples and results for another run.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
import time
from typing import Any

import measured
import numpy as np
import polars as pl
import rich.console
import simulated
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Log, Results, Shape

from feature_specs import ModelConfig, Spec, load_preset, load_spec, read_spec
from feature_specs.imbalance import ImbalanceConfig
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import gain_text, new_table
from trainer.days.input import count_labels, match_files
from trainer.days.layout import Layout
from trainer.model.ranker import Ranker

_DENSE = ("valid_play", "long_view", "finish", "skip")
_SPARSE = _RARE, _RARER = "share", "like_and_follow"
_TASKS = (*_DENSE, *_SPARSE)
_BOTH_TASK = (
    f'  - {{name: {_RARER}, kind: binary, label: "is_like = 1 AND is_follow = 1", '
    "sparse: true}\n"
)
_MEAN = "dense"  # of the dense tasks
_SHOWN = (_RARE, _RARER, _MEAN)
_SEPARATE, _NONE = "separate", "none"
_FACTORS = (10, 20, 50, 100, 1000)  # SFV table 4
_BALANCE, _REPEATS = 0.5, 50.0


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """What is trained.

    Attributes:
        shape: Of each log.
        logs: Their number.
        seeds: Trainings of each strategy on each log.
        strategies: Names; the first is what others are compared with.
    """

    shape: Shape
    logs: int
    seeds: int
    strategies: tuple[str, ...]


def upweighted(factor: float) -> str:
    """Name of a strategy: the sparse tasks' losses times a factor."""
    return f"upweighted {factor:g}"


def strategies() -> dict[str, ModelConfig]:
    """Name -> preset: the default one, in which only the sparse tasks' part differs.

    The weights of the losses that the spec has for sparse tasks count nowhere.
    """
    plain = dataclasses.replace(
        load_preset("mmoe"), loss_weights=dict.fromkeys(_SPARSE, 1.0)
    )

    def rare(**said: Any) -> ModelConfig:
        own = dict.fromkeys(_SPARSE, ImbalanceConfig(**said))
        return dataclasses.replace(plain, imbalance=own)

    def times(factor: float) -> ModelConfig:
        weights = dict.fromkeys(_SPARSE, float(factor))
        return dataclasses.replace(plain, loss_weights=weights)

    return {
        _SEPARATE: dataclasses.replace(plain, separate=_SPARSE),
        _NONE: plain,
        f"balanced {_BALANCE:g}": rare(balance=_BALANCE),
        f"up-sampled {_REPEATS:g}": rare(positive_rate=_REPEATS),
        **{upweighted(factor): times(factor) for factor in _FACTORS},
    }


_LARGE = Shape(users=400, days=6, rows_per_user_day=360, random_share=0.05)
_FULL = _Sizes(_LARGE, logs=3, seeds=1, strategies=tuple(strategies()))
_QUICK = _Sizes(
    simulated.QUICK, logs=1, seeds=2, strategies=(_SEPARATE, _NONE, upweighted(50))
)


def main() -> None:
    """Trains all strategies on all logs, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        results = _run(work, sizes, console)
    console.print(_table(results, sizes), _calibration_table(results))
    if args.out:
        file = pathlib.Path(args.out) / "study_cotraining.png"
        write_bytes(file, figures.png(_draw(results, sizes)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(results, sizes, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small log")
    parser.add_argument("--work", help="folder that keeps examples and results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


# --- tasks ----------------------------------------------------------------------------


def spec_with_both() -> Spec:
    """The shipped spec, and a task for impressions with a like and a follow."""
    text = load_spec("kuairand").text
    head = "\ntasks:\n"
    if text.count(head) != 1:
        raise RuntimeError(f"kuairand.yaml must have one line {head.strip()!r}.")
    return read_spec(text.replace(head, head + _BOTH_TASK))


def own_tasks(spec: Spec) -> Spec:
    """The spec with the tasks of the study alone."""
    return dataclasses.replace(spec, tasks=tuple(spec.task(name) for name in _TASKS))


def chance_of(task: str, rows: pl.DataFrame) -> np.ndarray:
    """The true probability of a task in each row, [N].

    Likes and follows are tossed independently where a video is played, and never
    elsewhere: so P(both) = P(like) P(follow) / P(played).
    """
    if task != _RARER:
        return rows[f"p_{simulated.SIGNALS[task]}"].to_numpy()
    like, follow, played = (
        rows[f"p_{signal}"].to_numpy()
        for signal in ("is_like", "is_follow", "is_click")
    )
    return like * follow / played


# --- trainings ------------------------------------------------------------------------


def _run(work: pathlib.Path, sizes: _Sizes, console: rich.console.Console) -> Results:
    spec = spec_with_both()
    presets = strategies()
    results: Results = {}
    for number in simulated.log_numbers(sizes.logs):
        log = simulated.make_log(work, spec, sizes.shape, number)
        log = log.select(own_tasks(spec))
        decides = {"study": "cotraining", "counted": log.name}
        rows = simulated.keep(work, decides, functools.partial(counted, log))
        for seed in range(sizes.seeds):
            for name in sizes.strategies:
                found = simulated.remember(
                    work,
                    log,
                    presets[name],
                    100 * number + seed,
                    functools.partial(measure, log),
                )
                results.setdefault(name, {})[number, seed] = found | rows
                shown = ", ".join(f"{t} {found[f'auc {t}']:.4f}" for t in _SHOWN)
                line = f"log {number}, seed {seed}, {name}: {shown}"
                console.print(line, highlight=False, soft_wrap=True)
    return results


def measure(log: Log, ranker: Ranker) -> dict[str, float]:
    """What a trained ranker is worth on the evaluation day.

    Returns:
        `auc <task>`, expected over labels, also of the mean of the dense tasks;
        `calibration <task>`; `weights` outside the tables; `rate <task>`, the true
        label mean.
    """
    predictions = simulated.predict(log, ranker)
    found = {}
    for task in _TASKS:
        chance, scores = chance_of(task, log.rows), predictions[task]
        found[f"auc {task}"] = metrics.expected_auc(chance, scores)
        found[f"rate {task}"] = float(chance.mean())
        found[f"calibration {task}"] = float(scores.mean()) / found[f"rate {task}"]
    found[f"auc {_MEAN}"] = float(np.mean([found[f"auc {t}"] for t in _DENSE]))
    found["weights"] = float(
        sum(v.shape.num_elements() for v in ranker.dense_variables)
    )
    return found


def counted(log: Log) -> dict[str, float]:
    """`rows` that are trained, and `positives <task>` of each sparse task in them."""
    files = [file for day in log.days for file in match_files(*day)]
    found = count_labels(Layout(log.spec, log.graph), files)
    rows = found.rows[_RARE]
    return {
        "rows": rows,
        # Label means are smoothed by half a row of each label.
        **{f"positives {t}": found.means[t] * (rows + 1) - 0.5 for t in _SPARSE},
    }


# --- what came out --------------------------------------------------------------------


def _gain(results: Results, name: str, task: str) -> Gain:
    return simulated.gain(results, name, _SEPARATE, f"auc {task}")


def _saved(results: Results) -> float:
    """Share of the weights outside the tables that sharing does without."""
    apart, together = (
        simulated.mean(results, name, "weights") for name in (_SEPARATE, _NONE)
    )
    return 1 - together / apart


def _table(results: Results, sizes: _Sizes) -> Table:
    rows = simulated.mean(results, _SEPARATE, "rows")
    counts = ", ".join(
        f"{simulated.mean(results, _SEPARATE, f'positives {task}'):,.0f} of {task}"
        for task in _SPARSE
    )
    title = f"AUC more than trained separately; {rows:,.0f} rows, positives: {counts}"
    table = new_table(title, ["strategy", *_SHOWN])
    means = (simulated.mean(results, _SEPARATE, f"auc {task}") for task in _SHOWN)
    table.add_row(f"{_SEPARATE}: AUC", *(f"{value:.4f}" for value in means))
    for name in sizes.strategies[1:]:
        gains = (gain_text(_gain(results, name, task)) for task in _SHOWN)
        table.add_row(name, *gains)
    table.caption = f"sharing saves {_saved(results):.0%} of the weights"
    return table


def _calibration_table(results: Results) -> Table:
    table = new_table("Mean prediction over mean probability", ["strategy", *_TASKS])
    for name in results:
        values = (simulated.mean(results, name, f"calibration {t}") for t in _TASKS)
        table.add_row(name, *(f"{value:.3f}" for value in values))
    return table


def _summary(results: Results, sizes: _Sizes, seconds: float) -> dict[str, Any]:
    def told(name: str) -> dict[str, Any]:
        own: dict[str, Any] = {
            f"auc {task}": round(simulated.mean(results, name, f"auc {task}"), 5)
            for task in (*_TASKS, _MEAN)
        }
        own |= {
            f"calibration {task}": round(
                simulated.mean(results, name, f"calibration {task}"), 3
            )
            for task in _SPARSE
        }
        if name != _SEPARATE:
            own["more_than_separate"] = {
                task: simulated.as_json(_gain(results, name, task)) for task in _SHOWN
            }
        return own

    kinds = [f"{kind} {task}" for task in _SPARSE for kind in ("positives", "rate")]
    return {
        "study": "cotraining",
        "logs": sizes.logs,
        "seeds": sizes.seeds,
        **{
            m: float(f"{simulated.mean(results, _NONE, m):.4g}")
            for m in ("rows", *kinds)
        },
        "weights_saved": round(_saved(results), 3),
        "strategies": {name: told(name) for name in results},
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _draw(results: Results, sizes: _Sizes) -> Figure:
    """Gains over separate training, a panel for each task and one for the dense."""
    figure = figures.new_figure(10.5, 3.6)
    names = sizes.strategies[1:]
    for panel, task in zip(figure.subplots(1, len(_SHOWN)), _SHOWN, strict=True):
        simulated.draw_gains(panel, [_gain(results, name, task) for name in names])
        is_first = task == _SHOWN[0]
        figures.finish_gains(panel, names if is_first else [""] * len(names), task)
    figure.suptitle(
        "Expected AUC more than trained separately, 95 % intervals", fontsize=10
    )
    return figure


if __name__ == "__main__":
    main()

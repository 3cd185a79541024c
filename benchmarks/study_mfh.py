"""MFH against flat models and BiasNet, by user group, on logs whose truth is known.

    python benchmarks/study_mfh.py [--quick] [--work DIR] [--out DIR]

The shape of MFH's tables I and VI: completion, finish and skip, for new, low-activity
and high-activity users. On simulated logs the flat 3-task model, the flat 5- and 9-task
ones that split completion or every task by group, H-MTL, MFH and BiasNet are trained on
the same rows with the same seeds. Their sharing parts are scaled until all have as many
weights as MFH. The groups are the simulator's own as far as a log shows them: `new`
means registered in the last 60 days.

Scores are expectations over labels, by the true probability of each row as it was
shown: the MSE is that of the prediction against the expected completion plus the
labels' own variance, which no model changes; the AUCs count a row as a positive with
its probability. Intervals are 95 % of Student's t over logs, paired: users, videos,
rows and the training's seed differ between logs.

Prints tables, and as the last line one JSON object. `--out` gets study_mfh.png,
`--work` keeps examples and results for another run, examples for study_trail.py too.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
import time

import measured
import numpy as np
import rich.console
import simulated
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Log, Results, Shape

from feature_specs import ModelConfig, Spec, load_preset
from pipeline.compare.sizes import (
    count_weights,
    match_size,
    remembering,
    sharing_widths,
)
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import gain_text, new_table
from trainer.model.ranker import Ranker

_TASKS = ("completion", "finish", "skip")
_GROUPS = ("new", "low", "high")
_MFH, _FLAT = "MFH", "flat 3"
_RIVALS = (_FLAT, "flat 5", "flat 9", "H-MTL", "BiasNet")
# For all models: the best of 0.0005 to 0.01 for MFH and for the flat 3-task model on
# log 0, which is not among the results. The presets' 0.005 suits 17 tasks.
_LEARNING_RATE = 0.002
_COLOURS = (
    figures.BLUE,
    figures.SKY,
    figures.GREEN,
    figures.ORANGE,
    figures.VERMILLION,
)
# Each task's metric, and 1 if a higher one is better.
_METRICS = {"completion": ("MSE", -1), "finish": ("AUC", 1), "skip": ("AUC", 1)}


@dataclasses.dataclass(frozen=True)
class _Sizes:
    shape: Shape
    logs: int
    seeds: int  # trainings of a model on each log
    fewer_days: tuple[int, ...]  # on which MFH and the flat model are trained, too
    matches: bool  # the number of weights; takes half a minute


_FULL = _Sizes(simulated.FULL, logs=6, seeds=1, fewer_days=(1,), matches=True)
_QUICK = _Sizes(simulated.QUICK, logs=1, seeds=2, fewer_days=(), matches=False)


@dataclasses.dataclass(frozen=True)
class _Model:
    """A preset at its matched size."""

    config: ModelConfig
    weights: int


def main() -> None:
    """Trains all models on all logs, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    spec = simulated.kuairand_by_registration()
    models = _models(_play_tasks(spec), sizes)
    with simulated.work_folder(args.work) as work:
        results, rows = _run(work, spec, models, sizes, console)
    unit = "logs" if sizes.logs > 1 else "seeds"
    console.print(_models_table(models), _metrics_table(results, rows))
    console.print(*_gain_tables(results, unit))
    if sizes.fewer_days:
        console.print(_days_table(results, sizes))
    if args.out:
        file = pathlib.Path(args.out) / "study_mfh.png"
        write_bytes(file, figures.png(_draw(results, unit)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(results, models, sizes, rows, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small log")
    parser.add_argument("--work", help="folder that keeps examples and results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


# --- models ---------------------------------------------------------------------------


def _play_tasks(spec: Spec) -> Spec:
    tasks = tuple(task for task in spec.tasks if task.name in _TASKS)
    return dataclasses.replace(spec, tasks=tasks)


def _models(spec: Spec, sizes: _Sizes) -> dict[str, _Model]:
    """The shipped presets, as large as MFH's."""
    nine = load_preset("flat_groups")
    split = dataclasses.replace(nine.structure, split=("completion",))
    presets = {
        _FLAT: load_preset("ple"),
        "flat 5": dataclasses.replace(nine, structure=split),
        "flat 9": nine,
        "H-MTL": load_preset("hmtl"),
        "BiasNet": load_preset("biasnet"),
        _MFH: load_preset("mfh"),
    }

    count = remembering(lambda config: count_weights(spec, config))
    models = {name: _slower(config) for name, config in presets.items()}
    if sizes.matches:
        target = count(models[_MFH])
        models = {n: match_size(c, target, count) for n, c in models.items()}
    return {name: _Model(config, count(config)) for name, config in models.items()}


def _slower(config: ModelConfig) -> ModelConfig:
    optimizer = dataclasses.replace(config.optimizer, learning_rate=_LEARNING_RATE)
    return dataclasses.replace(config, optimizer=optimizer)


# --- trainings ------------------------------------------------------------------------


def _run(
    work: pathlib.Path,
    spec: Spec,
    models: dict[str, _Model],
    sizes: _Sizes,
    console: rich.console.Console,
) -> tuple[Results, dict[str, int]]:
    """Results of every model, log and seed; and the rows of each group."""
    results: Results = {}
    rows = dict.fromkeys(_GROUPS, 0)
    for number in simulated.log_numbers(sizes.logs):
        log = simulated.make_log(work, spec, sizes.shape, number)
        log = log.select(_play_tasks(spec))
        for group in _GROUPS:
            rows[group] += int((_group_of(log) == group).sum())
        for seed in range(sizes.seeds):
            for name, (own, model) in _variants(log, models, sizes).items():
                found = simulated.remember(
                    work,
                    own,
                    models[model].config,
                    100 * number + seed,
                    functools.partial(_measure, log),
                )
                results.setdefault(name, {})[number, seed] = found
                _tell(number, seed, name, found, console)
    return results, rows


def _variants(
    log: Log, models: dict[str, _Model], sizes: _Sizes
) -> dict[str, tuple[Log, str]]:
    """Name -> the rows it trains on, and its model."""
    fewer = {
        _after(model, days): (log.last_days(days), model)
        for days in sizes.fewer_days
        for model in (_FLAT, _MFH)
    }
    return {**{model: (log, model) for model in models}, **fewer}


def _after(model: str, days: int) -> str:
    return f"{model}, {days} d"


def _measure(log: Log, ranker: Ranker) -> dict[str, float]:
    """`<group> <task>` -> its metric; the same by labels as `label <group> <task>`."""
    predictions = simulated.predict(log, ranker)
    found = {}
    for task in _TASKS:
        column = [t.name for t in log.spec.tasks].index(task)
        labels = log.batch.labels[:, column].numpy().astype(np.float64)
        truth = log.rows[f"p_{simulated.SIGNALS[task]}"].to_numpy()
        for group in _GROUPS:
            own = _group_of(log) == group
            scores = predictions[task][own], truth[own], labels[own]
            metric = _mse if task == "completion" else _auc
            found[f"{group} {task}"], found[f"label {group} {task}"] = metric(*scores)
    return found


def _mse(predicted, expected, labels) -> tuple[float, float]:
    """Expected over labels, and of these labels."""
    noise = np.mean((labels - expected) ** 2)
    off = np.mean((predicted - expected) ** 2)
    return float(off + noise), float(np.mean((predicted - labels) ** 2))


def _auc(predicted, chance, labels) -> tuple[float, float]:
    """Expected over labels, and of these labels."""
    return (
        metrics.expected_auc(chance, predicted),
        metrics.expected_auc(labels, predicted),
    )


def _group_of(log: Log) -> np.ndarray:
    return log.rows["slice_user_group"].to_numpy()


def _tell(
    number: int,
    seed: int,
    name: str,
    found: dict[str, float],
    console: rich.console.Console,
) -> None:
    shown = ", ".join(f"{task} {found[f'new {task}']:.4f}" for task in _TASKS)
    line = f"log {number}, seed {seed}, {name}, new users: {shown}"
    console.print(line, highlight=False, soft_wrap=True)


# --- what came out --------------------------------------------------------------------


def _models_table(models: dict[str, _Model]) -> Table:
    table = new_table("Models", ["model", "weights", "of MFH", "widths"])
    for name, model in models.items():
        share = model.weights / models[_MFH].weights
        widths = sharing_widths(model.config)
        table.add_row(name, f"{model.weights:,}", f"{share:.0%}", widths)
    return table


def _metrics_table(results: Results, rows: dict[str, int]) -> Table:
    names = (*_RIVALS, _MFH)
    table = new_table("As served", ["users", "rows", "task", "", *names])
    for group in _GROUPS:
        for task in _TASKS:
            measure = f"{group} {task}"
            values = [f"{simulated.mean(results, n, measure):.4f}" for n in names]
            metric = _METRICS[task][0]
            table.add_row(group, f"{rows[group]:,}", task, metric, *values)
    return table


def _gain_tables(results: Results, unit: str) -> list[Table]:
    """One a group: MFH's gain over each rival; positive is better."""
    tables = []
    for group in _GROUPS:
        title = f"Gain of MFH, {group} users; intervals over {unit}"
        heads = ["over", *(f"{task}, {_METRICS[task][0]}" for task in _TASKS)]
        table = new_table(title, heads)
        for rival in _RIVALS:
            gains = [_gain(results, rival, group, task) for task in _TASKS]
            table.add_row(rival, *map(gain_text, gains))
        tables.append(table)
    return tables


def _days_table(results: Results, sizes: _Sizes) -> Table:
    """Whether MFH gains as the rows grow."""
    table = new_table(
        f"Gain of MFH over {_FLAT} by training days", ["users, task", *_days(sizes)]
    )
    for group in _GROUPS:
        for task in _TASKS:
            gains = _gains_by_days(results, sizes, group, task)
            table.add_row(f"{group} {task}", *map(gain_text, gains.values()))
    return table


def _days(sizes: _Sizes) -> list[str]:
    all_days = sizes.shape.days - sizes.shape.eval_days
    return [str(days) for days in (*sizes.fewer_days, all_days)]


def _gains_by_days(
    results: Results, sizes: _Sizes, group: str, task: str
) -> dict[str, Gain]:
    pairs = [(_after(_MFH, days), _after(_FLAT, days)) for days in sizes.fewer_days]
    measure, direction = f"{group} {task}", _METRICS[task][1]
    gains = [
        simulated.gain(results, one, other, measure, direction)
        for one, other in (*pairs, (_MFH, _FLAT))
    ]
    return dict(zip(_days(sizes), gains, strict=True))


def _gain(results: Results, rival: str, group: str, task: str, kind: str = "") -> Gain:
    """Of MFH over a rival; positive is better."""
    direction = _METRICS[task][1]
    measure = f"{kind}{group} {task}"
    return simulated.gain(results, _MFH, rival, measure, direction)


def _summary(
    results: Results,
    models: dict[str, _Model],
    sizes: _Sizes,
    rows: dict[str, int],
    seconds: float,
) -> dict[str, object]:
    cells = [(group, task) for group in _GROUPS for task in _TASKS]
    return {
        "study": "mfh",
        "gains_of_mfh": {
            rival: {
                f"{g} {t}": simulated.as_json(_gain(results, rival, g, t))
                for g, t in cells
            }
            for rival in _RIVALS
        },
        "gains_of_mfh_by_label": {
            rival: {
                f"{g} {t}": simulated.as_json(_gain(results, rival, g, t, "label "))
                for g, t in cells
            }
            for rival in _RIVALS
        },
        "gains_over_flat_by_days": {
            f"{g} {t}": {
                days: simulated.as_json(found)
                for days, found in _gains_by_days(results, sizes, g, t).items()
            }
            for g, t in cells
        },
        "metrics": {
            name: {
                f"{g} {t}": round(simulated.mean(results, name, f"{g} {t}"), 5)
                for g, t in cells
            }
            for name in results
        },
        "weights": {name: model.weights for name, model in models.items()},
        "logs": sizes.logs,
        "seeds": sizes.seeds,
        "shape": dataclasses.asdict(sizes.shape),
        "evaluation_rows": rows,
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _draw(results: Results, unit: str) -> Figure:
    """A panel a task: MFH's gain over each rival, for each group."""
    figure = figures.new_figure(10, 3.8)
    for panel, task in zip(figure.subplots(1, 3, sharey=True), _TASKS, strict=True):
        for number, rival in enumerate(_RIVALS):
            gains = [_gain(results, rival, group, task) for group in _GROUPS]
            offset = 0.14 * (number - (len(_RIVALS) - 1) / 2)
            simulated.draw_gains(panel, gains, offset, _COLOURS[number], rival)
        title = f"{task} ({_METRICS[task][0]})"
        figures.finish_gains(panel, [f"{g} users" for g in _GROUPS], title)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right center",
        frameon=False,
        fontsize=9,
        title="gain of MFH over",
        title_fontsize=9,
        alignment="left",
    )
    figure.supxlabel(
        f"right of 0 MFH is better; bars: 95 % over {unit}, filled where they leave 0 "
        "out",
        fontsize=9,
    )
    return figure


if __name__ == "__main__":
    main()

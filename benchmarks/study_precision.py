"""What do bfloat16 products cost in AUC, against float32?

    python benchmarks/study_precision.py [--quick] [--work DIR] [--out DIR]

Simulated logs become examples of the shipped spec once. On them the default preset and
PLE are trained in float32 and in bfloat16, with the same seeds, and scored on the
evaluation day as served. In bfloat16 the dense products of the network have 8 bits of
precision, in training and when it predicts; variables, logits, losses and statistics
stay float32. The speed on a processor says nothing about a TPU's and is not measured.
The default preset is trained a third time, in bfloat16 with its large tables as a TPU's
step reads and moves them: rows and their gradients rounded (`trainer.model.lanes`).

*Expected AUC* takes the true probability of each row as it was shown: the row is a
positive with this probability and a negative with the rest, so that no luck of labels
is in it. Intervals are 95 % of Student's t over logs, paired: users, videos, rows and
the training's seed differ between logs.

Prints a table, and as the last line one JSON object. `--out` gets study_precision.png,
`--work` keeps examples and results for another run, examples for study_trail.py too.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import pathlib
import time
from typing import Any

import measured
import numpy as np
import rich.console
import simulated
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Log, Results, Shape

from feature_specs import load_preset
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import gain_text, new_table
from trainer.model.ranker import Ranker

_PRESETS = ("mmoe", "ple")
_PRECISIONS = _WHOLE, _HALF = "float32", "bfloat16"
_TPU = "mmoe bfloat16, tables of a TPU"
_DENSE = ("valid_play", "long_view", "finish", "skip")
_MEAN = "mean"
_ROWS = (*_DENSE, _MEAN)
_KINDS = ("auc", "label")  # expected over labels, of these labels
_ALLOWED = 0.002  # AUC that bfloat16 may lose
_COLOURS = (figures.BLUE, figures.ORANGE)


@dataclasses.dataclass(frozen=True)
class _Sizes:
    shape: Shape
    logs: int
    seeds: int  # trainings of a preset in a precision on each log


_FULL = _Sizes(simulated.FULL, logs=6, seeds=1)
_QUICK = _Sizes(simulated.QUICK, logs=1, seeds=2)


def main() -> None:
    """Trains both presets in both precisions on all logs, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        results, rows = _run(work, sizes, console)
    unit = "logs" if sizes.logs > 1 else "seeds"
    console.print(_table(results, unit))
    console.print(_table_of_tables(results, unit))
    if args.out:
        file = pathlib.Path(args.out) / "study_precision.png"
        write_bytes(file, figures.png(_draw(results, unit)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(results, sizes, rows, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small log")
    parser.add_argument("--work", help="folder that keeps examples and results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


def _run(
    work: pathlib.Path, sizes: _Sizes, console: rich.console.Console
) -> tuple[Results, int]:
    """Results of every preset, precision, log and seed; and the evaluation rows."""
    spec = simulated.kuairand_by_registration()
    results: Results = {}
    rows = 0
    for number in simulated.log_numbers(sizes.logs):
        log = simulated.make_log(work, spec, sizes.shape, number)
        rows += log.rows.height
        for training, (name, preset, how) in itertools.product(
            range(sizes.seeds), _wanted()
        ):
            found = simulated.remember(
                work,
                log,
                load_preset(preset),
                100 * number + training,
                functools.partial(_measure, log),
                **how,
            )
            results.setdefault(name, {})[number, training] = found
            line = f"log {number}, seed {training}, {name}: "
            line += f"mean expected AUC {found[f'auc {_MEAN}']:.4f}"
            console.print(line, highlight=False, soft_wrap=True)
    return results, rows


def _wanted() -> list[tuple[str, str, dict[str, Any]]]:
    """Name, preset and arguments of `simulated.train`, of each training."""
    return [
        *(
            (_name(preset, precision), preset, {"precision": precision})
            for preset, precision in itertools.product(_PRESETS, _PRECISIONS)
        ),
        (_TPU, "mmoe", {"precision": _HALF, "tables_of_a_tpu": True}),
    ]


def _name(preset: str, precision: str) -> str:
    return f"{preset} {precision}"


def _measure(log: Log, ranker: Ranker) -> dict[str, float]:
    """`auc <task>` expected over labels, `label <task>` of these; also their means."""
    predictions = simulated.predict(log, ranker)
    tasks = [task.name for task in log.spec.tasks]
    found = {}
    for task in _DENSE:
        chance = log.rows[f"p_{simulated.SIGNALS[task]}"].to_numpy()
        labels = log.batch.labels[:, tasks.index(task)].numpy().astype(np.float64)
        scores = predictions[task]
        found[f"auc {task}"] = metrics.expected_auc(chance, scores)
        found[f"label {task}"] = metrics.expected_auc(labels, scores)
    for kind in ("auc", "label"):
        values = [found[f"{kind} {task}"] for task in _DENSE]
        found[f"{kind} {_MEAN}"] = float(np.mean(values))
    return found


# --- what came out --------------------------------------------------------------------


def _gain(results: Results, preset: str, measure: str) -> Gain:
    """Of bfloat16 over float32; negative is what it loses."""
    half, whole = (_name(preset, precision) for precision in (_HALF, _WHOLE))
    return simulated.gain(results, half, whole, measure)


def _is_small(found: Gain) -> bool:
    """Whether the whole interval is above the loss that is allowed."""
    return found.low > -_ALLOWED


def _table(results: Results, unit: str) -> Table:
    title = f"bfloat16 against float32 on the evaluation day; intervals over {unit}"
    heads = ["preset, task", _WHOLE, _HALF, "expected AUC", "AUC of labels"]
    table = new_table(title, [*heads, f"loses less than {_ALLOWED:g}"])
    for preset in _PRESETS:
        for task in _ROWS:
            gains = [_gain(results, preset, f"{kind} {task}") for kind in _KINDS]
            table.add_row(
                f"{preset} {task}",
                *(
                    f"{simulated.mean(results, _name(preset, p), f'auc {task}'):.4f}"
                    for p in _PRECISIONS
                ),
                *map(gain_text, gains),
                ", ".join("yes" if _is_small(found) else "unsure" for found in gains),
            )
    return table


def _table_of_tables(results: Results, unit: str) -> Table:
    title = f"Tables of a TPU against a processor's, mmoe in bfloat16; over {unit}"
    heads = ["task", "a TPU's", "expected AUC, better by", "AUC of labels, better by"]
    table = new_table(title, heads)
    for task in _ROWS:
        gains = [_gain_of_tables(results, f"{kind} {task}") for kind in _KINDS]
        mean = simulated.mean(results, _TPU, f"auc {task}")
        table.add_row(task, f"{mean:.4f}", *map(gain_text, gains))
    return table


def _gain_of_tables(results: Results, measure: str) -> Gain:
    """Of rounded rows and gradients over those of a processor."""
    return simulated.gain(results, _TPU, _name("mmoe", _HALF), measure)


def _summary(
    results: Results, sizes: _Sizes, rows: int, seconds: float
) -> dict[str, object]:
    return {
        "study": "precision",
        "gains_of_bfloat16": {
            kind: {
                preset: {
                    task: simulated.as_json(_gain(results, preset, f"{kind} {task}"))
                    for task in _ROWS
                }
                for preset in _PRESETS
            }
            for kind in _KINDS
        },
        "gains_of_a_tpus_tables": {
            kind: {
                task: simulated.as_json(_gain_of_tables(results, f"{kind} {task}"))
                for task in _ROWS
            }
            for kind in _KINDS
        },
        "allowed_loss": _ALLOWED,
        "auc": {
            name: {
                task: round(simulated.mean(results, name, f"auc {task}"), 5)
                for task in _ROWS
            }
            for name in results
        },
        "logs": sizes.logs,
        "seeds": sizes.seeds,
        "shape": dataclasses.asdict(sizes.shape),
        "evaluation_rows": rows,
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _draw(results: Results, unit: str) -> Figure:
    """A panel a kind of AUC, with the loss that is allowed."""
    figure = figures.new_figure(9, 3)
    titles = {"auc": "expected AUC", "label": "AUC of the labels"}
    for panel, kind in zip(figure.subplots(1, 2, sharey=True), _KINDS, strict=True):
        for number, preset in enumerate(_PRESETS):
            gains = [_gain(results, preset, f"{kind} {task}") for task in _ROWS]
            offset = 0.24 * number - 0.12
            simulated.draw_gains(panel, gains, offset, _COLOURS[number], preset)
        panel.axvline(-_ALLOWED, color=figures.VERMILLION, linewidth=1, linestyle="--")
        figures.finish_gains(panel, _ROWS, titles[kind])
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, frameon=False, loc="outside right upper")
    figure.supxlabel(
        f"bfloat16 minus float32; dashed: {-_ALLOWED:g}; bars: 95 % over {unit}, "
        "filled where they leave 0 out",
        fontsize=9,
    )
    return figure


if __name__ == "__main__":
    main()

"""Processor time and peak memory of measuring an evaluation, by its rows.

    python benchmarks/evaluation.py [--quick]

Drawn predictions of all tasks of the shipped spec are measured as the Evaluator does it
once they are scored: every task, the slices, the sums by user, the fused ranking. Each
number of rows has a process of its own. A second model on the same rows, as the gates
compare one, is told apart. Peaks are of the whole process.

Prints a table, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import measured
import numpy as np
import polars as pl
import rich.console
import rich.table

from feature_specs import Spec, label_key, load_spec, mask_key
from feature_specs.spec import slice_key
from pipeline.evaluation.model_evaluation import evaluate_rows, model_of
from pipeline.evaluation.rows import collect, prediction_key, score_key

_FULL = (150_000, 1_000_000, 10_000_000)
_QUICK = (50_000, 400_000)
_BATCH, _ROWS_PER_USER, _MODELS = 4096, 50, 2


def main() -> None:
    """Measures each size, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rows:
        print(json.dumps(_measure(args.rows)))
        return
    found = [_in_a_process(rows) for rows in (_QUICK if args.quick else _FULL)]
    heads = ("rows", "collect", "measure", "s a million rows", "baseline", "peak MB")
    table = rich.table.Table(*heads, title=f"{measured.machine()}, processor seconds")
    for one in found:
        per_million = one["measure_s"] / one["rows"] * 1e6
        figures = (one["collect_s"], one["measure_s"], per_million, one["baseline_s"])
        cells = [f"{value:.1f}" for value in figures]
        table.add_row(f"{one['rows']:,}", *cells, f"{one['peak_mb']:.0f}")
    rich.console.Console(width=measured.COLUMNS).print(table)
    print(json.dumps({"commit": measured.commit(), "sizes": found}))


def _in_a_process(rows: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--rows", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(count: int) -> dict[str, float]:
    spec = load_spec("kuairand")
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as out:
        ticks = [time.process_time()]
        rows = collect(_drawn(spec, count), count, scratch)
        ticks.append(time.process_time())
        for number in range(_MODELS):
            empty = model_of(f"model {number}", [], out, number)
            evaluate_rows(spec, rows, number, empty, alone=number > 0)
            ticks.append(time.process_time())
    collected, measure, baseline = np.diff(ticks)
    return {
        "rows": count,
        "collect_s": round(collected, 2),
        "measure_s": round(measure, 2),
        "baseline_s": round(baseline, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _drawn(spec: Spec, count: int) -> Iterator[pl.DataFrame]:
    """Batches of rows, as `scoring.score_days` gives them."""
    draw = np.random.default_rng(0)
    for begin in range(0, count, _BATCH):
        rows = min(_BATCH, count - begin)
        columns: dict[str, np.ndarray] = {
            "key_user": draw.integers(0, max(count // _ROWS_PER_USER, 1), rows),
            "key_item": draw.integers(0, 5_000, rows),
            "key_time_ms": np.arange(begin, begin + rows),
            "key_split": np.zeros(rows, np.int32),
        }
        for place, column in enumerate(spec.evaluation.slices):
            values = draw.integers(0, 2 + 6 * place, rows)
            columns[slice_key(column)] = values
        for task in spec.tasks:
            chance = draw.random(rows)
            is_binary = task.of_kind.is_probability
            label = draw.random(rows) < chance if is_binary else 3 * chance
            columns[label_key(task.name)] = label.astype(np.float32)
            columns[mask_key(task.name)] = np.ones(rows, np.float32)
            for model in range(_MODELS):
                noisy = (chance + draw.random(rows)) / 2
                columns[prediction_key(task.name, model)] = noisy.astype(np.float32)
        for model in range(_MODELS):
            columns[score_key(model)] = draw.random(rows, dtype=np.float32)
        yield pl.DataFrame(columns)


if __name__ == "__main__":
    main()

"""How often do the data gates stop a clean day, and which damaged days do they stop?

    python benchmarks/study_gates.py [--quick] [--work DIR]

Clean: simulated logs of two weeks, each of its own seed, become examples, and every day
is judged by the days before it with the limits that a spec has that says nothing. No
day should be stopped. Damaged: on one day of a log something happens that has happened
to others, the examples of that day are made again, and it is judged by the clean days
before it. It should be stopped, and for the right reason.

Prints two tables, and as the last line one JSON object. `--work` keeps the summaries
for another run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

import measured
import polars as pl
import rich.console
from rich.table import Table

from feature_specs import Spec, load_spec, read_spec
from pipeline.examples.make import make_examples
from pipeline.gates.data_gate import judge_day, judge_days
from pipeline.gates.findings import GateReport
from pipeline.reporting.tables import new_table
from pipeline.simulator import simulate
from pipeline.summaries.store import FOLDER, read_summaries
from pipeline.summaries.summary import DaySummary

_DAYS = 14
_DAY = "20220419"  # the twelfth, which is damaged
_LAST = "20220421"  # kept for evaluation
_ALLOWED = 1  # clean seeds of twenty with a day that is stopped
# What the shipped spec says otherwise: rejects are the gate's to judge, and a column
# that may be empty can be.
_CHANGES = (
    ("  max_reject_share: 0.02", "  max_reject_share: 1.0\n  min_day_share: 0.0"),
    ("    tab: int64\n", "    tab: int64?\n"),
    ("    comment_stay_time: int64\n", "    comment_stay_time: int64?\n"),
)


@dataclasses.dataclass(frozen=True)
class _Sizes:
    seeds: int
    users: int
    rows: int  # a user and day


_FULL = _Sizes(seeds=20, users=80, rows=30)
_QUICK = _Sizes(seeds=2, users=60, rows=25)


@dataclasses.dataclass(frozen=True)
class _Damage:
    """What happens to the rows of a day.

    Attributes:
        name: For people.
        change: The day's rows, of texts as the CSV has them -> what the log has.
        named: (column, measure) that the gate must find.
        day: On which.
    """

    name: str
    change: Callable[[pl.DataFrame], pl.DataFrame]
    named: tuple[str, str]
    day: str = _DAY


def _set(**columns: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(
        **{name: value.cast(pl.String) for name, value in columns.items()}
    )


def _number(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Int64, strict=False)


_TAB = pl.col("tab")
_SWAPPED = pl.when(_TAB == "1").then(pl.lit("0"))
_SWAPPED = _SWAPPED.when(_TAB == "0").then(pl.lit("1")).otherwise(_TAB)
_FIFTH = pl.int_range(pl.len()) % 5 == 0
_DAMAGES = (
    _Damage(
        "likes flipped",
        _set(is_like=1 - _number("is_like")),
        ("label_like", "exchanged labels"),
    ),
    _Damage(
        "play times in seconds",
        _set(play_time_ms=_number("play_time_ms") // 1_000),
        ("label_watch_seconds", "unit"),
    ),
    _Damage(
        "a feature all null",
        _set(tab=pl.lit("")),
        ("tab", "no values"),
    ),
    _Damage(
        "a label all null",
        _set(comment_stay_time=pl.lit("")),
        ("label_comment_stay", "no values"),
    ),
    _Damage("two tabs exchanged", _set(tab=_SWAPPED), ("tab", "mix of values")),
    _Damage("half of the rows", lambda rows: rows.gather_every(2), ("day", "rows")),
    _Damage(
        "a fifth unreadable",
        _set(time_ms=pl.when(_FIFTH).then(pl.lit("?")).otherwise(pl.col("time_ms"))),
        ("day", "reject_share"),
    ),
    _Damage(
        "videos longer by a standard deviation",
        _set(duration_ms=_number("duration_ms") + 60_000),
        ("duration_s", "mean, log"),
    ),
    _Damage(
        "an evaluation day without a play",
        _set(is_click=pl.lit(0), long_view=pl.lit(0)),
        ("label_long_view", "one value"),
        _LAST,
    ),
)


def main() -> int:
    """Runs the study; 1 if the gates stop too much, or too little."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, small days")
    parser.add_argument("--work", help="keeps the summaries of a run")
    args = parser.parse_args()
    sizes = _QUICK if args.quick else _FULL
    began = time.process_time()
    with contextlib.ExitStack() as stack:
        work = args.work or stack.enter_context(tempfile.TemporaryDirectory())
        clean = [
            judge_days(
                load_spec("kuairand"), _days(pathlib.Path(work), sizes, seed), []
            )
            for seed in range(sizes.seeds)
        ]
        damaged = _judge_damages(pathlib.Path(work), sizes)
    console = rich.console.Console(width=measured.COLUMNS)
    console.print(_clean_table(clean))
    console.print(_damaged_table(damaged))
    stopped = sum(any(not r.passes for r in reports) for reports in clean)
    missed = [d.name for d, r in damaged if not _is_named(d, r)]
    figures = {
        "seeds": len(clean),
        "clean_seeds_stopped": stopped,
        "clean_days_judged": sum(len(r.before) >= 5 for one in clean for r in one),
        "measures_a_day": max(report.judged for one in clean for report in one),
        "damages": len(damaged),
        "missed": missed,
        "processor_s": round(time.process_time() - began, 1),
        "machine": measured.machine(),
    }
    print(json.dumps(figures))
    return int(stopped > _ALLOWED or bool(missed))


def _days(work: pathlib.Path, sizes: _Sizes, seed: int) -> list[DaySummary]:
    """The summaries of a clean log, made once."""
    kept = work / f"{sizes.users}-{sizes.rows}-{seed}"
    if not (kept / FOLDER).exists():
        with tempfile.TemporaryDirectory() as folder:
            _simulate(folder, sizes, seed)
            out = os.path.join(folder, "examples")
            make_examples("kuairand", os.path.join(folder, "data"), out)
            shutil.copytree(os.path.join(out, FOLDER), kept / FOLDER)
    return list(read_summaries(str(kept)).values())


def _simulate(folder: str, sizes: _Sizes, seed: int) -> None:
    simulate(
        folder,
        users=sizes.users,
        days=_DAYS,
        rows_per_user_day=float(sizes.rows),
        seed=seed,
    )


def _judge_damages(
    work: pathlib.Path, sizes: _Sizes
) -> list[tuple[_Damage, GateReport]]:
    """Each damage to the same log, of a seed that is not among the clean ones."""
    spec = _changed_spec()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        _simulate(folder, sizes, sizes.seeds)
        logs, out = os.path.join(folder, "data"), os.path.join(folder, "examples")
        make_examples(spec, logs, out)
        clean = list(read_summaries(out).values())
        for damage in _DAMAGES:
            with _damaged(logs, damage) as other:
                make_examples(spec, other, out, replace=damage.day)
            day = read_summaries(out)[f"day-{damage.day}"]
            found.append((damage, judge_day(spec, day, clean)))
    return found


def _changed_spec() -> Spec:
    text = load_spec("kuairand").text
    for old, new in _CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return read_spec(text)


@contextlib.contextmanager
def _damaged(logs: str, damage: _Damage) -> Iterator[str]:
    """The logs with a day's rows changed."""
    with tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder, "data")
        shutil.copytree(logs, other)
        for path in other.glob("log_*.csv"):
            rows = pl.read_csv(path, infer_schema=False)
            is_day = pl.col("date") == damage.day
            changed = damage.change(rows.filter(is_day))
            pl.concat([rows.filter(~is_day), changed]).write_csv(path)
        yield str(other)


def _is_named(damage: _Damage, report: GateReport) -> bool:
    found = {(finding.column, finding.measure) for finding in report.findings}
    return not report.passes and damage.named in found


def _clean_table(clean: list[list[GateReport]]) -> Table:
    table = new_table(
        "Clean logs", ("seed", "days", "stopped", "what"), texts=("what",)
    )
    for seed, reports in enumerate(clean):
        refused = [report for report in reports if not report.passes]
        told = ", ".join(
            f"{report.day} {finding.column} {finding.measure}"
            for report in refused
            for finding in report.findings
        )
        table.add_row(str(seed), str(len(reports)), str(len(refused)), told)
    return table


def _damaged_table(damaged: list[tuple[_Damage, GateReport]]) -> Table:
    heads = ("damage", "verdict", "findings", "the worst")
    table = new_table(
        "Damaged days", heads, texts=("verdict", "the worst"), folded=heads
    )
    for damage, report in damaged:
        worst = [f for f in report.findings if (f.column, f.measure) == damage.named]
        told = f"{worst[0].column}: {worst[0].cause}" if worst else "NOT NAMED"
        table.add_row(damage.name, report.verdict, str(len(report.findings)), told)
    return table


if __name__ == "__main__":
    raise SystemExit(main())

"""What each step of the pipeline costs, in units of the examples pass.

    python benchmarks/whole_pipeline.py [--quick] [--rows N ...] [--no_days]

Simulated KuaiRand logs of three sizes go through `trailrank pipeline run`, each in a
process of its own; a fourth one, with as many rows every day, goes on day by day, as a
nightly job does: by the fifth day a new model is compared with as many others as it
ever will be. What one more day costs early and late is then measured again in turns,
each time in the run as it was before that day: a neighbour on the machine then slows
both. Of each step: processor time (threads and children included), wall time, and the
highest memory of the process while it ran (Linux resets it on demand). `start-up` is
what importing TensorFlow, Beam and TFX takes.

Prints tables, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import measured
import polars as pl
import rich.console
import rich.table

_DAYS, _ROWS_PER_USER_DAY = 7, 381  # the simulator's mean
_EXAMPLES, _START, _ALL = "DayExampleGen", "start-up", "all steps"
_FIRST_DAYS = 2  # of the log that goes on: one to train, one to judge
_FORM = "%Y%m%d"


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Rows of the logs, and of each day of the one that goes on."""

    rows: tuple[int, ...]
    day_rows: int
    days: int  # of the log that goes on
    early: int  # a day whose price is compared with that of the last
    rounds: int  # in which both are measured


_FULL = _Sizes((150_000, 1_000_000, 5_000_000), 20_000, 15, 5, 3)
_QUICK = _Sizes((15_000, 30_000), 2_000, 7, 5, 1)


@dataclasses.dataclass(frozen=True)
class _Cost:
    """What something took."""

    step: str
    processor_s: float
    wall_s: float
    peak_mb: float


def main() -> None:
    """Simulates, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and days")
    parser.add_argument("--rows", type=int, nargs="*", help="other sizes")
    parser.add_argument("--no_days", action="store_true", help="no day after day")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(_child(*args.child)))
        return
    sizes = _QUICK if args.quick else _FULL
    if args.rows is not None:
        sizes = dataclasses.replace(sizes, rows=tuple(args.rows))
    console = rich.console.Console(width=measured.COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        whole = {
            rows: _measure(pathlib.Path(folder), rows, console) for rows in sizes.rows
        }
        daily = {}
        if not args.no_days:
            daily = _measure_days(pathlib.Path(folder), sizes, console)
    if whole:
        _print_steps(whole, console)
    if daily:
        _print_days(daily, console)
    print(json.dumps(_summary(whole, daily)))


def _measure(
    folder: pathlib.Path, rows: int, console: rich.console.Console
) -> list[_Cost]:
    """A run on a log of about so many rows, in a process of its own."""
    users = max(20, round(rows / (_DAYS * _ROWS_PER_USER_DAY)))
    logs = _simulate(folder / f"logs-{rows}", users, _DAYS)
    console.print(f"{rows:,} rows ...")
    costs = _run(logs, folder / f"run-{rows}")
    shutil.rmtree(folder / f"run-{rows}")
    shutil.rmtree(logs.parent)
    return costs


def _measure_days(
    folder: pathlib.Path, sizes: _Sizes, console: rich.console.Console
) -> dict[int, list[list[_Cost]]]:
    """Day number -> its price in each round, gone on with after the days before."""
    users = max(20, round(sizes.day_rows / _ROWS_PER_USER_DAY))
    logs = _simulate(folder / "logs-daily", users, sizes.days)
    _level(logs)
    console.print(f"{sizes.days} days of {sizes.day_rows:,} rows, one after another")
    first = _first_day(logs)
    root = folder / "run-daily"
    compared = (sizes.early, sizes.days)
    for day in range(_FIRST_DAYS, sizes.days + 1):
        if day in compared:
            shutil.copytree(root, folder / f"before-{day}", symlinks=True)
        if day < sizes.days:
            _run(logs, root, f"{first}:{_day_after(first, day - 1)}")
    found: dict[int, list[list[_Cost]]] = {day: [] for day in compared}
    for turn in range(sizes.rounds):
        for day in compared if turn % 2 else reversed(compared):
            shutil.rmtree(root)
            shutil.copytree(folder / f"before-{day}", root, symlinks=True)
            costs = _run(logs, root, f"{first}:{_day_after(first, day - 1)}")
            found[day].append(costs)
    return found


def _simulate(out: pathlib.Path, users: int, days: int) -> pathlib.Path:
    """In a process of its own, whose memory is not ours."""
    code = (
        "from pipeline.simulator import simulate\n"
        f"simulate({str(out)!r}, users={users}, days={days})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    return out / "data"


def _level(logs: pathlib.Path) -> None:
    """Leaves each day the rows of the smallest one.

    Users come and go: without this the days differ by half, and so would their prices.
    """
    for path in logs.glob("log_*.csv"):
        rows = pl.read_csv(path, infer_schema=False)  # texts as they are
        number = rows["date"].value_counts()["count"].min()
        rows.filter(pl.int_range(pl.len()).over("date") < number).write_csv(path)


def _run(logs: pathlib.Path, root: pathlib.Path, days: str = "") -> list[_Cost]:
    """Of one run, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(logs), str(root), days]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"The run failed:\n{done.stderr}")
    return [_Cost(**cost) for cost in json.loads(done.stdout.splitlines()[-1])]


# --- in the measured process ----------------------------------------------------------


def _child(logs: str, root: str, days: str) -> list[dict[str, Any]]:
    """The costs of a run."""
    meter = _Meter()
    from pipeline.run import load_tfx

    load_tfx()
    startup = meter.cost(_START)
    import trailrank

    steps, whole = _Steps(), _Meter()
    config = trailrank.RunConfig(
        spec="kuairand", logs=logs, root=root, days=days or None
    )
    trailrank.run_pipeline(config, on_step=steps)
    costs = [startup, *steps.costs, whole.cost(_ALL)]
    return [dataclasses.asdict(cost) for cost in costs]


class _Meter:
    """Measures from its making on."""

    def __init__(self) -> None:
        # Not everywhere: then the peak is that of the process so far.
        reset = pathlib.Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")
        self._processor, self._wall = _processor_s(), time.perf_counter()

    def cost(self, step: str) -> _Cost:
        """Of what was done since."""
        return _Cost(
            step=step,
            processor_s=round(_processor_s() - self._processor, 2),
            wall_s=round(time.perf_counter() - self._wall, 2),
            peak_mb=round(_peak_mb()),
        )


class _Steps:
    """Measures each step between its beginning and its end."""

    def __init__(self) -> None:
        self.costs: list[_Cost] = []
        self._meter = _Meter()

    def __call__(self, event: Any) -> None:
        if event.state == "running":
            self._meter = _Meter()
        else:
            self.costs.append(self._meter.cost(event.step))


def _processor_s() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def _peak_mb() -> float:
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return float(lines["VmHWM"].split()[0]) / 1024


# --- tables ---------------------------------------------------------------------------


def _print_steps(whole: dict[int, list[_Cost]], console: rich.console.Console) -> None:
    table = rich.table.Table(title="The pipeline", caption=measured.machine())
    table.add_column("step")
    for rows in whole:
        for title in (f"{rows:,} rows: s", "x examples", "peak MB"):
            table.add_column(title, justify="right")
    by = {rows: {cost.step: cost for cost in costs} for rows, costs in whole.items()}
    for step in next(iter(by.values())):
        cells = []
        for costs in by.values():
            cost, unit = costs[step], costs[_EXAMPLES].processor_s
            ratio = cost.processor_s / unit
            cells += [f"{cost.processor_s:.1f}", f"{ratio:.2f}", f"{cost.peak_mb:,.0f}"]
        table.add_row(step, *cells)
    console.print(table)


def _print_days(
    daily: dict[int, list[list[_Cost]]], console: rich.console.Console
) -> None:
    """Of each step the median of the rounds."""
    table = rich.table.Table(title="One more day", caption=measured.machine())
    table.add_column("step")
    for day in daily:
        for title in (f"day {day}: s", "peak MB"):
            table.add_column(title, justify="right")
    table.add_column("late to early", justify="right")
    steps = [cost.step for cost in next(iter(daily.values()))[0]]
    for step in steps:
        cells = []
        for rounds in daily.values():
            found = [cost for costs in rounds for cost in costs if cost.step == step]
            cells.append(f"{statistics.median(c.processor_s for c in found):.2f}")
            cells.append(f"{max(c.peak_mb for c in found):,.0f}")
        early, late = (
            statistics.median(_price(costs, step) for costs in rounds)
            for rounds in daily.values()
        )
        table.add_row(step, *cells, f"{late / early:.2f}" if early else "")
    console.print(table)


def _summary(
    whole: dict[int, list[_Cost]], daily: dict[int, list[list[_Cost]]]
) -> dict[str, Any]:
    """Multiples of the examples pass, peaks, and the price of a late day."""
    times, peaks = {}, {}
    for rows, costs in whole.items():
        by = {cost.step: cost for cost in costs}
        total = by[_ALL].processor_s + by[_START].processor_s
        times[rows] = round(total / by[_EXAMPLES].processor_s, 2)
        peaks[rows] = max(cost.peak_mb for cost in costs)
    return {
        "benchmark": "pipeline",
        "times_the_examples_pass": times,
        "peak_mb": peaks,
        "late_day_to_early_day": _late_to_early(daily) if daily else None,
        "steps": {
            rows: {cost.step: dataclasses.asdict(cost) for cost in costs}
            for rows, costs in whole.items()
        },
        "machine": measured.machine(),
        "commit": measured.commit(),
    }


def _late_to_early(daily: dict[int, list[list[_Cost]]]) -> list[float]:
    """Processor time of the late day over that of the early one, of each round."""
    early, late = daily.values()
    return [
        round(_price(costs, _ALL) / _price(others, _ALL), 3)
        for costs, others in zip(late, early, strict=True)
    ]


def _price(costs: Sequence[_Cost], step: str) -> float:
    """Processor time of a step; all of them with what begins them."""
    by = {cost.step: cost.processor_s for cost in costs}
    return by[step] + (by[_START] if step == _ALL else 0.0)


def _first_day(logs: pathlib.Path) -> str:
    from feature_specs import load_spec
    from pipeline.quiet import quiet_imports

    with quiet_imports():
        from pipeline.examples.reading.readers import discover_days

    return f"{discover_days(load_spec('kuairand'), str(logs)).first:{_FORM}}"


def _day_after(day: str, days: int) -> str:
    import datetime

    found = datetime.datetime.strptime(day, _FORM) + datetime.timedelta(days=days)
    return found.strftime(_FORM)


if __name__ == "__main__":
    main()

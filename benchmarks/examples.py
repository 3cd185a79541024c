"""Speed and memory of example generation, beside two ways to do without it.

    python benchmarks/examples.py [--quick]

Simulated KuaiRand logs become examples of the shipped spec in three ways, each in a
process of its own: by Trailrank's pipeline, by a classic Beam pipeline with one element
a row (in one process, and with one a core), and by a single-process Polars script that
has all rows in one frame. The Polars script calls Trailrank's own vectorised functions,
so that it is as fast as they are. The per-row pipeline runs on fewer rows, as it is
slow: rows a second are compared. Its examples, and those of the script, are checked
against Trailrank's: their number, and all values of the last day.

Trailrank runs once more on the same logs with events in a file of their own, one for
ten impressions, that find their impressions by an id and change the history, counters,
a statistic and a label: what that costs is a ratio of the same rounds.

Prints a table, and as the last line one JSON object. Peaks are of the whole process,
imports included (Beam's are some 250 MB, TensorFlow's 500 MB).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import measured
import rich.console
import rich.table

_OURS, _SCRIPT = "trailrank_pipeline", "polars_script"
_EVENTS = "trailrank_events"
_PER_ROW, _PROCESSES = "per_row_beam", "per_row_beam_processes"
_TITLES = {
    _OURS: "Trailrank",
    _EVENTS: "Trailrank, with events apart",
    _PER_ROW: "per-row Beam",
    _PROCESSES: "per-row Beam, a process a core",
    _SCRIPT: "Polars script",
}
_RIVALS = pathlib.Path(__file__).parent / "rivals"
_MEASURE = _RIVALS / "measure.py"
_DAYS, _ROWS_PER_USER_DAY = 7, 381  # the simulator's mean
_COMPARED = "day-20220414"  # the split whose values are compared


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Rows of the three logs, and how often they are worked on."""

    few: int  # for the per-row pipeline
    many: int  # for the others
    most: int  # for memory, once
    few_rounds: int
    many_rounds: int
    per_row: tuple[str, ...]  # a process a core pays for itself on many rows only


_FULL = _Sizes(100_000, 1_000_000, 10_000_000, 2, 2, (_PER_ROW, _PROCESSES))
_QUICK = _Sizes(30_000, 100_000, 400_000, 1, 2, (_PER_ROW,))


@dataclasses.dataclass(frozen=True)
class _Result:
    """One contender on one log."""

    contender: str
    rows: int
    seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def main() -> None:
    """Simulates, measures, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs")
    sizes = _QUICK if parser.parse_args().quick else _FULL
    console = rich.console.Console()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(pathlib.Path(folder), console)
        results = bench.measure(sizes)
        differing = bench.compare(sizes)
    _print_table(results, console)
    print(json.dumps(_summary(results, differing, sizes)))
    if differing:
        raise SystemExit(f"The contenders' examples differ: {differing}")


@dataclasses.dataclass(frozen=True)
class _Bench:
    """Runs contenders on logs below a folder."""

    folder: pathlib.Path
    console: rich.console.Console

    def measure(self, sizes: _Sizes) -> list[_Result]:
        """All runs; contenders take turns, so that a busy moment meets all of them."""
        self._simulate((sizes.few, sizes.many, sizes.most))
        few = [(name, sizes.few) for name in (_OURS, *sizes.per_row)]
        many = [(name, sizes.many) for name in (_OURS, _EVENTS, _SCRIPT)]
        most = [(name, sizes.most) for name in (_OURS, _EVENTS)]
        turns = [*few * sizes.few_rounds, *many * sizes.many_rounds, *most]
        return [self._run(*turn) for turn in turns]

    def compare(self, sizes: _Sizes) -> dict[str, dict[str, int]]:
        """Rival -> columns in which its examples are not Trailrank's."""
        # Here, as what it imports would be counted as memory of later processes.
        from rivals.compare import differences

        found = {}
        for rival, rows in ((_PER_ROW, sizes.few), (_SCRIPT, sizes.many)):
            ours, theirs = (str(self._out(name, rows)) for name in (_OURS, rival))
            found[rival] = differences(ours, theirs, _COMPARED)
        return {rival: columns for rival, columns in found.items() if columns}

    def _simulate(self, sizes: Sequence[int]) -> None:
        """Logs of about so many rows, in one process of its own."""
        code = "from pipeline.simulator import simulate\n"
        for rows in sizes:
            users = max(2, round(rows / (_DAYS * _ROWS_PER_USER_DAY)))
            out = str(self._logs(rows).parent)
            code += f"simulate({out!r}, users={users}, days={_DAYS})\n"
        self.console.print(f"simulating {sum(sizes):,} rows of {_DAYS} days ...")
        subprocess.run([sys.executable, "-c", code], check=True)
        code = "import pathlib\nfrom engaged_logs import write_events\n"
        for rows in sizes[1:]:
            code += f"write_events(pathlib.Path({str(self._logs(rows))!r}))\n"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=_RIVALS)

    def _run(self, contender: str, rows: int) -> _Result:
        """One contender in a fresh process."""
        out = self._out(contender, rows)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, str(_MEASURE), contender, str(self._logs(rows))]
        done = subprocess.run([*command, str(out)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{contender} failed:\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        result = _Result(contender, self._count(rows), **found)
        self.console.print(
            f"{_TITLES[contender]}: {result.rows:,} rows in {result.seconds:.1f} s"
        )
        return result

    def _logs(self, rows: int) -> pathlib.Path:
        return self.folder / f"logs-{rows}" / "data"

    def _out(self, contender: str, rows: int) -> pathlib.Path:
        return self.folder / f"{contender}-{rows}"

    def _count(self, rows: int) -> int:
        """Lines of the log files without their headers."""
        count = 0
        for path in self._logs(rows).glob("log_*.csv"):
            with path.open("rb") as file:
                count += sum(1 for _ in file) - 1
        return count


def _print_table(results: list[_Result], console: rich.console.Console) -> None:
    table = rich.table.Table(title="Example generation", caption=measured.machine())
    table.add_column("")
    for title in ("rows", "seconds", "rows/s", "peak MB"):
        table.add_column(title, justify="right")
    for key in dict.fromkeys((r.contender, r.rows) for r in results):
        runs = [r for r in results if (r.contender, r.rows) == key]
        table.add_row(
            _TITLES[key[0]],
            f"{key[1]:,}",
            measured.spread([r.seconds for r in runs], ".1f"),
            measured.spread([r.rate for r in runs], ",.0f"),
            measured.spread([r.peak_mb for r in runs], ",.0f"),
        )
    console.print(table)


def _summary(
    results: list[_Result], differing: dict[str, dict[str, int]], sizes: _Sizes
) -> dict[str, object]:
    """The ratios, each with its spread over the rounds."""
    by = {
        (name, size): [r for r in results if r.contender == name and r.rows == rows]
        for name in _TITLES
        for size, rows in zip(("few", "many", "most"), _rows_of(results), strict=True)
    }
    few, many, most = (by[_OURS, size] for size in ("few", "many", "most"))
    events, most_events = by[_EVENTS, "many"], by[_EVENTS, "most"]
    rivals = [by[name, "few"] for name in sizes.per_row]
    rival = max(rivals, key=lambda runs: statistics.median(r.rate for r in runs))
    return {
        "benchmark": "examples",
        "rows": dict(zip(("few", "many", "most"), _rows_of(results), strict=True)),
        "rows_per_s": round(statistics.median(r.rate for r in many)),
        "fastest_per_row_beam": rival[0].contender,
        "times_per_row_beam": _ratios(many, rival),
        "times_per_row_beam_same_rows": _ratios(few, rival),
        "times_polars_script": _ratios(many, by[_SCRIPT, "many"]),
        "peak_mb": {
            "many": round(max(r.peak_mb for r in many)),
            "most": round(most[0].peak_mb),
        },
        "peak_most_to_many": round(most[0].peak_mb / max(r.peak_mb for r in many), 2),
        "seconds_with_events": _ratios(many, events),
        "peak_mb_with_events": {
            "many": round(max(r.peak_mb for r in events)),
            "most": round(most_events[0].peak_mb),
        },
        "same_examples": not differing,
        "rounds": {"few": sizes.few_rounds, "many": sizes.many_rounds},
        "machine": measured.machine(),
        "commit": measured.commit(),
    }


def _rows_of(results: list[_Result]) -> list[int]:
    """The three logs' rows, fewest first."""
    return sorted({r.rows for r in results})


def _ratios(ours: list[_Result], rival: list[_Result]) -> dict[str, float]:
    """Trailrank's rows/s over a rival's, of each round; the shorter list repeats."""
    rounds = range(max(len(ours), len(rival)))
    one, other = ([runs[i % len(runs)].rate for i in rounds] for runs in (ours, rival))
    return measured.ratios(one, other)


if __name__ == "__main__":
    main()

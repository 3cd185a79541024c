"""What example generation costs as logs grow: memory, processor time, shuffled bytes.

    python benchmarks/scaling.py [--quick]

Every measurement is a process of its own that uses one core and makes the examples of
simulated logs. Prints tables, and as the last line one JSON object; docs/scaling.md
says how to read them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

_DAYS = 7
_ROWS_PER_USER_DAY = 390  # of KuaiRand; the simulator's default
_FEW_ROWS_PER_USER_DAY = 20  # so that there are users for every shard
_PARCEL_ROWS, _PARCELS = 16, 300
_ASKED_COLUMNS = 3  # key, day, who asks
_HOUR_S = 3600
_MB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        whole: Rows of logs that one worker holds as one shard.
        cut: Rows of the logs that are cut into more and more shards.
        shards: How many.
    """

    whole: tuple[int, ...]
    cut: int
    shards: tuple[int, ...]


_FULL = Sizes(
    whole=(50_000, 100_000, 200_000, 400_000), cut=100_000, shards=(1, 16, 64)
)
_QUICK = Sizes(whole=(20_000, 80_000), cut=20_000, shards=(1, 32))


@dataclasses.dataclass(frozen=True)
class Job:
    """A job whose cost is put together from what was measured.

    Attributes:
        rows: Of the log.
        shard_mb: Text of the log a shard; the pipeline's default is 32.
        file_rows: Rows of an output file; the default is 50,000.
    """

    rows: int
    shard_mb: int = 32
    file_rows: int = 50_000


_JOBS = {
    "KuaiRand-27K": Job(322_278_385),
    "KuaiRand-27K, larger pieces": Job(322_278_385, 64, 300_000),
    "1 B rows a day": Job(1_000_000_000),
    "1 B rows a day, larger pieces": Job(1_000_000_000, 128, 1_000_000),
}
_RANGE_MB = 16


def main() -> None:
    """Measures, and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller logs")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # logs, in the child
    parser.add_argument("--shards", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--parcels", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(_measure(pathlib.Path(args.measure), args.shards)))
    elif args.parcels:
        print(json.dumps(_parcel_costs()))
    else:
        _measure_all(_QUICK if args.quick else _FULL)


def _measure_all(sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = [_run(_logs(folder, rows), 1) for rows in sizes.whole]
        light = _logs(folder, sizes.cut, _FEW_ROWS_PER_USER_DAY)
        cut = [_run(light, shards) for shards in sizes.shards]
    result = _result(whole, cut, _in_child("--parcels"))
    _print_tables(whole, cut, result)
    print(json.dumps(result))


# --- in the parent --------------------------------------------------------------------


def _logs(folder: str, rows: int, rows_per_user_day: int = _ROWS_PER_USER_DAY) -> str:
    """The logs of a week with about so many rows."""
    from pipeline.simulator import simulate

    out = pathlib.Path(folder, f"{rows}-{rows_per_user_day}")
    users = max(1, round(rows / _DAYS / rows_per_user_day))
    if not out.exists():
        simulate(
            str(out),
            users=users,
            days=_DAYS,
            seed=0,
            rows_per_user_day=rows_per_user_day,
        )
    return str(out / "data")


def _run(logs: str, shards: int) -> dict[str, Any]:
    """`_measure` of one job."""
    found = _in_child("--measure", logs, "--shards", str(shards))
    print(
        f"{found['rows']:,} rows, {shards} shards: {found['cpu_s']:.1f} s of "
        f"processor, {found['peak_mb']:,} MB",
        flush=True,
    )
    return found


def _in_child(*args: str) -> dict[str, Any]:
    """What a fresh process of one core, whose memory nobody else has used, prints."""
    env = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, __file__, *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(args)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _result(whole: list[dict], cut: list[dict], parcels: dict) -> dict[str, Any]:
    """Figures of one row and of one parcel, and what they add up to for large jobs."""
    few, many = whole[0], whole[-1]
    more_rows = many["rows"] - few["rows"]
    mb_per_row = (many["peak_mb"] - few["peak_mb"]) / more_rows
    result = {
        "benchmark": "scaling",
        "process_mb": round(few["peak_mb"] - few["rows"] * mb_per_row),
        "kb_per_row_of_a_shard": round(mb_per_row * 1024, 2),
        "text_bytes_per_row": round(many["text_bytes"] / many["rows"], 1),
        "cpu_s_per_million_rows": round(
            (many["cpu_s"] - few["cpu_s"]) / more_rows * 1e6, 1
        ),
        "steps_cpu_s_per_million_rows": _per_million(many),
        "bytes_per_row": _bytes_per_row(many),
        "parcels": parcels,
        "parcel_ms_in_a_run": round(_parcel_ms(cut), 2),
        "slowdown_of_many_shards": round(cut[-1]["cpu_s"] / cut[0]["cpu_s"], 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    jobs = {name: _cost(job, result) for name, job in _JOBS.items()}
    return {**result, "jobs_by_arithmetic": jobs}


def _per_million(found: dict) -> dict[str, float]:
    """Step -> seconds of one core for a million log rows."""
    return {
        name: round(step["busy_s"] / found["rows"] * 1e6, 1)
        for name, step in found["steps"].items()
    }


def _bytes_per_row(found: dict) -> dict[str, float]:
    return {
        name: round(shuffle["bytes"] / found["rows"], 1)
        for name, shuffle in found["shuffles"].items()
    }


def _parcel_ms(cut: list[dict]) -> float:
    """Milliseconds of a core that one more parcel costs in a run, of all kinds."""
    few, many = cut[0], cut[-1]
    parcels = _total(many, "parcels") - _total(few, "parcels")
    return (many["cpu_s"] - few["cpu_s"]) / parcels * 1e3


def _total(found: dict, what: str) -> int:
    return sum(shuffle[what] for shuffle in found["shuffles"].values())


def _cost(job: Job, result: dict) -> dict[str, Any]:
    """What a job costs, by arithmetic from the figures of a row and of a parcel."""
    text_mb = job.rows * result["text_bytes_per_row"] / _MB
    shards, ranges = int(text_mb / job.shard_mb) + 1, int(text_mb / _RANGE_MB) + 1
    files = job.rows // job.file_rows + 1
    parcels = {
        "log": ranges * shards,
        "asked": 4 * shards**2,  # asked, summed, counted and answered of one key
        "examples": shards * files,
    }
    costs = result["parcels"]
    rows_s = job.rows / 1e6 * result["cpu_s_per_million_rows"]
    parcels_s = sum(n * costs[kind]["ms"] for kind, n in parcels.items()) / 1e3
    row_bytes = job.rows * sum(result["bytes_per_row"].values())
    parcel_bytes = sum(n * costs[kind]["bytes"] for kind, n in parcels.items())
    shard_rows = job.rows / shards
    return {
        "rows": job.rows,
        "text_gb": round(text_mb / 1024, 1),
        "shards": shards,
        "rows_a_shard": round(shard_rows),
        "mb_a_shard": round(
            result["process_mb"] + shard_rows * result["kb_per_row_of_a_shard"] / 1024
        ),
        "files": files,
        "million_parcels": {k: round(n / 1e6, 2) for k, n in parcels.items()},
        "core_hours_of_rows": round(rows_s / _HOUR_S, 1),
        "core_hours_of_parcels": round(parcels_s / _HOUR_S, 1),
        "shuffled_gb_of_rows": round(row_bytes / 1e9),
        "shuffled_gb_of_parcels": round(parcel_bytes / 1e9),
    }


def _print_tables(whole: list[dict], cut: list[dict], result: dict) -> None:
    print("\n     rows   text MB   CPU s   CPU s/M   peak MB")
    for found in whole:
        print(
            f"{found['rows']:9,}{found['text_bytes'] / 1e6:10.1f}{found['cpu_s']:8.1f}"
            f"{found['cpu_s'] / found['rows'] * 1e6:10.1f}{found['peak_mb']:10,}"
        )
    print("\n   shards   parcels   CPU s   shuffled MB")
    for found in cut:
        print(
            f"{found['shards']:9,}{_total(found, 'parcels'):10,}{found['cpu_s']:8.1f}"
            f"{_total(found, 'bytes') / 1e6:14.1f}"
        )
    print("\nshuffle                                    parcels   bytes/row")
    for name, shuffle in whole[-1]["shuffles"].items():
        per_row = result["bytes_per_row"][name]
        print(f"{name:40}{shuffle['parcels']:10,}{per_row:12.1f}")
    print("\nstep                      CPU s/M rows")
    for name, seconds in result["steps_cpu_s_per_million_rows"].items():
        print(f"{name:26}{seconds:12.1f}")
    print("\nsmall parcel of   columns        ms     bytes")
    for name, cost in result["parcels"].items():
        print(f"{name:16}{cost['columns']:9}{cost['ms']:10.2f}{cost['bytes']:10,}")
    print("\njob (arithmetic)                    shards   MB each  core-h  shuffled GB")
    for name, cost in result["jobs_by_arithmetic"].items():
        hours = cost["core_hours_of_rows"] + cost["core_hours_of_parcels"]
        shuffled = cost["shuffled_gb_of_rows"] + cost["shuffled_gb_of_parcels"]
        print(
            f"{name:34}{cost['shards']:8,}{cost['mb_a_shard']:10,}{hours:8.1f}"
            f"{shuffled:13,}"
        )
    print()


# --- in the child ---------------------------------------------------------------------


def _measure(logs: pathlib.Path, shards: int) -> dict[str, Any]:
    """One run: its rows, steps, shuffles, processor time and memory."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.examples.build import LOCAL_RUNNER, generate
    from pipeline.examples.outputs import Outputs

    # Steps are timed by this clock; one that stands still while other processes have
    # the core gives figures that do not depend on who else is there.
    time.perf_counter = time.process_time
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        request = _request(logs, folder, shards)
        outputs = Outputs.of(request, spill=True)
        with outputs.workspace.opened():
            options = PipelineOptions([f"--runner={LOCAL_RUNNER}"])
            pipeline = beam.Pipeline(options=options)
            generate(pipeline, request, outputs)
            _weigh_shuffles(pipeline)
            ran = pipeline.run()
            ran.wait_until_finish()
            report = outputs.finish(0.0)
    return {
        "rows": report["rows_in"],
        "shards": shards,
        "text_bytes": sum(path.stat().st_size for path in logs.glob("log_*.csv")),
        "cpu_s": time.process_time() - began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "steps": report["steps"],
        "shuffles": _weights(ran),
    }


def _request(logs: pathlib.Path, folder: str, shards: int):
    from feature_specs import load_spec
    from pipeline.examples.days import DayRange
    from pipeline.examples.request import ExamplesRequest

    return ExamplesRequest(
        spec=load_spec("kuairand"),
        logs_dir=str(logs),
        examples_dir=f"{folder}/examples",
        rejects_dir=f"{folder}/rejects",
        report_path=f"{folder}/report.json",
        days=DayRange.parse("20220408:20220414"),
        shards=shards,
    )


def _weigh_shuffles(pipeline) -> None:
    """Counts the parcels that go into each shuffle of a pipeline, and their bytes."""
    import apache_beam as beam
    from apache_beam.pipeline import PipelineVisitor

    inputs = {}

    class Visitor(PipelineVisitor):
        def enter_composite_transform(self, node):
            if isinstance(node.transform, beam.CoGroupByKey):
                for pcoll in node.main_inputs.values():
                    name = pcoll.tag or pcoll.producer.full_label.split("/")[0]
                    inputs[f"{node.full_label}: {name}"] = pcoll

        def visit_transform(self, node):
            if isinstance(node.transform, beam.GroupByKey) and "/" not in (
                node.full_label
            ):
                inputs[node.full_label] = node.inputs[0]

    pipeline.visit(Visitor())
    for name, pcoll in inputs.items():
        _ = pcoll | f"Weigh {name}" >> beam.Map(_weigh, name)


def _weigh(element, name: str) -> None:
    from apache_beam.metrics import Metrics

    _, (_, _, size) = element  # a frame in a file: where it lies
    Metrics.distribution("shuffle", name).update(size)


def _weights(ran) -> dict[str, dict[str, int]]:
    found = {
        entry.key.metric.name: {
            "parcels": entry.committed.count,
            "bytes": entry.committed.sum,
        }
        for entry in ran.metrics().query()["distributions"]
        if entry.key.metric.namespace == "shuffle"
    }
    return dict(sorted(found.items()))


def _parcel_costs() -> dict[str, dict[str, float]]:
    """What a parcel of a few rows costs, whose columns cost more than its rows."""
    from feature_specs import load_spec

    spec = load_spec("kuairand")
    encoded = len(spec.features) + 2 * len(spec.tasks) + len(spec.evaluation.slices) + 5
    columns = {
        "log": len(spec.log.columns) + 1,
        "asked": _ASKED_COLUMNS,
        "examples": encoded,
    }
    return {name: _parcel_cost(count) for name, count in columns.items()}


def _parcel_cost(columns: int) -> dict[str, float]:
    """Packing and reading one of `_PARCEL_ROWS` rows, and its bytes."""
    import numpy as np
    import polars as pl

    from pipeline.examples.shuffle import Shuffle, split_by

    rows = _PARCEL_ROWS * _PARCELS
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {f"c{n}": draw.integers(0, 1000, rows) for n in range(columns)}
    )
    places = np.repeat(np.arange(_PARCELS), _PARCEL_ROWS)
    began = time.process_time()
    with Shuffle().sender() as send:
        parcels = [send(part) for _, part in split_by(frame, places)]
    Shuffle().receive(parcels)
    return {
        "columns": columns,
        "ms": round((time.process_time() - began) / _PARCELS * 1e3, 2),
        "bytes": round(sum(map(len, parcels)) / _PARCELS),
    }


if __name__ == "__main__":
    main()

"""`trailrank loadtest`: how a server bears a load, or how much of it.

    trailrank loadtest --root RUN --rate 200 --seconds 30 --out DIR
    trailrank loadtest --root RUN --find_knee --p99_ms 50
    trailrank loadtest --requests bodies.jsonl --model feed --server 10.0.0.7:8500 \\
        --protocol grpc --rate 500

Requests come at random times of their own, as users do, whether or not others are
answered; a latency counts from the time at which a request was due. They are `rank`
requests of a run's own users and items, or those of a file with a body of a predict
call on each line. The server may be `trailrank serve` or `tensorflow/serving`.

With --find_knee the rate is doubled until the 99th percentile is above --p99_ms or too
many requests fail, and the highest rate that is right is told within a tenth. --out
gets loadtest.png and loadtest.json; the last line printed is that JSON, too.

Where this program itself cannot send in time, it says so and tells no latencies: run it
on another machine than the server, or at a lower rate.

exit status: 0 measured, and within --p99_ms and --most_errors; 1 no such server or
model, or this program was too slow; 2 usage; 3 a limit was missed (with --find_knee: at
every rate).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import rich.console

from feature_specs import flags
from feature_specs.errors import Status
from feature_specs.flags import ArgumentParser
from serving.load.knee import GENERATOR
from serving.load.loadtest import LoadOptions, LoadReport, LoadStep, loadtest

_FLOATS = {  # flag of a number -> what it is
    "rate": "requests a second; with --find_knee the first that is tried",
    "seconds": "that each rate is sent for",
    "timeout_s": "after which a request is given up",
    "most_errors": "share of requests that may fail or not be sent",
    "most_rate": "highest that --find_knee tries",
    "most_lag_ms": "99th percentile of how late this program may send",
}
_INTS = {
    "most": "requests in all",
    "most_in_flight": "that wait for answers at a time; others are not sent",
    "seed": "of the times and of the requests",
}


def run(argv: Sequence[str]) -> int:
    """`trailrank loadtest ...`; returns the exit status."""
    args = parser().parse_args(argv)
    settings = {name: getattr(args, name) for name in (*_FLOATS, *_INTS)}
    options = LoadOptions(**settings, p99_ms=args.p99_ms, find_knee=args.find_knee)
    report = loadtest(
        args.root,
        requests=args.requests,
        server=args.server,
        protocol=args.protocol,
        model=args.model,
        version=args.version,
        label=args.label,
        signature=args.signature,
        candidates=args.candidates,
        distinct=args.distinct,
        out=args.out,
        options=options,
    )
    _show(report)
    print(json.dumps(report.as_dict()))
    return int(_status(report))


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank loadtest", description=__doc__)
    add = found.add_argument
    flags.add_root(add, required=False, help="a run, of which requests are made")
    add("--requests", metavar="FILE", help="bodies of predict calls, one a line")
    add_server(add)
    add("--signature", help="rank (of a run) or serving_default")
    add("--candidates", type=int, default=100, help="of a request of a run (100)")
    add("--distinct", type=int, default=100, help="requests that are made (100)")
    add("--find_knee", action="store_true", help="look for the highest right rate")
    add("--p99_ms", type=float, help="limit of the latencies' 99th percentile")
    for names, kind in ((_FLOATS, float), (_INTS, int)):
        for name, what in names.items():
            default = getattr(LoadOptions, name)
            add(f"--{name}", type=kind, default=default, help=f"{what} ({default:g})")
    add("--out", metavar="DIR", help="gets loadtest.png and loadtest.json")
    return found


def add_server(add: flags.Add) -> None:
    """Which model of which server: `--server`, `--protocol`, `--model` and two more."""
    add("--server", metavar="HOST:PORT", help="default 127.0.0.1:8501, gRPC 8500")
    add("--protocol", choices=("rest", "grpc"), default="rest", help="default rest")
    add("--model", help="its name; by default the run's")
    add("--version", type=int, help="of the model, instead of the newest")
    add("--label", help="a version's label, instead of its number")


def _status(report: LoadReport) -> Status:
    if report.knee is None:
        missed = report.steps[-1].missed
    else:
        missed = "" if report.knee.rate else report.knee.missed
    if not missed:
        return Status.DONE
    return Status.FAILED if missed == GENERATOR else Status.REFUSED


# --- what is printed ------------------------------------------------------------------


def _show(report: LoadReport) -> None:
    from pipeline.reporting.tables import new_table, number, percent

    heads = ["requests/s", "due", "answered", "failed", "p50", "p99", "p99.9", "max"]
    title = f"{report.model}, {report.signature}, {report.url}: latencies in ms"
    table = new_table(title, [*heads, "lag p99", "missed"], texts=["missed"])
    for step in report.steps:
        latency = [step.latency_ms.get(name) for name in heads[4:]]
        table.add_row(
            f"{step.rate:.6g}",
            f"{step.due:,}",
            f"{step.answered:,}",
            percent(step.error_share, 1),
            *(number(value, 1, missing="-") for value in latency),
            number(step.lag_ms.get("p99"), 1, missing="-"),
            step.missed,
        )
    console = rich.console.Console()
    console.print(table)
    for line in _notes(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _notes(report: LoadReport) -> list[str]:
    notes = [_failures(step) for step in report.steps if step.error_share]
    late = [step for step in report.steps if step.missed == GENERATOR]
    if late:
        notes.append(_lateness(min(late, key=lambda step: step.rate)))
    knee = report.knee
    if knee and knee.rate:
        end = f"; {knee.missed_at:.4g} misses: {knee.missed}" if knee.missed_at else ""
        more = " or more" if knee.missed in ("", GENERATOR) else ""
        notes.append(f"Knee: {knee.rate:.4g} requests/s{more}{end}.")
    elif knee:
        notes.append(f"Knee: none; every rate missed a limit ({knee.missed}).")
    return notes


def _failures(step: LoadStep) -> str:
    kinds = [f"{kind}: {count:,}" for kind, count in sorted(step.errors.items())]
    if step.not_sent:
        kinds.append(f"not sent, as too many waited: {step.not_sent:,}")
    return f"At {step.rate:.6g} requests/s failed: {'; '.join(kinds)}."


def _lateness(step: LoadStep) -> str:
    return (
        f"At {step.rate:.6g} requests/s this program was too slow itself: one of a "
        f"hundred requests was sent {step.lag_ms['p99']:.1f} ms late or more, so that "
        "its latencies would not be the server's. Run it on another machine, lower "
        "--rate, or allow more with --most_lag_ms."
    )

"""`trailrank skew`: do what is served and what was trained on agree?

    trailrank skew --root RUN                             # a server of the run's model
    trailrank skew --root RUN --server 10.0.0.7:8500 --protocol grpc --label canary
    trailrank skew --root RUN --requests backend.jsonl    # rows as a backend sent them

Rows of the run's newest evaluation day go to the server, and its predictions are
compared with those of the model that the Trainer wrote; so is what comes of each
feature on the way through client, wire and encoding. With --requests the features are
those of a file: a JSON object on each line with `key_user`, `key_item`, `key_time_ms`,
by which the row is found in the examples, and the features as the backend sent them.

It names the features that differ, the first one first, with an example and what it may
come from, and the output with the largest difference. The last line printed is JSON.

exit status: 0 all agree; 1 no such server, run or rows; 2 usage; 3 something differs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import rich.console

from feature_specs import flags
from feature_specs.errors import Status
from feature_specs.flags import ArgumentParser
from serving.load.loadtest_command import add_server
from serving.skew.skew import DEFAULT_ROWS, FeatureSkew, SkewReport, skew

_FIGURES = 6  # of a number that is shown
_LONGEST = 60  # characters of a value that is shown


def run(argv: Sequence[str]) -> int:
    """`trailrank skew ...`; returns the exit status."""
    args = parser().parse_args(argv)
    report = skew(
        args.root,
        requests=args.requests,
        splits=args.split,
        rows=args.rows,
        seed=args.seed,
        server=args.server,
        protocol=args.protocol,
        model=args.model,
        version=args.version,
        label=args.label,
        tolerance=args.tolerance,
        timeout_s=args.timeout_s,
    )
    _show(report)
    from pipeline.reporting.files import to_json

    print(to_json(report.as_dict(), indent=None).decode(), end="")
    return int(Status.DONE if report.is_equal else Status.REFUSED)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank skew", description=__doc__)
    add = found.add_argument
    flags.add_root(add, help="the run whose model is served")
    add("--requests", metavar="FILE", help="rows as a backend sent them, one a line")
    add_server(add)
    add(
        "--split",
        nargs="+",
        metavar="DAY",
        help="like day-20220412; by default the newest evaluation day, with --requests "
        "all days",
    )
    add("--rows", type=int, default=DEFAULT_ROWS, help=f"at most ({DEFAULT_ROWS})")
    flags.add_seed(add, "the rows")
    add("--tolerance", type=float, help="of a prediction; by default by the model")
    add("--timeout_s", type=float, default=30.0, help="for an answer (30)")
    return found


# --- what is printed ------------------------------------------------------------------


def _show(report: SkewReport) -> None:
    console = rich.console.Console()
    for line in _lines(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(report: SkewReport) -> list[str]:
    head = f"{report.rows:,} rows, {report.url}, version {report.version}"
    if report.is_equal:
        return [f"{head}: features and predictions agree.", *_notes(report)]
    lines = [f"{head}:"]
    for found in report.features:
        lines += _feature_lines(found)
    if not report.features:
        lines.append(
            "  features: agree, so the server's model is another than the run's"
        )
    worst = report.worst
    if worst:
        lines.append(
            f"  predictions: {worst.output} is up to {worst.largest:.3g} off "
            f"({worst.got:.6g} for {worst.expected:.6g}, row {_key(worst.key)}); at "
            f"most {report.tolerance:g} is right"
        )
        off = [f"{p.output} {p.rows:,}" for p in report.predictions if p.rows]
        lines.append(f"    rows of {report.predicted:,} that are off: {', '.join(off)}")
    elif report.predicted:
        lines.append("  predictions: agree")
    return [*lines, *_notes(report)]


def _feature_lines(found: FeatureSkew) -> list[str]:
    example = found.example
    lines = [
        f"  {found.feature}: differs in {found.rows:,} of {found.compared:,} rows"
        + ("" if found.largest is None else f", by up to {found.largest:.3g} encoded"),
        f"    row {_key(example.key)}: trained on {_short(example.expected)}, sent "
        f"{'nothing' if example.sent is None else _short(example.sent)}; encoded "
        f"{_short(example.encoded_expected)} and "
        + ("refused" if example.encoded_sent is None else _short(example.encoded_sent)),
    ]
    if found.refused:
        lines.append(f"    a server refuses it: {found.refused}")
    if found.cause:
        lines.append(f"    likely: {found.cause}")
    return lines


def _notes(report: SkewReport) -> list[str]:
    return [f"  note: {note}" for note in report.notes]


def _key(key: tuple[Any, ...]) -> str:
    return "user {} item {} time {}".format(*key)


def _short(value: Any) -> str:
    from pipeline.reporting.files import plain

    text = json.dumps(plain(value, _FIGURES), ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

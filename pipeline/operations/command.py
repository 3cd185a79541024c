"""The commands `trailrank pipeline status|history|lineage|rollback|prune`.

    trailrank pipeline status --root RUN
    trailrank pipeline history --root RUN
    trailrank pipeline lineage 1650000000 --root RUN
    trailrank pipeline rollback 1650000000 --root RUN --reason "AUC of like fell"
    trailrank pipeline prune --root RUN --keep 3 --yes

Each prints tables, or JSON with --json.
"""

from __future__ import annotations

import argparse
from typing import Any

import rich.console

from feature_specs import flags
from feature_specs.errors import Status
from pipeline.operations import history as histories
from pipeline.operations.lineage import lineage, lineage_tables
from pipeline.operations.prune import plan_prune, prune, prune_table, shown_bytes
from pipeline.operations.rollback import rollback
from pipeline.operations.status import status, status_table
from pipeline.reporting import figures
from pipeline.reporting.files import to_json

NAMES = ("status", "history", "lineage", "rollback", "prune")
_HELP = {
    "status": "days made, trained and judged; what is served; what the next run does",
    "history": "runs with metrics, gates and refusals, and a figure",
    "lineage": "what a version is made of",
    "rollback": "serve an earlier version, and train on from there",
    "prune": "remove what nothing needs any more",
}


def add_commands(subparsers: Any) -> None:
    """Adds the commands to those of a parser.

    Args:
        subparsers: What `add_subparsers` gave. Each command's handler takes the parsed
            arguments and a console, and returns the exit status.
    """
    for name in NAMES:
        parser = subparsers.add_parser(name, help=_HELP[name])
        if name in ("lineage", "rollback"):
            parser.add_argument("version", help="a number in RUN/models/<spec>/")
        flags.add_root(parser.add_argument)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(handler=_HANDLERS[name])
        if name == "rollback":
            parser.add_argument("--reason", default="", help="kept with the note of it")
        if name == "prune":
            _add_prune(parser)


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        type=int,
        required=True,
        metavar="N",
        help="versions, ends of days and runs that stay with all they refer to",
    )
    parser.add_argument(
        "--yes", action="store_true", help="remove it; else sizes are told only"
    )


def _status(args: argparse.Namespace, console: rich.console.Console) -> Status:
    found = status(args.root)
    return _show(args, console, found.to_json(), [status_table(found)])


def _history(args: argparse.Namespace, console: rich.console.Console) -> Status:
    found = histories.history(args.root)
    _show(args, console, found.to_json(), histories.history_tables(found))
    path = histories.write_history(args.root) if figures.is_possible() else None
    if path and not args.json:
        console.print(f"Figure: {path}", highlight=False)
    return Status.DONE


def _lineage(args: argparse.Namespace, console: rich.console.Console) -> Status:
    found = lineage(args.root, args.version)
    return _show(args, console, found.to_json(), lineage_tables(found))


def _rollback(args: argparse.Namespace, console: rich.console.Console) -> Status:
    found = rollback(args.root, args.version, why=args.reason)
    day = found.day.removeprefix("day-")
    next_run = f"goes on from the end of {day}" if day else "trains from the first day"
    away = f" instead of {', '.join(found.away)}" if found.away else ""
    text = f"Version {found.to} is served{away}. The next run {next_run}."
    return _show(args, console, vars(found), [text])


def _prune(args: argparse.Namespace, console: rich.console.Console) -> Status:
    do = prune if args.yes else plan_prune
    plan = do(args.root, args.keep)
    text = (
        f"{shown_bytes(plan.size_bytes)} removed."
        if args.yes
        else ("Nothing is removed yet: give it again with --yes.")
    )
    return _show(args, console, plan.to_json(), [prune_table(plan), text])


def _show(
    args: argparse.Namespace,
    console: rich.console.Console,
    values: dict[str, Any],
    shown: list[Any],
) -> Status:
    if args.json:
        console.out(to_json(values).decode(), end="", highlight=False)
    else:
        console.print(*shown, highlight=False)
    return Status.DONE


_HANDLERS = {
    "status": _status,
    "history": _history,
    "lineage": _lineage,
    "rollback": _rollback,
    "prune": _prune,
}

"""The command `trailrank spec`: `init`, `check`, `show`, `diff`.

    trailrank spec init LOGS --out my.yaml           # a proposal, to be read and edited
    trailrank spec check my.yaml                     # every mistake in the file
    trailrank spec check my.yaml --logs LOGS         # ... and what it does to the logs
    trailrank spec show my.yaml --logs LOGS

`--logs` reads rows of some users, puts them through the examples pass in a folder of
its own, and tells what a run on all of them will do.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console

from feature_specs import command, load_spec, read_spec
from feature_specs.errors import Status, UsageError
from feature_specs.flags import ArgumentParser
from feature_specs.places import absolute
from feature_specs.tables import spec_tables
from pipeline.log_places import check_logs
from pipeline.quiet import load_beam

if TYPE_CHECKING:
    from pipeline.dry_run.run import DryRun

_ROWS = 20_000


def run(argv: Sequence[str]) -> int:
    """`trailrank spec ...`; returns the exit status."""
    args = parser().parse_args(argv)
    # Without markup: the brackets of a list in SQL are text.
    status: int = args.handler(args, rich.console.Console(markup=False))
    return status


def parser() -> ArgumentParser:
    """Of the command and its subcommands."""
    found = command.parsers("init|check|show|diff")
    init = found.commands.add_parser(
        "init",
        help="propose a spec for a directory of logs",
        description="Looks at samples of the files, and writes a spec whose comments "
        "say why, and what nothing in the files tells.",
    )
    init.add_argument("logs", metavar="LOGS", help="directory of the raw logs")
    init.add_argument("--out", metavar="FILE", required=True, help="a new file")
    init.add_argument("--name", help="of the spec; by default the directory's")
    init.set_defaults(handler=_init)
    for name, handler in (("check", _check), ("show", _show)):
        of_logs = found.by_name[name]
        of_logs.add_argument(
            "--logs", metavar="DIR", help="raw logs, of which a sample is read"
        )
        of_logs.add_argument(
            "--rows", type=int, help=f"of the sample, in whole users ({_ROWS:,})"
        )
        of_logs.set_defaults(handler=handler)
    return found.whole


def _init(args: argparse.Namespace, console: rich.console.Console) -> int:
    from pipeline.proposing.propose import propose_spec

    if os.path.exists(args.out):
        raise UsageError(f"--out {args.out}: is there already. Name a new file.")
    with console.status("Looking at the logs ..."):
        proposed = propose_spec(args.logs, args.name)
    with open(args.out, "w", encoding="utf-8") as file:
        file.write(proposed.text)
    for line in proposed.unknown:
        console.print(f"Could not know: {line}", soft_wrap=True)
    spec = read_spec(proposed.text, args.out)
    console.print(
        f"{args.out}: {len(spec.features)} features, {len(spec.tasks)} tasks. Read it, "
        f"then: trailrank spec check {args.out} --logs {args.logs}",
        soft_wrap=True,
    )
    return 0


def _check(args: argparse.Namespace, console: rich.console.Console) -> int:
    status = command.check_spec(args, console)
    if args.logs is None:
        return _without_logs(args, status)
    check_logs(load_spec(args.spec), absolute(args.logs))
    load_beam()
    from pipeline.dry_run.run import dry_run
    from pipeline.dry_run.seen import seen_columns, seen_of, told_by_files
    from pipeline.dry_run.tables import (
        check_tables,
        cost_line,
        sample_lines,
        warning_lines,
    )

    with (
        console.status("Making examples of a sample ..."),
        dry_run(args.spec, args.logs, rows=args.rows or _ROWS) as found,
    ):
        seen, columns = seen_of(found), seen_columns(found)
        misfits = told_by_files(found)
    console.print(*check_tables(found, columns, seen))
    told = (*sample_lines(found), *misfits, *warning_lines(found, seen))
    for line in (*told, cost_line(found)):
        console.print(line, soft_wrap=True)
    return _told(found, console)


def _show(args: argparse.Namespace, console: rich.console.Console) -> int:
    if args.logs is None:
        return _without_logs(args, command.show_spec(args, console))
    check_logs(load_spec(args.spec), absolute(args.logs))
    load_beam()
    from pipeline.dry_run.run import dry_run
    from pipeline.dry_run.seen import seen_of
    from pipeline.dry_run.tables import sample_lines

    with (
        console.status("Making examples of a sample ..."),
        dry_run(args.spec, args.logs, rows=args.rows or _ROWS) as found,
    ):
        seen = seen_of(found)
    for table in spec_tables(load_spec(args.spec), seen):
        console.print(table)
    for line in sample_lines(found):
        console.print(line, soft_wrap=True)
    return _told(found, console)


def _told(found: DryRun, console: rich.console.Console) -> int:
    """The status of a sample's run, and why it is not 0."""
    if not found.failure:
        return 0
    console.print(f"A run on these rows would fail: {found.failure}", soft_wrap=True)
    return Status.FAILED


def _without_logs(args: argparse.Namespace, status: int) -> int:
    if args.rows is not None:
        raise UsageError("--rows is of the sample that --logs reads; give both.")
    return status

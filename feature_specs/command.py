"""The command `trailrank spec`: `check FILE`, `show NAME`, `diff BEFORE NOW`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence

import rich.console

from feature_specs.flags import ArgumentParser
from feature_specs.reader import load_spec, shipped_specs
from feature_specs.spec_diff import SpecDiff, diff_tables
from feature_specs.tables import spec_tables


def run(argv: Sequence[str]) -> int:
    """`trailrank spec ...`; returns the exit status."""
    args = parser().parse_args(argv)
    # Without markup: the brackets of a list in SQL are text.
    status: int = args.handler(args, rich.console.Console(markup=False))
    return status


@dataclasses.dataclass(frozen=True)
class Parsers:
    """The command's parser and those of its subcommands, which a room above may extend.

    Attributes:
        whole: Of the command.
        commands: Takes further subcommands.
        by_name: Subcommand -> its parser.
    """

    whole: ArgumentParser
    commands: argparse._SubParsersAction[ArgumentParser]
    by_name: Mapping[str, ArgumentParser]


def parser() -> ArgumentParser:
    """Of the command and its subcommands."""
    return parsers("check|show|diff").whole


def parsers(names: str) -> Parsers:
    """The same in parts; `names` is what the usage calls the subcommands."""
    found = ArgumentParser(
        prog="trailrank spec",
        description="A spec is the one YAML file that describes a data set: "
        "its columns, features, tables and tasks.",
    )
    commands = found.add_subparsers(required=True, metavar=names)
    known = f"a file, or one of {', '.join(shipped_specs())}"
    check = commands.add_parser("check", help="name every mistake in a spec")
    check.add_argument("spec", metavar="FILE", help=known)
    check.set_defaults(handler=check_spec)
    show = commands.add_parser("show", help="columns, features, tables, tasks")
    show.add_argument("spec", metavar="NAME", help=known)
    show.set_defaults(handler=show_spec)
    diff = commands.add_parser(
        "diff",
        help="what two specs mean differently, and which steps run again",
        description="Comments, layout, order where it means nothing and defaults "
        "written out are no difference.",
    )
    diff.add_argument("before", metavar="BEFORE", help=known)
    diff.add_argument("now", metavar="NOW", help=known)
    diff.set_defaults(handler=_diff)
    return Parsers(found, commands, {"check": check, "show": show, "diff": diff})


def check_spec(args: argparse.Namespace, console: rich.console.Console) -> int:
    """`trailrank spec check FILE`: the file alone."""
    spec = load_spec(args.spec)
    made = len(spec.counters) + len(spec.statistics) + len(spec.quantiles)
    console.print(
        f"{args.spec}: right. {len(spec.features)} features "
        f"({len(spec.trail_features)} of the trail), {len(spec.tables)} tables, "
        f"{len(spec.tasks)} tasks; {made} counters, statistics and quantiles, "
        f"{len(spec.derived)} derived columns.",
        soft_wrap=True,
    )
    return 0


def show_spec(args: argparse.Namespace, console: rich.console.Console) -> int:
    """`trailrank spec show NAME`: the file alone."""
    for table in spec_tables(load_spec(args.spec)):
        console.print(table)
    return 0


def _diff(args: argparse.Namespace, console: rich.console.Console) -> int:
    found = SpecDiff(load_spec(args.before), load_spec(args.now))
    if not found.everywhere:
        console.print("They mean the same: nothing runs again.")
        return 0
    for table in diff_tables(found):
        console.print(table)
    console.print(f"Views that change: {', '.join(found.changed) or 'none'}.")
    return 0

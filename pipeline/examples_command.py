"""The command `trailrank examples`: raw logs -> tf.Examples, without the other steps.

    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES
    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES \\
        --days 20220408:20220421 --eval_days 2
    trailrank examples ... --replace 20220415          # late data of one day
    trailrank examples ... --beam_arg=--runner=DataflowRunner --beam_arg=--region=...
    trailrank examples --spec my.yaml --logs LOGS --sample_rows 1000     # a dry run

EXAMPLES gets one `Split-day-YYYYMMDD` a day, `report.json` and `rejects/`. A dry run
takes about so many rows, of some users all that they have, and shows three examples
before and after encoding; it writes nothing, unless `--out` asks for it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence

import rich.console

from feature_specs import load_spec
from feature_specs.errors import Status, UsageError
from feature_specs.flags import ArgumentParser
from pipeline.examples import command
from pipeline.examples.make import check_places
from pipeline.log_places import check_logs
from pipeline.quiet import load_beam

_WHOLE_ONLY = (
    *("replace", "context_days", "label_delay", "shards", "beam_arg"),
    *("state_from", "state_to", "learned_through", "empty_days"),
)


def run(argv: Sequence[str]) -> int:
    """`trailrank examples ...`; returns the exit status."""
    found = parser()
    args = found.parse_args(argv)
    if args.sample_rows is not None:
        return _dry_run(args, rich.console.Console(markup=False))
    if args.out is None:
        found.error("the following arguments are required: --out")
    return command.make(args)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = command.parser(out_required=False)
    found.add_argument(
        "--sample_rows",
        type=int,
        metavar="N",
        help="a dry run on about N rows of some users; ends with three examples",
    )
    return found


def _dry_run(args: argparse.Namespace, console: rich.console.Console) -> int:
    _check(args)
    load_beam()
    from pipeline.dry_run.encoded import some_examples
    from pipeline.dry_run.run import dry_run
    from pipeline.dry_run.seen import seen_of
    from pipeline.dry_run.tables import example_tables, sample_lines, warning_lines
    from pipeline.examples.tables import report_tables

    with dry_run(
        args.spec,
        args.logs,
        rows=args.sample_rows,
        days=args.days,
        eval_days=args.eval_days,
        seed=args.seed,
    ) as found:
        if found.report:
            console.print(*report_tables({"wall_s": found.wall_s, **found.report}))
        for line in (*sample_lines(found), *warning_lines(found, seen_of(found))):
            console.print(line, soft_wrap=True)
        if found.failure:
            text = f"A run on these rows would fail: {found.failure}"
            console.print(text, soft_wrap=True)
            return Status.FAILED
        if args.out:
            shutil.copytree(found.examples, args.out, dirs_exist_ok=True)
        with console.status("Encoding the sample ..."):
            examples = some_examples(found)
        console.print(*example_tables(found, examples))
    where = (
        f"The sample's examples are in {args.out}."
        if args.out
        else "Nothing was written."
    )
    console.print(where, soft_wrap=True)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.sample_rows < 1:
        raise UsageError(f"--sample_rows must be at least 1, got {args.sample_rows}.")
    given = [f"--{name}" for name in _WHOLE_ONLY if getattr(args, name)]
    if given:
        raise UsageError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} of a run on all "
            "rows, not of --sample_rows. Leave one of the two out."
        )
    spec = load_spec(args.spec)
    if args.out:
        check_places(spec, args.logs, args.out)
    else:
        check_logs(spec, args.logs)

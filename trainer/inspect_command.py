"""Looks inside a trained ranker: expert utilisation, correlations, conflicts.

    trailrank inspect --spec kuairand --preset ple --checkpoints RUN/checkpoints/KEY \\
        --transformed RUN/artifacts/Transform/transformed_examples/<n> --out OUT

OUT gets utilisation.png (PLE fig. 8: what each task's gate makes of each expert),
experts.png (experts that repeat each other), conflicts.png (cosines between the tasks'
gradients, layer by layer) and inspection.json with every number. Rows come from the
last day of --transformed, which a pipeline run keeps for evaluation; --days chooses.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import rich.box
import rich.console
from absl.flags import argparse_flags
from rich.table import Table

from feature_specs import load_preset, load_spec
from trainer.command import choose_slice, find_days

if TYPE_CHECKING:
    from trainer.inspection import Inspection

_SHOWN = 12  # lines of a table on the console; the JSON has all


def run(argv: Sequence[str]) -> int:
    """`trailrank inspect ...`; returns the exit status."""
    args = _parser().parse_args(argv)
    spec, preset = load_spec(args.spec), load_preset(args.preset)
    console = rich.console.Console()
    with console.status("Loading TensorFlow and the checkpoint ..."):
        from trainer.days import input as examples
        from trainer.days import loop

        days = find_days(args.transformed, args.days)
        days = days if args.days else days[-1:]
        slice_ = choose_slice(args.accelerator, args.tpu_config)
        trained = loop.load(spec, preset, args.checkpoints, slice_)
    with console.status("Looking inside ..."):
        from trainer.inspection import report

        batches = itertools.chain.from_iterable(
            trained.sample(examples.match_files(day, patterns), args.batches)
            for day, patterns in days
        )
        found = trained.inspector.inspect(batches, args.gradient_batches)
        figures = report.write(found, args.out)
    _show(found, console)
    if not figures:
        console.print("No figures: matplotlib is missing (the extra `report`).")
    console.print(f"Everything is in [bold]{args.out}[/].", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank inspect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--spec", required=True, help="shipped spec or a YAML file")
    add("--preset", default="mmoe", help="the preset it was trained with (mmoe)")
    add("--checkpoints", required=True, metavar="DIR", help="as given to `train`")
    add("--transformed", required=True, metavar="DIR", help="transformed examples")
    add("--days", nargs="+", metavar="DAY", help="YYYYMMDD, by default the last")
    add("--out", required=True, metavar="DIR", help="for the figures and the JSON")
    add("--batches", type=_positive, default=64, help="of each day (64)")
    add(
        "--gradient_batches",
        type=_positive,
        default=16,
        help="the first ones of them, for conflicts (16)",
    )
    add("--accelerator", default="auto", choices=("auto", "tpu", "gpu", "cpu"))
    add("--tpu_config", metavar="NAME", help="slice: a shipped one or a YAML file")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, got {text}")
    return int(text)


def _show(found: Inspection, console: rich.console.Console) -> None:
    console.print(
        f"After {found.step:,} steps, on {found.rows:,} rows "
        f"({found.gradient_rows:,} for gradients)",
        highlight=False,
    )
    gates = [
        (use.title, _names(use.readers), _mean(use.entropy_share))
        for use in found.gates
    ]
    _print_table(console, ("gates", "to", "entropy / log(experts)"), gates)
    experts = [(level.title, "", _number(level.overlap)) for level in found.experts]
    _print_table(console, ("experts", "", "mean correlation"), experts)
    layers = [(x.name, "", _number(x.conflict_share)) for x in found.layers]
    _print_table(console, ("layer", "", "pairs in conflict"), layers)
    for note in found.notes:
        console.print(f"- {note}", highlight=False, markup=False)


def _print_table(
    console: rich.console.Console,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
) -> None:
    if not lines:
        return
    table = Table(box=rich.box.SIMPLE_HEAD, padding=0)
    for head in heads:
        table.add_column(head, justify="right" if head == heads[-1] else "left")
    for line in lines[:_SHOWN]:
        table.add_row(*line)
    if len(lines) > _SHOWN:
        table.add_row(f"and {len(lines) - _SHOWN} more", "", "")
    console.print(table)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} readers"


def _mean(values: Iterable[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return _number(float(np.mean(known)) if known else math.nan)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"

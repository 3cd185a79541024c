"""Looks inside a trained ranker: expert utilisation, correlations, conflicts.

    trailrank inspect --spec kuairand --preset ple --checkpoints RUN/checkpoints/KEY \\
        --examples RUN/artifacts/DayExampleGen/examples/<n> \\
        --encoding RUN/artifacts/EncodingGen/transform_graph/<n> --out OUT

OUT gets utilisation.png (PLE fig. 8: what each task's gate makes of each expert),
experts.png (experts that repeat each other), conflicts.png (cosines between the tasks'
gradients, layer by layer) and inspection.json with every number. Rows come from the
last day of --examples, which a pipeline run keeps for evaluation; --days chooses.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import rich.box
import rich.console
from rich.markup import escape
from rich.table import Table

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from tpu_configs import shipped_slices
from trainer.inspect import inspect

if TYPE_CHECKING:
    from trainer.inspection import Inspection

_SHOWN = 12  # lines of a table on the console; the JSON has all


def run(argv: Sequence[str]) -> int:
    """`trailrank inspect ...`; returns the exit status."""
    args = parser().parse_args(argv)
    console = rich.console.Console()
    with console.status("Loading TensorFlow and the checkpoint, looking inside ..."):
        found = inspect(
            args.spec,
            args.preset,
            args.checkpoints,
            args.examples,
            encoding=args.encoding,
            out=args.out,
            days=args.days,
            batches=args.batches,
            gradient_batches=args.gradient_batches,
            slice=args.tpu_config,
            accelerator=args.accelerator,
        )
    _show(found, console)
    if importlib.util.find_spec("matplotlib") is None:
        console.print("No figures: matplotlib is missing (the extra `report`).")
    console.print(f"Everything is in [bold]{escape(args.out)}[/].", highlight=False)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank inspect", description=__doc__)
    add = found.add_argument
    flags.add_spec(add)
    flags.add_preset(add)
    add("--checkpoints", required=True, metavar="DIR", help="as given to `train`")
    flags.add_examples(add)
    flags.add_days(add, default="the last")
    add("--out", required=True, metavar="DIR", help="for the figures and the JSON")
    add("--batches", type=_positive, default=64, help="of each day (64)")
    add(
        "--gradient_batches",
        type=_positive,
        default=16,
        help="the first ones of them, for conflicts (16)",
    )
    flags.add_accelerator(add)
    flags.add_slice(add, shipped_slices())
    return found


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

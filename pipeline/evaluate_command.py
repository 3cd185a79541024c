"""The command `trailrank evaluate`: the evaluation table of a run's newest model.

trailrank evaluate --root RUN --truth LOGS/truth
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console

from feature_specs import Spec, flags, read_spec
from feature_specs.flags import ArgumentParser
from pipeline.evaluate import evaluate
from pipeline.run_record import read_record

if TYPE_CHECKING:
    from pipeline.evaluate import Evaluation


def run(argv: Sequence[str]) -> int:
    """`trailrank evaluate ...`; returns the exit status."""
    args = parser().parse_args(argv)
    warnings.simplefilter("ignore")
    console = rich.console.Console()
    spec = read_spec(read_record(args.root).spec_text)
    with console.status("Scoring the evaluation days with the exported model ..."):
        found = evaluate(args.root, args.truth)
    show_evaluation(spec, found, console)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank evaluate", description=__doc__)
    flags.add_root(found.add_argument)
    found.add_argument("--truth", help="the log simulator's truth/, for the oracle")
    return found


def show_evaluation(
    spec: Spec, found: Evaluation, console: rich.console.Console
) -> None:
    """Prints the tables of tasks, of the fused score, and the gated tasks' by slice."""
    from pipeline.evaluation import tables

    console.print(*tables.quality_tables(found.tasks))
    if found.ranking:
        console.print(*tables.ranking_tables(found.ranking))
    if found.slices and spec.evaluation.min_auc:
        slices = {name: list(rows) for name, rows in found.slices.items()}
        console.print(tables.slice_table(slices, list(spec.evaluation.min_auc)))

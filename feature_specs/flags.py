"""The parser of all commands, and the flags that several of them have.

`add_spec(parser.add_argument)` adds a flag to a parser or to a group of one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any

from absl.flags import argparse_flags

from feature_specs.preset import shipped_presets
from feature_specs.reader import shipped_specs

Add = Callable[..., argparse.Action]  # a parser's or a group's `add_argument`

ACCELERATORS = ("auto", "tpu", "gpu", "cpu")


class ArgumentParser(argparse_flags.ArgumentParser):  # type: ignore[misc]
    """Takes flags by their whole names only; so do the parsers of its subcommands.

    An abbreviation means another flag as soon as a longer one is added, and it passes
    by whoever looks for the whole name.
    """

    def __init__(self, **settings: Any) -> None:
        settings["allow_abbrev"] = False
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)


def add_spec(add: Add, *, required: bool = True, default: str | None = None) -> None:
    """`--spec`: a shipped name or a file."""
    known = ", ".join(shipped_specs())
    add(
        "--spec",
        required=required and default is None,
        default=default,
        help=f"a spec's file, or one of {known}" + _default(default),
    )


def add_preset(add: Add) -> None:
    """`--preset`: a shipped name or a file, mmoe if left out."""
    known = ", ".join(shipped_presets())
    add("--preset", default="mmoe", help=f"a preset's file, or one of {known} (mmoe)")


def add_loss_weights(add: Add) -> None:
    """`--loss_weights`: of tasks, instead of the preset's and the spec's."""
    add(
        "--loss_weights",
        type=_loss_weights,
        default={},
        metavar="TASK=WEIGHT,...",
        help="of tasks, instead of the preset's and the spec's: like=50,share=20",
    )


def add_sparse_weights(add: Add) -> None:
    """`--sparse_weights` and `--sparse_sample`: a step selects weights of tasks."""
    add(
        "--sparse_weights",
        type=lambda text: text.split(","),
        default=[],
        metavar="TASK,...",
        help="new sparse tasks whose loss weight a meta learner selects, once (see "
        "`trailrank weights select`)",
    )
    add(
        "--sparse_sample",
        type=float,
        metavar="SHARE",
        help="of the training rows, on which it is selected (0.2)",
    )


def add_importance(add: Add) -> None:
    """`--importance`: alpha of tasks in the combined metric."""
    add(
        "--importance",
        type=_loss_weights,
        default={},
        metavar="TASK=ALPHA,...",
        help="how much a task's metric counts in the combined one: like=2,skip=0 (1)",
    )


def _loss_weights(text: str) -> dict[str, float]:
    """`like=50,share=20`; a task twice, or no number, is refused."""
    found: dict[str, float] = {}
    for part in text.split(","):
        task, equals, weight = (word.strip() for word in part.partition("="))
        try:
            value = float(weight)
        except ValueError:
            value = math.nan
        if not task or not equals or not value >= 0 or math.isinf(value):
            raise argparse.ArgumentTypeError(
                f"must be like like=50,share=20, weights of 0 or more. Got {part!r}"
            )
        if task in found:
            raise argparse.ArgumentTypeError(f"names {task!r} twice")
        found[task] = value
    return found


def add_slice(
    add: Add,
    names: Sequence[str],
    *,
    required: bool = False,
    default: str | None = None,
) -> None:
    """`--tpu_config`: a slice's shipped name, one of `names`, or a file."""
    add(
        "--tpu_config",
        metavar="SLICE",
        required=required,
        default=default,
        help=f"a slice's file, or one of {', '.join(names)}" + _default(default),
    )


def add_accelerator(add: Add) -> None:
    """`--accelerator`: what to train on."""
    add(
        "--accelerator",
        default="auto",
        choices=ACCELERATORS,
        help="what it runs on (auto: the best one that is here)",
    )


def add_root(
    add: Add, *, required: bool = True, help: str = "a run's directory"
) -> None:
    """`--root`: the directory of a run."""
    add("--root", metavar="RUN", required=required, help=help)


def add_logs(add: Add) -> None:
    """`--logs`: the directory of the raw logs."""
    add("--logs", metavar="DIR", required=True, help="directory of the raw logs")


def add_day_range(add: Add, *, required: bool = False) -> None:
    """`--days FIRST:LAST`: days of the logs."""
    rest = "" if required else "; by default all in the logs"
    add(
        "--days",
        required=required,
        metavar="FIRST:LAST",
        help=f"first and last day, 20220408:20220414{rest}",
    )


def add_examples(add: Add, *, required: bool = True) -> None:
    """`--examples DIR ...` and `--encoding DIR`: raw rows, and what becomes of them."""
    add(
        "--examples",
        nargs="+",
        required=required,
        metavar="DIR",
        help="raw examples: directories with a folder Split-day-YYYYMMDD a day",
    )
    add(
        "--encoding",
        metavar="DIR",
        help="what their values become: of the step EncodingGen, or of make_encoding",
    )


def add_days(add: Add, default: str) -> None:
    """`--days DAY ...`: days of examples; `default` says what without."""
    add("--days", nargs="+", metavar="DAY", help=f"YYYYMMDD, by default {default}")


def add_day_settings(add: Add) -> None:
    """Which days become examples: `--eval_days`, `--context_days` and two more."""
    add("--eval_days", type=int, default=1, help="last days kept for evaluation (1)")
    add(
        "--context_days",
        type=int,
        help="days before --days that are read for trails, history and statistics; by "
        "default all that the logs have",
    )
    add(
        "--label_delay",
        metavar="TIME",
        default="",
        help="leave the newest days out until their events are there: 1d, 36h (see "
        "`events` of the spec)",
    )
    add(
        "--allow_small_days",
        action="store_true",
        help="go on with a day that has unusually few rows (log.min_day_share)",
    )


def add_workers(add: Add, of: str) -> None:
    """`--workers N`: how many of `of` go on at once."""
    add(
        "--workers",
        type=int,
        metavar="N",
        help=f"{of} at once, each in a process of its own; the figures are the same "
        "(on a CPU half as many as there are cores, else 1)",
    )


def add_beam_args(add: Add) -> None:
    """`--beam_arg`: options that Beam gets."""
    add(
        "--beam_arg",
        action="append",
        default=[],
        help="option of Beam, such as --beam_arg=--runner=DataflowRunner; repeatable",
    )


def add_seed(add: Add, of: str) -> None:
    """`--seed`: of what `of` names."""
    add("--seed", type=int, default=0, help=f"of {of} (0)")


def _default(value: str | None) -> str:
    return "" if value is None else f" ({value})"

"""Asks the TPU compiler, without a TPU, whether a ranker trains and serves on a slice.

    trailrank preflight --tpu_config v5litepod-8
    trailrank preflight --tpu_config v4-8 --spec my.yaml --preset ple --json found.json

The real training step and `rank` are compiled for the slice: does it compile, does it
fit in memory, how long does the compiler think a step takes. All numbers are the
compiler's estimates, for one core; nothing is run. The exit status is 0 if everything
compiles and fits, 3 if not. docs/preflight.md tells what is not covered.

The first run sets up the compiler in the user's cache directory (about 1 GB).
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence

import rich.console

from feature_specs import flags, load_preset, load_spec
from feature_specs.errors import Status, UsageError
from feature_specs.flags import ArgumentParser
from tpu_configs import SliceConfig, load_slice, shipped_slices

_PRECISIONS = ("float32", "bfloat16")


def run(argv: Sequence[str]) -> int:
    """Runs `preflight`; returns the exit status."""
    args = parser().parse_args(argv)
    slice = _slice(args)
    spec, config = load_spec(args.spec), load_preset(args.preset)
    if args.rank_candidates < 1:
        raise UsageError(
            f"--rank_candidates: must be at least 1. Got {args.rank_candidates}."
        )
    out = _checked_path(args.json)
    from trainer.preflight import environment

    python = environment.find_or_make(args.environment, _tell)
    from trainer.preflight import report
    from trainer.preflight.check import check

    found = check(
        spec,
        config,
        slice,
        python=python,
        preset=args.preset,
        candidates=args.rank_candidates,
        both_precisions=not args.one_precision,
        told=_tell,
    )
    if out:
        out.write_text(report.to_json(found), encoding="utf-8")
    report.show(found, rich.console.Console(width=None if sys.stdout.isatty() else 110))
    return Status.DONE if found.ok else Status.REFUSED


def _slice(args: argparse.Namespace) -> SliceConfig:
    slice = load_slice(args.tpu_config)
    if slice.accelerator != "tpu":
        raise UsageError(
            f"--tpu_config {args.tpu_config}: must be a TPU's. Got one for "
            f"{slice.accelerator}. Take one of {', '.join(_tpus())}."
        )
    changes = {"precision": args.precision} if args.precision else {}
    return dataclasses.replace(slice, **changes)


def _tpus() -> list[str]:
    return [name for name in shipped_slices() if name not in ("cpu", "gpu")]


def _checked_path(path: str | None) -> pathlib.Path | None:
    """Refused before minutes of work, not after."""
    if not path:
        return None
    out = pathlib.Path(path)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UsageError(
            f"--json {path}: must be a file in an existing directory. Make it first."
        )
    return out


def _tell(text: str) -> None:
    print(f"preflight: {text} ...", file=sys.stderr, flush=True)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank preflight", description=__doc__)
    add = found.add_argument
    flags.add_slice(add, _tpus(), required=True)
    flags.add_spec(add, default="kuairand")
    flags.add_preset(add)
    add("--precision", choices=_PRECISIONS, help="instead of the slice's")
    add(
        "--one_precision",
        action="store_true",
        help="leave out the comparison with the other precision: half the time",
    )
    add(
        "--rank_candidates",
        type=int,
        default=500,
        metavar="N",
        help="candidates of one `rank` request (500)",
    )
    add("--json", metavar="FILE", help="also write everything as JSON")
    add(
        "--environment",
        metavar="DIR",
        help="an environment with requirements/preflight.txt, instead of our own",
    )
    return found

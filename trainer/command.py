"""Trains a ranker on transformed examples, day after day.

    trailrank train --spec kuairand --preset mmoe \\
        --transformed RUN/artifacts/Transform/transformed_examples/<n> \\
        --checkpoints RUN/checkpoints

DIR of --transformed is the output of the Transform step, a bucket's too: it holds
`Split-day-YYYYMMDD/*.gz`, one folder a day. By default ALL of its days are trained, the
evaluation days of a pipeline run included; --days chooses. Stopped and started again
with the same arguments, training goes on after the last finished day.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from absl import logging
from absl.flags import argparse_flags

from feature_specs import SpecError, load_preset, load_spec
from tpu_configs import SliceConfig, load_slice, shipped_slices

_SPLIT_PREFIX = "Split-"


def run(argv: Sequence[str]) -> int:
    """Runs `train` with the arguments `argv`; 0, or 1 after a message on stderr."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return _train(args)
    except (SpecError, ValueError, RuntimeError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1


def _train(args: argparse.Namespace) -> int:
    spec, preset = load_spec(args.spec), load_preset(args.preset)
    days = find_days(args.transformed, args.days)
    from trainer import loop, state  # load TensorFlow: only after reading arguments

    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)  # a line a day, off a terminal too
    restored = state.finished_days(args.checkpoints)
    loop.train(
        spec,
        preset,
        days,
        checkpoint_dir=args.checkpoints,
        slice=choose_slice(args.accelerator, args.tpu_config),
        seed=args.seed,
        log_dir=args.tensorboard,
    )
    trained = sum(name not in restored for name, _ in days)
    print(
        f"Trained {trained} days, restored {len(restored)}; "
        f"checkpoints and metrics: {args.checkpoints}"
    )
    return 0


def find_days(
    directory: str, wanted: Sequence[str] | None = None
) -> list[tuple[str, list[str]]]:
    """Name and glob of each day under `directory`, oldest first.

    Args:
        directory: A path or a bucket; holds a folder `Split-day-YYYYMMDD` for each day.
        wanted: Days to take, as `day-20220408` or `20220408`; by default all.

    Raises:
        ValueError: There is no day, or not every wanted one.
    """
    import trainer.keras2  # noqa: F401  # isort: skip
    import tensorflow as tf

    folders = tf.io.gfile.glob(os.path.join(directory, f"{_SPLIT_PREFIX}day-*"))
    names = sorted(
        os.path.basename(folder.rstrip("/")).removeprefix(_SPLIT_PREFIX)
        for folder in folders
    )
    if not names:
        raise ValueError(
            f"--transformed {directory}: must hold folders Split-day-YYYYMMDD. "
            f"Got none. Name the output of the Transform step."
        )
    chosen = [_day_name(day) for day in wanted] if wanted else names
    missing = sorted(set(chosen) - set(names))
    if missing:
        raise ValueError(
            f"--days: must be days of {directory}. Got {missing[0]}. It has "
            f"{names[0]} to {names[-1]}."
        )
    return [
        (name, [os.path.join(directory, _SPLIT_PREFIX + name, "*.gz")])
        for name in sorted(set(chosen))
    ]


def choose_slice(accelerator: str, name: str | None) -> SliceConfig:
    """The slice of --tpu_config; without it, the accelerator's default."""
    if name:
        config = load_slice(name)
        if accelerator not in ("auto", config.accelerator):
            raise ValueError(
                f"--accelerator {accelerator}: must agree with --tpu_config {name}, "
                f"which is for {config.accelerator}. Leave --accelerator out."
            )
        return config
    from trainer import strategy

    found = strategy.resolve(accelerator)
    if found == "tpu":
        raise ValueError(
            f"--accelerator tpu: needs --tpu_config, one of "
            f"{', '.join(n for n in shipped_slices() if n not in ('cpu', 'gpu'))}."
        )
    return load_slice(found)


def _day_name(day: str) -> str:
    return day if day.startswith("day-") else f"day-{day}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--spec", required=True, help="shipped spec or a YAML file")
    add("--preset", default="mmoe", help="shipped preset or a YAML file (mmoe)")
    add("--transformed", required=True, metavar="DIR", help="transformed examples")
    add("--days", nargs="+", metavar="DAY", help="YYYYMMDD, by default all")
    add("--checkpoints", required=True, metavar="DIR", help="also holds metrics.jsonl")
    add(
        "--accelerator",
        default="auto",
        choices=("auto", "tpu", "gpu", "cpu"),
        help="what to train on (auto)",
    )
    add("--tpu_config", metavar="NAME", help="slice: a shipped one or a YAML file")
    add("--seed", type=int, default=0, help="of weights, row order and dropout (0)")
    add(
        "--tensorboard",
        metavar="DIR",
        help="TensorBoard summaries, and inspection/: figures of experts and conflicts",
    )
    return parser

"""Trains a ranker on transformed examples, day after day.

    trailrank train --spec kuairand --preset mmoe \\
        --transformed RUN/artifacts/Transform/transformed_examples/<n> \\
        --checkpoints RUN/checkpoints

DIR of --transformed is the output of the Transform step, a bucket's too: it holds
`Split-day-YYYYMMDD/*.gz`, one folder a day. By default ALL of its days are trained, the
evaluation days of a pipeline run included; --days chooses.

Stopped at any moment and started again with the same arguments, training goes on from
the newest checkpoint and ends with the same weights. Tomorrow's command names
tomorrow's days and the same --checkpoints. With --validate_rows each day is predicted
before it is trained on: the metrics that the model would have had online.

    trailrank train ... --accelerator tpu --tpu_config v5litepod-8    # on a TPU VM
    trailrank train ... --batch_size 1024 --precision bfloat16
    trailrank train ... --warm_start OLD/checkpoints --warm_start_partial
    trailrank train ... --validate_rows 200000 --export MODELS/7

With TF_CONFIG set, as Vertex does, the machines of a cluster train together.

Exit status: 0 trained, 1 an error that a message explains, 75 stopped by SIGTERM
(preempted) and 130 by Ctrl-C, both after a checkpoint: start it again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich.console
import rich.table
from absl import logging
from absl.flags import argparse_flags

from feature_specs import SpecError, load_preset, load_spec
from tpu_configs import SliceConfig, load_slice, shipped_slices

if TYPE_CHECKING:
    from feature_specs import Spec
    from trainer.model.ranker import Ranker

_SPLIT_PREFIX = "Split-"
_EXAMPLES, _GRAPH = "transformed_examples", "transform_graph"
_SHOWN_TASKS = 3  # in the table at the end


def run(argv: Sequence[str]) -> int:
    """Runs `train` with the arguments `argv`; returns the exit status."""
    args = parser().parse_args(argv)
    # TensorFlow warns of the end of every pass over data.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return _train(args)
    except (SpecError, ValueError, RuntimeError, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return getattr(error, "status", 1)  # an InterruptedTraining has its own


def _train(args: argparse.Namespace) -> int:
    check_flags(args)
    spec, preset = load_spec(args.spec), load_preset(args.preset)
    if args.tpu:
        os.environ["TPU_NAME"] = args.tpu
    slice_ = _slice(args)
    days = find_days(args.transformed, args.days)
    graph = _find_graph(args) if args.export else None
    from trainer import strategy
    from trainer.days import checkpoints, loop

    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)  # a line a day, off a terminal too
    restored = checkpoints.finished_days(args.checkpoints)
    ranker = loop.train(
        spec,
        preset,
        days,
        checkpoint_dir=args.checkpoints,
        slice=slice_,
        seed=args.seed,
        log_dir=args.tensorboard,
        options=loop.LoopOptions(
            checkpoint_steps=args.checkpoint_steps,
            validate_rows=args.validate_rows,
            sample=args.sample,
            cache=args.cache,
            warm_start=args.warm_start,
            warm_start_partial=args.warm_start_partial,
        ),
    )
    if strategy.is_chief():
        trained = [name for name, _ in days if name not in restored]
        _print_result(spec, checkpoints.read_metrics(args.checkpoints), trained)
        print(
            f"Trained {len(trained)} days, restored {len(restored)}; "
            f"checkpoints and metrics: {args.checkpoints}"
        )
        if args.export:
            _export(ranker, spec, str(graph), args.export)
    return 0


def check_flags(args: argparse.Namespace) -> None:
    """Combinations that make no sense, before anything heavy is loaded."""
    if args.tpu and args.accelerator not in ("auto", "tpu"):
        raise ValueError(
            f"--tpu {args.tpu}: is for --accelerator tpu. Got --accelerator "
            f"{args.accelerator}. Leave one of them out."
        )
    if args.warm_start_partial and not args.warm_start:
        raise ValueError(
            "--warm_start_partial: needs --warm_start DIR, the checkpoints of another "
            "training. To go on with this training's own ones, leave it out."
        )
    if args.warm_start and _same_place(args.warm_start, args.checkpoints):
        raise ValueError(
            f"--warm_start {args.warm_start}: must not be --checkpoints itself, from "
            f"which training goes on anyway. Leave it out."
        )
    if args.transform_graph and not args.export:
        raise ValueError(
            "--transform_graph: is needed by --export DIR alone. Leave it out, or say "
            "where the model should go."
        )


def _same_place(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _slice(args: argparse.Namespace) -> SliceConfig:
    """The chosen slice, with what the flags change of it."""
    chosen = choose_slice(args.accelerator, args.tpu_config)
    changes: dict[str, Any] = {}
    for key in ("batch_size", "precision"):
        if getattr(args, key) is not None:
            changes[key] = getattr(args, key)
    if changes.get("batch_size", 1) < 1:
        raise ValueError(f"--batch_size: must be 1 or more. Got {args.batch_size}.")
    return dataclasses.replace(chosen, **changes)


def _find_graph(args: argparse.Namespace) -> str:
    """The transform graph that the exported model carries; checked before training."""
    import tensorflow as tf

    if tf.io.gfile.exists(args.export) and tf.io.gfile.listdir(args.export):
        raise ValueError(
            f"--export {args.export}: must be a new directory, as a served version "
            f"never changes. Name the next version."
        )
    parts = args.transformed.rstrip("/").rsplit(f"/{_EXAMPLES}/", 1)
    beside = f"/{_GRAPH}/".join(parts) if len(parts) == 2 else ""
    graph = args.transform_graph or beside
    if not graph or not tf.io.gfile.isdir(os.path.join(graph, "transform_fn")):
        raise ValueError(
            f"--export: needs the Transform step's other output, a directory with "
            f"`transform_fn`. Got {graph or 'none'}. Name it with --transform_graph."
        )
    return graph


def _export(ranker: Ranker, spec: Spec, graph: str, path: str) -> None:
    import tensorflow_transform as tft

    from serving.export import export

    export(ranker, tft.TFTransformOutput(graph), spec, path)
    print(f"Model: {path}")


def _print_result(
    spec: Spec, records: Sequence[dict[str, Any]], trained: Sequence[str]
) -> None:
    """A line a day: what it cost, and what the model knew of it before."""
    shown = [t.name for t in spec.tasks if t.of_kind.is_probability][:_SHOWN_TASKS]
    validated = any("validation" in record for record in records)
    table = rich.table.Table(box=None)
    table.add_column("day")
    for head in ("rows", "rows/s", "loss"):
        table.add_column(head, justify="right")
    for task in shown if validated else ():
        table.add_column(f"AUC before, {task}", justify="right")
    for record in records:
        if record["day"] not in trained:
            continue
        found = record.get("validation", {}).get("auc", {})
        table.add_row(
            record["day"],
            f"{record['rows']:,}",
            f"{record['rows_per_s']:,.0f}",
            f"{record['loss']:.4f}",
            *(_auc(found.get(task)) for task in shown if validated),
        )
    if table.row_count:
        rich.console.Console().print(table)


def _auc(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


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


def parser() -> argparse.ArgumentParser:
    """Of all flags of `trailrank train`."""
    found = argparse_flags.ArgumentParser(
        prog="trailrank train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what(found.add_argument_group("what is trained").add_argument)
    _add_where(found.add_argument_group("on which machine").add_argument)
    _add_how(found.add_argument_group("how the days are gone through").add_argument)
    _add_results(found.add_argument_group("what comes out").add_argument)
    return found


def _add_what(add) -> None:
    add("--spec", required=True, help="shipped spec or a YAML file")
    add("--preset", default="mmoe", help="shipped preset or a YAML file (mmoe)")
    add("--transformed", required=True, metavar="DIR", help="transformed examples")
    add("--days", nargs="+", metavar="DAY", help="YYYYMMDD, by default all")
    add("--seed", type=int, default=0, help="of weights, row order and dropout (0)")
    add(
        "--warm_start",
        metavar="DIR",
        help="first weights from the newest of another training's checkpoints",
    )
    add(
        "--warm_start_partial",
        action="store_true",
        help="take those equal in name and shape, where spec or preset changed",
    )


def _add_where(add) -> None:
    add(
        "--accelerator",
        default="auto",
        choices=("auto", "tpu", "gpu", "cpu"),
        help="what to train on (auto)",
    )
    add("--tpu_config", metavar="SLICE", help="slice: a shipped one or a YAML file")
    add("--tpu", metavar="NAME", help="of the TPU; `local` on a TPU VM, the default")
    add("--batch_size", type=int, metavar="ROWS", help="of a step, over all chips")
    add("--precision", choices=("float32", "bfloat16"), help="of the dense products")


def _add_how(add) -> None:
    add(
        "--checkpoint_steps",
        type=int,
        default=5_000,
        metavar="STEPS",
        help="between checkpoints inside a day; 0 writes them between days (5000)",
    )
    add(
        "--validate_rows",
        type=int,
        default=0,
        metavar="ROWS",
        help="of each day that are predicted before it is trained on (0)",
    )
    add(
        "--sample",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the rows that is read, always the same ones (1)",
    )
    add(
        "--cache",
        metavar="DIR",
        help="keeps parsed days on a local disk: later passes and trainings are faster",
    )


def _add_results(add) -> None:
    add(
        "--checkpoints",
        required=True,
        metavar="DIR",
        help="weights to go on from, and metrics.jsonl; a bucket's too",
    )
    add(
        "--tensorboard",
        metavar="DIR",
        help="TensorBoard summaries, and inspection/: figures of experts and conflicts",
    )
    add("--export", metavar="DIR", help="the model to serve, as MODELS/<version>")
    add(
        "--transform_graph",
        metavar="DIR",
        help="for --export, where it does not lie beside --transformed",
    )

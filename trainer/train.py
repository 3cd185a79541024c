"""Training and loading a ranker from Python: names, paths or objects in, a ranker out.

The day loop itself is `trainer.days.loop`. Whatever can be wrong with a name or a path
of this machine is told before TensorFlow is imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_specs.named import PresetLike, SpecLike, as_preset, as_spec
from feature_specs.places import (
    Place,
    check_directory,
    check_is_no_glob,
    check_writable_directory,
)
from trainer.days.folders import check_checkpoints, find_days
from trainer.days.options import LoopOptions
from trainer.ownership import sole_training
from trainer.slices import Precision, SliceLike, changed, choose_slice

if TYPE_CHECKING:
    import rich.console

    from trainer.days.encoding import Encoding
    from trainer.model.ranker import Ranker


def train(
    spec: SpecLike,
    preset: PresetLike,
    transformed: Place,
    *,
    checkpoints: Place,
    days: Sequence[str] | None = None,
    slice: SliceLike | None = None,
    accelerator: str = "auto",
    batch_size: int | None = None,
    precision: Precision | None = None,
    seed: int = 0,
    tensorboard: Place | None = None,
    options: LoopOptions | None = None,
    console: rich.console.Console | None = None,
    transform_graph: Place | None = None,
) -> Ranker:
    """Trains a ranker on transformed examples, day after day, and returns it.

    >>> ranker = trailrank.train(
    ...     "small.yaml", "tiny.yaml", "transformed",
    ...     checkpoints="checkpoints", days=["20220408"], accelerator="cpu")
    >>> [task.name for task in ranker.spec.tasks]
    ['click', 'watch', 'like', 'seconds']

    Args:
        spec: What the examples hold: a shipped name, a file or a spec.
        preset: The ranker's shape, likewise.
        transformed: Output of the Transform step; a folder `Split-day-YYYYMMDD` a day.
        checkpoints: Weights to go on from, if it is called again; `metrics.jsonl`.
        days: Which days, as `20220408`; by default all.
        slice: A shipped slice, a file or a slice; by default the `accelerator`'s.
        accelerator: `auto`, `tpu`, `gpu` or `cpu`.
        batch_size: Rows of a step over all chips, instead of the slice's.
        precision: Of the dense products, instead of the slice's.
        seed: Of weights, order of rows and dropout.
        tensorboard: Directory of TensorBoard summaries, if any.
        options: How days are gone through.
        console: Shows a bar, if it is a terminal; without one there is none.
        transform_graph: The Transform step's other output, which tells what ids and
            scales mean; by default what lies beside the examples tells.

    Raises:
        ValueError: The checkpoint is of another spec, preset or encoding.
        SpecError, PlaceError: A YAML has mistakes; there are no such days.
        LockedError, DivergedError, InterruptedTraining, CheckpointError: See
            `loop.train`.
    """
    found, config = as_spec(spec), as_preset(preset)
    chosen = check_places(transformed, days, checkpoints, options, transform_graph)
    where = changed(choose_slice(accelerator, slice), batch_size, precision)
    with sole_training(checkpoints):  # told before TensorFlow is imported
        from trainer.days import loop

        return loop.train(
            found,
            config,
            chosen,
            checkpoint_dir=os.fspath(checkpoints),
            slice=where,
            seed=seed,
            log_dir=None if tensorboard is None else os.fspath(tensorboard),
            options=options,
            console=console,
            encoding=_encoding_of(transformed, transform_graph),
        )


def _encoding_of(transformed: Place, graph: Place | None) -> Encoding | None:
    """What ids and scales of the examples mean; it is told if nobody knows."""
    from absl import logging

    from trainer.days.encoding import find_encoding

    named = None if graph is None else os.fspath(graph)
    found = find_encoding(os.fspath(transformed), named)
    if found is None:
        logging.warning(
            "%s: neither encoding.json nor a transform graph lies beside the examples, "
            "so that nobody will know if others are encoded otherwise. Name the "
            "Transform step's output with --transform_graph.",
            transformed,
        )
    return found


def check_places(
    transformed: Place,
    days: Sequence[str] | None,
    checkpoints: Place,
    options: LoopOptions | None,
    transform_graph: Place | None = None,
) -> list[tuple[str, list[str]]]:
    """Name and globs of the days to train; PlaceError if a path cannot be used."""
    chosen = find_days(transformed, days)
    if transform_graph is not None:
        remedy = "Name the Transform step's output that holds it."
        check_directory("--transform_graph", transform_graph, remedy, "transform_fn")
    check_writable_directory("--checkpoints", checkpoints)
    check_is_no_glob("--checkpoints", checkpoints)
    if options and options.warm_start:
        check_checkpoints("--warm_start", options.warm_start)
    return chosen


def load_ranker(
    spec: SpecLike,
    preset: PresetLike,
    checkpoints: Place,
    *,
    slice: SliceLike | None = None,
    accelerator: str = "auto",
) -> Ranker:
    """The trained ranker of a directory's newest checkpoint.

    >>> ranker = trailrank.load_ranker(
    ...     "small.yaml", "tiny.yaml", "checkpoints", accelerator="cpu"
    ... )
    >>> int(ranker.steps)
    8

    Args:
        spec: What it was trained on: a shipped name, a file or a spec.
        preset: Its preset, likewise.
        checkpoints: As given to `train`.
        slice: Where it will run; by default the accelerator's.
        accelerator: `auto`, `tpu`, `gpu` or `cpu`.

    Raises:
        PlaceError: There is no checkpoint.
        ValueError: It is of another spec or preset.
    """
    found, config = as_spec(spec), as_preset(preset)
    check_checkpoints("checkpoints", checkpoints)
    where = choose_slice(accelerator, slice)
    from trainer.days import loop

    return loop.load(found, config, os.fspath(checkpoints), where).ranker

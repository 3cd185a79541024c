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
    check_is_no_glob,
    check_writable_directory,
)
from trainer.days.folders import (
    Places,
    check_checkpoints,
    check_encoding_dir,
    find_days,
)
from trainer.days.options import LoopOptions
from trainer.ownership import sole_training
from trainer.slices import Precision, SliceLike, changed, choose_slice

if TYPE_CHECKING:
    import rich.console

    from trainer.model.ranker import Ranker


def train(
    spec: SpecLike,
    preset: PresetLike,
    examples: Places,
    *,
    encoding: Place | None = None,
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
) -> Ranker:
    """Trains a ranker on raw examples, day after day, and returns it.

    >>> ranker = trailrank.train(
    ...     "small.yaml", "tiny.yaml", "examples", encoding="encoding",
    ...     checkpoints="checkpoints", days=["20220408"], accelerator="cpu")
    >>> [task.name for task in ranker.spec.tasks]
    ['click', 'watch', 'like', 'seconds']

    Args:
        spec: What the examples hold: a shipped name, a file or a spec.
        preset: The ranker's shape, likewise.
        examples: Directories that `make_examples` wrote, one or several; a folder
            `Split-day-YYYYMMDD` a day.
        encoding: Directory that `make_encoding` wrote: what the raw values become. Left
            out, the examples must be encoded already.
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

    Raises:
        ValueError: The checkpoint is of another spec, preset or encoding.
        SpecError, PlaceError: A YAML has mistakes; there are no such days.
        LockedError, DivergedError, InterruptedTraining, CheckpointError: See
            `loop.train`.
    """
    found, config = as_spec(spec), as_preset(preset)
    chosen = check_places(examples, encoding, days, checkpoints, options)
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
            graph=None if encoding is None else os.fspath(encoding),
        )


def check_places(
    examples: Places,
    encoding: Place | None,
    days: Sequence[str] | None,
    checkpoints: Place,
    options: LoopOptions | None,
) -> list[tuple[str, list[str]]]:
    """Name and globs of the days to train; PlaceError if a path cannot be used."""
    chosen = find_days(examples, days)
    check_encoding_dir(encoding, examples)
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

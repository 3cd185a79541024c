"""Looking inside a trained ranker from Python: what `trailrank inspect` shows."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_specs.named import PresetLike, SpecLike, as_preset, as_spec
from feature_specs.places import Place, check_writable_directory
from trainer.days.folders import (
    Places,
    check_checkpoints,
    check_encoding_dir,
    find_days,
)
from trainer.slices import SliceLike, choose_slice

if TYPE_CHECKING:
    from trainer.days.loop import Day, Trained
    from trainer.inspection import Inspection


def inspect(
    spec: SpecLike,
    preset: PresetLike,
    checkpoints: Place,
    examples: Places,
    *,
    encoding: Place | None = None,
    out: Place | None = None,
    days: Sequence[str] | None = None,
    batches: int = 64,
    gradient_batches: int = 16,
    slice: SliceLike | None = None,
    accelerator: str = "auto",
) -> Inspection:
    """What the gates and experts of a trained ranker do, and which tasks conflict.

    >>> seen = trailrank.inspect(
    ...     "small.yaml", "tiny.yaml", "checkpoints", "examples",
    ...     encoding="encoding", batches=2, gradient_batches=1, accelerator="cpu",
    ... )
    >>> seen.tasks
    ('click', 'watch', 'like', 'seconds')
    >>> seen.gates[0].mean.sum(axis=1).round(3).tolist()  # each gate weighs experts
    [1.0, 1.0, 1.0, 1.0]

    Args:
        spec: What it was trained on: a shipped name, a file or a spec.
        preset: Its preset, likewise.
        checkpoints: As given to `train`.
        examples: As given to `train`: the rows that it is seen on.
        encoding: As given to `train`.
        out: Gets `inspection.json` and, with matplotlib, the figures; if any.
        days: Which days' rows, as `20220408`; by default the last day's.
        batches: Of each day.
        gradient_batches: The first ones of them, for conflicts.
        slice: Where it runs; by default the accelerator's.
        accelerator: `auto`, `tpu`, `gpu` or `cpu`.

    Raises:
        PlaceError: There is no checkpoint, or no such day.
        ValueError: The checkpoint is of another spec or preset.
    """
    found, config = as_spec(spec), as_preset(preset)
    check_checkpoints("--checkpoints", checkpoints)
    chosen = find_days(examples, days)
    check_encoding_dir(encoding, examples)
    chosen = chosen if days else chosen[-1:]
    if out is not None:
        check_writable_directory("--out", out)
    where = choose_slice(accelerator, slice)
    from trainer.days import loop

    graph = None if encoding is None else os.fspath(encoding)
    trained = loop.load(found, config, os.fspath(checkpoints), where, graph)
    seen = _look(trained, chosen, batches, gradient_batches)
    if out is not None:
        from trainer.inspection import report

        report.write(seen, os.fspath(out))
    return seen


def _look(
    trained: Trained, days: Sequence[Day], batches: int, gradient_batches: int
) -> Inspection:
    from trainer.days import input as examples

    rows = itertools.chain.from_iterable(
        trained.sample(examples.match_files(day, patterns), batches)
        for day, patterns in days
    )
    return trained.inspector.inspect(rows, gradient_batches)

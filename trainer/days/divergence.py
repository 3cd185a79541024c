"""Stopping when a loss or a weight is no number any more, with the batch kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs.errors import TrailrankError
from trainer import strategy as strategies
from trainer.days.means import LOSS
from trainer.days.state import Position
from trainer.days.training import Training
from trainer.model.ranker import Ranker


class DivergedError(TrailrankError, RuntimeError):
    """A loss or weight is no number any more; the checkpoint before is good."""


def check_losses(
    training: Training,
    table: npt.NDArray[np.float32],
    position: Position,
    files: Sequence[str],
    directory: str,
) -> None:
    """That all losses of a call are numbers.

    Args:
        training: Whose step it was.
        table: What the steps returned, [steps, columns].
        position: Before the call.
        files: Of the day.
        directory: Where the first broken batch goes, as `diverged-<day>-<step>.gz`.

    Raises:
        DivergedError: Names day and step, and the file with the batch's examples.
    """
    broken = np.flatnonzero(~np.isfinite(table[:, LOSS]))
    if not broken.size:
        return
    batch = position.batch + int(broken[0])
    path = _save_batch(training, position, files, batch, directory)
    raise DivergedError(
        f"Day {position.day!r}, pass {position.epoch + 1}, step {batch + 1}: the loss "
        f"must be a number. Got {table[broken[0], LOSS]}. The batch's examples are in "
        f"{path}. Look for absurd labels or numbers in them, lower the learning rates "
        f"of the preset, or set optimizer.clip_norm; the same command then goes on "
        f"from the checkpoint before."
    )


def check_weights(ranker: Ranker, where: str) -> None:
    """Finds what `check_losses` cannot: a step's loss is that before its update.

    Raises:
        DivergedError: Names the place and the weight.
    """
    for variable in ranker.dense_variables:
        if not np.isfinite(variable.numpy()).all():
            raise DivergedError(
                f"The last step before {where}: the weights must be numbers. Got NaN "
                f"or infinity in {variable.name}. Lower the learning rates of the "
                f"preset or set optimizer.clip_norm; the same command then goes on "
                f"from the checkpoint before."
            )


def _save_batch(
    training: Training,
    position: Position,
    files: Sequence[str],
    batch: int,
    directory: str,
) -> str:
    """The chief writes a global batch as it was read, in the files' own format."""
    order = training.order(position.day, position.epoch)
    rows = training.reader.serialized(files, seed=order).skip(batch).take(1).unbatch()
    path = f"{directory}/diverged-{position.day}-{batch + 1}.gz"
    if not strategies.is_chief():
        return path
    tf.io.gfile.makedirs(directory)
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in rows.as_numpy_iterator():
            writer.write(row)
    return path

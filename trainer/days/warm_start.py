"""First weights from another training: of the same model, or what is equal in another.

Tables keep their rows, so that the encoding must be that of the other training; what a
checkpoint knows of its own is compared.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import tensorflow as tf
from absl import logging

from trainer.days.checkpoints import first_readable, newest_state
from trainer.days.encoding import Encoding
from trainer.days.keys import SLOT, VALUE, keyed_variables
from trainer.days.state import (
    ResumeError,
    differences,
    encoding_differences,
    listed,
)
from trainer.days.training import Training
from trainer.errors import TrainingError

_NAMED = 8  # variables in a message
_VOCABULARY = "vocabulary "  # of a feature, as `Encoding.learned` has it


def start(
    training: Training,
    run: dict[str, Any],
    directory: str,
    *,
    partial: bool,
    encoding: Encoding | None = None,
) -> None:
    """Gives a new training the newest weights of `directory`.

    Optimizer slots, averages and the count of steps come along.

    Args:
        training: Not yet trained.
        run: Its `run_identity`.
        directory: Checkpoints of another training.
        partial: Takes what is equal in name and shape, whatever else changed; but no
            table whose rows mean other values.
        encoding: Of the new training's examples.

    Raises:
        ValueError: There is no checkpoint; or, unless `partial`, spec, preset or
            encoding differ, which are listed; or nothing is equal.
    """
    if training.tables_on_chips:
        raise TrainingError(
            f"--warm_start {directory}: must be left out with tables on the TPU's "
            f"engine, which only a whole checkpoint fills. Set embedding: dense in a "
            f"slice of your own."
        )
    found = newest_state(directory)
    if not found:
        raise TrainingError(
            f"--warm_start {directory}: must hold a checkpoint. Got none. Name the "
            f"--checkpoints of an earlier training."
        )
    _, state = found
    changed = [d for d in differences(state.run, run) if _decides_model(d)]
    otherwise = encoding_differences(state, encoding)
    if (changed or otherwise) and not partial:
        told = listed([*changed, *otherwise.values()])
        raise ResumeError(
            f"--warm_start {directory}: must be of the same spec, preset and encoding. "
            f"{told}. Take back the change, or take over the weights that are equal in "
            f"name and shape with --warm_start_partial."
        )
    if otherwise:
        logging.warning("Encoded otherwise: %s.", listed(list(otherwise.values())))
    first_readable(
        directory,
        lambda path: _take_over(training, path, partial=partial, otherwise=otherwise),
    )


def _decides_model(difference: str) -> bool:
    return difference.startswith(("spec ", "spec.", "preset.", "embedding "))


def _take_over(
    training: Training, path: str, *, partial: bool, otherwise: Collection[str]
) -> None:
    """Reads every variable that the checkpoint has with the same key and shape.

    A table is left out whose vocabulary is among `otherwise`, what differs in encoding.
    """
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    root = tf.train.Checkpoint(ranker=training.ranker, average=training.average)
    own = dict(keyed_variables(root))
    # New Keras optimizers call their slots by number, which says nothing in a model
    # that changed.
    named = {key: v for key, v in own.items() if key.split("/")[-3] != "_variables"}
    chosen = named if partial else own
    anew = [f"/feature_{name.removeprefix(_VOCABULARY)}/" for name in otherwise]
    chosen = {k: v for k, v in chosen.items() if not any(part in k for part in anew)}
    equal = [key for key, v in chosen.items() if shapes.get(key) == v.shape.as_list()]
    if not any(key.startswith("ranker/") and SLOT not in key for key in equal):
        raise TrainingError(
            f"--warm_start_partial {path}: must have a weight that is equal in name "
            f"and shape. Got none. Start without it."
        )
    for key in equal:
        own[key].assign(reader.get_tensor(key))
    weights = [key for key in own if SLOT not in key]
    new = [_told(key) for key in weights if key not in shapes]
    other = [_told(key) for key in weights if key in shapes and key not in equal]
    taken = sum(key in set(equal) for key in weights)
    logging.info("Took over %d of %d variables of %s.", taken, len(weights), path)
    for what, names in (("Not in it", new), ("Of another shape in it", other)):
        if names:
            rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            logging.info("%s: %s%s.", what, ", ".join(names[:_NAMED]), rest)


def _told(key: str) -> str:
    return key.removesuffix(VALUE).removeprefix("ranker/")

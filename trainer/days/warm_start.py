"""First weights from another training: of the same model, or what is equal in another.

Tables keep their rows: vocabularies and hash buckets must be those of the other
training, which a checkpoint cannot tell.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from absl import logging

from trainer.days.checkpoints import first_readable, newest_state
from trainer.days.keys import SLOT, VALUE, keyed_variables
from trainer.days.state import differences
from trainer.days.training import Training

_NAMED = 8  # in a message


def start(
    training: Training, run: dict[str, Any], directory: str, *, partial: bool
) -> None:
    """Gives a new training the newest weights of `directory`.

    Optimizer slots, averages and the count of steps come along.

    Args:
        training: Not yet trained.
        run: Its `run_identity`.
        directory: Checkpoints of another training.
        partial: Takes what is equal in name and shape, whatever else changed.

    Raises:
        ValueError: There is no checkpoint; or, unless `partial`, spec or preset
            differ, which are listed; or nothing is equal.
    """
    if training.tables_on_chips:
        raise ValueError(
            f"--warm_start {directory}: must be left out with tables on the TPU's "
            f"engine, which only a whole checkpoint fills. Set embedding: dense in a "
            f"slice of your own."
        )
    found = newest_state(directory)
    if not found:
        raise ValueError(
            f"--warm_start {directory}: must hold a checkpoint. Got none. Name the "
            f"--checkpoints of an earlier training."
        )
    _, state = found
    changed = [d for d in differences(state.run, run) if _decides_model(d)]
    if changed and not partial:
        raise ValueError(
            f"--warm_start {directory}: must be of the same spec and preset. "
            f"{'; '.join(changed)}. Take back the change, or take over the weights "
            f"that are equal in name and shape with --warm_start_partial."
        )
    first_readable(directory, lambda path: _take_over(training, path, partial=partial))


def _decides_model(difference: str) -> bool:
    return difference.startswith(("spec ", "preset.", "embedding "))


def _take_over(training: Training, path: str, *, partial: bool) -> None:
    """Reads every variable that the checkpoint has with the same key and shape."""
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    root = tf.train.Checkpoint(ranker=training.ranker, average=training.average)
    own = dict(keyed_variables(root))
    # New Keras optimizers call their slots by number, which says nothing in a model
    # that changed.
    named = {key: v for key, v in own.items() if key.split("/")[-3] != "_variables"}
    chosen = named if partial else own
    equal = [key for key, v in chosen.items() if shapes.get(key) == v.shape.as_list()]
    if not any(key.startswith("ranker/") and SLOT not in key for key in equal):
        raise ValueError(
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

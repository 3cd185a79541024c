"""First weights from another training: of the same model, or what is equal in another.

Tables keep their rows, so that the encoding must be that of the other training, or
extend it, or be mapped by value; what a checkpoint knows of its own is compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from trainer.days.checkpoints import first_readable, newest_state
from trainer.days.encoding import Encoding
from trainer.days.keys import SLOT, VALUE, keyed_variables
from trainer.days.mapping import RowMap, check_mappable, feature_of
from trainer.days.state import (
    ResumeError,
    differences,
    encoding_differences,
    listed,
)
from trainer.days.training import Training
from trainer.errors import TrainingError

_NAMED = 8  # variables in a message
_OF_ITS_TABLE = ("vocabulary ", "room of ")  # as `Encoding.told` begins


def start(
    training: Training,
    run: dict[str, Any],
    directory: str,
    *,
    partial: bool,
    encoding: Encoding | None = None,
    map_encoding: bool = False,
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
        map_encoding: Takes the rows of another encoding's vocabularies by value.

    Raises:
        ValueError: There is no checkpoint; or, unless `partial`, spec, preset or
            encoding differ, which are listed; or nothing is equal; or the encoding
            cannot be mapped.
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
    newest, state = found
    changed = [d for d in differences(state.run, run) if _decides_model(d)]
    otherwise = encoding_differences(state, encoding)
    maps: dict[str, RowMap] = {}
    if otherwise and map_encoding:
        maps, otherwise = check_mappable(state, encoding, newest), {}
    if (changed or otherwise) and not partial:
        told = listed([*changed, *otherwise.values()])
        raise ResumeError(
            f"--warm_start {directory}: must be of the same spec, preset and encoding. "
            f"{told}. Take back the change, or take each value's row along with "
            f"--map_encoding, or take over the weights that are equal in name and "
            f"shape with --warm_start_partial."
        )
    if otherwise:
        logging.warning("Encoded otherwise: %s.", listed(list(otherwise.values())))
    first_readable(
        directory,
        lambda path: _take_over(
            training, path, partial=partial, otherwise=otherwise, maps=maps
        ),
    )


def _decides_model(difference: str) -> bool:
    return difference.startswith(("spec ", "spec.", "preset.", "embedding "))


def _take_over(
    training: Training,
    path: str,
    *,
    partial: bool,
    otherwise: Collection[str],
    maps: Mapping[str, RowMap],
) -> None:
    """Reads every variable that the checkpoint has with the same key and shape.

    A table is left out whose vocabulary is among `otherwise`, what differs in encoding.
    """
    own = _own_variables(training)
    # New Keras optimizers call their slots by number, which says nothing in a model
    # that changed.
    named = {key: v for key, v in own.items() if key.split("/")[-3] != "_variables"}
    anew = {name.removeprefix(p) for name in otherwise for p in _OF_ITS_TABLE}
    chosen = [key for key in (named if partial else own) if feature_of(key) not in anew]
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    taken = read_variables({key: own[key] for key in chosen}, path, maps)
    if not any(key.startswith("ranker/") and SLOT not in key for key in taken):
        raise TrainingError(
            f"--warm_start_partial {path}: must have a weight that is equal in name "
            f"and shape. Got none. Start without it."
        )
    weights = [key for key in own if SLOT not in key]
    new = [_told(key) for key in weights if key not in shapes]
    other = [_told(key) for key in weights if key in shapes and key not in taken]
    count = sum(key in taken for key in weights)
    logging.info("Took over %d of %d variables of %s.", count, len(weights), path)
    for what, names in (("Not in it", new), ("Of another shape in it", other)):
        if names:
            rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            logging.info("%s: %s%s.", what, ", ".join(names[:_NAMED]), rest)


def restore_mapped(training: Training, path: str, maps: Mapping[str, RowMap]) -> None:
    """Every variable of a checkpoint of the same training on another encoding.

    Raises:
        ResumeError: One is not in it, or has another shape.
        tf.errors.OpError: The checkpoint is broken.
    """
    own = _own_variables(training)
    taken = read_variables(own, path, maps)
    lacking = [_told(key) for key in own if key not in taken]
    if lacking:
        raise ResumeError(
            f"--map_encoding {path}: must have every variable of this training, of its "
            f"shape. Got none of {listed(lacking)}: of a feature with size: auto, "
            f"another room may have made its table wider. Train into an empty "
            f"directory (--checkpoints)."
        )


def read_variables(
    own: Mapping[str, tf.Variable], path: str, maps: Mapping[str, RowMap]
) -> set[str]:
    """Assigns what a checkpoint has of the same key and shape, rows of `maps` moved.

    Args:
        own: Key -> variable.
        path: The checkpoint.
        maps: Feature -> where the rows of its table go.

    Returns:
        The keys that were assigned.
    """
    reader = tf.train.load_checkpoint(path)
    shapes, taken = reader.get_variable_to_shape_map(), set()
    for key, variable in own.items():
        shape = variable.shape.as_list()
        rows = maps.get(feature_of(key) or "")
        if key not in shapes:
            continue
        if rows and shape and rows.fits(shapes[key], shape):
            variable.assign(rows.moved(reader.get_tensor(key), variable.numpy()))
            taken.add(key)
        elif shapes[key] == shape:
            variable.assign(reader.get_tensor(key))
            taken.add(key)
    return taken


def _own_variables(training: Training) -> dict[str, tf.Variable]:
    root = tf.train.Checkpoint(ranker=training.ranker, average=training.average)
    return dict(keyed_variables(root))


def _told(key: str) -> str:
    return key.removesuffix(VALUE).removeprefix("ranker/")

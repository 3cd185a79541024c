"""The mark of a blessed model, as TFX writes and reads it.

A directory of a `ModelBlessing` or an `InfraBlessing` holds one empty file whose name
says the outcome; TFX's Pusher and its resolvers look at the custom property `blessed`
of the artifact, too.
"""

from __future__ import annotations

import os
from typing import Any

from feature_specs.places import Place

MODEL = ("BLESSED", "NOT_BLESSED")
INFRA = ("INFRA_BLESSED", "INFRA_NOT_BLESSED")


def write_blessing(
    directory: Place, blessed: bool, names: tuple[str, str] = MODEL
) -> None:
    """Writes the file of the outcome; that of the other one goes.

    Args:
        directory: Of the artifact; may be a bucket.
        blessed: The outcome.
        names: Of the files, `MODEL` or `INFRA`.
    """
    import tensorflow as tf

    tf.io.gfile.makedirs(os.fspath(directory))
    good, bad = (os.path.join(directory, name) for name in names)
    wanted, other = (good, bad) if blessed else (bad, good)
    if tf.io.gfile.exists(other):
        tf.io.gfile.remove(other)
    with tf.io.gfile.GFile(wanted, "w") as file:
        file.write("")


def mark(artifact: Any, blessed: bool, model: Any = None) -> None:
    """Notes the outcome on an artifact of TFX.

    Args:
        artifact: A `ModelBlessing` or an `InfraBlessing`.
        blessed: The outcome.
        model: Of a `ModelBlessing`, the `Model` artifact that was judged: resolvers
            find it by its id.
    """
    artifact.set_int_custom_property("blessed", int(blessed))
    if model is not None:
        artifact.set_string_custom_property("current_model", model.uri)
        artifact.set_int_custom_property("current_model_id", model.id)


def is_blessed(directory: Place, names: tuple[str, str] = MODEL) -> bool:
    """Whether the mark of a blessed model is there."""
    import tensorflow as tf

    return bool(tf.io.gfile.exists(os.path.join(directory, names[0])))

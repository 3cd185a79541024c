"""Writes the SavedModel that `tensorflow/serving` and `trailrank serve` load.

    export(ranker, transform_graph, spec, "models/kuairand/1")

Vocabularies, weights and the transform are inside; it loads where only TensorFlow is
installed.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import tensorflow as tf

from feature_specs import Spec
from feature_specs.errors import TrailrankError
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import Place, check_is_no_glob
from serving.answers import ask, write_answers
from serving.manifest import write_manifest
from serving.signatures import build_signatures
from serving.warmup import write_warmup
from trainer.model.ranker import Ranker
from trainer.ownership import sole_export

if TYPE_CHECKING:
    import tensorflow_transform as tft


class ExportError(TrailrankError, FileExistsError):
    """A model would be written over another one."""


def export(
    ranker: Ranker,
    transform: tft.TFTransformOutput | Place,
    spec: SpecLike,
    path: Place,
) -> None:
    """Writes the three signatures and their warmup requests to `path`.

    They appear under `path` at once: a server that polls the parent directory skips the
    temporary name, as it is no version number. (In a bucket a rename is a copy.)

    >>> trailrank.export(ranker, transform, spec, "models/tiny/1")
    >>> sorted(os.listdir("models/tiny/1"))[-2:]
    ['saved_model.pb', 'variables']

    Args:
        ranker: Trained.
        transform: The encoding's transform graph: its directory, or an object.
        spec: What the ranker was trained on: a shipped name, a file or a spec.
        path: `MODELS/<spec name>/<version>`, which must not be there yet.

    Raises:
        PlaceError: TensorFlow would not find `path` again.
        LockedError: Another command exports to `path`.
        ExportError: `path` holds something; a served version never changes.
    """
    spec, path = as_spec(spec), os.fspath(path)
    if isinstance(transform, str | os.PathLike):
        check_is_no_glob("transform", transform)
        import tensorflow_transform

        transform = tensorflow_transform.TFTransformOutput(os.fspath(transform))
    path = path.rstrip("/")
    check_is_no_glob("export", path)
    with sole_export(path):
        _write(ranker, transform, spec, path)


def _write(
    ranker: Ranker, transform: tft.TFTransformOutput, spec: Spec, path: str
) -> None:
    if tf.io.gfile.exists(path) and tf.io.gfile.listdir(path):
        raise ExportError(
            f"{path}: a SavedModel is written to a new directory, and this one is not "
            "empty. Export to the next version number."
        )
    parent, name = os.path.split(path)
    temporary = os.path.join(parent, f".{name}-{uuid.uuid4().hex[:8]}.tmp")
    module = tf.Module()
    # What the signatures use is tracked here, and not the Keras model itself: its
    # training graph has no place in the export.
    module.transform = transform.transform_features_layer()
    module.ranker_variables = list(ranker.variables)
    signatures = build_signatures(ranker, module.transform, spec)
    tf.saved_model.save(module, temporary, signatures=signatures)
    write_warmup(temporary, spec)
    write_answers(temporary, ask(spec, signatures))
    write_manifest(temporary)
    tf.io.gfile.rename(temporary, path, overwrite=True)

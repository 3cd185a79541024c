"""Writes the SavedModel that `tensorflow/serving` and `trailrank serve` load.

    export(ranker, transform_graph, spec, "models/kuairand/1")

Vocabularies, weights and the transform are inside; it loads where only TensorFlow is
installed.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from feature_specs import Spec
from feature_specs.errors import TrailrankError
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import Place, check_is_no_glob, is_bucket
from serving.export.answers import ask, write_answers
from serving.export.compact import compact
from serving.export.model_card import Lineage, make_card, read_signatures, write_card
from serving.export.rank_values import RankValues, read_rank_values
from serving.export.signatures import RANK, build_signatures, write_defaults
from serving.export.stored_tables import TableType, stored_tables
from serving.export.warmup import write_warmup
from serving.models.manifest import write_manifest
from trainer.days.encoding import ENCODING_FILE, read_encoding
from trainer.model.ranker import Ranker
from trainer.ownership import sole_export

if TYPE_CHECKING:
    import tensorflow_transform as tft


_LAST = "saved_model.pb"  # of a model's files, in a bucket


class ExportError(TrailrankError, FileExistsError):
    """A model would be written over another one."""


def export(
    ranker: Ranker,
    transform: tft.TFTransformOutput | Place,
    spec: SpecLike,
    path: Place,
    *,
    lineage: Lineage | None = None,
    examples: Sequence[bytes] = (),
    tables: TableType = "float32",
    measure: Callable[[str], Mapping[str, Any]] | None = None,
    quantiles: Place | None = None,
) -> None:
    """Writes the three signatures, their warmup requests and a model card to `path`.

    They appear under `path` at once: a server that polls the parent directory skips the
    temporary name, as it is no version number. In a bucket, which has no rename,
    `saved_model.pb` comes last: no server takes a version without it.

    >>> trailrank.export(ranker, transform, spec, "models/tiny/1")
    >>> sorted(os.listdir("models/tiny/1"))[-2:]
    ['saved_model.pb', 'variables']

    Args:
        ranker: Trained.
        transform: The encoding's transform graph: its directory, or an object.
        spec: What the ranker was trained on: a shipped name, a file or a spec.
        path: `MODELS/<spec name>/<version>`, which must not be there yet.
        lineage: What the model was trained on, for its card.
        examples: Serialized raw examples, of which the warmup requests are made; their
            served features are kept in the model. Without any, the requests have none.
        tables: How large embedding tables are stored (`serving.export.stored_tables`).
        measure: Given the written model's directory, what its card says of the change
            that comes of that.
        quantiles: `quantiles.json` of the examples that the ranker was trained on; only
            a spec needs it that has a task with `seconds`.

    Raises:
        TablesError: No table can be stored so.
        PlaceError: TensorFlow would not find `path` again.
        LockedError: Another command exports to `path`.
        ExportError: `path` holds something; a served version never changes.
        QuantilesError: It is not known what predicted ranks stand for.
    """
    spec, path = as_spec(spec), os.fspath(path)
    if isinstance(transform, str | os.PathLike):
        check_is_no_glob("transform", transform)
        import tensorflow_transform

        transform = tensorflow_transform.TFTransformOutput(os.fspath(transform))
    path = path.rstrip("/")
    check_is_no_glob("export", path)
    table = None if quantiles is None else os.fspath(quantiles)
    rank_values = read_rank_values(spec, table)
    with sole_export(path):
        _check_is_new(path)
        _remove_leftovers(path)
        temporary = _temporary(path)
        try:
            stored = _write(
                ranker, transform, spec, temporary, examples, tables, rank_values
            )
            change = {} if measure is None else measure(temporary)
            about = {"type": tables, **stored, **change} if stored else {}
            _write_card(ranker, transform, spec, temporary, lineage or Lineage(), about)
            _publish(temporary, path)
        except BaseException:
            _remove(temporary)
            raise


def _check_is_new(path: str) -> None:
    if tf.io.gfile.exists(path) and tf.io.gfile.listdir(path):
        raise ExportError(
            f"{path}: a SavedModel is written to a new directory, and this one is not "
            "empty. Export to the next version number."
        )


def _write(
    ranker: Ranker,
    transform: tft.TFTransformOutput,
    spec: Spec,
    path: str,
    examples: Sequence[bytes],
    tables: TableType,
    rank_values: Sequence[RankValues],
) -> dict[str, Any]:
    """Returns what was stored in another type; empty if nothing was."""
    module = tf.Module()
    # What the signatures use is tracked here, and not the Keras models themselves: they
    # would be traced again, and their own graphs have no place in the export.
    layer = transform.transform_features_layer()
    module.transform_resources = _resources(layer)
    with stored_tables(ranker, tables) as stored:
        signatures = build_signatures(ranker, layer, spec, rank_values)
    replaced = {one.replaces for one in stored}
    kept = [v for v in ranker.variables if v.ref() not in replaced]
    module.ranker_variables, module.stored_tables = kept, stored
    served = signatures | {RANK: compact(signatures[RANK], kept)}
    tf.saved_model.save(module, path, signatures=served)
    write_defaults(path)
    write_warmup(path, spec, examples)
    # Of the functions as they were traced: what came of compacting is compared as well.
    write_answers(path, ask(spec, signatures))
    write_manifest(path)
    if not stored:
        return {}
    return {
        "bytes": sum(one.size_bytes for one in stored),
        "float32_bytes": sum(one.float32_bytes for one in stored),
    }


def _resources(layer: tf.keras.layers.Layer) -> list[Any]:
    """Tables and files that a layer reads."""
    kinds = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
    found = tf.train.TrackableView(layer).descendants()
    return [child for child in found if isinstance(child, (*kinds, tf.Variable))]


def _write_card(
    ranker: Ranker,
    transform: tft.TFTransformOutput,
    spec: Spec,
    path: str,
    lineage: Lineage,
    tables: Mapping[str, Any],
) -> None:
    graph = os.path.dirname(transform.transform_savedmodel_dir.rstrip("/"))
    encoding = {}
    if tf.io.gfile.exists(os.path.join(graph, ENCODING_FILE)):
        found = read_encoding(graph)
        encoding = {
            "digest": found.digest,
            "base": found.base,
            "learned_through": found.learned_through,
            "days": list(found.days),
        }
    signatures = read_signatures(path)
    card = make_card(spec, ranker.config, signatures, encoding, lineage, tables)
    write_card(path, card)


# --- all at once ----------------------------------------------------------------------


def _temporary(path: str) -> str:
    parent, name = os.path.split(path)
    return os.path.join(parent, f".{name}-{uuid.uuid4().hex[:8]}.tmp")


def _publish(temporary: str, path: str) -> None:
    """The written model becomes the version; whole or not."""
    if not is_bucket(path):
        tf.io.gfile.rename(temporary, path, overwrite=True)
        return
    names = [
        os.path.relpath(os.path.join(folder, name), temporary)
        for folder, _, files in tf.io.gfile.walk(temporary)
        for name in files
    ]
    try:
        for name in sorted(names, key=lambda name: (name == _LAST, name)):
            target = os.path.join(path, name)
            tf.io.gfile.makedirs(os.path.dirname(target))
            tf.io.gfile.copy(os.path.join(temporary, name), target)
    except BaseException:
        _remove(path)
        raise
    _remove(temporary)


def _remove_leftovers(path: str) -> None:
    """Of exports to this version whose process was killed; nobody else writes here."""
    parent, name = os.path.split(path)
    own = re.compile(rf"\.{re.escape(name)}-[0-9a-f]{{8}}\.tmp/?")
    listed = tf.io.gfile.listdir(parent) if tf.io.gfile.isdir(parent) else []
    for found in listed:
        if own.fullmatch(found):
            _remove(os.path.join(parent, found.rstrip("/")))


def _remove(directory: str) -> None:
    if tf.io.gfile.exists(directory):
        tf.io.gfile.rmtree(directory)

"""What a raw value becomes: one encoder a kind of feature.

The same graph encodes the training days and is inside the exported model, so that a row
is encoded alike in both. Ids are hashed, categories looked up, numbers scaled; what was
missing becomes 0 of every kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_transform as tft

from feature_specs import FeatureSpec
from feature_specs.feature_kinds import (
    Bucket,
    Category,
    Code,
    Id,
    Number,
    Sequence,
    Text,
    Vector,
)
from feature_specs.registry import RoomTable
from feature_specs.spec import RESERVED_PREFIXES, FacetInput
from pipeline.encoding.hashing import hash_ids
from pipeline.encoding.known import Known
from pipeline.summaries.words import ALONE, BETWEEN
from trainer.days.encoding import Scale

_Tensors = dict[str, Any]

# Kind of feature -> its encoder: (raw values, feature, what is known) -> encoded.
_Encoder: TypeAlias = Callable[[Any, FeatureSpec, Known], tf.Tensor]
ENCODERS: RoomTable[_Encoder] = RoomTable(
    "pipeline.encoding", "encodes features of", "@pipeline.encoding.encoders.encodes"
)
encodes = ENCODERS.register


def encode(inputs: _Tensors, known: Known) -> _Tensors:
    """Raw example columns -> model inputs; labels, masks and keys pass as they are.

    Args:
        inputs: Scalars `[B]`, vectors `[B, N]`, sequences as SparseTensor `[B, ?]`.
        known: The spec, and what was learned.

    Returns:
        ids, categories and buckets `[B]` int64, sequences and words of texts
        `[B, length]` int64, numbers `[B]` and vectors `[B, N]` float32; 0 stands for
        "missing" in each. `facet_<name>` `[B]` int64 of each facet by values.
    """
    outputs = {}
    for feature in known.spec.features:
        with tf.name_scope(feature.name):
            encoder = ENCODERS[feature.of_kind]
            outputs[feature.name] = encoder(inputs[feature.name], feature, known)
    for made in known.spec.facet_inputs:
        with tf.name_scope(made.name):
            outputs[made.name] = _look_up(inputs[made.feature.name], made)
    for name, value in inputs.items():
        if name.startswith(RESERVED_PREFIXES):
            outputs[name] = value
    return outputs


@encodes(Id)
def _encode_id(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B] int64 or string -> [B] int64 in [1, buckets), 0 if missing."""
    return hash_ids(values, known.spec.tables[feature.table or ""].buckets)


@encodes(Sequence)
def _encode_sequence(
    values: tf.SparseTensor, feature: FeatureSpec, known: Known
) -> tf.Tensor:
    """[B, ?] -> [B, length] int64: the last `length` ids, 0-padded at the end.

    A missing item takes no place. N = items of the batch that are not missing.
    """
    ids = _encode_id(values.values, feature, known)
    present = ids > 0
    ids = tf.boolean_mask(ids, present)  # [N]
    row = tf.boolean_mask(values.indices[:, 0], present)  # [N], never falling
    counts = tf.math.unsorted_segment_sum(
        tf.ones_like(row), row, values.dense_shape[0]
    )  # [B]
    ends = tf.gather(tf.cumsum(counts), row)  # [N]
    from_end = ends - tf.range(tf.size(ids, tf.int64))  # 1 is the newest
    kept = from_end <= feature.length
    width = tf.minimum(tf.gather(counts, row), feature.length)
    places = tf.stack([row, width - from_end], axis=1)  # [N, 2]
    shape = tf.stack([values.dense_shape[0], feature.length])
    return tf.ensure_shape(
        tf.scatter_nd(tf.boolean_mask(places, kept), tf.boolean_mask(ids, kept), shape),
        [None, feature.length],
    )


@encodes(Text)
def _encode_text(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B] string -> [B, length] int64: the first `length` words, 0-padded at the end.

    Words are in lower case. Those of a vocabulary have ids from 1 on, all others the
    one after them; without one they are hashed as ids of the table are.
    """
    text = tf.strings.lower(values, encoding="utf-8")
    text = tf.strings.regex_replace(text, BETWEEN, " ")
    text = tf.strings.regex_replace(text, ALONE, r" \1 ")
    words = tf.strings.split(text)[:, : feature.length]
    if feature.size is None:
        ids = _encode_id(words.flat_values, feature, known)
    else:
        ids = known.look_up(words.flat_values, feature)
    return words.with_flat_values(ids).to_tensor(0, shape=[None, feature.length])


@encodes(Code)
def _encode_code(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B] int64 -> [B] int64: 0 missing, 1 + code, `size` + 1 for any other number."""
    listed = (values >= 0) & (values < feature.count)
    others = tf.fill(tf.shape(values), tf.constant(feature.count + 1, tf.int64))
    codes = tf.where(listed, values + 1, others)
    return tf.where(values == -1, tf.zeros_like(codes), codes)


@encodes(Category)
def _encode_category(
    values: tf.Tensor, feature: FeatureSpec, known: Known
) -> tf.Tensor:
    """[B] -> [B] int64: 0 missing, then the vocabulary's values, `room` + 1 others."""
    text = _as_text(values)
    ids = known.look_up(text, feature)
    return tf.where(text == "", tf.zeros_like(ids), ids)


@encodes(Bucket)
def _encode_bucket(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B] float -> [B] int64: 0 missing, else 1 + the boundaries at or below it."""
    edges = tf.constant(feature.boundaries, tf.float32)
    found = tf.searchsorted(edges, values, side="right", out_type=tf.int64) + 1
    return tf.where(tf.math.is_nan(values), tf.zeros_like(found), found)


@encodes(Number)
def _encode_number(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B] float -> [B] float, scaled as over the base's days; 0 if it is missing.

    An infinite value (a division by zero in the spec) counts as missing: one of them
    would spoil whatever is computed of it.
    """
    is_known = tf.math.is_finite(values)
    if feature.transform == "log1p":
        values = tf.math.log1p(tf.maximum(values, 0.0))
    if feature.scale != "none":
        values = _SCALES[feature.scale](values, known.encoding.scales[feature.name])
    is_known &= tf.math.is_finite(values)  # the width may be beyond all measure
    return tf.where(is_known, values, tf.zeros_like(values))


def _standardized(values: tf.Tensor, scale: Scale) -> tf.Tensor:
    """Zero mean and unit variance on the base's days; 0 if all values were equal."""
    if scale.width == 0:
        return tf.zeros_like(values)
    return (values - scale.shift) / scale.width


def _from_0_to_1(values: tf.Tensor, scale: Scale) -> tf.Tensor:
    """The range of the base's days as 0 to 1, cut off outside; 0 if all are equal."""
    return tf.clip_by_value(_standardized(values, scale), 0.0, 1.0)


_SCALES: dict[str, Callable[[tf.Tensor, Scale], tf.Tensor]] = {
    "z": _standardized,
    "minmax": _from_0_to_1,
}


@encodes(Vector)
def _encode_vector(values: tf.Tensor, feature: FeatureSpec, known: Known) -> tf.Tensor:
    """[B, N] float -> [B, N] float; zeros where a float of the vector is missing."""
    is_whole = tf.reduce_all(tf.math.is_finite(values), axis=1, keepdims=True)
    values = tf.where(is_whole, values, tf.zeros_like(values))
    if feature.normalize == "none":
        return values
    largest = tf.reduce_max(tf.abs(values), axis=1, keepdims=True)
    of_size_1 = tf.math.divide_no_nan(values, largest)  # their squares stay finite
    return tf.math.l2_normalize(of_size_1, axis=1)  # zeros stay zeros


def _look_up(values: tf.Tensor, made: FacetInput) -> tf.Tensor:
    """[B] int64 or string -> [B] int64: 1 + the value's place, 0 if it is not listed.

    The table is a constant of the graph: what the spec says, whatever the days hold.
    """
    places = range(1, len(made.values) + 1)

    def create() -> tf.lookup.StaticHashTable:
        entries = tf.lookup.KeyValueTensorInitializer(
            list(made.values), list(places), values.dtype, tf.int64
        )
        return tf.lookup.StaticHashTable(entries, default_value=0)

    table = tft.make_and_track_object(create, name=f"table_{made.name}")
    return table.lookup(values)


def _as_text(values: tf.Tensor) -> tf.Tensor:
    """int64 or string -> string, "" for a missing one."""
    if values.dtype == tf.string:
        return values
    text = tf.strings.as_string(values)
    return tf.where(values == -1, tf.constant(""), text)

"""The three signatures of the served model, as functions of raw feature values.

`serving_default` takes one row a candidate. `rank` takes the request's features once
and N candidates: what depends on the request only is computed for one row, and its
share of the first dense layer is added to every candidate's. `score_examples` takes
serialized raw examples. No signature has a trail feature (SFV sec. 4.2).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from feature_specs import FeatureSpec, Spec
from serving.export.fusion import Fused, finite, fuse
from serving.export.rank_values import RankValues
from serving.export.requests import candidate_features, request_features
from trainer.days.raw_rows import raw_columns
from trainer.model.ranker import Ranker

Tensors = dict[str, tf.Tensor]
Transform = Callable[[dict[str, tf.Tensor | tf.SparseTensor]], Tensors]

RANK = "rank"
WEIGHTS = "weights"  # the input of `rank` with the request's exponents, [K] or [0]
TOP_K = "top_k"  # the input of `rank` that says how many are wanted, []
POSITIONS = "positions"  # the output of `rank`: whose values the others are
# What the inputs of `rank` are that a client may leave out: the spec's own weights; all
# candidates, in their order.
DEFAULTS = {WEIGHTS: np.zeros(0, np.float32), TOP_K: np.zeros((), np.int32)}
EXAMPLES = "examples"  # the input of `score_examples`, [B] serialized tf.Example


def build_signatures(
    ranker: Ranker,
    transform: Transform,
    spec: Spec,
    rank_values: Sequence[RankValues] = (),
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Signature name -> traced function; each returns tasks, the seconds of ranks and
    `score`, [B] float32, and `log_score`, [B] float64; `rank` also `positions`, [B]
    int32.

    Args:
        ranker: The trained model; reads transformed features.
        transform: Raw features, sequences as SparseTensor -> transformed ones; given
            some of the inputs, it returns what follows from them.
        spec: Features, tasks and fusion.
        rank_values: Of tasks that are served as seconds, too.
    """
    served = _Served(ranker, transform, spec, rank_values)
    return {
        "serving_default": served.rows_function(),
        RANK: served.rank_function(),
        "score_examples": served.examples_function(),
    }


def example_spec(spec: Spec) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """How to parse the served features of a raw example; absent ones are missing."""
    return raw_columns(spec.served_features)


class _Served:
    """The ranker behind its transform, with raw values at the entrance."""

    def __init__(
        self,
        ranker: Ranker,
        transform: Transform,
        spec: Spec,
        rank_values: Sequence[RankValues],
    ):
        self._ranker, self._transform, self._spec = ranker, transform, spec
        self._rank_values = rank_values
        self._read_by_ranks = {values.feature for values in rank_values}
        self._candidate = candidate_features(spec)
        self._request = request_features(spec)

    def rows_function(self) -> tf.types.experimental.ConcreteFunction:
        """Raw features [B], [B, T], vectors [B, N] -> outputs [B]."""

        @tf.function(
            input_signature=[_inputs(self._spec.served_features)], autograph=False
        )
        def serving_default(features: Tensors) -> Tensors:
            sparse = _with_sparse_sequences(features, self._spec.served_features)
            return self._score_rows(sparse, checked=True)

        return serving_default.get_concrete_function()

    def rank_function(self) -> tf.types.experimental.ConcreteFunction:
        """Request features of one row, candidate ones of N rows -> outputs [N], or
        those of the best `top_k`.
        """
        count = len(self._spec.tasks)
        inputs = _inputs(self._request, rows=1) | _inputs(self._candidate)
        inputs[WEIGHTS] = tf.TensorSpec([None], tf.float32, name=WEIGHTS)
        inputs[TOP_K] = tf.TensorSpec([], tf.int32, name=TOP_K)

        @tf.function(input_signature=[inputs], autograph=False)
        def rank(features: Tensors) -> Tensors:
            request = {f.name: _one_row(features[f.name]) for f in self._request}
            asked = self._transformed(request, self._request)
            shown = self._transformed(features, self._candidate)
            logits = self._ranker.logits_from_sides(
                self._ranker.request_side(asked), self._ranker.candidate_side(shown)
            )
            weights = _all_or_none(features[WEIGHTS], count)
            fused = self._fused(logits, features, {**asked, **shown}, weights)
            best = _best(finite(fused), features[TOP_K])
            chosen = {
                f.name: tf.gather(features[f.name], best.positions)
                for f in self._candidate
                if f.name in self._read_by_ranks
            }
            logits = tf.gather(logits, best.positions)
            return {
                **self._predictions(logits, {**features, **chosen}),
                **best.fused._asdict(),
                POSITIONS: best.positions,
            }

        return rank.get_concrete_function()

    def examples_function(self) -> tf.types.experimental.ConcreteFunction:
        """Serialized raw examples [B] -> outputs [B]."""

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)],
            autograph=False,
        )
        def score_examples(examples: tf.Tensor) -> Tensors:
            # Not checked: an evaluation tells a diverged model in words of its own.
            return self._score_rows(
                tf.io.parse_example(examples, example_spec(self._spec)), checked=False
            )

        return score_examples.get_concrete_function()

    def _score_rows(self, features: Tensors, *, checked: bool) -> Tensors:
        encoded = self._encoded(features, self._spec.served_features)
        logits = self._ranker.task_logits(encoded)
        return self._with_score(logits, features, encoded, checked=checked)

    def _transformed(self, features: Tensors, wanted: Iterable[FeatureSpec]) -> Tensors:
        """Dense raw values of some features -> what the ranker reads for them."""
        own = {f.name: features[f.name] for f in wanted}
        return self._encoded(_with_sparse_sequences(own, wanted), wanted)

    def _encoded(self, sparse: Tensors, wanted: Iterable[FeatureSpec]) -> Tensors:
        encoded = self._transform(sparse)
        found = {f.name: _as_model_input(encoded[f.name], f) for f in wanted}
        made = [i.name for i in self._spec.facet_inputs if i.feature.name in found]
        return found | {name: tf.cast(encoded[name], tf.int32) for name in made}

    def _with_score(
        self, logits: tf.Tensor, features: Tensors, encoded: Tensors, *, checked: bool
    ) -> Tensors:
        """Logits [B, T], raw and encoded features -> all outputs [B]."""
        fused = self._fused(logits, features, encoded)
        if checked:
            fused = finite(fused)
        return {**self._predictions(logits, features), **fused._asdict()}

    def _fused(
        self,
        logits: tf.Tensor,
        features: Tensors,
        encoded: Tensors,
        weights: tf.Tensor | None = None,
    ) -> Fused:
        length = self._spec.fusion.length
        raw_length = features[length.feature] if length else None
        return fuse(self._spec, logits, raw_length, weights, encoded)

    def _predictions(self, logits: tf.Tensor, features: Tensors) -> Tensors:
        """Logits [B, T] and raw features [B] or [1] -> what is predicted, [B] each."""
        found = self._ranker.predict_tasks(logits)
        seconds = {
            values.task.outputs[-1]: values.seconds(
                found[values.task.name], features.get(values.feature)
            )
            for values in self._rank_values
        }
        return {**found, **seconds}


def write_defaults(model_dir: str) -> None:
    """Writes into a SavedModel what `rank` takes for inputs that are left out.

    `tf.saved_model.save` has them of a function's default arguments only, which a
    function of one dictionary cannot have.
    """
    path = os.path.join(model_dir, "saved_model.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        saved_model = saved_model_pb2.SavedModel.FromString(file.read())
    for meta_graph in saved_model.meta_graphs:
        for name, value in DEFAULTS.items():
            proto = tf.make_tensor_proto(value)
            meta_graph.signature_def[RANK].defaults[name].CopyFrom(proto)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(saved_model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(model_dir)


class _Best(NamedTuple):
    """Some of N candidates.

    Attributes:
        positions: Which, [k] int32.
        fused: Their scores, [k].
    """

    positions: tf.Tensor
    fused: Fused


def _best(fused: Fused, top_k: tf.Tensor) -> _Best:
    """The best `top_k` [] of N, the best first, or all where there are fewer.

    Of two that are alike the first one is the better. 0 asks for all N as they are.
    """
    top_k = tf.ensure_shape(top_k, [])
    told = f"{TOP_K}: must be 0, for all candidates in their order, or more."
    with tf.control_dependencies([tf.debugging.Assert(top_k >= 0, [told, top_k])]):
        top_k = tf.identity(top_k)
    count = tf.size(fused.log_score)
    order = tf.math.top_k(fused.log_score, tf.minimum(top_k, count)).indices
    others = tf.range(tf.where(top_k > 0, 0, count))
    positions = tf.concat([order, others], axis=0)  # one of them is empty
    return _Best(positions, Fused(*(tf.gather(part, positions) for part in fused)))


def _inputs(
    features: Iterable[FeatureSpec], rows: int | None = None
) -> dict[str, tf.TensorSpec]:
    return {
        f.name: tf.TensorSpec([rows, *_values_of(f)], tf.as_dtype(f.dtype), name=f.name)
        for f in features
    }


def _values_of(feature: FeatureSpec) -> list[int | None]:
    """Shape of a raw row: a list of any length, or of one, or one value."""
    if feature.is_sequence:
        return [None]
    return [feature.width] if feature.width else []


def _with_sparse_sequences(features: Tensors, wanted: Iterable[FeatureSpec]) -> Tensors:
    """Dense [B, T] sequences -> SparseTensor without the padding; the rest as it is.

    Servers pass any shape: a vector of another length is refused here.
    """
    found = {}
    for feature in wanted:
        values = features[feature.name]
        if values.shape[0] != 1:  # that of a request, which `_one_row` has looked at
            values = _rows(values, feature)
        if feature.is_sequence:
            values = _drop_padding(values, feature)
        found[feature.name] = values
    return found


def _rows(values: tf.Tensor, feature: FeatureSpec) -> tf.Tensor:
    """[B], [B, T] or [B, N], refused if they are others.

    In JSON no rows are `[]`, however wide each of them would be.
    """
    own = _values_of(feature)
    if own:
        width = [1 if size is None else size for size in own]
        # Of any other flat list the shape is one that it does not fit in.
        width = tf.where(tf.equal(tf.size(values), 0), width, [0])
        values = tf.reshape(values, tf.concat([tf.shape(values), width], axis=0)[:2])
    return tf.ensure_shape(values, [None, *own])


def _drop_padding(values: tf.Tensor, feature: FeatureSpec) -> tf.SparseTensor:
    places = tf.where(values != feature.missing)  # [entries, 2], row by row
    shape = tf.shape(values, out_type=tf.int64)
    return tf.SparseTensor(places, tf.gather_nd(values, places), shape)


def _as_model_input(values: tf.Tensor, feature: FeatureSpec) -> tf.Tensor:
    """int64 ids -> int32, as in training; numbers stay float32."""
    return values if feature.is_number else tf.cast(values, tf.int32)


def _all_or_none(weights: tf.Tensor, count: int) -> tf.Tensor:
    """[0] or [count] -> [count]; none given are all NaN, the spec's own.

    Any other number is refused: one weight would be taken for every task's.
    """
    size = tf.size(weights)
    fits = tf.logical_or(tf.equal(size, 0), tf.equal(size, count))
    told = f"weights: must be [] or {count} numbers, one a task."
    with tf.control_dependencies([tf.debugging.Assert(fits, [told, size])]):
        filled = tf.concat([weights, tf.fill([count], math.nan)], axis=0)
    return filled[:count]


def _one_row(values: tf.Tensor) -> tf.Tensor:
    """[1], [1, T] or [1, N], refused if there are more rows.

    Servers pass any shape, and each row would be added to a candidate's silently.
    """
    return tf.ensure_shape(values, [1, *values.shape[1:]])

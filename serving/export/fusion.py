"""The fused score: score = prod_t g_t^w_t * f(video length) (PLE eq. 1).

g_t is what the task's transform makes of its prediction (`fusion.transforms`). All is
added up as logarithms in float64, from the logits: probabilities of 1e-12, and two that
are both 1 in float32, stay apart, and no finite input or weight gives anything but a
finite `log_score`. By that one everything is ordered. `score` is its exponential as
float32, which is 0 below some 1e-38, and stays at 3.4e38.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from feature_specs import Spec
from feature_specs.spec import LengthSpec, TaskSpec
from trainer.model.facets import input_of, partition_of
from trainer.objective.losses import link_of

_MOST_NAMED = 10  # candidates in one message


class Fused(NamedTuple):
    """What everything is ordered by, and what it comes to.

    Attributes:
        score: [B] float32.
        log_score: [B] float64.
    """

    score: tf.Tensor
    log_score: tf.Tensor


def default_weights(spec: Spec) -> tf.Tensor:
    """The spec's exponents, [K] float64 in the order of its tasks."""
    weights = [spec.fusion.weights.get(task.name, 0.0) for task in spec.tasks]
    return tf.constant(weights, tf.float64)


def fuse(
    spec: Spec,
    logits: tf.Tensor,
    length: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    encoded: Mapping[str, tf.Tensor] | None = None,
) -> Fused:
    """One score a row, higher is better.

    B = rows, K = tasks.

    Args:
        spec: Tasks, in the order of `logits` and `weights`, and the formula.
        logits: [B, K] of each task by itself.
        length: Raw values of `fusion.length.feature`, [B] or [1]; None without one.
        weights: Exponents of this request, [K]; NaN stands for the spec's. An infinite
            one ends with InvalidArgumentError, which names its task.
        encoded: What tells the partitions of `fusion.facets`, as the ranker reads it,
            [B] or [1]; needed if there are some.
    """
    exponents = _row_weights(spec, encoded or {})
    if weights is not None:
        given = tf.cast(_without_infinite(spec, weights), tf.float64)
        exponents = tf.where(tf.math.is_nan(given), exponents, given)
    # [B, K] times [1, K], or [B, K] where they go by a facet of the candidates.
    log_score = tf.reduce_sum(log_factors(spec, logits) * exponents, axis=1)  # [B]
    if spec.fusion.length is not None and length is not None:
        log_score += spec.fusion.length.weight * _log_length(spec.fusion.length, length)
    score = tf.minimum(tf.exp(log_score), float(tf.float32.max))
    return Fused(tf.cast(score, tf.float32), log_score)


def _row_weights(spec: Spec, encoded: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The spec's exponents of each row, [1, K] or [B, K] float64."""
    found = default_weights(spec)[tf.newaxis]
    for name, by_partition in spec.fusion.facets.items():
        facet = spec.facets[name]
        own = [
            [by_partition.get(p, {}).get(task.name, math.nan) for task in spec.tasks]
            for p in facet.partitions
        ]
        place = tf.gather(partition_of(spec, facet), encoded[input_of(spec, facet)])
        rows = tf.gather(tf.constant(own, tf.float64), place)
        found = tf.where(tf.math.is_nan(rows), found, rows)
    return found


def log_factors(spec: Spec, logits: tf.Tensor) -> tf.Tensor:
    """Logits [B, K] -> log g [B, K] float64; finite where the logits are."""
    logits = tf.cast(logits, tf.float64)
    places = sorted(range(len(spec.tasks)), key=lambda n: _alike(spec, spec.tasks[n]))
    groups = itertools.groupby(places, key=lambda n: _alike(spec, spec.tasks[n]))
    columns = [_group_factors(spec, logits, list(own)) for _, own in groups]
    found = tf.concat(columns, axis=1)
    if places == sorted(places):
        return found
    return tf.gather(found, [places.index(n) for n in range(len(places))], axis=1)


def log_factor_of(spec: Spec, task: TaskSpec, predictions: tf.Tensor) -> tf.Tensor:
    """log g [B] float64 of what a task was served as, [B] float32 or float64.

    It has the digits that predictions have, where `log_factors` has those of logits:
    a probability of 0 counts as the least normal float32.
    """
    transform = spec.fusion.transform_of(task)
    served = tf.cast(predictions, tf.float64)
    if transform.name == "identity":
        return tf.math.log(tf.maximum(served, _LEAST))
    return _LOG_FACTORS[transform.name](served, *transform.numbers)


def finite(fused: Fused) -> Fused:
    """The same; a NaN or infinity ends with InvalidArgumentError, which says where."""
    bad = tf.where(tf.logical_not(tf.math.is_finite(fused.log_score)))[:, 0]
    named = tf.strings.reduce_join(
        tf.strings.as_string(bad[:_MOST_NAMED]), separator=", "
    )
    told = tf.strings.join(
        [
            "log_score: is not finite at position ",
            named,
            ". Is a number there infinite, or has the model diverged?",
        ]
    )
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.equal(tf.size(bad), 0), [told])]
    ):
        return Fused(*map(tf.identity, fused))


def _alike(spec: Spec, task: TaskSpec) -> tuple[str, str]:
    """Tasks that have the same go through the formula together."""
    return spec.fusion.transform_of(task).name, link_of(task).name


def _group_factors(spec: Spec, logits: tf.Tensor, places: list[int]) -> tf.Tensor:
    """log g [B, len(places)] of tasks with one transform and one link."""
    tasks = [spec.tasks[place] for place in places]
    link, transforms = link_of(tasks[0]), [spec.fusion.transform_of(t) for t in tasks]
    own = tf.gather(logits, places, axis=1)
    if transforms[0].name == "identity":
        return link.log_predict(own)
    numbers = tf.constant([t.numbers for t in transforms], tf.float64)  # [P, arguments]
    return _LOG_FACTORS[transforms[0].name](
        link.predict(own), *tf.unstack(numbers, axis=1)
    )


def _log_linear(y: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return tf.math.log1p(tf.nn.relu(y) / scale)


def _log_clip(y: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    return tf.math.log1p(tf.minimum(tf.maximum(y, low), high))


def _log_log1p(y: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return tf.math.log1p(_log_linear(y, scale))


def _log_expm1(y: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return y / scale  # 1 + expm1(y) is exp(y)


def _log_softplus(y: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """log log(1 + exp(x)); far below 0 that is x, where the inner one underflows."""
    x = y / scale
    inside = tf.math.log(tf.math.softplus(tf.maximum(x, _DEEP)))
    return tf.where(x < _DEEP, x, inside)


def _log_sigmoid(y: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return tf.math.log_sigmoid(y / scale)


_LEAST = 2.0**-126  # the least normal float32
_DEEP = -40.0  # below it softplus(x) is exp(x), to the last digit
_LOG_FACTORS: dict[str, Callable[..., tf.Tensor]] = {
    "linear": _log_linear,
    "clip": _log_clip,
    "log1p": _log_log1p,
    "expm1": _log_expm1,
    "softplus": _log_softplus,
    "sigmoid": _log_sigmoid,
}


def _log_length(length_spec: LengthSpec, length: tf.Tensor) -> tf.Tensor:
    """log f(length) [B]; an unknown length neither helps nor harms: f = 1."""
    log_factor = _LOG_FACTORS[length_spec.transform]
    log_f = log_factor(tf.cast(length, tf.float64), length_spec.scale)
    return tf.where(tf.math.is_nan(length), tf.zeros([], tf.float64), log_f)


def _without_infinite(spec: Spec, weights: tf.Tensor) -> tf.Tensor:
    """The weights [K], refused if one is infinite."""
    bad = tf.where(tf.math.is_inf(weights))[:, 0]
    names = tf.gather(tf.constant([task.name for task in spec.tasks]), bad)
    named = tf.strings.reduce_join(names, separator=", ")
    told = tf.strings.join(["weights: must be finite. Infinite ones: ", named])
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.equal(tf.size(bad), 0), [told])]
    ):
        return tf.identity(weights)

"""Each task's loss, all tasks at once, and what its logits predict.

L = one column a leaf: a task, or a task for one partition of a facet. The same
`TaskSpec` may stand for several columns.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.registry import Registry
from feature_specs.task_kinds import LOSS_KINDS, declare_loss
from trainer.objective.links import Exponential, Link, Ordinal
from trainer.objective.pairs import pair_losses
from trainer.objective.tasks import objective_of
from trainer.replicas import global_sum

_HUBER_DELTA = 1.0  # labels come on a scale of about 1
_FAR = 80.0  # from 0: exp of it is a float32, above and below 1
_HALVINGS = 30


def task_losses(
    tasks: Sequence[TaskSpec],
    logits: tf.Tensor,
    labels: tf.Tensor,
    masks: tf.Tensor,
    *,
    class_weights: tf.Tensor | None = None,
    sampling: tf.Tensor | npt.NDArray[Any] | None = None,
    requests: tf.Tensor | None = None,
) -> tf.Tensor:
    """Mean loss of each leaf over the rows that its mask lets through (PLE eq. 9).

    Those are the rows of its task's sample space, and of them, for a leaf of one
    partition, the ones that train it; in training as often as they were sampled
    (`imbalance.sampled_masks`), also in the number that the sum is divided by.

    With z the logit, y the label and p = sigmoid(z):

    - binary, `default` and `cross_entropy`: -log p for y = 1, else -log(1 - p).
    - `focal`: cross-entropy times (1 - p_y)^gamma, p_y the probability of the row's
      own label (Lin et al., 2017, without alpha); a gamma of 0 is cross-entropy. It
      calls rare labels too likely and common ones not likely enough.
    - `class_balanced`: cross-entropy times the weight of the row's label (Cui et al.,
      2019), see `imbalance.class_weights`. The odds come out w_1 / w_0 times too high.
    - Times `positive_weight`, of any binary task, in rows with label 1. The odds come
      out so many times too high.

    What is too high or too low here, `imbalance.unweighted_logits` takes back.
    - regression, `default` and `squared_error`: (z - y)^2.
    - `huber`: Huber's loss with delta 1, nearer to the median than to the mean.
    - `quantile`, with q: q (y - z) above z, (1 - q) (z - y) below (pinball; Koenker &
      Bassett, 1978). Its prediction is z, below which a share q of labels lies.
    - `ordinal`, of labels from 0 to 1: the mean over 20 levels t of the cross-entropy
      of y > t with z - logit(t) (cumulative logits, McCullagh, 1980); see
      `links.Ordinal`. Its prediction is the mean of such labels.
    - `log_target`: (z - log(1 + y))^2, labels below 0 taken as 0. Its prediction is
      the geometric mean of 1 + y, less 1, which is below the mean.

    A leaf without a row in the global batch has loss 0 and a gradient of zeros.

    Args:
        tasks: L tasks, in the order of the columns.
        logits: float32 [B, L].
        labels: float32 [B, L]; finite where the mask is 0, too: 0 * NaN is NaN.
        masks: float32 [B, L], 1 in rows that count, 0 in others and in padded rows; or
            what `imbalance.sampled_masks` made of it.
        class_weights: float32 [L, 2], what `imbalance.class_weights` gave; needed for
            `class_balanced` only.
        sampling: float32 [L], what `imbalance.log_sampling` gave, if `masks` was
            sampled. So much higher the log of the odds is in the sample: the losses
            read z + sampling, and z itself is right for all rows (logQ correction).
        requests: int32 [B], which request a row is of, 0 for none; needed where a task
            has `pairwise`, so many times `pairs.pair_losses` is added to whose loss.

    Returns:
        float32 [L], before `loss_weight`. With several replicas it is this replica's
        share; their sum is the mean over the global batch.

    Raises:
        ValueError: A task is `class_balanced`, and there are no `class_weights`; or has
            `pairwise`, and there are no `requests`.
    """
    if sampling is not None:
        logits += sampling
    losses = _row_losses(tasks, logits, labels, class_weights)
    rows = global_sum(tf.reduce_sum(masks, axis=0))
    found = tf.math.divide_no_nan(tf.reduce_sum(losses * masks, axis=0), rows)
    if any(task.pairwise for task in tasks):
        found += _weighted_pairs(tasks, logits, labels, masks, requests)
    return found


def predictions(tasks: Sequence[TaskSpec], logits: tf.Tensor) -> tf.Tensor:
    """What the logits predict, [B, L]: each column of its own task.

    sigmoid(z) for a binary task, z for a regression; with `log_target` exp(z) - 1, at
    least 0, and finite: z counts as 80 at most; with `ordinal` a mean between 0 and 1.
    """
    links = [link_of(task) for task in tasks]
    found = {link.name: link for link in links}
    predicted = {name: link.predict(logits) for name, link in sorted(found.items())}
    return choose([link.name for link in links], predicted)


def link_of(task: TaskSpec) -> Link:
    """How the task's logits and its predictions belong together."""
    return LOSSES[task.loss_kind].link or objective_of(task).link


def initial_bias(task: TaskSpec, mean: float) -> float:
    """The logit at which the untrained network predicts a mean.

    For `log_target` the best constant is another one (its docs in `task_losses`):
    training moves there from the mean.
    """
    return link_of(task).logit(mean)


def loss_weights(tasks: Sequence[TaskSpec]) -> npt.NDArray[Any]:
    """float32 [L], the factor of each task's loss (SFV sec. 5.2)."""
    return np.array([task.loss_weight for task in tasks], np.float32)


# --- rows -----------------------------------------------------------------------------


def _row_losses(
    tasks: Sequence[TaskSpec],
    logits: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None,
) -> tf.Tensor:
    """[B, L], of each row and column before masks."""
    kinds = [task.loss_kind for task in tasks]
    found = {
        kind: LOSSES[kind].rows(logits, labels, tasks, weights)
        for kind in sorted(set(kinds))
    }
    chosen = choose(kinds, found)
    of_positives = np.array([task.positive_weight for task in tasks], np.float32)
    if np.all(of_positives == 1):
        return chosen
    return chosen * tf.where(positive(labels), of_positives, 1.0)


def _weighted_pairs(
    tasks: Sequence[TaskSpec],
    logits: tf.Tensor,
    labels: tf.Tensor,
    masks: tf.Tensor,
    requests: tf.Tensor | None,
) -> tf.Tensor:
    """[L], of columns without `pairwise` 0."""
    if requests is None:
        raise ValueError("requests: needed for pairwise. Got none.")
    weights = np.array([task.pairwise for task in tasks], np.float32)
    places = np.flatnonzero(weights)
    z, y, m = (tf.gather(v, places, axis=1) for v in (logits, labels, masks))
    found = pair_losses(z, y, m, requests) * weights[places]
    return tf.linalg.matvec(np.eye(len(tasks), dtype=np.float32)[:, places], found)


def choose(kinds: Sequence[str], found: dict[str, tf.Tensor]) -> tf.Tensor:
    """[B, L]: each column from the tensor of its kind."""
    first, *others = sorted(found)
    chosen = found[first]
    for kind in others:
        chosen = tf.where(np.array([k == kind for k in kinds]), found[kind], chosen)
    return chosen


class Loss(abc.ABC):
    """One way to judge logits.

    It is computed for all columns if one task needs it, which is cheaper than splitting
    a dozen columns. It must be finite, and so must its slope, for logits and labels of
    any kind: the columns that do not use it add no NaN to the gradient.

    Attributes:
        link: From its logits to predictions; None for that of the task's kind.
        weighs_labels: Whether it has `label_weights` of its own.
        bends: Whether sigmoid(z) is not the probability at its minimum, so that it has
            `straight` and `bent`.
    """

    link: Link | None = None
    weighs_labels = False
    bends = False

    @abc.abstractmethod
    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        """The loss of each row and column, before masks.

        Args:
            logits: float32 [B, L].
            labels: float32 [B, L].
            tasks: L tasks, of all losses.
            class_weights: float32 [L, 2], see `imbalance.class_weights`.

        Returns:
            float32 [B, L].
        """

    def label_weights(
        self, task: TaskSpec, counts: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """What `imbalance.class_weights` holds for a task, [2].

        Args:
            task: Of this loss.
            counts: [2], rows with label 0 and 1.
        """
        return np.ones([2])

    def straight(self, logits: tf.Tensor, tasks: Sequence[TaskSpec]) -> tf.Tensor:
        """Logits of the probabilities, [B, L], from those at the loss's minimum.

        It must rise with the logits, be finite for all and keep to columns of any task.
        """
        return logits

    def bent(self, logit: float, task: TaskSpec) -> float:
        """The other way round, for one logit of a task of this loss."""
        return logit


LOSSES: Registry[Loss] = Registry(
    "loss", "@trainer.objective.losses.loss(name, tasks=...)"
)

_Class = TypeVar("_Class", bound=type[Loss])


def loss(name: str, *, tasks: Sequence[str] = ()) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `loss: name` of a task means.

    Args:
        name: Not one of another class.
        tasks: Kinds of tasks that may have it; specs know those of shipped ones.
    """

    def register(cls: _Class) -> _Class:
        LOSSES.add(name, cls())
        if name not in LOSS_KINDS:
            declare_loss(name, tuple(tasks))
        return cls

    return register


@loss("cross_entropy")
class CrossEntropy(Loss):
    """See `task_losses`."""

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)


@loss("squared_error")
class SquaredError(Loss):
    """See `task_losses`."""

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        return tf.square(logits - labels)


@loss("huber")
class Huber(Loss):
    """See `task_losses`."""

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        error = logits - labels
        clipped = tf.clip_by_value(error, -_HUBER_DELTA, _HUBER_DELTA)
        return clipped * (error - 0.5 * clipped)


@loss("log_target")
class LogTarget(Loss):
    """See `task_losses`."""

    link = Exponential()

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        return tf.square(logits - tf.math.log1p(tf.maximum(labels, 0.0)))


@loss("quantile")
class Quantile(Loss):
    """See `task_losses`."""

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        shares = np.array([task.quantile for task in tasks], np.float32)
        above = labels - logits
        return tf.maximum(shares * above, (shares - 1) * above)


@loss("ordinal")
class Cumulative(Loss):
    """See `task_losses`."""

    link = Ordinal()

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        odds = self.link.above(logits)  # [B, L, levels]
        is_above = tf.cast(labels[..., tf.newaxis] > self.link.levels, odds.dtype)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(is_above, odds)
        return tf.reduce_mean(losses, axis=-1)


@loss("focal")
class Focal(Loss):
    """See `task_losses`.

    At its minimum q = sigmoid(z) is not the probability p, but (Charoenphakdee et al.,
    2021, theorem 11) p = h(q) / (h(q) + h(1 - q)) with
    h(q) = q / ((1 - q)^gamma - gamma (1 - q)^(gamma - 1) q log q), which is
    logit(p) = (gamma + 1) z + log(1 + gamma r(z)) - log(1 + gamma r(-z)) with
    r(z) = exp(-z) log(1 + exp(z)).
    """

    bends = True

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        # (1 - p_y)^gamma is exp(gamma log(1 - p_y)): no power of 0, whose slope is NaN.
        gammas = np.array([task.focal_gamma for task in tasks], np.float32)
        agreeing = tf.where(positive(labels), logits, -logits)  # p_y = sigmoid of it
        modulation = tf.exp(gammas * tf.math.log_sigmoid(-agreeing))
        return -modulation * tf.math.log_sigmoid(agreeing)

    def straight(self, logits: tf.Tensor, tasks: Sequence[TaskSpec]) -> tf.Tensor:
        gammas = np.array([task.focal_gamma for task in tasks], np.float32)
        near = tf.clip_by_value(logits, -_FAR, _FAR)
        above = tf.math.log1p(gammas * tf.exp(-near) * tf.nn.softplus(near))
        below = tf.math.log1p(gammas * tf.exp(near) * tf.nn.softplus(-near))
        return (gammas + 1) * logits + above - below

    def bent(self, logit: float, task: TaskSpec) -> float:
        """By halving: no formula has it."""

        def excess(z: float) -> float:
            found = self.straight(tf.constant([[z]], tf.float32), [task])
            return float(found[0, 0]) - logit

        low, high = -_FAR, _FAR
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if excess(middle) > 0 else (middle, high)
        return (low + high) / 2


@loss("class_balanced")
class ClassBalanced(CrossEntropy):
    """See `task_losses` and `imbalance.class_weights`."""

    weighs_labels = True

    def rows(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        tasks: Sequence[TaskSpec],
        class_weights: tf.Tensor | None,
    ) -> tf.Tensor:
        if class_weights is None:
            raise ValueError("class_weights: needed for class_balanced. Got none.")
        weights = tf.where(positive(labels), class_weights[:, 1], class_weights[:, 0])
        return weights * super().rows(logits, labels, tasks, None)

    def label_weights(
        self, task: TaskSpec, counts: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        return _balanced(task.class_balance_beta, counts)


def positive(labels: tf.Tensor) -> tf.Tensor:
    """Which labels are 1, bool; half-way and above counts."""
    return labels > 0.5


def _balanced(beta: float, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[2], the inverse of each effective number of rows, scaled to the sum 2."""
    effective = (1 - np.power(beta, np.maximum(counts, 1.0))) / (1 - beta)
    return 2 / effective / np.sum(1 / effective)

"""Rare labels (SFV sec. 5.2): which rows train a task, and what that bends.

Sampling and weights of labels change the odds that a task's logits learn. All of it is
taken back exactly: what sampling bends inside the loss, what the loss itself bends
where logits are served, fused and judged, without a change of their order. Only
`loss_weight`, which weighs rows of both labels alike, bends nothing.

L = one column a leaf, as in `losses`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.objective.losses import LOSSES, choose, link_of, positive
from trainer.replicas import uniform_rows

_LEAST_RATE = 1e-6  # of negatives: some are left
_FEW = 50  # positives of a day: a balanced task of fewer sees hardly a row


def samples_rows(tasks: Sequence[TaskSpec]) -> bool:
    """Whether a task trains on its rows in other numbers than there are."""
    return any(t.negative_rate < 1 or t.balance or t.positive_rate > 1 for t in tasks)


def negative_rates(
    tasks: Sequence[TaskSpec], means: Sequence[float] | npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Share of each task's negatives that is trained, float32 [L].

    With `balance` b it is p / (1 - p) * (1 - b) / b for a label mean p, with which the
    positives are a share b of what is left; 1 where they are as many without.

    Args:
        tasks: L tasks.
        means: [L], label means of the rows that are sampled.
    """
    return np.array(
        [
            _rate_to(task.balance, mean) if task.balance else task.negative_rate
            for task, mean in zip(tasks, means, strict=True)
        ],
        np.float32,
    )


def told_few(
    tasks: Sequence[TaskSpec], means: Mapping[str, float], rows: Mapping[str, float]
) -> list[str]:
    """What to tell of tasks whose `balance` leaves too few rows to learn the odds of.

    The correction of the odds is exact and what it corrects is not: with 88 positives
    in five days, served probabilities were some 60 times too high on two logs of three
    (`docs/studies.md`).

    Args:
        tasks: Of any kind.
        means: Task -> label mean of the first day.
        rows: Task -> its rows then.
    """
    found = []
    for task in tasks:
        positives = means[task.name] * rows[task.name]
        if task.balance and means[task.name] < task.balance and positives < _FEW:
            found.append(
                f"Task {task.name!r}: balance {task.balance:g} trains it on some "
                f"{positives / task.balance:.0f} of the first day's "
                f"{rows[task.name]:.0f} rows, as {positives:.0f} have label 1. What is "
                "learned of so few may serve probabilities far from the truth: use a "
                "lower balance, or positive_weight or loss_weight, which keep all rows."
            )
    return found


def steered(tasks: Sequence[TaskSpec]) -> list[str]:
    """Names of the tasks whose sampling follows how well they are learnt."""
    return [task.name for task in tasks if task.balance_by_auc]


def steered_rate(task: TaskSpec, mean: float, auc: float) -> float:
    """Share of the negatives of a task with `balance_by_auc` that a day trains.

    The share of positives that is aimed at is `balance` times 2 (1 - AUC), the AUC of
    the day before it is trained on; one below 0.5 counts as 0.5. So what is ordered
    badly sees its positives most (SFV sec. 6.3 names sampling by task metrics and no
    formula; 1 - metric is that of Pouyanfar et al., 2018).

    Args:
        task: Binary.
        mean: Its label mean.
        auc: Of the day.
    """
    return _rate_to(task.balance * 2 * (1 - max(auc, 0.5)), mean)


def log_sampling(
    tasks: Sequence[TaskSpec], rates: tf.Tensor | npt.NDArray[Any]
) -> tf.Tensor:
    """By how much sampling raises the log of each task's odds, float32 [L].

    Args:
        tasks: L tasks.
        rates: float32 [L], what `negative_rates` gave.
    """
    repeats = np.array([task.positive_rate for task in tasks], np.float32)
    return tf.math.log(repeats / rates)


def sampled_masks(
    tasks: Sequence[TaskSpec],
    labels: tf.Tensor,
    masks: tf.Tensor,
    rates: tf.Tensor | npt.NDArray[Any],
    seed: tf.Tensor,
) -> tf.Tensor:
    """`masks` as this step samples rows: 0 in negatives that it leaves out.

    In positives it is `positive_rate` times what it was, which is to an expected slope
    what drawing each so often is. One draw a row and column, so that a task's leaves
    see the same rows if the masks are those of the tasks. The draws do not depend on
    the number of replicas.

    Args:
        tasks: One a column.
        labels: float32 [B, L].
        masks: float32 [B, L].
        rates: float32 [L], what `negative_rates` gave.
        seed: int32 [2], the same on every replica, another one in each step.
    """
    if not samples_rows(tasks):
        return masks
    repeats = np.array([task.positive_rate for task in tasks], np.float32)
    drawn = uniform_rows(masks.shape[0], len(tasks), seed) < rates
    return masks * tf.where(positive(labels), repeats, tf.cast(drawn, masks.dtype))


def class_weights(
    tasks: Sequence[TaskSpec], positives: Sequence[float], negatives: Sequence[float]
) -> npt.NDArray[Any]:
    """Weights of the labels 0 and 1 for `class_balanced`, float32 [L, 2].

    w_y is proportional to (1 - beta) / (1 - beta^n_y), n_y the rows with label y
    (Cui et al., 2019, eq. 4), and w_0 + w_1 = 2. A label never seen counts as seen
    once. Other tasks have weights of 1.

    Args:
        tasks: L tasks.
        positives: [L], rows with label 1 in the sample space, as often as they are
            sampled.
        negatives: [L], those with label 0, likewise.
    """
    weights = np.ones([len(tasks), 2])
    for index, task in enumerate(tasks):
        counts = [negatives[index], positives[index]]
        weights[index] = LOSSES[task.loss_kind].label_weights(task, np.array(counts))
    return weights.astype(np.float32)


def unweighted_logits(
    tasks: Sequence[TaskSpec],
    logits: tf.Tensor,
    class_weights: tf.Tensor,
    sampling: tf.Tensor | npt.NDArray[Any],
) -> tf.Tensor:
    """What trained logits are where every row counts alike, [B, L].

    Training finds the odds of weighted rows, w = w_1 / w_0 times those of the rows: so
    z - log(w) is right, which makes q / (q + w (1 - q)) of a probability q. Before, the
    bend of `focal` is taken back, which is one of the odds in the sample. Both keep
    the order. The logits are right as they are where `loss_weight` weighs rows of both
    labels alike, and where sampling was corrected in training.

    Args:
        tasks: L tasks.
        logits: float32 [B, L].
        class_weights: float32 [L, 2], what `class_weights` gave.
        sampling: float32 [L], what `log_sampling` gave.
    """
    if not any(_bends_odds(task) for task in tasks):
        return logits
    kinds = [task.loss_kind for task in tasks]
    straight = {
        kind: LOSSES[kind].straight(logits + sampling, tasks) - sampling
        if LOSSES[kind].bends
        else logits
        for kind in sorted(set(kinds))
    }
    weights = np.array([task.positive_weight for task in tasks], np.float32)
    ratio = weights * class_weights[:, 1] / class_weights[:, 0]
    return choose(kinds, straight) - tf.math.log(ratio)


def trained_mean(
    task: TaskSpec, mean: float, *, weights: Sequence[float], sampling: float
) -> float:
    """What a network predicts by itself where the label mean is served.

    It is another one where losses bend the odds: what `unweighted_logits` takes back
    is added here, so that training does not begin with moving there.

    Args:
        task: Of any kind.
        mean: Of its labels.
        weights: [2], of its labels 0 and 1, what `class_weights` gave.
        sampling: What `log_sampling` gave.
    """
    if not _bends_odds(task):
        return mean
    ratio = math.log(weights[1] / weights[0] * task.positive_weight)
    logit = link_of(task).logit(mean) + ratio + sampling
    trained = LOSSES[task.loss_kind].bent(logit, task) - sampling
    return 1 / (1 + math.exp(-trained))


def _rate_to(balance: float, mean: float) -> float:
    if mean >= balance:  # 0 included
        return 1.0
    return max(mean / (1 - mean) * (1 - balance) / balance, _LEAST_RATE)


def _bends_odds(task: TaskSpec) -> bool:
    loss = LOSSES[task.loss_kind]
    return loss.bends or loss.weighs_labels or task.positive_weight != 1

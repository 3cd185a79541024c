"""Chained tasks: each needs the one before it, as a click comes before a purchase.

ESMM (Ma et al., SIGIR 2018) multiplies probabilities along the chain; AITM (Xi et al.,
KDD 2021) hands on what the tower before has learnt.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import tensorflow as tf

from feature_specs.model import ChainConfig
from feature_specs.preset_kinds import CHAIN_KINDS, PresetKind, declare
from feature_specs.registry import Registry
from trainer.errors import ModelError
from trainer.model.layers import BatchedDense, Branches
from trainer.model.structures.base import Leaf
from trainer.model.structures.bundles import take
from trainer.replicas import global_sum


class PlacedChain(NamedTuple):
    """A chain by the columns of the logits.

    Attributes:
        kind: Of the chain.
        places: Positions of its tasks' leaves, from the frequent to the rare.
        calibrator: Weight of AITM's loss on a later task that is likelier.
    """

    kind: str
    places: tuple[int, ...]
    calibrator: float

    @property
    def of_kind(self) -> Chain:
        """What such chains do."""
        return CHAINS[self.kind]


def place(
    chains: Sequence[ChainConfig], leaves: Sequence[Leaf]
) -> tuple[PlacedChain, ...]:
    """The chains among the leaves.

    Raises:
        ValueError: A chain names fewer than two tasks, a task that is split or that
            there is not, or one that has its place in a chain already.
    """
    placed: list[PlacedChain] = []
    for index, chain in enumerate(chains):
        key = f"chains[{index}].tasks"
        if len(chain.tasks) < 2:
            rule, hint = "must be two tasks at least.", "Name one more."
            raise ModelError(f"{key}: {rule} Got {list(chain.tasks)}. {hint}")
        places: list[int] = []
        for task in chain.tasks:
            own = _place_of(key, task, leaves)
            if own in places or any(own in other.places for other in placed):
                rule = "may be in one place of one chain only."
                raise ModelError(f"{key}: {rule} Got {task!r} twice. Leave one out.")
            places.append(own)
        placed.append(PlacedChain(chain.kind, tuple(places), chain.calibrator))
    return tuple(placed)


def _place_of(key: str, task: str, leaves: Sequence[Leaf]) -> int:
    own = [index for index, leaf in enumerate(leaves) if leaf.task == task]
    if not own:
        known = ", ".join(dict.fromkeys(leaf.task for leaf in leaves))
        rule = "must be tasks of the spec."
        raise ModelError(f"{key}: {rule} Got {task!r}. Known: {known}.")
    if leaves[own[0]].partitions:
        rule = "must be tasks that no facet splits."
        hint = "Take it out of the chain, or name the split tasks in structure.split."
        raise ModelError(f"{key}: {rule} Got {task!r}. {hint}")
    return own[0]


# --- kinds ----------------------------------------------------------------------------


class Chain:
    """What a kind of chain does; by itself nothing.

    Attributes:
        hands_on: Whether the heads read what `Transfer` makes of the towers' last
            layers.
    """

    hands_on = False

    def logits(
        self, columns: Sequence[tf.Tensor], places: Sequence[int]
    ) -> list[tf.Tensor]:
        """Logits [B] of all leaves as the network has them -> of each by itself."""
        return list(columns)

    def means(
        self, means: Mapping[str, float], tasks: Sequence[str]
    ) -> dict[str, float]:
        """Mean labels of all tasks -> as the network's logits need them at the
        start."""
        return dict(means)

    def excess(self, logits: tf.Tensor, chain: PlacedChain) -> tf.Tensor | None:
        """What `calibrator` punishes in each row, [B]; None if there is nothing."""
        return None


CHAINS: Registry[Chain] = Registry("chain", "@trainer.model.chains.chain(name)")

_Class = TypeVar("_Class", bound=type[Chain])


def chain(name: str) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a preset's chain means."""

    def register(cls: _Class) -> _Class:
        CHAINS.add(name, cls())
        declare(CHAIN_KINDS, PresetKind(name=name))
        return cls

    return register


@chain("esmm")
class Esmm(Chain):
    """p(task) = p(task before) * sigmoid(logit) (Ma et al., 2018)."""

    def logits(
        self, columns: Sequence[tf.Tensor], places: Sequence[int]
    ) -> list[tf.Tensor]:
        found = list(columns)
        for before, place in itertools.pairwise(places):
            found[place] = _and(found[before], found[place])
        return found

    def means(
        self, means: Mapping[str, float], tasks: Sequence[str]
    ) -> dict[str, float]:
        """For a later task the mean among the rows where the one before it holds, 1 at
        most (a chain may not hold in the data)."""
        found = dict(means)
        for before, task in itertools.pairwise(tasks):
            known = means[before] > 0
            found[task] = min(means[task] / means[before], 1.0) if known else 0.0
        return found


@chain("aitm")
class Aitm(Chain):
    """A tower's last layer goes on to the next tower (Xi et al., 2021)."""

    hands_on = True

    def excess(self, logits: tf.Tensor, chain: PlacedChain) -> tf.Tensor | None:
        """max(p_t - p_(t-1), 0), summed over the steps."""
        if not chain.calibrator:
            return None
        p = tf.sigmoid(take(logits, chain.places))
        return tf.reduce_sum(tf.nn.relu(p[:, 1:] - p[:, :-1]), axis=1)


# --- ESMM -----------------------------------------------------------------------------


def product_logits(logits: tf.Tensor, chains: Sequence[PlacedChain]) -> tf.Tensor:
    """ESMM: p(task) = p(task before) * sigmoid(logit), as logits again.

    Args:
        logits: [B, L] float32; in an `esmm` chain the first is the task's own, the
            others are of the task given the one before it.
        chains: Those of other kinds change nothing.

    Returns:
        [B, L], logits of each task by itself; columns outside chains stay.
    """
    columns = tf.unstack(logits, axis=1)
    for chain in chains:
        columns = chain.of_kind.logits(columns, chain.places)
    return tf.stack(columns, axis=1)


def _and(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The logit of sigmoid(a) * sigmoid(b); exact also where it is near 0 or 1.

    1 / p - 1 = exp(-a) + exp(-b) + exp(-a - b).
    """
    return -tf.reduce_logsumexp(tf.stack([-a, -b, -a - b]), axis=0)


def conditional_means(
    chains: Sequence[ChainConfig], means: Mapping[str, float]
) -> dict[str, float]:
    """Mean labels as the logits below ESMM's product need them at the start.

    Args:
        chains: Those of other kinds change nothing.
        means: Task -> mean label.

    Returns:
        Task -> mean label; for a later task of an `esmm` chain the mean among the rows
        where the task before it holds, 1 at most (a chain may not hold in the data).
    """
    found = dict(means)
    for chain in chains:
        found = CHAINS[chain.kind].means(found, chain.tasks)
    return found


# --- AITM -----------------------------------------------------------------------------


class Transfer(tf.keras.layers.Layer):
    """AITM's adaptive information transfer along one chain (Xi et al., 2021, sec. 3.4).

    B = batch, C = tasks of the chain, k = width of their towers' last layers. With q_t
    from tower t, p_(t-1) a dense ReLU layer on z_(t-1), and h_1 to h_3 linear:

        z_1 = q_1
        z_t = sum over u in {p_(t-1), q_t} of w_u h_1(u)
        w = softmax over u of <h_2(u), h_3(u)> / sqrt(k)

    Every step of the chain has weights of its own.
    """

    def build(self, shape: tf.TensorShape) -> None:
        steps, width = shape[1] - 1, shape[2]
        policy = self.dtype_policy
        self.information = [
            BatchedDense(1, width, activation="relu", dtype=policy)
            for _ in range(steps)
        ]
        self.attention = [
            Branches(1, 3, width, use_bias=False, dtype=policy) for _ in range(steps)
        ]
        super().build(shape)

    def call(self, q: tf.Tensor) -> tf.Tensor:
        """q [B, C, k] -> z [B, C, k]."""
        z = [q[:, :1]]
        steps = zip(self.information, self.attention, strict=True)
        for index, (information, attention) in enumerate(steps, start=1):
            both = tf.concat([information(z[-1]), q[:, index : index + 1]], axis=1)
            z.append(self._attended(attention, both))
        return tf.concat(z, axis=1)

    def _attended(self, attention: Branches, both: tf.Tensor) -> tf.Tensor:
        """p and q [B, 2, k] -> [B, 1, k]."""
        width = both.shape[-1]
        flat = attention(tf.reshape(both, [-1, 1, width]))
        h1, h2, h3 = tf.unstack(tf.reshape(flat, [-1, 2, 3, width]), axis=2)
        scores = tf.reduce_sum(tf.cast(h2 * h3, tf.float32), axis=2, keepdims=True)
        weights = tf.nn.softmax(scores / math.sqrt(width), axis=1)  # [B, 2, 1]
        return tf.reduce_sum(tf.cast(weights, h1.dtype) * h1, axis=1, keepdims=True)


def calibrator_loss(
    logits: tf.Tensor, chains: Sequence[PlacedChain], weight: tf.Tensor
) -> tf.Tensor:
    """AITM's behavioural expectation calibrator (Xi et al., 2021, sec. 3.5).

    The mean over rows of max(p_t - p_(t-1), 0), summed over an `aitm` chain's steps and
    times its `calibrator`: what comes later may not be likelier.

    Args:
        logits: [B, L] float32.
        chains: Those of other kinds add nothing.
        weight: float32 [B], 0 for padded rows, 1 for others.

    Returns:
        Scalar; with several replicas this one's share of the global batch's loss.
    """
    total = tf.zeros([])
    for chain in chains:
        excess = chain.of_kind.excess(logits, chain)
        if excess is None:
            continue
        total += chain.calibrator * tf.reduce_sum(excess * weight)
    return tf.math.divide_no_nan(total, global_sum(tf.reduce_sum(weight)))

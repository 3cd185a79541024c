"""Which rows are whose: leaves, partitions and the rows that train them (MFH V-A-3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import Spec
from feature_specs.spec import FacetSpec, facet_key
from trainer.model.structures import Leaf

Features = dict[str, tf.Tensor]


class LeafRows:
    """From tasks to leaves and back, for the rows of a batch.

    B = batch, L = leaves, T = tasks of the spec.

    Args:
        spec: Tasks and facets.
        leaves: Those of the ranker, in the order of the logits.

    Attributes:
        features: Names of the inputs that tell the partitions.
        tasks: [L], position of each leaf's task in the spec.
        first_leaves: [T], position of each task's first leaf.
    """

    def __init__(self, spec: Spec, leaves: Sequence[Leaf]):
        names = [task.name for task in spec.tasks]
        self.tasks = np.array([names.index(leaf.task) for leaf in leaves])
        self.first_leaves = np.array(
            [int(np.argmax(self.tasks == index)) for index in range(len(names))]
        )
        self._unsplit = len(leaves) == len(names)
        used = {facet for leaf in leaves for facet, _ in leaf.partitions}
        self._facets = [f for name, f in spec.facets.items() if name in used]
        self.features = tuple(input_of(spec, facet) for facet in self._facets)
        self._partition_of = [partition_of(spec, facet) for facet in self._facets]
        self._own = [_allowed(f, leaves, _itself) for f in self._facets]
        self._trained = [_allowed(f, leaves, f.trained_by) for f in self._facets]
        self._placement = tf.one_hot(self.tasks, len(names)).numpy()  # [L, T]

    def to_leaves(self, by_task: tf.Tensor) -> tf.Tensor:
        """[B, T] -> [B, L], each leaf its task's column."""
        if self._unsplit and (self.tasks == np.arange(len(self.tasks))).all():
            return by_task
        return tf.gather(by_task, self.tasks, axis=1)

    def trains(self, features: Features) -> tf.Tensor | None:
        """[B, L], 1 where the row trains the leaf; None if every row does."""
        return self._in(features, self._trained)

    def to_tasks(self, logits: tf.Tensor, features: Features) -> tf.Tensor:
        """[B, L] -> [B, T]: of each task the leaf of the row's own partitions."""
        own = self._in(features, self._own)
        if own is None:
            return self._in_order(logits)
        return tf.matmul(logits * own, self._placement)

    def _in_order(self, logits: tf.Tensor) -> tf.Tensor:
        order = np.argsort(self.tasks)
        if (order == np.arange(len(order))).all():
            return logits
        return tf.gather(logits, order, axis=1)

    def _in(
        self, features: Features, allowed: list[npt.NDArray[np.float32]]
    ) -> tf.Tensor | None:
        if not self._facets:
            return None
        found = [
            tf.gather(may, tf.gather(partition_of, features[name]))
            for name, partition_of, may in zip(
                self.features, self._partition_of, allowed, strict=True
            )
        ]  # each [B, L]
        return tf.math.reduce_prod(tf.stack(found), axis=0)


def input_of(spec: Spec, facet: FacetSpec) -> str:
    """The input that tells the partition: the feature, or what a facet looks up."""
    looked_up = {made.name for made in spec.facet_inputs}
    key = facet_key(facet.name)
    return key if key in looked_up else facet.feature


def partition_of(spec: Spec, facet: FacetSpec) -> npt.NDArray[np.int32]:
    """Position of the partition for each id of the facet's input; 0 is missing."""
    values = {made.name: made.values for made in spec.facet_inputs}
    listed = values.get(input_of(spec, facet))
    names = list(facet.partitions)
    if listed is None:
        rows = spec.feature(facet.feature).rows(spec.tables)
        ids = {code: int(code) + 1 for code in facet.values}
    else:
        rows = len(listed) + 1
        ids = {value: place for place, value in enumerate(listed, start=1)}
    found = np.full(rows, names.index(facet.default), np.int32)
    for index, own in enumerate(facet.partitions.values()):
        found[[ids[value] for value in own]] = index
    return found


def _allowed(
    facet: FacetSpec,
    leaves: Sequence[Leaf],
    partitions_of: Callable[[str], tuple[str, ...]],
) -> npt.NDArray[np.float32]:
    """[partitions, L] float32: 1 where rows of the partition belong to the leaf."""
    names = list(facet.partitions)
    may = np.ones([len(names), len(leaves)], np.float32)
    for column, leaf in enumerate(leaves):
        for name, partition in leaf.partitions:
            if name == facet.name:
                may[:, column] = [p in partitions_of(partition) for p in names]
    return may


def _itself(partition: str) -> tuple[str, ...]:
    return (partition,)

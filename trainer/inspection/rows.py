"""Which rows a node of a nested structure is there for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import Spec
from feature_specs.spec import FacetSpec
from trainer.model.facets import input_of, partition_of
from trainer.model.network import Features


class PartitionRows:
    """The rows of the partitions that codes name: `new&skip` is for new users' rows.

    A code is the names of partitions and tasks, joined by `&`. A name that could be
    two things selects nothing.

    Args:
        spec: Facets and tasks.
        facets: Names of the facets that codes may name.
        codes: N codes of nodes or leaves.
    """

    def __init__(self, spec: Spec, facets: Collection[str], codes: Sequence[str]):
        words = [code.split("&") for code in codes]
        self._count = len(words)
        self._facets: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = []
        for facet in (spec.facets[name] for name in facets):
            names = _certain(spec, facet)
            allowed = np.array(
                [[_allows(n, own, names) for own in words] for n in names]
            )
            if not allowed.all():
                of_id = partition_of(spec, facet)
                name = input_of(spec, facet)
                self._facets.append((name, of_id, allowed.astype(np.float32)))

    def __call__(self, features: Features, weight: tf.Tensor) -> tf.Tensor:
        """Features and weights [B] of rows -> [B, N]: the weight where a row counts."""
        found = tf.repeat(weight[:, tf.newaxis], self._count, axis=1)
        for name, of_id, allowed in self._facets:
            found *= tf.gather(allowed, tf.gather(of_id, features[name]))
        return found


def _certain(spec: Spec, facet: FacetSpec) -> list[str]:
    """The facet's partitions; empty for one whose name means something else, too."""
    others = [p for f in spec.facets.values() if f is not facet for p in f.partitions]
    others += [*spec.facets, *(task.name for task in spec.tasks)]
    return ["" if name in others else name for name in facet.partitions]


def _allows(partition: str, words: list[str], names: list[str]) -> bool:
    asked = [word for word in words if word and word in names]
    return not asked or partition in asked

"""Which partition of a facet rows are in, by the graph that the model carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import tensorflow as tf

from feature_specs import Spec
from pipeline.evaluation.scoring import More
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.scored import PARTITION
from trainer.days.raw_rows import load_graph, raw_columns
from trainer.model.facets import input_of, partition_of

Places: TypeAlias = Mapping[str, npt.NDArray[np.int64]]  # facet -> [N] partition


class Partitions:
    """Reads facets of serialized raw examples.

    Args:
        spec: Of the examples.
        graph: Directory of the encoding that the model carries.
        facets: Names of those that are asked for.

    Raises:
        FusionSearchError: There is no encoding to tell them by.
    """

    def __init__(self, spec: Spec, graph: str, facets: Iterable[str]):
        self._facets = [spec.facets[name] for name in facets]
        self._spec = spec
        if not self._facets:
            return
        if not graph:
            raise FusionSearchError(
                "An older release made the run, whose record names no encoding, and "
                "facets are told by that. Run the pipeline again."
            )
        self._encode = load_graph(spec, graph)
        names = dict.fromkeys(facet.feature for facet in self._facets)
        self._columns = raw_columns(map(spec.feature, names))

    def of(self, serialized: tf.Tensor) -> Places:
        """[B] serialized raw examples -> facet -> [B], the place of its partition."""
        if not self._facets:
            return {}
        encoded = self._encode(tf.io.parse_example(serialized, self._columns))
        found = {}
        for facet in self._facets:
            ids = encoded[input_of(self._spec, facet)].numpy()
            found[facet.name] = partition_of(self._spec, facet)[ids].astype(np.int64)
        return found


def partition_column(spec: Spec, graph: str, facet: str) -> More | None:
    """What adds the column `PARTITION` of a facet to scored rows; None without one."""
    if not facet:
        return None
    partitions = Partitions(spec, graph, [facet])
    return lambda serialized: {
        PARTITION: pl.Series(partitions.of(serialized)[facet], dtype=pl.Int64)
    }

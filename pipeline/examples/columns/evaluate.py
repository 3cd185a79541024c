"""A spec's SQL on the rows of a frame: conditions, numbers, and numbered values."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_specs.missing import evaluate as evaluate
from pipeline.arrays import Bools, Floats, Ints


def holds(frame: pl.DataFrame, condition: str) -> Bools:
    """Where a condition is true, bool [B]; null is not."""
    return evaluate(frame, condition).cast(pl.Boolean).fill_null(False).to_numpy()


def numbers(frame: pl.DataFrame, text: str) -> Floats:
    """An expression's numbers, true and false as 1 and 0, float64 [B]; null is NaN."""
    return evaluate(frame, text).cast(pl.Float64).to_numpy()


def number_values(values: pl.Series) -> Ints:
    """Equal values get equal numbers, from 0 in the order of values, int64 [B].

    A null is -1.
    """
    encoded = values.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    ranks = pl.Series(pl.from_arrow(encoded.dictionary)).rank("dense")
    numbered = np.append(ranks.to_numpy().astype(np.int64) - 1, -1)
    places: Ints = encoded.indices.fill_null(-1).to_numpy()
    return numbered[places]

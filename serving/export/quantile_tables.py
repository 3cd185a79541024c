"""What the examples pass has learned of quantiles: `quantiles.json`, for exports.

It lies beside the splits of raw examples, and says of each quantile of the spec how
many rows of the training days each bin of each group had. Bins without rows are left
out. The pipeline writes it, an export reads it; neither Beam nor TensorFlow is needed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs.errors import TrailrankError
from feature_specs.past import QuantileSpec

QUANTILES_FILE = "quantiles.json"
_FORMAT = 1

Ints = npt.NDArray[np.int64]


class QuantilesError(TrailrankError, ValueError):
    """What a predicted rank stands for is not known; the message says why."""


@dataclasses.dataclass(frozen=True)
class Group:
    """The rows of one group that have a value.

    Attributes:
        bins: Numbers of the bins that have rows, ascending [M].
        rows: How many each has [M].
    """

    bins: Ints
    rows: Ints


def tables_as_json(
    quantiles: Sequence[QuantileSpec], histograms: Iterable[Ints]
) -> dict[str, Any]:
    """What `quantiles.json` holds.

    Args:
        quantiles: Of the spec.
        histograms: Rows in each bin, int64 [groups, bins], one a quantile.
    """
    found = []
    for quantile, histogram in zip(quantiles, histograms, strict=True):
        groups = [np.flatnonzero(counts) for counts in histogram]
        made = [
            {"bins": bins.tolist(), "rows": counts[bins].tolist()}
            for bins, counts in zip(groups, histogram, strict=True)
        ]
        found.append({**_meaning(quantile), "groups": made})
    return {"format": _FORMAT, "quantiles": found}


def read_tables(path: str, quantiles: Iterable[QuantileSpec]) -> dict[str, list[Group]]:
    """Quantile -> its groups, in the order of its boundaries.

    Args:
        path: Of `quantiles.json`; may lie in a bucket.
        quantiles: Those that are wanted.

    Raises:
        QuantilesError: There is no such file, it is damaged, or it was made for other
            quantiles.
    """
    import tensorflow as tf

    if not tf.io.gfile.exists(path):
        raise QuantilesError(
            f"{path}: is missing: an earlier release made these examples. Go on with a "
            "new day, make this one again (--replace), or take `seconds` out of the "
            "spec's tasks."
        )
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    try:
        values = json.loads(text)
        if values["format"] != _FORMAT:
            raise _damaged(path, f"format {values['format']}")
        by_name = {entry["name"]: entry for entry in values["quantiles"]}
        return {q.name: _groups(path, q, by_name.get(q.name)) for q in quantiles}
    except QuantilesError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, repr(error)) from None


def _damaged(path: str, why: str) -> QuantilesError:
    return QuantilesError(
        f"{path}: is no file of quantiles ({why}). Make the examples again."
    )


def _groups(
    path: str, quantile: QuantileSpec, entry: Mapping[str, Any] | None
) -> list[Group]:
    wanted = _meaning(quantile)
    held = entry and {key: entry[key] for key in wanted}
    if entry is None or held != wanted:
        raise QuantilesError(
            f"{path}: was made for other quantiles: {held or 'no such one'}, and the "
            f"spec has {wanted}. Take the examples that the model was trained on."
        )
    groups = [
        Group(np.array(g["bins"], np.int64), np.array(g["rows"], np.int64))
        for g in entry["groups"]
    ]
    for group in groups:
        ascend = group.bins.size == 0 or group.bins[0] >= 0
        ascend = ascend and bool((np.diff(group.bins) > 0).all())
        if group.bins.shape != group.rows.shape or not ascend or (group.rows < 1).any():
            raise _damaged(path, "bins and rows do not fit")
    if len(groups) != len(quantile.boundaries) + 1:
        raise _damaged(path, f"{len(groups)} groups")
    return groups


def _meaning(quantile: QuantileSpec) -> dict[str, Any]:
    """What a histogram is of; all of it decides what a rank stands for."""
    found = dataclasses.asdict(quantile)
    return {**found, "boundaries": list(quantile.boundaries)}

"""Means of stretches of vectors, against NumPy and by hand."""

import numpy as np
import polars as pl
import pytest

from pipeline.examples.columns import vector_means
from pipeline.examples.columns.vector_means import mean_vectors

_TYPE = pl.Array(pl.Float32, 2)


def _means(events, start, stop) -> list:
    found = mean_vectors(
        pl.Series(events, dtype=_TYPE), np.array(start), np.array(stop)
    )
    assert found.dtype == _TYPE
    return found.to_list()


def test_unknown_vectors_do_not_count():
    events = [[1.0, 2.0], None, [3.0, 6.0], None]
    found = _means(events, [0, 0, 1, 1, 3, 4], [1, 3, 3, 2, 4, 4])
    assert found == [[1, 2], [2, 4], [3, 6], None, None, None]


def test_no_events_give_no_mean():
    assert _means([], [0, 0], [0, 0]) == [None, None]
    assert _means([None], [0], [1]) == [None]


def test_a_damaged_vector_leaves_no_trace_after_its_stretch():
    """A running sum would lose the 1 beside 1e30, and keep losing it."""
    events = [[1e30, 1e30], [1.0, 2.0], [3.0, 4.0]]
    assert _means(events, [0, 1], [1, 3])[1] == [2, 3]


@pytest.mark.parametrize("at_once", [1, 10, 1_000_000])
def test_many_stretches_are_those_of_numpy(monkeypatch, at_once):
    monkeypatch.setattr(vector_means, "_FLOATS_AT_ONCE", at_once)
    draws = np.random.default_rng(3)
    values = draws.normal(size=(50, 2)).astype(np.float32)
    known = draws.random(50) < 0.8
    start = draws.integers(0, 45, 30)
    stop = start + draws.integers(0, 6, 30)
    events = [v.tolist() if k else None for v, k in zip(values, known, strict=True)]
    found = _means(events, start, stop)
    for mean, first, last in zip(found, start, stop, strict=True):
        chosen = values[first:last][known[first:last]]
        if not len(chosen):
            assert mean is None
        else:
            np.testing.assert_allclose(mean, chosen.mean(axis=0, dtype=float), 1e-6)

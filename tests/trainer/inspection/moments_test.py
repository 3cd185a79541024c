"""Batches joined give what NumPy gives on all rows at once."""

import numpy as np

from trainer.inspection.moments import Moments

_OFFSET = 1e4  # in float32 a plain sum of squares would lose every digit


def _joined(batches, products):
    moments = Moments()
    for x in batches:
        centred = x - x.mean(axis=0)
        sums = centred.T @ centred if products else np.square(centred).sum(axis=0)
        moments.add(np.float32(len(x)), x.mean(axis=0), sums)
    return moments


def _batches():
    rng = np.random.default_rng(0)
    return [_OFFSET + rng.normal(size=(n, 3)) * (n + 1) for n in (5, 1, 30)]


def test_means_and_standard_deviations_are_those_of_all_rows():
    batches = _batches()
    rows = np.concatenate(batches)
    moments = _joined(batches, products=False)
    assert moments.rows == 36
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.sd, rows.std(axis=0), rtol=1e-9)


def test_products_are_those_of_all_rows():
    batches = _batches()
    moments = _joined(batches, products=True)
    expected = np.cov(np.concatenate(batches).T, bias=True) * 36
    np.testing.assert_allclose(moments.products, expected, rtol=1e-9)


def test_a_batch_without_rows_of_a_gate_changes_nothing():
    moments = Moments()
    moments.add(
        np.array([2.0, 0.0]), np.array([[3.0], [0.0]]), np.array([[8.0], [0.0]])
    )
    moments.add(
        np.array([0.0, 4.0]), np.array([[0.0], [7.0]]), np.array([[0.0], [4.0]])
    )
    np.testing.assert_array_equal(moments.rows, [2, 4])
    np.testing.assert_array_equal(moments.mean, [[3], [7]])
    np.testing.assert_array_equal(moments.sd, [[2], [1]])  # sqrt(8 / 2), sqrt(4 / 4)

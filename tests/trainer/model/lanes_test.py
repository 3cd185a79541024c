"""Rows that lie side by side in a TPU's lines, against plain gathers and sums."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.model import lanes


def _as_bfloat16(values: np.ndarray) -> np.ndarray:
    return values.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "width"), [(5_000, 16), (1_024, 8), (1_025, 64), (130, 32), (4_099, 1)]
)
def test_rows_and_their_gradients_are_those_of_a_gather(rows, width):
    """First and last rows, repeated ids and none at all of most rows; to the bit."""
    rng = np.random.default_rng(rows)
    table = rng.normal(size=(rows, width)).astype(np.float32)
    ids = np.array([0, rows - 1, 1, *rng.integers(0, rows, 50), 1, 1], np.int32)
    upstream = _as_bfloat16(rng.integers(-8, 8, (len(ids), width)) / 4.0)
    given = tf.constant(table)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = lanes.gather(given, tf.constant(ids))
    np.testing.assert_array_equal(found, _as_bfloat16(table[ids]))
    expected = np.zeros_like(table)
    np.add.at(expected, ids, upstream)  # quarters: their sums are exact
    gradient = tape.gradient(found, given, output_gradients=tf.constant(upstream))
    np.testing.assert_array_equal(gradient, expected)


def test_what_is_no_number_stays_in_its_row():
    """A neighbour in the line is left out, not multiplied by nothing."""
    table = np.zeros((2_000, 16), np.float32)
    table[::2] = np.nan
    table[1_001] = np.inf
    found = lanes.gather(tf.constant(table), tf.constant([1, 3, 1_999], tf.int32))
    np.testing.assert_array_equal(found, np.zeros((3, 16)))


@pytest.mark.parametrize(
    ("width", "fits"),
    [(1, True), (8, True), (16, True), (64, True), (128, False), (24, False)],
)
def test_widths_that_fill_a_line(width, fits):
    assert lanes.fits(width) is fits

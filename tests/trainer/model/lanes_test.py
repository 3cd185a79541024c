"""Rows that lie side by side in a TPU's lines, against plain gathers and sums."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import load_preset, load_spec
from trainer.model import lanes
from trainer.preflight.stand_ins import stand_in


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
    ("rows", "width", "fits"),
    [
        (100_000, 1, True),
        (100_000, 16, True),
        (100_000, 64, True),
        (100_000, 128, False),
        (100_000, 24, False),
        (8_192, 16, False),
        (8_193, 16, True),
        (4_194_304, 16, True),
        (4_194_305, 16, False),
    ],
)
def test_tables_whose_rows_lie_side_by_side(rows, width, fits):
    assert lanes.fits(rows, width) is fits


def test_what_stands_for_a_large_table_is_read_as_that_table_is():
    """Else its shapes would not be those of the table with other rows."""
    spec = load_spec("kuairand")
    large = {
        name: dataclasses.replace(table, buckets=50_000_000 + number)
        for number, (name, table) in enumerate(spec.tables.items())
    }
    found = stand_in(dataclasses.replace(spec, tables=large), load_preset("mmoe"))
    assert len(found.resize) == len(large)
    for rows in (*found.resize, *found.resize.values()):
        assert not lanes.fits(rows, 16)

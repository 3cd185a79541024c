"""Ids -> rows: the published outputs of splitmix64, and a reference in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.encoding.hashing import hash_ids
from tests.encoded_rows import splitmix64

_EDGES = [0, 1, 7, -2, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
# First outputs of published implementations, from the seeds 0 and 1234567 (the latter
# as Rosetta Code has it).
_PUBLISHED = {0: 0xE220A8397B1DCDAF, 1234567: 6457827717110365317}


def _in_numpy(ids: np.ndarray, buckets: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.where(ids == -1, 0, 1 + (z % np.uint64(buckets - 1)).astype(np.int64))


@pytest.mark.parametrize(("seed", "output"), _PUBLISHED.items())
def test_the_mixer_is_the_published_one(seed, output):
    assert splitmix64(seed) == output
    for buckets in (2, 3, 1_000, 2**31 - 1):
        row = hash_ids(tf.constant([seed], tf.int64), buckets).numpy()
        assert row.tolist() == [1 + output % (buckets - 1)]


@pytest.mark.parametrize("buckets", [2, 50, 4096, 10_000_019])
def test_whole_numbers_are_those_of_numpy(buckets):
    draws = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 1_000)
    ids = np.concatenate([draws, _EDGES, [-1]])
    found = hash_ids(tf.constant(ids, tf.int64), buckets).numpy()
    np.testing.assert_array_equal(found, _in_numpy(ids, buckets))
    assert found[-1] == 0 and (found[:-1] >= 1).all() and (found < buckets).all()


def test_neighbours_spread_evenly():
    """100,000 ids in a row over 100 rows: each gets 1,000, within five deviations."""
    rows = hash_ids(tf.range(100_000, dtype=tf.int64), 101).numpy()
    counts = np.bincount(rows, minlength=101)[1:]
    assert np.abs(counts - 1_000).max() < 5 * np.sqrt(1_000)


def test_whole_numbers_can_be_compiled():
    ids = tf.constant([*_EDGES, -1], tf.int64)
    compiled = tf.function(lambda i: hash_ids(i, 1_000), jit_compile=True)
    np.testing.assert_array_equal(compiled(ids), hash_ids(ids, 1_000))


def test_text_keeps_its_hash_and_an_empty_one_is_missing():
    found = hash_ids(tf.constant(["cat", "", "3"]), 500).numpy()
    farmhash = tf.strings.to_hash_bucket_fast(["cat", "3"], 499).numpy() + 1
    assert found.tolist() == [farmhash[0], 0, farmhash[1]]

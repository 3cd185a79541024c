"""The hash is splitmix64's, the same for ever, and cuts keys evenly."""

import numpy as np
import polars as pl

from pipeline.examples.hashing import bucket_of, hash_columns, hash_shards


def _mix(value):
    """splitmix64's step on Python integers."""
    mask = 2**64 - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def test_one_number_by_hand():
    start, one = _mix(3), _mix(-7 % 2**64)
    expected = _mix((start * 0x9E3779B97F4A7C15 + one) % 2**64)
    assert hash_columns([pl.Series([-7])], seed=3).tolist() == [expected]


def test_text_hashes_depend_on_nothing_but_the_text():
    texts = ["", "a", "12345678", "123456789", "西安", "x" * 100]
    together = hash_columns([pl.Series(texts)])
    alone = [hash_columns([pl.Series([text])])[0] for text in texts]
    assert together.tolist() == alone
    assert len(set(alone)) == len(texts)


def test_texts_with_zero_bytes_differ():
    hashed = hash_columns([pl.Series(["a", "a\0", "a\0\0"])])
    assert len(set(hashed.tolist())) == 3


def test_seed_and_order_of_columns_matter():
    one, two = pl.Series([1, 2]), pl.Series([2, 1])
    found = {
        hash_columns(columns, seed).tobytes()
        for columns in ([one, two], [two, one])
        for seed in (0, 1)
    }
    assert len(found) == 4


def test_shards_are_even():
    counts = np.bincount(hash_shards(pl.Series(range(80_000)), 8), minlength=8)
    # 10,000 expected a shard; six standard deviations are 6 * sqrt(80000/8*7/8) = 561.
    assert abs(counts - 10_000).max() < 561


def test_buckets_are_ranges_of_hashes_in_order():
    hashed = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    assert bucket_of(hashed, 2).tolist() == [0, 0, 1, 1]
    assert bucket_of(hashed, 3).tolist() == [0, 1, 1, 2]

"""Unified embeddings: pieces, hashing, gradients."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import FeatureSpec, TableSpec
from feature_specs.model import UnifiedConfig
from trainer.model.embeddings import FeatureEmbeddings
from trainer.model.unified import UnifiedTables, hashed

_CONFIG = UnifiedConfig(buckets=100, tables=2, dim=4)
USER = FeatureSpec(name="user", group="query", kind="id", table="user")
VIDEO = FeatureSpec(name="video", group="candidate", kind="id", table="video")
SEEN = FeatureSpec(name="seen", group="query", kind="sequence", table="video", length=3)
TAB = FeatureSpec(name="tab", group="context", kind="category", size=2)
_TABLES = {
    "user": TableSpec(name="user", buckets=1000, dim=8),
    "video": TableSpec(name="video", buckets=1000, dim=12),
}


def _tables() -> UnifiedTables:
    return UnifiedTables(_CONFIG, {"user": 8, "video": 12})


def test_an_embedding_is_as_wide_as_whole_pieces():
    tables = UnifiedTables(_CONFIG, {"user": 8, "video": 10})
    ids = tf.constant([[1, 2, 3]])
    assert tables.look_up("user", ids, tf.gather).shape == (1, 3, 8)
    assert tables.look_up("video", ids, tf.gather).shape == (1, 3, 12)


def test_each_piece_is_a_row_of_its_table():
    tables = _tables()
    row = tables.look_up("video", tf.constant([7]), tf.gather).numpy()[0]
    for piece, (table, salt) in enumerate(tables._pieces["video"]):
        bucket = int(hashed(tf.constant([7]), salt, 100)[0])
        expected = tables.tables[table].numpy()[bucket]
        np.testing.assert_array_equal(row[4 * piece : 4 * piece + 4], expected)
    # TFRS hands out the tables in turn: user 0, 1, then video 0, 1, 0.
    assert [t for t, _ in tables._pieces["user"]] == ["unified_0", "unified_1"]
    assert [t for t, _ in tables._pieces["video"]] == [
        "unified_0",
        "unified_1",
        "unified_0",
    ]


def test_pieces_and_spaces_hash_apart():
    ids = tf.range(20_000)
    salts = [(0, 0), (0, 1), (1, 0)]
    rows = [hashed(ids, salt, 1000).numpy() for salt in salts]
    for first in range(3):
        for second in range(first):
            same = (rows[first] == rows[second]).mean()
            assert abs(same - 0.001) < 0.001, (first, second, same)


@pytest.mark.parametrize("buckets", [7, 64, 1000])
def test_rows_are_spread_evenly(buckets):
    ids, salts = tf.range(50 * buckets), 40
    excess = 0.0
    for salt in range(salts):
        rows = hashed(ids, (salt, salt % 5), buckets).numpy()
        assert rows.min() >= 0
        counts = np.bincount(rows, minlength=buckets)
        excess += (np.square(counts - 50) / 50).sum() / (buckets - 1) / salts
    # A mean of chi-square variables over their degrees of freedom is about 1.
    assert abs(excess - 1) < 5 * np.sqrt(2 / (buckets - 1) / salts)


def test_pairs_hardly_ever_collide_in_two_pieces():
    ids = tf.range(5000)
    pairs = np.stack([hashed(ids, (0, piece), 1000).numpy() for piece in (0, 1)])
    # 5000 ids in 10^6 pairs of rows: about 12.5 collisions of a pair by chance.
    assert 5000 - len(np.unique(pairs.T, axis=0)) < 30


def test_features_of_one_space_read_the_same_pieces():
    layer = FeatureEmbeddings([USER, VIDEO, SEEN, TAB], _TABLES, unified=_CONFIG)
    inputs = {
        "user": tf.constant([3]),
        "video": tf.constant([5]),
        "seen": tf.constant([[5, 5, 0]]),
        "tab": tf.constant([1]),
    }
    video, seen = layer(inputs, [VIDEO]), layer(inputs, [SEEN])
    np.testing.assert_allclose(video, seen, rtol=1e-6)  # the mean of twice the same
    assert layer(inputs, [USER, VIDEO, SEEN, TAB]).shape == (1, 8 + 12 + 12 + 4)
    names = [v.name for v in layer.trainable_variables]
    assert sorted(n.split("/")[-1] for n in names) == [
        "feature_tab:0",
        "unified_0:0",
        "unified_1:0",
    ]


def test_the_look_up_compiles():
    tables = _tables()

    def look_up(ids):
        return tables.look_up("video", ids, tf.gather)

    ids = tf.constant([[1, 2], [3, 2**30]])
    compiled = tf.function(look_up, jit_compile=True)
    np.testing.assert_array_equal(compiled(ids), look_up(ids))

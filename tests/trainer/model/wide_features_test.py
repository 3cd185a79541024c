"""Joined steps, words, vectors and their cosine in the whole ranker and in batches."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import label_key, mask_key, read_spec
from trainer.days.layout import Layout
from trainer.model.ranker import Batch, Ranker

_MORE = """
  - {name: recent, group: query, kind: sequence, table: video, pooling: concat, expr: history_video_id}
  - {name: title, group: candidate, kind: text, size: 6, length: 3}
  - {name: cover, group: candidate, kind: vector, dim: 4, projection: looks}
  - {name: history_cover, group: query, kind: vector, dim: 4, projection: looks, target: cover}
  - {name: mood, group: trail, kind: vector, expr: cover, dim: 2}
"""
_REQUEST = ("user_id", "history_video_id", "tab", "recent", "history_cover")


@pytest.fixture(scope="module")
def spec(spec):
    more = 'tag: int64, title: "string?", cover: "vector<3>?"}'
    text = spec.text.replace("tag: int64}", more)
    text = text.replace("columns: [video_id]", "columns: [video_id, cover]")
    return read_spec(text.replace("\ntasks:", f"{_MORE}tasks:"))


@pytest.fixture
def batch(make_rows) -> Batch:
    """Six rows; of the vectors the first two of each kind are missing."""
    rows = make_rows(6, seed=3).batch()
    draws = np.random.default_rng(4)
    found = {"recent": rows.features["history_video_id"]}
    found["title"] = tf.constant(draws.integers(0, 8, (6, 3)), tf.int32)
    for name in ("cover", "history_cover", "mood"):
        vectors = draws.normal(size=(6, 3))
        vectors[:2] = 0
        found[name] = tf.constant(vectors, tf.float32)
    return rows._replace(features=rows.features | found)


@pytest.fixture
def ranker(spec, config, label_means) -> Ranker:
    made = Ranker(spec, config, label_means)
    draws = np.random.default_rng(0)
    for variable in made.trainable_variables:
        variable.assign(draws.normal(size=variable.shape) * 0.3)
    return made


def test_rank_gives_the_predictions_of_whole_rows(ranker, batch):
    served = {n: v for n, v in batch.features.items() if "trail" not in n}
    served.pop("mood")
    once = {n: served[n][3:4] for n in _REQUEST}
    rows = served | {n: tf.repeat(v, 6, axis=0) for n, v in once.items()}
    videos = {n: v for n, v in served.items() if n not in _REQUEST}
    found = ranker.from_sides(ranker.request_side(once), ranker.candidate_side(videos))
    for task, expected in ranker(rows).items():
        np.testing.assert_allclose(found[task], expected, rtol=1e-5)


def test_a_step_moves_projections_and_what_is_missing(ranker, batch):
    with tf.GradientTape() as tape:
        loss = ranker.compute_loss(batch)
    network = ranker.networks[0]
    inputs = network.dense_inputs
    weights = {
        "kernel": inputs.projections["looks"].kernel,
        "cover": inputs.missing["cover"],
        "history_cover": inputs.missing["history_cover"],
        "mood": ranker.trail_towers.towers.dense_inputs.missing["mood"],
        "cosine": network.joint_layer.kernel,
    }
    slopes = tape.gradient(loss, weights)
    for name, slope in slopes.items():
        assert float(tf.reduce_max(tf.abs(slope))) > 1e-6, name
    tables = {v.ref() for v in ranker.table_variables}
    dense = {v.ref() for v in ranker.dense_variables}
    shared = {v.ref() for v in network.shared_variables}
    for name in ("kernel", "cover", "cosine"):  # tables have an optimizer of their own
        assert weights[name].ref() not in tables
        assert weights[name].ref() in dense & shared, name


def test_the_cosine_is_read_beside_the_vectors(ranker, batch):
    """With nothing else read, predictions go by the angle of both vectors."""
    network = ranker.networks[0]
    for layer in (network.request_layer, network.candidate_layer):
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    assert network.joint_layer.kernel.shape == (1, 16)
    pairs = [([1, 0, 0], [5, 0, 0]), ([0, 2, 0], [0, 9, 0]), ([1, 0, 0], [0, 1, 0])]
    pairs += [([0, 0, 0], [1, 1, 1]), ([1, 2, 2], [1, 2, 2]), ([1, 0, 0], [-1, 0, 0])]
    features = {n: v for n, v in batch.features.items() if "trail" not in n}
    features.pop("mood")
    features["history_cover"] = tf.constant([a for a, _ in pairs], tf.float32)
    features["cover"] = tf.constant([b for _, b in pairs], tf.float32)
    click = ranker(features)["click"].numpy()
    # Cosines 1, 1, 0, 0 (one is missing), 1, -1.
    np.testing.assert_allclose(click[[0, 2]], click[[1, 3]], rtol=1e-5)
    np.testing.assert_allclose(click[0], click[4], rtol=1e-5)
    assert len(np.unique(click[[0, 2, 5]].round(4))) == 3


def test_a_row_is_packed_and_unpacked_bit_by_bit(spec, batch):
    layout = Layout(spec)
    row = dict(batch.features)
    row |= {label_key(t.name): batch.labels[:, i] for i, t in enumerate(spec.tasks)}
    row |= {mask_key(t.name): batch.masks[:, i] for i, t in enumerate(spec.tasks)}
    matrix = layout.pack(row)
    # ids and codes 6, steps 4 + 4 + 3 words, age, three vectors, labels and masks
    assert matrix.shape == (6, 6 + 11 + 1 + 3 * 3 + 2 * 4)
    found = layout.unpack(matrix, 8)
    for name, value in batch.features.items():
        np.testing.assert_array_equal(found.features[name][:6], value)
        assert not found.features[name][6:].numpy().any()
    np.testing.assert_array_equal(found.labels[:6], batch.labels)

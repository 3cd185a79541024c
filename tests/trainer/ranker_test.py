"""The ranker as training, serving and preflight use it."""

import dataclasses

import numpy as np
import pytest

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from trainer import optimizers
from trainer.ranker import Batch, Ranker


@pytest.fixture
def ranker(spec, config, label_means):
    return _randomised(Ranker(spec, config, label_means))


def _randomised(ranker: Ranker) -> Ranker:
    """With random weights everywhere, where the untrained one has zeros."""
    rng = np.random.default_rng(0)
    for variable in ranker.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return ranker


def _assert_same(found, expected, rtol=1e-5):
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=rtol, err_msg=name)


def test_untrained_predictions_are_the_label_means(
    spec, config, label_means, make_rows
):
    ranker = Ranker(spec, config, label_means)
    predictions = ranker(make_rows(5, seed=0).batch().features)
    for name, mean in label_means.items():
        np.testing.assert_allclose(predictions[name], [mean] * 5, rtol=1e-5)


def test_a_label_never_seen_starts_rare_not_impossible(spec, config, label_means):
    ranker = Ranker(spec, config, label_means | {"like": 0.0})
    found = ranker(ranker.example_features(1))["like"]
    np.testing.assert_allclose(found, [1e-6], rtol=1e-3)


def test_both_parts_together_are_the_whole_model(ranker, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    request = {k: v[:1] for k, v in served.items()}
    one_user = served | {k: tf.repeat(request[k], 6, axis=0) for k in _REQUEST}
    query = {k: request[k] for k in _REQUEST}
    video = {k: v for k, v in served.items() if k not in _REQUEST}
    parts = ranker.request_part(query) + ranker.candidate_part(video)
    assert parts.shape == (6, 16)
    _assert_same(ranker.from_parts(parts), ranker(one_user))


_REQUEST = ("user_id", "history_video_id", "tab")


def test_served_rows_equal_rows_with_every_trail_feature_missing(ranker, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    missing = {k: tf.zeros([6], tf.int32) for k in ("trail_position", "trail_seconds")}
    _assert_same(ranker(served), ranker(served | missing))
    assert np.abs(ranker(features)["click"] - ranker(served)["click"]).max() > 0.01


def test_request_part_needs_no_candidate_feature(ranker):
    request = {k: v for k, v in ranker.example_features(2).items() if k in _REQUEST}
    assert ranker.request_part(request).shape == (2, 16)


def test_padded_rows_change_no_loss(spec, config, label_means, make_rows):
    ranker = _randomised(
        Ranker(spec, dataclasses.replace(config, embedding_l2=0.5), label_means)
    )
    batch = make_rows(6, seed=0).batch()
    padded = tf.nest.map_structure(
        lambda value: tf.concat([value, tf.zeros_like(value)[:3]], axis=0), batch
    )
    for found, expected in zip(
        ranker.task_losses(padded), ranker.task_losses(batch), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_total_is_the_weighted_sum_and_lambda_times_the_overlap(ranker, make_rows):
    losses = ranker.task_losses(make_rows(32, seed=0).batch())
    click, watch, like, seconds = losses.tasks.numpy()
    overlap = float(losses.disentangle)
    assert overlap > 0
    np.testing.assert_allclose(
        losses.total, click + watch + 2 * like + seconds + 0.001 * overlap, rtol=1e-5
    )


def test_empty_sample_space_moves_no_weight_of_the_task(ranker, make_rows):
    batch = make_rows(8, seed=0).batch()
    masks = batch.masks.numpy()
    masks[:, 2] = 0  # like
    with tf.GradientTape() as tape:
        losses = ranker.task_losses(batch._replace(masks=tf.constant(masks)))
    gradient = tape.gradient(losses.total, ranker.heads.kernel).numpy()
    assert float(losses.tasks[2]) == 0
    assert not gradient[2].any() and gradient[[0, 1, 3]].any(axis=(1, 2)).all()


def test_training_drops_the_trails_of_some_rows(spec, config, label_means, make_rows):
    whole = dataclasses.replace(config.trail, dropout=0.999)
    ranker = _randomised(
        Ranker(spec, dataclasses.replace(config, trail=whole), label_means)
    )
    batch = make_rows(16, seed=0).batch()
    missing = batch.features | {
        k: tf.zeros([16], tf.int32) for k in ("trail_position", "trail_seconds")
    }
    trained = ranker.task_losses(batch, training=True).tasks
    served = ranker.task_losses(batch._replace(features=missing)).tasks
    np.testing.assert_allclose(trained, served, rtol=1e-5)
    assert np.abs(trained - ranker.task_losses(batch).tasks).max() > 1e-3


def test_bottom_dropout_keeps_the_mean(spec, config, label_means):
    ranker = Ranker(spec, dataclasses.replace(config, dropout=0.25), label_means)
    found = ranker._drop(tf.ones([400, 50])).numpy()
    np.testing.assert_allclose(np.unique(found), [0, 1 / 0.75], rtol=1e-6)
    assert abs(found.mean() - 1) < 0.02


def test_every_variable_is_either_dense_or_a_table(ranker):
    tables = {v.name.removesuffix(":0") for v in ranker.table_variables}
    trail = {"feature_trail_position", "feature_trail_seconds"}
    assert {name.split("/")[-1] for name in tables} == trail | {
        "user",
        "video",
        "feature_tab",
        "feature_tag",
    }
    both = len(ranker.table_variables) + len(ranker.dense_variables)
    assert both == len(ranker.trainable_variables)


def test_the_step_compiles_with_static_shapes(spec, config, label_means, make_rows):
    ranker = Ranker(spec, config, label_means, sparse_gradients=False)
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
    other = Ranker(spec, config, label_means, sparse_gradients=False)
    other.compile(optimizer=optimizers.create(config.optimizer, other))
    for mine, theirs in zip(other.variables, ranker.variables, strict=True):
        mine.assign(theirs)
    batch = make_rows(16, seed=0).batch()
    compiled = tf.function(ranker.train_step, jit_compile=True, autograph=False)
    reference = tf.function(other.train_step, autograph=False)
    for _ in range(2):
        found, expected = compiled(batch), reference(batch)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-4)


def test_overfits_a_tiny_set(spec, config, label_means, make_rows):
    ranker = Ranker(spec, config, label_means)
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
    batch = make_rows(32, seed=0).batch()
    step = tf.function(ranker.train_step, autograph=False)
    before = ranker.task_losses(batch).tasks.numpy()
    for _ in range(200):
        step(batch)
    after = ranker.task_losses(batch).tasks.numpy()
    assert (after < 0.1 * before).all(), (before, after)


def test_bfloat16_keeps_tables_and_losses_in_float32(
    spec, config, label_means, make_rows
):
    ranker = Ranker(spec, config, label_means, precision="bfloat16")
    batch: Batch = make_rows(8, seed=0).batch()
    assert ranker.request_part(batch.features).dtype == tf.bfloat16
    assert {v.dtype for v in ranker.trainable_variables} == {tf.float32}
    assert ranker.task_losses(batch).total.dtype == tf.float32


def test_a_bottom_without_layers_is_refused(spec, config, label_means):
    with pytest.raises(ValueError, match="bottom: must have one layer at least"):
        Ranker(spec, dataclasses.replace(config, bottom=()), label_means)

"""The ranker as training, serving and preflight use it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import SpecError, read_preset
from feature_specs.imbalance import ImbalanceConfig
from feature_specs.model import (
    BiasConfig,
    ChainConfig,
    CrossConfig,
    StructureConfig,
    SwitcherConfig,
    TowerConfig,
    TrailConfig,
    UnifiedConfig,
    WeightsConfig,
)
from feature_specs.preset import with_loss_weights
from feature_specs.spec import FacetSpec, RequestSpec
from trainer.days import optimizers
from trainer.errors import ModelError
from trainer.model.ranker import Batch, Ranker

_ESMM = ChainConfig(kind="esmm", tasks=("click", "like"))


@pytest.fixture(scope="module")
def ranker(spec, config, label_means):
    """To be read only."""
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


@pytest.mark.parametrize(
    "imbalance",
    [
        {},
        {
            "click": ImbalanceConfig(positive_weight=50.0),
            "like": ImbalanceConfig(loss="focal", balance=0.5),
        },
    ],
)
def test_untrained_predictions_are_the_label_means(
    imbalance, spec, config, label_means, make_rows
):
    config = dataclasses.replace(config, imbalance=imbalance)
    ranker = Ranker(spec, config, label_means)
    predictions = ranker(make_rows(5, seed=0).batch().features)
    for name, mean in label_means.items():
        np.testing.assert_allclose(predictions[name], [mean] * 5, rtol=1e-5)


def test_a_label_never_seen_starts_rare_not_impossible(spec, config, label_means):
    ranker = Ranker(spec, config, label_means | {"like": 0.0})
    found = ranker(ranker.example_features(1))["like"]
    np.testing.assert_allclose(found, [1e-6], rtol=1e-3)


def test_both_sides_together_are_the_whole_model(ranker, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    request = {k: v[:1] for k, v in served.items()}
    one_user = served | {k: tf.repeat(request[k], 6, axis=0) for k in _REQUEST}
    query = {k: request[k] for k in _REQUEST}
    video = {k: v for k, v in served.items() if k not in _REQUEST}
    sides = ranker.request_side(query), ranker.candidate_side(video)
    _assert_same(ranker.from_sides(*sides), ranker(one_user))


_REQUEST = ("user_id", "history_video_id", "tab")


def test_served_rows_equal_rows_with_every_trail_feature_missing(ranker, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    missing = {k: tf.zeros([6], tf.int32) for k in ("trail_position", "trail_seconds")}
    _assert_same(ranker(served), ranker(served | missing))
    assert np.abs(ranker(features)["click"] - ranker(served)["click"]).max() > 0.01


def test_the_requests_side_needs_no_candidate_feature(ranker):
    request = {k: v for k, v in ranker.example_features(2).items() if k in _REQUEST}
    assert ranker.request_side(request).parts[0].hidden.shape == (2, 16)


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
        losses.total, click + watch + 2 * like + seconds + 0.1 * overlap, rtol=1e-5
    )


def test_overlap_is_that_of_the_experts_before_their_activation(ranker, make_rows):
    batch = make_rows(32, seed=0).batch()
    (inside,) = ranker.look_inside(batch).structured
    (before,) = inside.preactivations
    rows, _, count, width = before.shape
    rho = np.corrcoef(before.numpy().reshape(rows, -1).T)
    blocks = np.square(rho).reshape(count, width, count, width).sum((1, 3)) / width
    expected = blocks[np.triu_indices(count, 1)].mean()
    np.testing.assert_allclose(
        ranker.task_losses(batch).disentangle, expected, rtol=1e-4
    )


def test_experts_left_out_are_checked_before_anything_is_trained(spec, label_means):
    cgc = "bottom: [8]\nswitcher: {kind: cgc, units: [4], experts: 1}\ndisentangle: 0.1"
    Ranker(spec, read_preset(f"{cgc}\ndisentangle_without: [like]"), label_means)
    with pytest.raises(
        ModelError, match="Got 'lik'. Known: level 1, click, watch, like"
    ):
        Ranker(spec, read_preset(f"{cgc}\ndisentangle_without: [lik]"), label_means)


def test_empty_sample_space_moves_no_weight_of_the_task(ranker, make_rows):
    batch = make_rows(8, seed=0).batch()
    masks = batch.masks.numpy()
    masks[:, 2] = 0  # like
    with tf.GradientTape() as tape:
        losses = ranker.task_losses(batch._replace(masks=tf.constant(masks)))
    gradient = tape.gradient(
        losses.total, ranker.networks[0].towers.heads[0].kernel
    ).numpy()
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


def _compiled(spec, config, means) -> Ranker:
    config = dataclasses.replace(config, chains=(_ESMM,))
    ranker = Ranker(spec, config, means, sparse_gradients=False)
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
    return ranker


@pytest.fixture(scope="module")
def compiled(any_seed, spec, config, label_means):
    """A ranker and its step, compiled by XLA."""
    tf.keras.utils.set_random_seed(1 + any_seed)
    ranker = _compiled(spec, config, label_means)
    return ranker, tf.function(ranker.train_step, jit_compile=True, autograph=False)


def test_the_step_compiles_with_static_shapes(
    compiled, spec, config, label_means, make_rows
):
    ranker, step = compiled
    other = _compiled(spec, config, label_means)
    for mine, theirs in zip(other.variables, ranker.variables, strict=True):
        mine.assign(theirs)
    batch = make_rows(16, seed=0).batch()
    reference = tf.function(other.train_step, autograph=False)
    for _ in range(2):
        found, expected = step(batch), reference(batch)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-4)


@pytest.mark.stochastic
def test_overfits_a_tiny_set(compiled, make_rows):
    ranker, step = compiled
    batch = make_rows(16, seed=0).batch()
    before = ranker.task_losses(batch).tasks.numpy()
    for _ in range(400):
        step(batch)
    after = ranker.task_losses(batch).tasks.numpy()
    assert (after < 0.1 * before).all(), (before, after)


@pytest.mark.usefixtures("bfloat16_products")
def test_bfloat16_keeps_tables_and_losses_in_float32(
    spec, config, label_means, make_rows
):
    ranker = Ranker(spec, config, label_means, precision="bfloat16")
    batch: Batch = make_rows(8, seed=0).batch()
    side = ranker.request_side(batch.features)
    assert side.parts[0].hidden.dtype == tf.bfloat16
    assert {v.dtype for v in ranker.trainable_variables} == {tf.float32}
    assert ranker.task_losses(batch).total.dtype == tf.float32


@pytest.mark.usefixtures("bfloat16_products")
def test_crosses_of_bfloat16_are_close_to_those_of_float32(
    spec, config, label_means, make_rows
):
    crossed = dataclasses.replace(config, cross=CrossConfig(layers=2))
    batch = make_rows(8, seed=0).batch()
    full, half = (
        _logits_after_a_seed(spec, crossed, label_means, batch, precision)
        for precision in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(half, full, atol=0.02)


def _logits_after_a_seed(spec, config, label_means, batch, precision):
    tf.keras.utils.set_random_seed(1)
    ranker = Ranker(spec, config, label_means, precision=precision)
    for variable in ranker.trainable_variables:  # heads start at 0
        variable.assign(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.1))
    return ranker(batch.features)["watch"]


# --- facets, side towers, own inputs, crosses, attention ------------------------------

_PLACE = FacetSpec(
    name="place",
    feature="tag",
    partitions={"low": (0, 1, 2), "high": (3, 4, 5)},
    default="high",
    train_with={"high": ("low", "high")},
)


def _build(spec, label_means, **changes) -> Ranker:
    config = read_preset("bottom: [16]\ntower: [8]")
    return _randomised(
        Ranker(
            spec,
            dataclasses.replace(config, **changes),
            label_means,
            sparse_gradients=False,
        )
    )


@pytest.fixture(scope="module")
def split_spec(spec):
    features = tuple(
        dataclasses.replace(f, kind="code") if f.name == "tag" else f
        for f in spec.features
    )
    return dataclasses.replace(spec, features=features, facets={"place": _PLACE})


@pytest.fixture(scope="module")
def split_ranker(split_spec, label_means):
    """To be left as it is."""
    structure = StructureConfig(kind="flat", facets=("place",))
    return _build(split_spec, label_means, structure=structure)


def _half(batch: Batch, low: bool) -> Batch:
    """Only the rows of one partition: tag ids 1 to 3 are low."""
    chosen = (batch.features["tag"].numpy() <= 3) == low
    return tf.nest.map_structure(lambda v: tf.boolean_mask(v, chosen), batch)


def _tower_gradient(ranker: Ranker, batch: Batch) -> np.ndarray:
    with tf.GradientTape() as tape:
        total = ranker.task_losses(batch).total
    kernel = ranker.networks[0].towers.heads[0].kernel
    return tape.gradient(total, kernel).numpy()  # [L, H, 1]


def test_a_split_task_has_a_leaf_a_partition(split_ranker):
    names = [leaf.name for leaf in split_ranker.leaves]
    assert names[:4] == ["click&low", "click&high", "watch&low", "watch&high"]
    assert len(names) == 8


def test_rows_of_another_partition_give_exactly_no_gradient(split_ranker, make_rows):
    batch = make_rows(64, seed=0).batch()
    high_rows = _tower_gradient(split_ranker, _half(batch, low=False))
    low_rows = _tower_gradient(split_ranker, _half(batch, low=True))
    low, high = slice(0, 8, 2), slice(1, 8, 2)
    assert not high_rows[low].any()  # high rows do not train low leaves
    assert high_rows[high].any(axis=(1, 2)).all()
    assert low_rows.any(axis=(1, 2)).all()  # low rows train both (MFH sec. V-A-3)


def test_a_row_is_served_through_its_own_group_only(split_ranker, make_rows):
    features = make_rows(32, seed=0).batch().features
    before = split_ranker(features)["click"].numpy()
    bias = split_ranker.networks[0].towers.bias
    bias.assign(bias + tf.one_hot(0, 8) * 5)  # click&low
    after = split_ranker(features)["click"].numpy()
    bias.assign(bias - tf.one_hot(0, 8) * 5)
    low = features["tag"].numpy() <= 3
    assert (after[low] > before[low]).all()
    np.testing.assert_array_equal(after[~low], before[~low])


def test_losses_are_told_as_served(split_ranker, make_rows):
    batch = make_rows(64, seed=0).batch()
    predicted = split_ranker(batch.features)["click"].numpy()
    label = batch.labels.numpy()[:, 0]
    expected = -np.mean(label * np.log(predicted) + (1 - label) * np.log1p(-predicted))
    found = split_ranker.task_losses(batch).tasks[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


_AITM = ChainConfig(kind="aitm", tasks=("click", "like"))
_BIAS = BiasConfig(features=("tag", "tab"), units=(4,))
# Together they have every part of a ranker; all weights are random, so that a part that
# is wrong shows in the predictions, whatever stands beside it.
_VARIANTS = {
    "single, low-rank cross": {
        "structure": StructureConfig(kind="single"),
        "cross": CrossConfig(layers=1, rank=3),
    },
    "split, bias tower": {
        "structure": StructureConfig(kind="flat", facets=("place",)),
        "bias": _BIAS,
    },
    "esmm, own inputs, unified": {
        "chains": (_ESMM,),
        "towers": {
            "like": TowerConfig(units=(4,), inputs=("age", "history_video_id")),
            "watch": TowerConfig(inputs=("tag",)),
        },
        "unified": UnifiedConfig(buckets=64),
    },
    "nested, cross": {
        "structure": StructureConfig(
            kind="multi_facet",
            facets=("place",),
            levels=(SwitcherConfig(kind="mmoe", units=(8,), experts=2),),
            node=(8,),
        ),
        "cross": CrossConfig(layers=2),
    },
    "attention, aitm": {"chains": (_AITM,)},
}
_TRAINED = {
    "apart": {
        "structure": StructureConfig(kind="single"),
        "weights": WeightsConfig(kind="uncertainty", decay={"click": 0.9}),
    },
    "all features": {
        "bias": _BIAS,
        "cross": CrossConfig(layers=2),
        "towers": {"watch": TowerConfig(units=(4, 8), inputs=("age",))},
        "structure": StructureConfig(facets=("place",), split=("watch", "seconds")),
        "unified": UnifiedConfig(buckets=64),
        "chains": (_AITM,),
        "weights": WeightsConfig(kind="gradnorm", surgery=True),
    },
}


def _with_attention(spec):
    features = tuple(
        dataclasses.replace(f, pooling="attention", target="video_id")
        if f.name == "history_video_id"
        else f
        for f in spec.features
    )
    return dataclasses.replace(spec, features=features)


def _with_other_losses(spec):
    """Of click the order inside requests, too; a quantile, a cumulative loss."""
    request = RequestSpec(session="user_id", seconds=60.0, together=True)
    losses = {
        "click": {"pairwise": 0.5},
        "watch": {"loss": "quantile"},
        "seconds": {"loss": "ordinal"},
    }
    return dataclasses.replace(
        spec,
        log=dataclasses.replace(spec.log, request=request),
        tasks=tuple(
            dataclasses.replace(t, **losses.get(t.name, {})) for t in spec.tasks
        ),
    )


@pytest.fixture(params=list(_VARIANTS))
def variant(request, split_spec, label_means):
    name = request.param
    spec = _with_attention(split_spec) if "attention" in name else split_spec
    return _build(spec, label_means, **_VARIANTS[name])


def test_every_variant_ranks_candidates_as_it_scores_rows(variant, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    query = {k: served[k][1:2] for k in _REQUEST}
    one_user = served | {k: tf.repeat(query[k], 6, axis=0) for k in _REQUEST}
    video = {k: v for k, v in served.items() if k not in _REQUEST}

    @tf.function(
        input_signature=[
            {k: tf.TensorSpec([1, *v.shape[1:]], v.dtype) for k, v in query.items()},
            {k: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for k, v in video.items()},
        ],
        autograph=False,
    )
    def rank(query, video):
        sides = variant.request_side(query), variant.candidate_side(video)
        return variant.from_sides(*sides)

    _assert_same(rank(query, video), variant(one_user), rtol=1e-4)


@pytest.mark.stochastic
@pytest.mark.parametrize("name", list(_TRAINED))
def test_the_step_compiles_and_lowers_the_loss(
    name, split_spec, label_means, make_rows
):
    count = 2 if name == "apart" else 4  # tasks; two are enough to be apart
    spec = dataclasses.replace(split_spec, tasks=split_spec.tasks[:count])
    if name == "all features":
        spec = _with_other_losses(spec)
    ranker = _build(_with_attention(spec), label_means, **_TRAINED[name])
    ranker.compile(optimizer=optimizers.create(ranker.config.optimizer, ranker))
    batch = make_rows(32, seed=0).batch()
    batch = batch._replace(labels=batch.labels[:, :count], masks=batch.masks[:, :count])
    batch.features["key_request"] = batch.features["user_id"] % 5
    step = tf.function(ranker.train_step, jit_compile=True, autograph=False)
    before = ranker.task_losses(batch).tasks.numpy().sum()
    for _ in range(30):
        step(batch)
    assert ranker.task_losses(batch).tasks.numpy().sum() < 0.9 * before


def test_single_networks_share_nothing(split_spec, label_means, make_rows):
    ranker = _build(split_spec, label_means, structure=StructureConfig(kind="single"))
    batch = make_rows(16, seed=0).batch()
    masks = batch.masks.numpy()
    masks[:, 1:] = 0  # click alone has rows
    variables = [n.trainable_variables for n in ranker.networks]
    with tf.GradientTape() as tape:
        total = ranker.task_losses(batch._replace(masks=tf.constant(masks))).total
    found = tape.gradient(total, variables)
    moved = [
        any(np.any(tf.convert_to_tensor(g).numpy()) for g in own if g is not None)
        for own in found
    ]
    assert moved == [True, False, False, False]


def test_a_towers_own_inputs_are_not_read_by_the_others(
    split_spec, label_means, make_rows
):
    towers = {"like": TowerConfig(inputs=("age",))}
    ranker = _build(split_spec, label_means, towers=towers)
    features = make_rows(6, seed=0).batch().features
    other = features | {"age": features["age"] + 1.0}
    before, after = ranker(features), ranker(other)
    assert np.abs(after["like"] - before["like"]).max() > 1e-4
    for task in ("click", "watch", "seconds"):
        np.testing.assert_array_equal(after[task], before[task])


def test_unknown_names_of_a_preset_are_told(spec, config, label_means):
    trail = dataclasses.replace(config.trail, tasks=("clack",))
    wrong = dataclasses.replace(config, trail=trail)
    with pytest.raises(SpecError, match=r"trail\.tasks: is not a task of the spec"):
        Ranker(spec, wrong, label_means)


# --- chains and task weights ----------------------------------------------------------


def test_a_presets_weights_stand_for_the_specs(spec, config, label_means):
    own = Ranker(spec, with_loss_weights(config, {"watch": 7.0}), label_means)
    assert own.task_weights.current(tf.constant(0)).numpy().tolist() == [1, 7, 2, 1]


def test_esmm_multiplies_along_the_chain(spec, label_means, make_rows):
    chain = ChainConfig(kind="esmm", tasks=("click", "like"))
    batch = make_rows(8, seed=0).batch()
    ranker = _build(spec, label_means, chains=(chain,))
    plain = _build(spec, label_means)
    for mine, theirs in zip(ranker.variables, plain.variables, strict=True):
        mine.assign(theirs)
    found, apart = ranker(batch.features), plain(batch.features)
    np.testing.assert_allclose(found["like"], apart["click"] * apart["like"], rtol=1e-5)
    np.testing.assert_allclose(found["click"], apart["click"], rtol=1e-6)


def test_an_untrained_chain_predicts_the_label_means(spec, label_means, make_rows):
    chain = ChainConfig(kind="esmm", tasks=("click", "like"))
    config = read_preset("bottom: [16]")
    ranker = Ranker(spec, dataclasses.replace(config, chains=(chain,)), label_means)
    found = ranker(make_rows(3, seed=0).batch().features)["like"]
    np.testing.assert_allclose(found, [0.02] * 3, rtol=1e-5)


def test_learned_variances_belong_to_the_network_optimizer(spec, label_means):
    ranker = _build(spec, label_means, weights=WeightsConfig(kind="uncertainty"))
    names = [variable.name for variable in ranker.dense_variables]
    assert sum("log_variances" in name for name in names) == 1


def test_gradnorm_moves_its_weights_and_keeps_their_sum(spec, label_means, make_rows):
    ranker = _build(spec, label_means, weights=WeightsConfig(kind="gradnorm"))
    ranker.compile(optimizer=optimizers.create(ranker.config.optimizer, ranker))
    step = tf.function(ranker.train_step, autograph=False)
    for seed in range(5):
        step(make_rows(32, seed=seed).batch())
    weights = ranker.task_weights.weights.numpy()
    assert abs(weights.sum() - 4) < 1e-4
    assert np.abs(weights - 1).max() > 1e-3


def test_bent_gradients_change_only_what_tasks_share(spec, label_means, make_rows):
    batch = make_rows(32, seed=0).batch()
    kinds = [{}, {"surgery": True}, {"kind": "mgda"}, {"kind": "graddrop"}]
    rankers = [_build(spec, label_means, weights=WeightsConfig(**k)) for k in kinds]
    for ranker in rankers:
        sgd = tf.keras.optimizers.legacy.SGD(0.1)
        sgd._create_all_weights(ranker.trainable_variables)  # traced once, then
        ranker.compile(optimizer=sgd)
        tf.function(ranker.train_step, autograph=False)(batch)
    plain, *bent = rankers
    for ranker in bent:
        shared = {v.ref() for v in ranker.networks[0].shared_variables}
        differs = [
            (v.ref() in shared, not np.allclose(v, w, atol=1e-6))
            for v, w in zip(ranker.variables, plain.variables, strict=True)
        ]
        assert any(moved for is_shared, moved in differs if is_shared)
        assert not any(moved for is_shared, moved in differs if not is_shared)


def test_the_first_day_decides_the_class_weights_and_predictions_are_free_of_them(
    spec, label_means
):
    tasks = tuple(
        dataclasses.replace(t, loss="class_balanced", class_balance_beta=0.99)
        if t.name == "like"
        else t
        for t in spec.tasks
    )
    plain, spec = spec, dataclasses.replace(spec, tasks=tasks)
    config = read_preset("bottom: [16]\nimbalance: {click: {positive_weight: 9}}")
    ranker = Ranker(spec, config, label_means, label_rows={"like": 1000.0})
    # 20 positives, 980 negatives: effective numbers (1 - 0.99^n) / 0.01.
    effective = (1 - 0.99 ** np.array([980.0, 20.0])) / 0.01
    expected = 2 / effective / (1 / effective).sum()
    np.testing.assert_allclose(ranker.class_weights[2], expected, rtol=1e-5)
    # Without the weights q / (q + w (1 - q)) is left, wherever it is asked for.
    plain_ranker = Ranker(plain, read_preset("bottom: [16]"), label_means)
    for own, other in zip(plain_ranker.variables, ranker.variables, strict=True):
        own.assign(other)
    features = ranker.example_features(3)
    trained, served = plain_ranker(features), ranker(features)
    q, w = trained["like"].numpy(), expected[1] / expected[0]
    np.testing.assert_allclose(served["like"], q / (q + w * (1 - q)), rtol=1e-5)
    q = trained["click"].numpy()
    np.testing.assert_allclose(served["click"], q / (q + 9 * (1 - q)), rtol=1e-5)
    sides = ranker.request_side(features), ranker.candidate_side(features)
    np.testing.assert_allclose(
        ranker.from_sides(*sides)["like"], served["like"], rtol=1e-5
    )


def test_losses_are_told_over_all_rows_when_negatives_are_sampled(
    spec, label_means, make_rows
):
    rare = dataclasses.replace(spec.task("click"), negative_rate=0.2)
    sampling = dataclasses.replace(spec, tasks=(rare, *spec.tasks[1:]))
    batch = make_rows(256, seed=0).batch()
    no_trail = TrailConfig(dropout=0.0)
    ranker = _build(sampling, label_means, trail=no_trail)
    trained = ranker.task_losses(batch, training=True)
    np.testing.assert_allclose(trained.tasks, ranker.task_losses(batch).tasks)
    assert float(trained.leaf_rows[0]) < 0.8 * 256
    ranker.steps.assign_add(1)  # which draws others
    later = ranker.task_losses(batch, training=True)
    assert float(later.leaves[0]) != float(trained.leaves[0])


def test_balance_is_kept_with_the_first_days_label_means(spec, label_means, make_rows):
    config = read_preset("bottom: [16]\nimbalance: {like: {balance: 0.5}}")
    ranker = Ranker(spec, config, label_means)
    mean = label_means["like"]  # of 1 negative for each positive
    expected = [1, 1, mean / (1 - mean), 1]
    np.testing.assert_allclose(ranker.negative_rates, expected, rtol=1e-5)
    assert any(v is ranker.negative_rates for v in ranker.variables)  # so it is saved
    batch = make_rows(256, seed=0).batch()
    rows = float(ranker.task_losses(batch, training=True).leaf_rows[2])
    positives = float(tf.reduce_sum(batch.labels[:, 2] * batch.masks[:, 2]))
    assert positives <= rows < 0.5 * float(tf.reduce_sum(batch.masks[:, 2]))

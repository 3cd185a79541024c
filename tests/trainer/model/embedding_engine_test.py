"""Tables on the embedding engine against dense ones: the same numbers, off TPU."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import read_preset
from feature_specs.model import StructureConfig, TowerConfig, UnifiedConfig
from feature_specs.spec import FacetSpec
from tpu_configs import SliceConfig
from trainer.days import loop, optimizers
from trainer.days.training import Training
from trainer.model import embedding_engine
from trainer.model.ranker import Ranker

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
DAYS = ("day-20220408", "day-20220409")
_PLACE = FacetSpec(
    name="place",
    feature="tab",
    partitions={"low": (0, 1), "high": (2, 3)},
    default="high",
    train_with={"high": ("low", "high")},
)
_VARIANTS = {
    "plain": {},
    "a network a task": {"structure": StructureConfig(kind="single")},
    "attention, facets": {"structure": StructureConfig(kind="flat", facets=("place",))},
    "own inputs": {
        "towers": {"like": TowerConfig(units=(4,), inputs=("history_video_id", "tag"))}
    },
    "a separate task": {"separate": ("like",)},
}


def on(embedding: str, **changes) -> SliceConfig:
    return dataclasses.replace(SLICE, embedding=embedding, **changes)


def build(slice, spec, config, means, rows=None) -> Ranker:
    tables = optimizers.of_tables(config.optimizer)
    engine = embedding_engine.create(slice, config, tables, rows or slice.batch_size)
    ranker = Ranker(spec, config, means, engine=engine)
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker, tables))
    return ranker


def tables(ranker) -> dict[str, tf.Variable]:
    """Network and table -> variable, wherever it is; trail tables by their name."""
    lent = {id(network.embeddings): network for network in reversed(ranker.networks)}
    named = {
        f"{network.name}_{_plain(v.name)}": v
        for network in lent.values()  # who lends them to others
        for v in network.embeddings.trainable_variables
    }
    named |= {_plain(v.name): v for v in ranker.engine_variables}
    for towers in (ranker.trail_towers.towers, ranker.trail_towers.separate):
        own = towers.embeddings.trainable_variables if towers else ()
        named |= {f"{towers.name}_{_plain(v.name)}": v for v in own}
    return named


def _plain(name: str) -> str:
    return name.removesuffix(":0").split("/")[-1]


def weights(ranker) -> dict[str, np.ndarray]:
    """Name -> value, of all weights and of the tables' slots."""
    adagrad = ranker.optimizer.optimizers[1]
    slots = {
        f"{name} slot": adagrad.get_slot(variable, "accumulator")
        for name, variable in tables(ranker).items()
    }
    dense = {f"dense {i}": v for i, v in enumerate(ranker.dense_variables)}
    return {k: v.numpy() for k, v in (dense | tables(ranker) | slots).items()}


def randomise(ranker) -> None:
    """Weights that follow from their name, and move every prediction."""
    draws = np.random.default_rng(0)
    own = {f"dense {i:3}": v for i, v in enumerate(ranker.dense_variables)}
    for _, variable in sorted((own | tables(ranker)).items()):
        variable.assign(draws.normal(0, 0.3, variable.shape))


def assert_near(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(
            one[name], other[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


def _spec_of(variant, spec):
    if "attention" in variant:
        spec = _changed(
            spec, "history_video_id", pooling="attention", target="video_id"
        )
    if "facets" in variant:
        spec = _changed(spec, "tab", kind="code")
        spec = dataclasses.replace(spec, facets={"place": _PLACE})
    return spec


def _changed(spec, feature, **changes):
    features = tuple(
        dataclasses.replace(f, **changes) if f.name == feature else f
        for f in spec.features
    )
    return dataclasses.replace(spec, features=features)


@pytest.mark.parametrize(
    ("embedding", "variant"),
    [
        ("partial", "plain"),
        ("tpu_embedding", "a network a task"),
        ("tpu_embedding", "attention, facets"),
        ("tpu_embedding", "own inputs"),
        ("tpu_embedding", "a separate task"),
    ],
)
def test_losses_weights_and_predictions_are_those_of_dense_tables(
    embedding, variant, spec, label_means, make_rows
):
    spec = _spec_of(variant, dataclasses.replace(spec, tasks=spec.tasks[::2]))
    config = read_preset("bottom: [16]\ntower: [8]\nembedding_l2: 0.01")
    config = dataclasses.replace(config, **_VARIANTS[variant])
    batch = make_rows(64, seed=0).batch()
    batch = batch._replace(labels=batch.labels[:, ::2], masks=batch.masks[:, ::2])
    found = {}
    for kind in ("dense", embedding):
        ranker = build(on(kind), spec, config, label_means)
        randomise(ranker)
        step = tf.function(ranker.train_step, autograph=False)
        losses = {str(i): step(batch)["loss"].numpy() for i in range(3)}
        found[kind] = losses | ranker(batch.features) | weights(ranker)
    assert_near(found["dense"], found[embedding])


@pytest.mark.parametrize(
    ("embedding", "taken"),
    [
        ("tpu_embedding", {"network_user", "network_video"}),
        ("partial", {"network_video"}),
    ],
)
def test_which_tables_the_engine_takes(embedding, taken, spec, config, label_means):
    ranker = build(on(embedding), spec, config, label_means)
    assert {_plain(v.name) for v in ranker.engine_variables} == taken
    dense = {_plain(v.name) for v in ranker.table_variables}
    assert ("user" in dense) == (embedding == "partial") and "video" not in dense
    assert {"feature_tab", "feature_tag", "feature_trail_position"} <= dense


def test_ranking_reads_the_same_tables(spec, config, label_means, make_rows):
    towers = {"like": TowerConfig(inputs=("user_id",))}
    config = dataclasses.replace(config, towers=towers)
    ranker = build(
        on("tpu_embedding"), _spec_of("attention", spec), config, label_means
    )
    randomise(ranker)
    features = make_rows(5, seed=0).batch().features
    asked = {k: features[k][:1] for k in ("user_id", "history_video_id", "tab")}
    shown = {k: features[k] for k in ("video_id", "tag", "age")}
    repeated = {k: tf.repeat(v, 5, axis=0) for k, v in asked.items()}
    ranked = ranker.from_sides(ranker.request_side(asked), ranker.candidate_side(shown))
    expected = ranker(shown | repeated)
    for task in expected:
        np.testing.assert_allclose(ranked[task], expected[task], rtol=1e-4)
        assert np.ptp(expected[task]) > 0


# --- what TPU v2 to v4 ask for, by TensorFlow's own checks -------------------------------


def test_ids_reach_the_layer_as_the_engine_takes_them(spec, config, days, make_rows):
    training = Training(
        spec, config, on("tpu_embedding"), tf.distribute.get_strategy(), seed=0
    )
    engine = training.ranker.engine
    batch = next(training.sample(days[0][1], 1))
    strict = tf.tpu.experimental.embedding.TPUEmbedding(
        engine.layer._feature_config, engine.layer._optimizer
    )
    seen = []

    @tf.function(autograph=False)
    def step(batch):
        ids = engine.ids(training.of_static_shape(batch).features)
        strict._raise_error_for_non_direct_inputs(ids)
        seen.append(
            strict._get_input_shapes(ids, per_replica=True, in_tpu_context=True)
        )

    step(batch)
    shapes = strict._get_output_shapes_from_input_shapes(seen[0])
    # In the order of their keys: history_video_id, user_id, video_id.
    assert [tuple(s) for s in shapes] == [(64, 4), (64,), (64,)]


def test_an_op_before_the_look_up_would_be_noticed(
    spec, config, label_means, make_rows
):
    engine = build(on("tpu_embedding"), spec, config, label_means).engine
    strict = tf.tpu.experimental.embedding.TPUEmbedding(
        engine.layer._feature_config, engine.layer._optimizer
    )

    @tf.function(autograph=False)
    def step(features):
        strict._raise_error_for_non_direct_inputs(engine.ids(features))

    with pytest.raises(ValueError, match="_tpu_input_identity"):
        step(make_rows(64, seed=0).batch().features)  # sequences as [B, T]


# --- training -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def days(make_rows, tmp_path_factory):
    """Two days of 300 rows: 5 steps each, the last of them 44 rows."""
    folder = tmp_path_factory.mktemp("transformed")
    for seed, day in enumerate(DAYS):
        make_rows(300, seed=seed).write(folder / f"Split-{day}" / "data.gz")
    return [(day, [str(folder / f"Split-{day}" / "data.gz")]) for day in DAYS]


def _trained(spec, config, days, folder, embedding="tpu_embedding", **options):
    return loop.train(
        spec,
        config,
        days,
        checkpoint_dir=str(folder),
        slice=on(embedding),
        options=loop.LoopOptions(checkpoint_steps=4, validate_rows=64, **options),
    )


@pytest.fixture(scope="module")
def first_day(spec, config, days, tmp_path_factory):
    """A training of the first day: its directory, its weights. Copy to go on."""
    folder = tmp_path_factory.mktemp("first")
    return folder, weights(_trained(spec, config, days[:1], folder))


def test_a_training_resumes_with_its_tables(spec, config, days, first_day, tmp_path):
    whole = weights(_trained(spec, config, days, tmp_path / "whole"))
    stopped = shutil.copytree(first_day[0], tmp_path / "stopped")
    resumed = weights(_trained(spec, config, days, stopped))
    loaded = loop.load(spec, config, str(stopped), on("tpu_embedding"))
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
        np.testing.assert_array_equal(value, weights(loaded.ranker)[name], err_msg=name)


def test_two_replicas_give_the_weights_of_dense_tables_on_one(
    two_replicas, spec, config, days
):
    def train(embedding, strategy):
        training = Training(spec, config, on(embedding), strategy, seed=0)
        randomise(training.ranker)
        epoch = training.epoch("day", days[0][1], 0)
        losses = [step[1] for table in epoch for step in table]
        return {"losses": losses} | weights(training.ranker)

    one = train("dense", tf.distribute.get_strategy())
    two = train("tpu_embedding", two_replicas)
    assert one.keys() == two.keys() and len(one["losses"]) == 5
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-3, atol=1e-4, err_msg=name)


# --- refusals -----------------------------------------------------------------------------


def test_unified_tables_are_refused(spec, config, label_means):
    config = dataclasses.replace(config, unified=UnifiedConfig(buckets=64))
    with pytest.raises(
        ValueError, match="'tiny': embedding: must be dense with unified"
    ):
        build(on("tpu_embedding"), spec, config, label_means)


@pytest.mark.parametrize(
    ("generation", "told"),
    [("UNSUPPORTED", "this TPU has no embedding"), ("V2", "SparseCore, which TFRS")],
)
def test_a_tpu_that_cannot_is_told_what_to_do(generation, told):
    kinds = tf.tpu.experimental.HardwareFeature.EmbeddingFeature
    with pytest.raises(RuntimeError, match=f"{told}.*embedding: dense"):
        embedding_engine.check_generation(kinds[generation], on("partial"))
    embedding_engine.check_generation(kinds.V1, on("partial"))


def test_a_checkpoint_knows_where_its_tables_are(
    spec, config, days, first_day, tmp_path
):
    folder, trained = first_day
    loaded = loop.load(spec, config, str(folder), SLICE)  # says dense
    for name, value in weights(loaded.ranker).items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)
    with pytest.raises(ValueError, match="embedding was 'tpu_embedding' and is None"):
        _trained(spec, config, days[:1], folder, "dense")
    other, begin = tmp_path / "other", {"warm_start": str(folder)}
    with pytest.raises(ValueError, match="embedding was 'tpu_embedding' and is None"):
        _trained(spec, config, days[:1], other, "dense", **begin)

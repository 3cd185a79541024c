"""Tasks that train separately from the others (SFV fig. 5a)."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import SpecError, read_preset
from feature_specs.model import CrossConfig, TowerConfig
from feature_specs.preset import check_preset, separate_tasks
from trainer.model.ranker import Ranker

PRESET = """
bottom: [16]
switcher: {kind: mmoe, experts: 2, units: [8]}
tower: [4]
disentangle: 0.1
embedding_l2: 0.01
trail: {units: [4]}
separate: [like]
"""


def _ranker(spec, label_means, **changes):
    """With random weights, where untrained towers have zeros."""
    config = dataclasses.replace(read_preset(PRESET), **changes)
    ranker = Ranker(spec, config, label_means)
    rng = np.random.default_rng(0)
    for variable in ranker.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return ranker


@pytest.fixture(scope="module")
def ranker(spec, label_means):
    """To be read only. With all that may read an embedding."""
    own = {"like": TowerConfig(inputs=("tab",)), "click": TowerConfig(inputs=("tab",))}
    return _ranker(spec, label_means, cross=CrossConfig(layers=1), towers=own)


def _moved_by(ranker, batch, task):
    """Names of the variables on which the task's loss has a slope that is not 0."""
    place = [t.name for t in ranker.spec.tasks].index(task)
    with tf.GradientTape() as tape:
        loss = ranker.task_losses(batch).leaves[
            [leaf.task for leaf in ranker.leaves].index(task)
        ]
    assert float(loss) > 0 and place >= 0
    slopes = tape.gradient(loss, ranker.trainable_variables)
    return {
        v.ref()
        for v, slope in zip(ranker.trainable_variables, slopes, strict=True)
        if slope is not None and np.any(tf.convert_to_tensor(slope))
    }


def test_a_separate_task_moves_no_weight_that_another_moves(ranker, make_rows):
    batch = make_rows(64, seed=0).batch()
    alone = _moved_by(ranker, batch, "like")
    others = [_moved_by(ranker, batch, task) for task in ("click", "watch", "seconds")]
    assert alone and not alone & set.union(*others)
    tables = {v.ref() for v in ranker.networks[0].embeddings.trainable_variables}
    assert not alone & tables
    assert tables <= set.union(*others)  # so there is something to move


def test_it_has_a_bottom_a_tower_and_trail_embeddings_of_its_own(ranker, make_rows):
    alone = _moved_by(ranker, make_rows(64, seed=0).batch(), "like")
    first, own = ranker.networks
    assert [leaf.task for leaf in own.leaves] == ["like"]
    needed = [own.request_layer.kernel, own.candidate_layer.kernel, own.bottom_bias]
    needed += [*own.towers.trainable_variables]
    needed += ranker.trail_towers.separate.embeddings.trainable_variables
    assert {v.ref() for v in needed} <= alone
    assert own.embeddings is first.embeddings


def test_what_it_reads_is_what_the_others_have_learnt(ranker, make_rows):
    """Another user embedding is another prediction of it, although none of its own."""
    batch = make_rows(8, seed=0).batch()
    before = ranker(batch.features)["like"].numpy()
    table = ranker.networks[0].embeddings.trainable_variables[0]
    kept = table.numpy()
    table.assign(kept + 1)
    after = ranker(batch.features)["like"].numpy()
    table.assign(kept)
    assert np.abs(after - before).max() > 1e-3


def test_both_sides_together_are_the_whole_model(ranker, make_rows):
    features = make_rows(6, seed=0).batch().features
    served = {k: v for k, v in features.items() if not k.startswith("trail")}
    of_request = [
        f.name for f in ranker.spec.served_features if f.group in ("query", "context")
    ]
    request = {k: served[k][:1] for k in of_request}
    one_user = served | {k: tf.repeat(request[k], 6, axis=0) for k in of_request}
    video = {k: v for k, v in served.items() if k not in of_request}
    sides = ranker.request_side(request), ranker.candidate_side(video)
    found, expected = ranker.from_sides(*sides), ranker(one_user)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)


def test_sharing_saves_the_weights_of_the_separate_networks(spec, label_means):
    """Fig. 5a beside 5b: a bottom and a tower more, a gate and a tower less."""
    apart, shared = (
        _ranker(spec, label_means, separate=tasks) for tasks in (("like",), ())
    )
    inputs = apart.networks[1].request_layer.kernel.shape[0]
    inputs += apart.networks[1].candidate_layer.kernel.shape[0]
    bottom, tower = inputs * 16 + 16, (16 * 4 + 4) + (4 + 1)
    gate, shared_tower = 16 * 2, (8 * 4 + 4) + (4 + 1)
    assert _weights(apart) - _weights(shared) == bottom + tower - gate - shared_tower


def _weights(ranker):
    """Without embeddings and without trail towers."""
    trail = {v.ref() for v in ranker.trail_towers.trainable_variables}
    own = [v for v in ranker.dense_variables if v.ref() not in trail]
    return sum(v.shape.num_elements() for v in own)


def test_sparse_stands_for_the_tasks_that_the_spec_calls_so(spec):
    tasks = tuple(
        dataclasses.replace(t, sparse=t.name in ("like", "click")) for t in spec.tasks
    )
    sparse = dataclasses.replace(spec, tasks=tasks)
    config = read_preset("separate: [sparse]")
    check_preset(config, sparse)
    assert separate_tasks(config, sparse) == ("click", "like")
    assert separate_tasks(read_preset("separate: [like]"), sparse) == ("like",)
    assert separate_tasks(read_preset("bottom: [8]"), sparse) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("separate: [lik]", "separate: is not a task of the spec. Did you mean 'like'"),
        ("separate: [sparse]", "separate: stands for no task"),
        (
            "separate: [click, watch, like, seconds]",
            "separate: leaves no task to share a network",
        ),
        (
            "separate: [like]\nstructure: {kind: single}",
            "separate: has no use for structure.kind single",
        ),
        (
            "separate: [like]\nchains: [{kind: esmm, tasks: [click, like]}]",
            "separate: is in a chain",
        ),
    ],
)
def test_what_fits_nothing_is_refused(text, told, spec):
    tasks = tuple(dataclasses.replace(t, sparse=False) for t in spec.tasks)
    with pytest.raises(SpecError) as raised:
        check_preset(read_preset(text), dataclasses.replace(spec, tasks=tasks))
    assert told in str(raised.value)

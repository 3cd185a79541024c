"""What is compiled is what training and serving do."""

import numpy as np
import pytest
import tensorflow as tf

from tpu_configs import read_slice
from trainer.preflight import programs

SLICE = read_slice("{like: v5litepod-1, name: one, batch_size: 64, steps_per_call: 2}")


@pytest.fixture
def build(spec, config):
    return lambda: programs.build(spec, config, SLICE, "float32")


def test_step_is_the_one_of_training(build, make_rows, tmp_path):
    path = tmp_path / "day.gz"
    make_rows(64, seed=1).write(path)
    trained, compiled = build(), build()
    (row,) = next(trained.epoch("day", [str(path)], 0))
    order = compiled.order("day", 0)
    batch = next(iter(compiled.distributed([str(path)], order, batches=1)))
    step = programs.training_step(compiled, 64)
    tensors = {**batch.features, **batch._asdict()}
    take = tf.function(step.function, autograph=False)
    found = take(*(tensors[name] for name in step.inputs))
    tf.debugging.assert_near(found, row, rtol=1e-5)
    for mine, theirs in zip(
        compiled.ranker.variables, trained.ranker.variables, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    averaged = zip(compiled.average.pairs(), trained.average.pairs(), strict=True)
    for (mine, _), (theirs, _) in averaged:
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_gradients_of_tables_are_dense_as_on_tpu(build):
    model = build()
    step = programs.training_step(model, 64)
    function = tf.function(step.function, autograph=False)
    graph = function.get_concrete_function(*step.inputs.values()).graph
    kinds = {op.type for op in graph.get_operations()}
    assert not {kind for kind in kinds if "SparseApply" in kind}


def test_rank_is_the_prediction_of_each_candidate(build, make_rows, spec):
    model, rows = build(), make_rows(5, seed=2).batch().features
    program = programs.rank(model, 5)
    asked = {f.name for f in spec.features if f.group in ("query", "context")}
    given = {n: v[:1] if n in asked else v for n, v in rows.items()}
    found = program.function(*(given[name] for name in program.inputs))
    same = {n: tf.repeat(v[:1], 5, 0) if n in asked else v for n, v in rows.items()}
    served = {f.name: same[f.name] for f in spec.served_features}
    for task, expected in model.ranker(served).items():
        tf.debugging.assert_near(found[task], expected, rtol=1e-5)


def test_every_variable_has_a_name(build):
    model = build()
    named = programs.training_step(model, 64).variables
    refs = {variable.ref() for _, variable in named}
    assert {v.ref() for v in model.ranker.trainable_variables} <= refs
    assert {v.ref() for v in model.average.averages.values()} <= refs
    names = [name for name, _ in named]
    assert {"video", "video/accumulator", "steps", "user"} <= set(names)

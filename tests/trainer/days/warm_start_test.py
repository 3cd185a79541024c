"""Weights from another training, whole or what is equal."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tpu_configs import SliceConfig
from trainer.days import checkpoints, loop, warm_start
from trainer.days.encoding import Encoding, Scale
from trainer.days.keys import SLOT, keyed_variables
from trainer.days.state import run_identity
from trainer.days.training import Training

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
_SCALES = {"age": Scale("z", "none", 1.5, 2.0)}
_SIZES = {"room": {"tab": 4}, "base_sizes": {"tab": 2}, "scales": _SCALES}
_ENCODING = Encoding("20220408", vocabularies={"tab": ("a", "b")}, **_SIZES)
_OTHER = Encoding("20220408", vocabularies={"tab": ("b", "a")}, **_SIZES)


@pytest.fixture(scope="module")
def days(make_rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, day in enumerate(("d1", "d2")):
        make_rows(300, seed=seed).write(folder / f"{day}.gz")
    return [(day, [str(folder / f"{day}.gz")]) for day in ("d1", "d2")]


@pytest.fixture(scope="module")
def before(spec, config, days, tmp_path_factory):
    """The directory of a training on the first day."""
    directory = tmp_path_factory.mktemp("before")
    _train(spec, config, days[:1], directory)
    return directory


def _train(spec, config, days, directory, **options):
    return loop.train(
        spec,
        config,
        days,
        checkpoint_dir=str(directory),
        slice=SLICE,
        options=loop.LoopOptions(**options),
        encoding=_ENCODING,
    )


def _values(directory):
    reader = tf.train.load_checkpoint(checkpoints.find(str(directory))[0])
    keys = reader.get_variable_to_shape_map()
    return {k: reader.get_tensor(k) for k in keys if k.startswith("ranker/")}


def _own(training):
    root = tf.train.Checkpoint(ranker=training.ranker, average=training.average)
    return dict(keyed_variables(root))


def test_keys_are_those_of_a_checkpoint(spec, config, before):
    training = Training(spec, config, SLICE, tf.distribute.get_strategy(), seed=0)
    saved = tf.train.load_checkpoint(checkpoints.find(str(before))[0])
    shapes = saved.get_variable_to_shape_map()
    weights = {k for k in shapes if k.startswith(("ranker/", "average/"))}
    assert {k for k in _own(training) if "/_" not in k} == weights
    assert any(".OPTIMIZER_SLOT" in key for key in weights)
    assert any("towers" in key for key in weights)


def test_it_goes_on_as_the_other_training_would(spec, config, days, before, tmp_path):
    _train(spec, config, days[1:], tmp_path / "new", warm_start=str(before))
    _train(spec, config, days, tmp_path / "whole")
    for key, value in _values(tmp_path / "whole").items():
        found = _values(tmp_path / "new")[key]
        np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-7, err_msg=key)


def test_a_changed_model_is_refused_and_what_changed_is_listed(
    spec, config, days, before, tmp_path
):
    wider = dataclasses.replace(config, tower=(12,))
    with pytest.raises(ValueError, match=r"preset.tower was \[8\] and is \[12\]"):
        _train(spec, wider, days[1:], tmp_path, warm_start=str(before))


def test_a_directory_without_checkpoints_is_refused(spec, config, days, tmp_path):
    with pytest.raises(ValueError, match="--warm_start .*: must hold a checkpoint"):
        _train(spec, config, days, tmp_path / "a", warm_start=str(tmp_path / "b"))


def test_equal_weights_of_a_changed_model_are_taken(
    spec, config, days, before, tmp_path
):
    wider = dataclasses.replace(config, tower=(12,))
    strategy = tf.distribute.get_strategy()
    training = Training(spec, wider, SLICE, strategy, seed=9, first_files=days[0][1])
    fresh = {key: value.numpy() for key, value in _own(training).items()}
    run = run_identity(spec, wider, 64, "float32", 9)
    warm_start.start(training, run, str(before), partial=True, encoding=_ENCODING)
    own, other = _own(training), _values(before)
    taken = [k for k, v in other.items() if k in own and own[k].shape == v.shape]
    for key in taken:
        np.testing.assert_array_equal(own[key], other[key], key)
    left = [k for k in other if k in own and k not in taken]
    assert left and all("tower" in key for key in left)
    for key in left:
        np.testing.assert_array_equal(own[key], fresh[key], key)
    assert any(SLOT in key and "embeddings" in key for key in taken)
    options = {"warm_start": str(before), "warm_start_partial": True}
    _train(spec, wider, days[1:], tmp_path, **options)  # and it trains


def test_a_table_of_another_vocabulary_is_not_taken(spec, config, days, before):
    strategy = tf.distribute.get_strategy()
    training = Training(spec, config, SLICE, strategy, seed=9, first_files=days[0][1])
    fresh = {key: value.numpy() for key, value in _own(training).items()}
    run = run_identity(spec, config, 64, "float32", 9)
    rule = r"same spec, preset and encoding. vocabulary tab was .*a, b.* is .*b, a"
    with pytest.raises(ValueError, match=rule):
        warm_start.start(training, run, str(before), partial=False, encoding=_OTHER)
    warm_start.start(training, run, str(before), partial=True, encoding=_OTHER)
    own, other = _own(training), _values(before)
    (table,) = (key for key in other if "/feature_tab/" in key and SLOT not in key)
    np.testing.assert_array_equal(own[table], fresh[table])
    (average,) = (k for k in own if ".Sfeature_tab" in k)
    np.testing.assert_array_equal(own[average], fresh[average])  # nor its average
    assert not np.array_equal(fresh[table], other[table])
    (equal,) = (key for key in other if "/feature_tag/" in key and SLOT not in key)
    np.testing.assert_array_equal(own[equal], other[equal])

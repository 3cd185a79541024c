"""Which days are left, and whether a checkpoint belongs to this run."""

import pytest

from trainer.state import (
    TrainingState,
    days_to_train,
    finished_days,
    read_state,
    run_identity,
)

import tensorflow as tf  # isort: skip


def _state(*days: str) -> TrainingState:
    return TrainingState({}, [{"day": day} for day in days])


def test_finished_days_are_left_out():
    assert days_to_train(["d1", "d2", "d3"], _state("d1")) == ["d2", "d3"]


def test_later_days_alone_go_on_from_the_checkpoint():
    assert days_to_train(["d3", "d4"], _state("d1", "d2")) == ["d3", "d4"]


def test_a_day_before_the_last_finished_one_is_refused():
    with pytest.raises(ValueError, match="Day 'd2': must come after .* is 'd3'"):
        days_to_train(["d1", "d2", "d3", "d4"], _state("d1", "d3"))


def test_days_earlier_than_the_checkpoint_are_refused():
    with pytest.raises(ValueError, match="Day 'd2'.* Got .* d3, d4. .* another dir"):
        days_to_train(["d1", "d2"], _state("d1", "d2", "d3", "d4"))
    assert days_to_train(["d2"], _state("d1", "d2")) == []


def test_finished_days_of_the_latest_checkpoint(tmp_path):
    assert finished_days(str(tmp_path)) == []
    text = tf.Variable(_state("d1", "d2").to_json())
    tf.train.Checkpoint(state=text).save(str(tmp_path / "ckpt"))
    assert finished_days(str(tmp_path)) == ["d1", "d2"]


def test_a_changed_run_is_refused_by_name(spec, config, tmp_path):
    run = run_identity(spec, config, batch_size=8, precision="float32", seed=0)
    text = tf.Variable(TrainingState(run).to_json())
    path = tf.train.Checkpoint(state=text).save(str(tmp_path / "ckpt"))
    assert read_state(path, run) == TrainingState(run)
    other = run_identity(spec, config, batch_size=8, precision="float32", seed=3)
    with pytest.raises(ValueError, match="seed was 0 and is 3"):
        read_state(path, other)
    assert run["preset.switcher.experts"] == 3

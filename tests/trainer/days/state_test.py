"""Which days are left, and whether a checkpoint belongs to this run."""

import pytest

from trainer.days.state import (
    Position,
    TrainingState,
    check_run,
    days_to_train,
    load_state,
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


def test_a_half_trained_day_must_be_the_next_one():
    state = TrainingState({}, [{"day": "d1"}], Position("d2", batch=7))
    assert days_to_train(["d1", "d2", "d3"], state) == ["d2", "d3"]
    for days in (["d1"], ["d1", "d3"]):
        with pytest.raises(ValueError, match="'d2': is half trained"):
            days_to_train(days, state)


def test_the_state_comes_back_from_a_checkpoint(tmp_path):
    position = Position("d2", epoch=1, batch=7, sums={"rows": 3}, validation={"a": 1})
    state = TrainingState({"seed": 1}, [{"day": "d1"}], position)
    checkpoint = tf.train.Checkpoint(state=tf.Variable(state.to_json()))
    assert load_state(checkpoint.save(str(tmp_path / "ckpt"))) == state


def test_a_changed_run_is_refused_by_name(spec, config):
    run = run_identity(spec, config, batch_size=8, precision="float32", seed=0)
    check_run(TrainingState(run), run, "c")
    other = run_identity(spec, config, batch_size=8, precision="float32", seed=3)
    with pytest.raises(ValueError, match="seed was 0 and is 3"):
        check_run(TrainingState(run), other, "c")
    assert run["preset.switcher.experts"] == 3

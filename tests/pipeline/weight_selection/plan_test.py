"""Who plays the new task, with which presets; and what cannot be selected."""

import dataclasses

import pytest

from feature_specs import read_preset, read_spec
from feature_specs.preset import weighted
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.options import WeightOptions
from pipeline.weight_selection.plan import make_plan
from tests.trainer.conftest import SPEC

_SPARSE = """
  - {name: comment, kind: binary, label: "is_like = 1", sparse: true, loss_weight: 3}
  - {name: share, kind: binary, label: "is_like = 1", sparse: true, loss_weight: 9}
  - {name: follow, kind: binary, label: "is_like = 1", sparse: true}
fusion:"""
_FEW = WeightOptions(weights=(100, 10), candidates=(5, 2), rivals=("gradnorm", "grid"))


@pytest.fixture(scope="module")
def rare():
    """Three sparse tasks beside `click`, `watch`, `like` and `seconds`."""
    return read_spec(SPEC.replace("\nfusion:", _SPARSE))


def _preset(text=""):
    return read_preset("switcher: {kind: shared_bottom, units: [4]}\n" + text)


def _plan(rare, task="share", options=_FEW, text=""):
    return make_plan(rare, "mine", _preset(text), task, options)


def _weights(rare, config):
    tasks = {task.name: task.loss_weight for task in weighted(rare, config).tasks}
    return tasks["comment"], tasks["share"], tasks["follow"], tasks["like"]


def test_each_existing_sparse_task_plays_the_new_one(rare):
    plan = _plan(rare)
    assert plan.roles == ("comment", "follow")
    trained = {
        role: {w: _weights(rare, config) for w, (_, config) in by_weight.items()}
        for role, by_weight in plan.trained.items()
    }
    assert trained == {  # the new one is not trained, the rest keep their weights
        "comment": {1: (1, 0, 1, 2), 10: (10, 0, 1, 2), 100: (100, 0, 1, 2)},
        "follow": {1: (3, 0, 1, 2), 10: (3, 0, 10, 2), 100: (3, 0, 100, 2)},
        "share": {1: (3, 1, 1, 2)},
    }
    assert plan.others("comment", rare) == (
        *("click", "watch", "like", "seconds", "follow"),
    )


def test_rivals_train_the_new_task_on_all_weights_or_learn_its(rare):
    plan = _plan(rare)
    grid = {w: _weights(rare, config) for w, (_, config) in plan.grid.items()}
    assert grid == {1: (3, 1, 1, 2), 2: (3, 2, 1, 2), 5: (3, 5, 1, 2)}
    ((name, config),) = plan.rivals.values()
    assert (name, config.weights.kind) == ("mine gradnorm", "gradnorm")
    assert _weights(rare, config) == (3, 1, 1, 2)
    assert len(plan.asked) == 3 + 3 + 3 + 1  # share=1 is both a grid's and a feature's


def test_roles_may_be_named(rare):
    options = dataclasses.replace(_FEW, existing=("share", "comment"))
    assert _plan(rare, "follow", options).roles == ("comment", "share")


def test_what_is_trained_separately_plays_nothing(rare):
    with pytest.raises(WeightSelectionError, match="2 sparse tasks at least") as error:
        _plan(rare, text="separate: [follow]")
    assert "Got comment." in str(error.value)


@pytest.mark.parametrize(
    ("task", "flags", "text", "told"),
    [
        ("shar", {}, "", "--new_task 'shar': must be a task .* mean 'share'"),
        ("like", {}, "", "'like': must be a sparse .* calls sparse: comment, share"),
        ("share", {"existing": ("like",)}, "", "'like': must be of comment, follow:"),
        ("share", {"existing": ("follow",)}, "", "2 sparse tasks .* Got follow"),
        ("share", {"importance": {"x": 1}}, "", "--importance 'x': must be a task"),
        ("share", {}, "separate: [sparse]", "must train 'share' with the other tasks"),
        ("share", {}, "structure: {kind: single}", "must train 'share' with the other"),
        ("share", {}, "weights: {kind: uniform}", "must have fixed weights. Got .*uni"),
        ("share", {}, "loss_weights: {nope: 2}", "(?s)--preset mine: .*nope"),
    ],
)
def test_what_cannot_be_selected_is_told(rare, task, flags, text, told):
    options = dataclasses.replace(_FEW, **flags)
    with pytest.raises(WeightSelectionError, match=told):
        _plan(rare, task, options, text)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"sample": 0}, "--sample: must be above 0, at most 1. Got 0."),
        ({"sample": 1.5}, "--sample: must be above 0, at most 1. Got 1.5."),
        ({"weights": (1, 2000)}, "--weights: must be from 1 to 1000. Got 2000."),
        ({"weights": (1,)}, "--weights: must be two different ones"),
        ({"candidates": (2, 2)}, "--candidates: must be two different ones"),
        ({"candidates": (0.5, 2)}, "--candidates: must be from 1 to 1000. Got 0.5."),
        ({"seeds": 0}, "--seeds: must be at least 1. Got 0."),
        ({"runs": 0}, "--runs: must be at least 1. Got 0."),
        ({"eval_days": 0}, "--eval_days: must be at least 1. Got 0."),
        ({"importance": {"like": -1}}, "--importance: must be 0 or more. Got -1."),
        ({"rivals": ("uniform", "best")}, "--rivals: must be of uniform, .* Got best."),
    ],
)
def test_options_are_checked_at_once(flags, told):
    with pytest.raises(WeightSelectionError, match=told):
        WeightOptions(**flags)

"""From trainings to a choice, on a metric that is known in closed form."""

import math

import numpy as np
import pytest

from feature_specs import read_preset, read_spec
from pipeline.compare.trials import Result
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.labels import TaskLabels
from pipeline.weight_selection.learning import learn_weight
from pipeline.weight_selection.metric import combined_metric
from pipeline.weight_selection.options import WeightOptions
from pipeline.weight_selection.plan import make_plan
from tests.trainer.conftest import SPEC

_RATES = {"a": 1e-1, "b": 3e-2, "c": 1e-2, "d": 3e-3, "e": 1e-3}
_OPTIONS = WeightOptions(weights=(1, 10, 100, 1000))
_SEEDS = (0, 1)


@pytest.fixture(scope="module")
def spec():
    head, _, rest = SPEC.partition("tasks:")
    tasks = "".join(
        f'\n  - {{name: {name}, kind: binary, label: "is_like = 1", sparse: true}}'
        for name in _RATES
    )
    click = '\n  - {name: click, kind: binary, label: "is_click = 1"}'
    return read_spec(
        f"{head}tasks:{click}{tasks}\nfusion:{rest.partition('fusion:')[2]}"
    )


def _best(task):
    """The log of the weight with the largest M: the rarer, the larger."""
    return -math.log(_RATES[task])


def _auc(task, weight, seed):
    """A hill over the log of the weight, on a level of each task's and seed's own."""
    level = 0.5 + 0.1 * seed + 0.02 * list(_RATES).index(task)
    return level - 0.01 * (math.log(weight) - _best(task)) ** 2


def _gain(task, weight):
    return _auc(task, weight, 0) - _auc(task, 1, 0)


def _result(role, weight, seed, **changes):
    tasks = len(_RATES) + 1
    scores = {name: {"auc": 0.5} for name in ("click", *_RATES)}
    scores[role] = {"auc": _auc(role, weight, seed)}
    layer = {
        "name": "bottom",
        "norms": [1.0, *(10 * rate for rate in _RATES.values())],
        "cosines": np.eye(tasks).tolist(),
    }
    values = {
        "key": "",
        "preset": "",
        "seed": seed,
        "weights": 1,
        "days": [],
        "evaluation": [],
        "seconds": 1.0,
        "scores": scores,
        "positives": {},
        "diverged": "",
        "config": {},
        "layers": [layer],
    }
    return Result(**(values | changes))


def _trained(plan):
    return {
        (name, seed): _result(role, weight, seed)
        for role, by_weight in plan.trained.items()
        for weight, (name, _) in by_weight.items()
        for seed in _SEEDS
    }


def _learn(spec, task, change=lambda trained, plan: None, runs=1):
    config = read_preset("switcher: {kind: shared_bottom, units: [4]}")
    plan = make_plan(spec, "mine", config, task, _OPTIONS)
    rows = 100_000.0
    labels = {
        name: TaskLabels(rows=rows, total=rows * rate, squares=rows * rate)
        for name, rate in {"click": 0.5, **_RATES}.items()
    }
    trained = _trained(plan)
    change(trained, plan)
    return learn_weight(
        plan,
        spec,
        trained,
        dict.fromkeys(_SEEDS, labels),
        combined_metric(spec, {}, labels),
        runs=runs,
        candidates=_OPTIONS.ordered_candidates,
    )


@pytest.fixture(scope="module")
def learned(spec):
    """For the task `c`, whose top is at a weight of 100."""
    return _learn(spec, "c", runs=3)


def test_the_weight_of_a_task_between_the_existing_ones_is_found(learned):
    assert _gain("c", learned.choice) > 0.9 * _gain("c", 100)  # which is the top
    assert len(learned.votes) == 3
    assert learned.predicted.shape == (3, 10)
    truth = [_gain("c", weight) for weight in _OPTIONS.ordered_candidates]
    error = np.abs(learned.predicted.mean(axis=0) - truth)
    assert error.max() < 0.4 * np.ptp(truth)


def test_examples_are_gains_over_weight_1_of_the_same_seed(learned):
    assert len(learned.examples) == 4 * 4 * len(_SEEDS)
    gains = learned.measured("e")
    assert gains[1.0] == [0, 0]
    assert gains[100.0] == pytest.approx([_gain("e", 100)] * 2)
    # Of the new task's own training, over both seeds; five other tasks have 0.5.
    assert learned.level == pytest.approx(
        5 * 0.5 + np.mean([_auc("c", 1, seed) for seed in _SEEDS])
    )


def test_an_existing_task_is_judged_by_g_of_the_others(learned):
    assert set(learned.held_out) == {"a", "b", "d", "e"}
    own = learned.held_out["d"]
    assert own.best == 1000  # 333, the top, lies nearer to it than to 100
    assert own.best_gain == pytest.approx(_gain("d", 1000))
    assert own.gain == pytest.approx(_gain("d", own.choice))
    assert own.choice >= 100


def test_features_beyond_all_examples_are_named(learned, spec):
    assert "log label mean" not in learned.outside
    assert "log label mean" in _learn(spec, "e").outside


def test_a_training_that_diverged_is_no_example(spec):
    def diverge(trained, plan):
        name, _ = plan.trained["d"][100.0]
        lost = _result("d", 100.0, 1, scores={}, diverged="NaN", layers=[])
        trained[name, 1] = lost

    found = _learn(spec, "c", diverge)
    assert len(found.examples) == 4 * 4 * len(_SEEDS) - 1
    assert len(found.measured("d")[100.0]) == 1


def test_without_the_new_tasks_own_training_nothing_is_chosen(spec):
    def diverge(trained, plan):
        name, _ = plan.trained["c"][1.0]
        for seed in _SEEDS:
            trained[name, seed] = _result("c", 1.0, seed, scores={}, diverged="NaN")

    with pytest.raises(WeightSelectionError, match="weight of c diverged"):
        _learn(spec, "c", diverge)

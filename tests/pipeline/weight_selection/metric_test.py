"""The combined metric M against arithmetic by hand."""

import math

import pytest

from pipeline.weight_selection.labels import TaskLabels
from pipeline.weight_selection.metric import combined_metric

_SCORES = {
    "click": {"auc": 0.7, "log_loss": 0.6},
    "watch": {"rmse": 3.0, "mse": 9.0},
    "like": {"auc": 0.8},
    "seconds": {"rmse": 0.5, "mse": 0.25},
}


def _labels(rows, total, squares):
    return TaskLabels(rows=rows, total=total, squares=squares)


@pytest.fixture
def judging():
    return {
        "click": _labels(100, 30, 30),
        "watch": _labels(4, 20, 164),  # 1, 1, 9, 9: standard deviation 4
        "like": _labels(100, 1, 1),
        "seconds": _labels(2, 2, 4),  # 0, 2: standard deviation 1
    }


def test_aucs_add_up_less_errors_in_standard_deviations(spec, judging):
    metric = combined_metric(spec, {}, judging)
    assert metric.of(_SCORES) == pytest.approx(0.7 + 0.8 - 3 / 4 - 0.5 / 1)


def test_importance_and_what_is_not_trained(spec, judging):
    metric = combined_metric(spec, {"like": 3, "seconds": 0}, judging)
    assert metric.of(_SCORES) == pytest.approx(0.7 + 3 * 0.8 - 0.75)
    assert metric.of(_SCORES, {"like"}) == pytest.approx(0.7 - 0.75)


@pytest.mark.parametrize("total", [0, 100])
def test_a_task_with_one_label_only_is_left_out_and_told(spec, judging, total):
    judging["like"] = _labels(100, total, total)
    metric = combined_metric(spec, {}, judging)
    assert metric.left_out == ("like",)
    scores = _SCORES | {"like": {"auc": math.nan}}
    assert metric.of(scores) == pytest.approx(0.7 - 0.75 - 0.5)


def test_a_training_that_diverged_has_none(spec, judging):
    assert math.isnan(combined_metric(spec, {}, judging).of({}))

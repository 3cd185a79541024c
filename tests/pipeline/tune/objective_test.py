"""What a trial is worth: means by hand, directions, and what does not count."""

import math

import pytest

from pipeline.tune.errors import TuneError
from pipeline.tune.objective import choose_objective


def _day(click, like, watch, *, likes=100):
    return {
        "auc": {"click": click, "like": like},
        "log_loss": {"click": 1 - click},
        "r2": {"watch": watch, "seconds": watch},
        "positives": {"click": 100, "like": likes},
    }


def test_the_mean_over_tasks_of_the_mean_over_days(spec):
    found = choose_objective(spec)
    assert str(found) == "mean of AUC of click, like; R² of watch, seconds"
    value = found.of_days([_day(0.7, 0.6, 0.1), _day(0.9, 0.8, 0.3)])
    assert value == pytest.approx((0.8 + 0.7 + 0.2 + 0.2) / 4)


def test_a_day_with_few_positives_or_without_a_value_does_not_count(spec):
    found = choose_objective(spec, ["click.auc", "like.auc"])
    days = [_day(0.7, 0.6, 0.1), _day(0.9, 0.1, 0.3, likes=99)]
    assert found.of_days(days) == pytest.approx((0.8 + 0.6) / 2)
    days = [_day(0.7, None, 0.1)]
    assert found.of_days(days) == pytest.approx(0.7)
    assert choose_objective(spec, ["like.auc"]).of_days(days) is None


def test_log_loss_is_better_when_lower(spec):
    found = choose_objective(spec, ["click.log_loss"])
    assert found.of_days([_day(0.7, 0.6, 0.1)]) == pytest.approx(-0.3)
    assert str(found) == "minus the mean of log loss of click"


def test_scores_of_compare_are_worth_the_same(spec):
    found = choose_objective(spec)
    scores = {
        "click": {"auc": 0.7, "gauc": 0.1},
        "like": {"auc": 0.2},
        "watch": {"mse": 3.0, "r2": 0.1},
        "seconds": {"r2": math.nan},
    }
    value = found.of_scores(scores, {"click": 100, "like": 99})
    assert value == pytest.approx((0.7 + 0.1) / 2)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["clik.auc"], "Did you mean 'click.auc'"),
        (["watch.auc"], "--metric 'watch.auc'"),
        (["click"], "TASK.METRIC"),
        (["click.auc", "click.auc"], "names one twice"),
        (["click.auc", "click.log_loss"], "log loss has a unit"),
        (["watch.r2", "click.log_loss"], "log loss has a unit"),
    ],
)
def test_what_cannot_be_averaged_is_told(spec, wanted, message):
    with pytest.raises(TuneError, match=message):
        choose_objective(spec, wanted)

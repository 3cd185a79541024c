"""The section `evaluation`: its limits, which tasks they are for, and the defaults."""

import re

import pytest

from feature_specs import SpecError, read_spec, views


def test_a_spec_without_the_section_is_judged(good):
    found = read_spec(good.replace("evaluation: {slices: [tab, user_group]}\n", ""))
    evaluation = found.evaluation
    assert evaluation.gate == "judge" and evaluation.slices == ()
    assert (evaluation.baselines, evaluation.draws) == (3, 1000)
    assert (evaluation.max_auc_drop, evaluation.confidence) == (0.01, 0.95)
    assert evaluation.infra.latency_ms == evaluation.infra.size_mb == 0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("min_gauc: {lik: 0.6}", r"min_gauc\.lik: is no task.*'like'"),
        ("miscalibration: {lik: 2}", r"miscalibration\.lik: is no task"),
        ("miscalibration: {like: 0.9}", r"miscalibration\.like: must be a factor of"),
        ("max_rmse: {like: 3}", r"max_rmse\.like: is a binary task; only regressions"),
        ("confidence: 1", r"confidence: must be at least 0\.5 and below 1"),
        ("draws: 10", r"draws: must be from 100 to 100,000"),
        ("gate: off", r"gate: must be "),
        ("infra: {latency_ms: -1}", r"infra\.latency_ms: must be 0 or more"),
        ("baselines: -1", r"baselines: must be from 0 to 100"),
    ],
)
def test_each_mistake_is_named(mistakes, said, message):
    told = mistakes("{slices", "{" + said + ", slices")
    assert any(re.search(message, one) for one in told), told


def test_slices_limits_need_slices(mistakes):
    told = mistakes("{slices: [tab, user_group]", "{min_slice_auc: {like: 0.6}")
    (one,) = told
    assert one.startswith("evaluation.min_slice_auc: has no use without `slices`")


@pytest.mark.parametrize("key", ["min_auc", "min_gauc", "min_slice_auc"])
def test_a_regression_has_no_auc(good, key):
    text = good.replace("{slices", "{" + key + ": {like: 0.6}, slices")
    text = text.replace("name: like, kind: binary", "name: like, kind: regression")
    rule = rf"{key}\.like: is a regression task; only probabilities have an AUC"
    with pytest.raises(SpecError, match=rule):
        read_spec(text)


def test_a_regression_may_have_an_error(good):
    text = good.replace("{slices", "{max_rmse: {like: 3}, slices")
    text = text.replace("name: like, kind: binary", "name: like, kind: regression")
    assert read_spec(text).evaluation.max_rmse == {"like": 3.0}


def test_limits_have_no_order(good):
    one, other = (
        read_spec(good.replace("{slices", "{miscalibration: {" + order + "}, slices"))
        for order in ("like: 2, well: 3", "well: 3, like: 2")
    )
    assert views.digest(one) == views.digest(other)

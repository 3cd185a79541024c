"""Every metric against pairs counted by hand, and against scikit-learn's."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from pipeline.reporting import metrics

_NAN, _INF = math.nan, math.inf


@pytest.fixture(scope="module")
def drawn():
    """Users, labels, and scores with many ties, of 500 rows."""
    draw = np.random.default_rng(0)
    users = draw.integers(0, 40, 500)
    labels = (draw.random(500) < 0.3).astype(np.float32)
    scores = draw.integers(1, 20, 500) / 20
    return users, labels, scores


# --- AUC -------------------------------------------------------------------------------


def test_auc_counts_pairs_and_half_of_the_ties():
    # Pairs (positive, negative): .9>.5, .9>.1, .5=.5 (half), .5>.1 -> 3.5 of 4.
    assert metrics.auc([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1]) == 3.5 / 4
    # Positives 3, 2, 2 and negatives 2, 1: of six pairs four are in order, two tie.
    assert metrics.auc([1, 1, 0, 0, 1], [3, 2, 1, 2, 2]) == (4 + 2 / 2) / 6


def test_auc_is_scikit_learn_s(drawn):
    _, labels, scores = drawn
    expected = reference.roc_auc_score(labels, scores)
    assert metrics.auc(labels, scores) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "columns",
    [
        lambda labels, scores: (labels.tolist(), scores.tolist()),
        lambda labels, scores: (pl.Series(labels), pl.Series(scores)),
        lambda labels, scores: (labels > 0, -1 / scores),  # the order alone counts
    ],
)
def test_columns_may_be_lists_series_and_truths(drawn, columns):
    _, labels, scores = drawn
    assert metrics.auc(*columns(labels, scores)) == metrics.auc(labels, scores)


def test_equal_scores_are_a_coin():
    assert metrics.auc([1, 0, 0], [0.0, -0.0, 0.0]) == 0.5


@pytest.mark.parametrize("labels", [[], [1], [1, 1, 1], [0, 0]])
def test_no_pair_is_no_number(labels):
    assert math.isnan(metrics.auc(labels, np.arange(len(labels))))


def test_infinite_scores_have_an_order():
    assert metrics.auc([0, 0, 1, 1], [-_INF, 0.0, 1.0, _INF]) == 1


def test_nan_is_refused_and_counted():
    # As a rank NaN is the highest: this would be the perfect 1.0.
    with pytest.raises(
        metrics.NotFiniteError,
        match="scores must be numbers. Got 2 of 4 that are NaN.",
    ):
        metrics.auc([1, 1, 0, 0], [_NAN, _NAN, 0.1, 0.2])
    with pytest.raises(metrics.NotFiniteError, match="labels must be numbers. Got 1"):
        metrics.auc([1, _NAN, 0], [0.3, 0.2, 0.1])
    with pytest.raises(metrics.NotFiniteError, match="scores must be numbers. Got 1"):
        metrics.auc(pl.Series([1, 0, 0]), pl.Series([0.3, None, 0.1]))


def test_labels_are_0_or_1():
    with pytest.raises(metrics.MetricError, match="labels: must be 0 or 1. Got 2."):
        metrics.auc([0, 2, 1], [0.1, 0.2, 0.3])


def test_columns_are_as_long_as_each_other():
    with pytest.raises(
        metrics.MetricError, match="scores: must be as many as the labels, 2. Got 3."
    ):
        metrics.auc([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(metrics.MetricError, match=r"one-dimensional. Got shape \(2, 1"):
        metrics.auc([0, 1], [[0.1], [0.2]])
    with pytest.raises(metrics.MetricError, match="users: must be as many"):
        metrics.gauc([1], [0, 1], [0.1, 0.2])


def test_expected_auc_by_hand():
    # Two rows: (a positive, b negative) has .8 * .7 = .56, the other way .2 * .3 = .06.
    # a is above b: .56 of .62.
    assert metrics.expected_auc([0.8, 0.3], [2, 1]) == pytest.approx(0.56 / 0.62)
    assert metrics.expected_auc([0.8, 0.3], [1, 1]) == pytest.approx(0.5)
    assert math.isnan(metrics.expected_auc([0.5], [1]))


def test_expected_auc_is_the_mean_over_labels():
    # Of all 16 labels of four rows, each pair's share over the pairs' share.
    chances, scores = np.array([0.9, 0.6, 0.5, 0.2]), np.array([3, 1, 2, 1])
    won = pairs = 0.0
    for bits in range(16):
        labels = np.array([bits >> row & 1 for row in range(4)])
        weight = np.prod(np.where(labels, chances, 1 - chances))
        gaps = scores[labels == 1][:, None] - scores[labels == 0]
        won += weight * ((gaps > 0) + (gaps == 0) / 2).sum()
        pairs += weight * gaps.size
    assert metrics.expected_auc(chances, scores) == pytest.approx(won / pairs)


def test_sure_chances_are_labels(drawn):
    _, labels, scores = drawn
    assert metrics.expected_auc(labels, scores) == metrics.auc(labels, scores)


def test_chances_are_from_0_to_1():
    with pytest.raises(metrics.MetricError, match="from 0 to 1. Got 0.5 to 1.5."):
        metrics.expected_auc([0.5, 1.5], [1, 2])
    with pytest.raises(metrics.NotFiniteError, match="chances must be numbers. Got 1"):
        metrics.expected_auc([0.5, _NAN], [1, 2])
    with pytest.raises(metrics.NotFiniteError, match="scores must be numbers. Got 1"):
        metrics.expected_auc([0.5, 0.4], [1, _NAN])


def test_auc_error_is_hanley_and_mcneil_s():
    # A = 0.8, 50 positives, 50 negatives: Q1 = 2/3, Q2 = 1.28/1.8 = 0.71111;
    # (0.16 + 49 * (0.66667 - 0.64) + 49 * (0.71111 - 0.64)) / 2500 = 0.0019804
    expected = math.sqrt(0.0019804)
    assert metrics.auc_error(0.8, 50, 50) == pytest.approx(expected, rel=1e-4)


def test_an_area_without_a_pair_has_no_error():
    assert math.isnan(metrics.auc_error(_NAN, 5, 0))
    with pytest.raises(metrics.NotFiniteError, match="area must be numbers"):
        metrics.auc_error(_NAN, 5, 5)
    with pytest.raises(metrics.MetricError, match="area: must be from 0 to 1. Got 1.1"):
        metrics.auc_error(1.1, 5, 5)


# --- GAUC ------------------------------------------------------------------------------


def test_gauc_weighs_users_by_rows_and_leaves_out_one_sided_ones():
    users = ["a", "a", "b", "b", "b", "b", "c", "c"]
    labels = [1, 0, 1, 0, 0, 0, 1, 1]
    scores = [0.2, 0.9, 0.8, 0.1, 0.1, 0.9, 0.5, 0.6]
    # User a: 0 of 1; user b: 2 of 3; user c has no negative.
    expected = (2 * 0.0 + 4 * 2 / 3) / 6
    assert metrics.gauc(users, labels, scores) == pytest.approx(expected)


def test_gauc_is_the_mean_of_scikit_learn_s_areas(drawn):
    users, labels, scores = drawn
    areas, rows = [], []
    for user in np.unique(users):
        own = users == user
        if 0 < labels[own].sum() < own.sum():
            areas.append(reference.roc_auc_score(labels[own], scores[own]))
            rows.append(own.sum())
    expected = np.average(areas, weights=rows)
    assert metrics.gauc(users, labels, scores) == pytest.approx(expected, rel=1e-12)


def test_gauc_refuses_nan():
    # The user's NaN would be his highest score: 1.0 again.
    with pytest.raises(metrics.NotFiniteError, match="scores must be numbers. Got 1"):
        metrics.gauc([1, 1], [1, 0], [_NAN, 0.1])
    with pytest.raises(metrics.NotFiniteError, match="labels must be numbers. Got 1"):
        metrics.gauc([1, 1], [_NAN, 0], [0.2, 0.1])
    with pytest.raises(metrics.MetricError, match="must be 0 or 1. Got 0.5."):
        metrics.gauc([1, 1], [0.5, 0], [0.2, 0.1])


def test_no_user_with_both_labels_is_no_number():
    assert math.isnan(metrics.gauc([1, 2], [1, 0], [0.2, 0.1]))
    assert math.isnan(metrics.gauc([], [], []))


# --- means -----------------------------------------------------------------------------


def test_calibration_is_predicted_over_seen():
    assert metrics.calibration([1, 0, 1], [0.5, 0.25, 0.25]) == 0.5
    assert math.isnan(metrics.calibration([0, 0], [0.5, 0.25]))


def test_log_loss_is_scikit_learn_s(drawn):
    _, labels, scores = drawn
    chances = scores.clip(0, 0.99)
    expected = reference.log_loss(labels, chances)
    assert metrics.log_loss(labels, chances) == pytest.approx(expected, rel=1e-9)


def test_a_sure_mistake_costs_a_finite_loss():
    # -log(1e-7) = 16.118; the other row is right, for sure.
    assert metrics.log_loss([1, 0], [0.0, 0.0]) == pytest.approx(16.1181 / 2, rel=1e-5)
    # Half a label: the entropy of a coin is log 2.
    assert metrics.log_loss([0.5], [0.5]) == pytest.approx(math.log(2))
    assert math.isnan(metrics.log_loss([], []))


def test_rmse_by_hand():
    assert metrics.rmse([1, 2, 3, 4], [1, 2, 3, 6]) == 1  # sqrt(2^2 / 4)
    assert math.isnan(metrics.rmse([], []))


@pytest.mark.parametrize("metric", ["calibration", "log_loss", "rmse"])
@pytest.mark.parametrize("bad", [_NAN, _INF, -_INF])
def test_means_refuse_what_is_no_number(metric, bad):
    find = getattr(metrics, metric)
    said = "must be numbers. Got 1 of 2 that are NaN or infinite."
    with pytest.raises(metrics.NotFiniteError, match=f"predictions {said}"):
        find([1.0, 0.0], [0.5, bad])
    with pytest.raises(metrics.NotFiniteError, match=f"labels {said}"):
        find([1.0, bad], [0.5, 0.5])
    with pytest.raises(metrics.MetricError, match="predictions: must be as many"):
        find([1.0, 0.0], [0.5])


def test_what_must_be_finite_is_named_with_advice():
    metrics.require_finite("weights", [1.0, 2.0])
    with pytest.raises(
        metrics.NotFiniteError,
        match=r"^weights must be numbers. Got 2 of 3 that are NaN or infinite. Do it\.$",
    ):
        metrics.require_finite("weights", [1.0, _NAN, _INF], "Do it.")

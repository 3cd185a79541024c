"""Orders inside groups against values by hand, all orders of ties, and scikit-learn."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from pipeline.reporting import metrics, ranking
from pipeline.reporting.ranking import Groups, Order

_NAN = math.nan


@pytest.fixture(scope="module", params=[np.float32, np.float64])
def drawn(request):
    """60 groups of 1 to 12 rows: ids, gains with ties, labels, scores with ties."""
    draw = np.random.default_rng(3)
    ids = np.repeat(np.arange(60), draw.integers(1, 13, 60))
    gains = draw.integers(0, 4, len(ids)) / 2
    scores = (draw.integers(-3, 5, len(ids)) / 4).astype(request.param)
    return ids, gains, (draw.random(len(ids)) < 0.4).astype(np.float32), scores


def _each(ids, function):
    """A value of each group, computed on its rows alone."""
    return np.array([function(ids == number) for number in np.unique(ids)])


def test_groups_are_runs_of_equal_ids():
    groups = Groups.of([5, 5, 2, 2, 2, 5], list("aabbba"))
    assert groups.starts.tolist() == [0, 2, 5]
    assert groups.sizes.tolist() == [2, 3, 1]
    assert groups.index.tolist() == [0, 0, 1, 1, 1, 2]
    assert groups.is_mixed([1, 2, 3, 3, 3, 0]).tolist() == [True, False, False]
    assert Groups.of([1, 1], [7, 8]).starts.tolist() == [0, 1]


def test_ndcg_by_hand():
    # Order 2, 0, 3 of gains: 2 / log2 2 + 0 + 3 / log2 4 = 3.5; the best of 3, 2, 0 is
    # 3 + 2 / log2 3. Of the first place alone: 2 of 3.
    groups = Groups.of([1, 1, 1, 2, 2])
    order = Order.of(groups, [0.9, 0.5, 0.1, 0.7, 0.2])
    gains = [2, 0, 3, 1, 1]
    found = ranking.ndcg(order, gains, 3)
    assert found[0] == pytest.approx(3.5 / (3 + 2 / math.log2(3)))
    assert math.isnan(found[1])  # no order of 1, 1 is better
    assert ranking.ndcg(order, gains, 1)[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("k", [1, 3, 50])
def test_ndcg_is_scikit_learn_s(drawn, k):
    ids, gains, _, scores = drawn

    def of_one(rows):
        if gains[rows].min() == gains[rows].max():
            return _NAN
        return reference.ndcg_score([gains[rows]], [scores[rows]], k=k)

    found = ranking.ndcg(Order.of(Groups.of(ids), scores), gains, k)
    np.testing.assert_allclose(found, _each(ids, of_one), rtol=1e-12)


def test_ties_are_the_mean_of_all_their_orders():
    labels, scores, k = [1, 0, 0, 1, 1], [3, 2, 2, 2, 1], 2
    order = Order.of(Groups.of([0] * 5), scores)
    hits = []
    for tied in itertools.permutations([1, 2, 3]):
        hits.append(sum(labels[row] for row in [0, *tied, 4][:k]))
    precision, recall = ranking.at_top(order, labels, k)
    assert precision[0] == pytest.approx(np.mean(hits) / k)
    assert recall[0] == pytest.approx(np.mean(hits) / 3)


def test_precision_of_a_short_group_goes_by_its_rows():
    order = Order.of(Groups.of([1, 1, 2, 2]), [2, 1, 2, 1])
    labels = [0, 1, 1, 1]
    precision, recall = ranking.at_top(order, labels, 10)
    assert precision[0] == 0.5  # one of two, not of ten
    assert recall[0] == 1
    assert math.isnan(precision[1]) and math.isnan(recall[1])  # all positive
    assert ranking.at_top(order, labels, 1)[1][0] == 0


def test_the_auc_of_each_group_is_scikit_learn_s(drawn):
    ids, _, labels, scores = drawn

    def of_one(rows):
        if labels[rows].min() == labels[rows].max():
            return _NAN
        return reference.roc_auc_score(labels[rows], scores[rows])

    found = ranking.group_auc(Order.of(Groups.of(ids), scores), labels)
    np.testing.assert_allclose(found, _each(ids, of_one), rtol=1e-12)


def test_gauc_is_the_mean_of_the_groups_weighted_by_rows(drawn):
    ids, _, labels, scores = drawn
    groups = Groups.of(ids)
    areas = ranking.group_auc(Order.of(groups, scores), labels)
    known = ~np.isnan(areas)
    mean = np.average(areas[known], weights=groups.sizes[known])
    assert mean == pytest.approx(metrics.gauc(ids, labels, scores), rel=1e-12)


def test_both_sorts_give_the_same_order():
    draw = np.random.default_rng(5)
    ids = np.sort(draw.integers(0, 9, 300))
    extreme = [0.0, -0.0, math.inf, -math.inf, 1e-45, -1e-45, 3e38, -3e38, 0.5, -0.5]
    scores = draw.choice(np.array(extreme, np.float32), 300)
    single, double = (
        Order.of(Groups.of(ids), values) for values in (scores, scores.astype(float))
    )
    np.testing.assert_array_equal(single.before, double.before)
    np.testing.assert_array_equal(single.through, double.through)
    np.testing.assert_array_equal(scores[single.rows], scores[double.rows])


def test_no_row_is_no_group():
    order = Order.of(Groups.of([]), [])
    assert len(ranking.ndcg(order, [], 5)) == 0
    assert len(ranking.group_auc(order, [])) == 0
    assert math.isnan(ranking.xauc([], []))


def test_nan_is_refused():
    with pytest.raises(metrics.NotFiniteError, match="Got 1 of 2 that are NaN"):
        Order.of(Groups.of([1, 1]), [_NAN, math.inf])
    with pytest.raises(metrics.NotFiniteError, match="scores must be numbers. Got 1"):
        ranking.xauc([1, 2], [0.5, _NAN])
    with pytest.raises(metrics.MetricError, match="one a row, 2"):
        Order.of(Groups.of([1, 1]), [0.5])


# --- XAUC ------------------------------------------------------------------------------


def _counted_pairs(labels, scores) -> float:
    right = pairs = 0.0
    for a, b in itertools.combinations(range(len(labels)), 2):
        if labels[a] != labels[b]:
            pairs += 1
            by_score = np.sign(scores[a] - scores[b])
            right += (1 + by_score * np.sign(labels[a] - labels[b])) / 2
    return right / pairs


def test_xauc_counts_all_pairs_with_different_labels():
    # (3, 1) is right, (3, 2) tied, (1, 2) right; (2, 2) is no pair, nor counts the tie.
    assert ranking.xauc([3, 1, 2], [0.9, 0.1, 0.9]) == pytest.approx(2.5 / 3)
    assert ranking.xauc([2, 1, 2], [0.9, 0.1, 0.9]) == pytest.approx(1)
    draw = np.random.default_rng(1)
    labels, scores = draw.integers(0, 6, 80), draw.integers(0, 9, 80) / 3
    expected = _counted_pairs(labels, scores)
    assert ranking.xauc(labels, scores) == pytest.approx(expected, rel=1e-12)
    assert ranking.xauc(labels, 2.5 - scores) == pytest.approx(1 - expected, rel=1e-12)


def test_xauc_of_two_labels_is_the_auc(drawn):
    _, _, labels, scores = drawn
    expected = reference.roc_auc_score(labels, scores)
    assert ranking.xauc(labels, scores) == pytest.approx(expected, rel=1e-12)


def test_xauc_without_an_order():
    assert math.isnan(ranking.xauc([2, 2], [0.1, 0.9]))
    assert ranking.xauc([1, 2], [0.5, 0.5]) == 0.5
    assert ranking.xauc([1, 2, 3], [-math.inf, 0, math.inf]) == 1
    tau = stats.kendalltau([1, 2, 3, 4], [1, 3, 2, 4]).statistic
    assert ranking.xauc([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx((1 + tau) / 2)

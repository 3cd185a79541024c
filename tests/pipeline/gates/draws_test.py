"""Groups of users, draws of them, and intervals that hold together."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from feature_specs import read_spec
from pipeline.evaluation import task_sums, user_sums
from pipeline.evaluation.rows import Rows
from pipeline.evaluation.user_sums import UserSums
from pipeline.gates.draws import GROUPS, Draws, bound, groups_of
from pipeline.reporting import metrics
from tests.tiny_spec import TINY_SPEC

_LIKE = read_spec(
    TINY_SPEC.replace("name: good, kind", "name: like, kind").replace(
        "good: 1.0", "like: 1.0"
    )
).tasks[0]


def test_a_user_is_in_one_group_whatever_stands_beside_it():
    groups = groups_of(pl.Series([7, -3, 2**62]))
    assert groups_of(pl.Series([2**62, 7])).tolist() == [groups[2], groups[0]]
    assert groups.min() >= 0 and groups.max() < GROUPS
    names = groups_of(pl.Series(["a", "b", "c"]))
    assert groups_of(pl.Series(["c", "a"])).tolist() == [names[2], names[0]]


@pytest.mark.parametrize("as_text", [False, True])
def test_users_with_ids_in_a_row_are_spread(as_text):
    users = pl.Series(np.arange(100 * GROUPS))
    groups = groups_of(users.cast(pl.String) if as_text else users)
    counts = np.bincount(groups, minlength=GROUPS)
    assert counts.min() > 50 and counts.max() < 150  # 100, and 5 deviations of 10


def test_each_draw_has_all_groups_once_on_average():
    counts = Draws(500).counts
    assert (counts.sum(axis=1) == GROUPS).all()
    # A multinomial's: mean 1, variance 1 - 1 / G.
    assert counts.var() == pytest.approx(1 - 1 / GROUPS, rel=0.02)


def test_rows_are_drawn_alike_every_time():
    np.testing.assert_array_equal(Draws(200).counts, Draws(200).counts)


def test_groups_have_the_sums_of_their_users():
    users = pl.Series([1, 2, 3])
    grouped = Draws(100).grouped(
        UserSums(users, {"label": np.array([1.0, 2, 4]), "rows": np.array([3.0, 3, 9])})
    )
    groups = groups_of(users)
    assert grouped.users.to_list() == sorted(groups)  # those without a user are out
    places = np.searchsorted(grouped.users.to_numpy(), groups)
    assert grouped.sums["label"][places].tolist() == [1, 2, 4]
    assert grouped.total("label") == 7 and grouped.value("label_mean") == 7 / 15


@pytest.fixture(scope="module")
def rows(any_seed):
    """1,500 rows of 60 users, whose rows are alike."""
    generator = np.random.default_rng(any_seed)
    users = generator.integers(0, 60, 1_500)
    taste = generator.normal(0, 1, 60)[users]
    labels = generator.random(1_500) < 1 / (1 + np.exp(2 - taste))
    noise = generator.normal(0, 0.5, (2, 1_500))
    one, other = np.round(0.3 * labels + 0.2 * taste + noise, 1).astype(np.float32)
    frame = pl.DataFrame(
        {
            "key_user": users,
            "label_like": labels.astype(np.float32),
            "mask_like": np.ones(1_500),
            "prediction_like": one,
            "prediction_like@1": other,
        }
    )
    return frame.sort("key_user")


def test_what_is_drawn_is_the_metric_of_the_drawn_rows(rows):
    """Of a value and of a difference. AUCs leave out the pairs between two groups that
    a draw has beyond its share: with 60 users whose rows are much alike, a spread is
    right within a tenth all the same, and a draw within a quarter of it."""
    draws = Draws(100)
    times = draws.counts[:40, groups_of(rows["key_user"])].astype(int)
    labels = rows["label_like"].to_numpy()
    exact, found = {}, {}
    for column in ("prediction_like", "prediction_like@1"):
        sums = task_sums.sums_by_user(Rows.of(rows), _LIKE, column)
        grouped = draws.grouped(user_sums.of_frame(sums))
        found[column] = draws.of_metric("auc", grouped)[:40]
        values = rows[column].to_numpy()
        exact[column] = np.array(
            [metrics.auc(np.repeat(labels, t), np.repeat(values, t)) for t in times]
        )
    one, other = exact
    for near, true in (
        (found[one], exact[one]),
        (found[one] - found[other], exact[one] - exact[other]),
    ):
        assert np.std(near) == pytest.approx(np.std(true), rel=0.1)
        assert np.std(near - true) < 0.25 * np.std(true)


@pytest.mark.parametrize("comparisons", [1, 20])
def test_intervals_hold_together(comparisons, any_seed):
    """Of independent normal losses the largest stays below the quantile of a normal to
    the power of how many there are."""
    generator = np.random.default_rng(any_seed)
    errors = generator.uniform(0.1, 3, comparisons)
    drawn = generator.normal(0, errors, (20_000, comparisons))
    losses = np.zeros(comparisons)
    low, high, width = bound(losses, drawn, 0.95)
    assert width == pytest.approx(stats.norm.ppf(0.95 ** (1 / comparisons)), abs=0.06)
    np.testing.assert_allclose(high, -low)
    np.testing.assert_allclose(high, width * errors, rtol=0.05)


def test_comparisons_that_say_the_same_count_once(any_seed):
    one = np.random.default_rng(any_seed).normal(0, 1, (5_000, 1))
    _, _, alone = bound(np.zeros(1), one, 0.95)
    _, _, copied = bound(np.zeros(9), np.repeat(one, 9, axis=1), 0.95)
    assert copied == pytest.approx(alone)


def test_a_loss_that_never_moves_has_no_width():
    low, high, _ = bound(np.array([0.5]), np.full((100, 1), 0.5), 0.95)
    assert (low[0], high[0]) == (0.5, 0.5)

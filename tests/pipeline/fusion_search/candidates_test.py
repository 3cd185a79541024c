"""What an order comes to, by hand."""

import dataclasses

import numpy as np
import pytest

from pipeline.fusion_search.candidates import VALUE, Candidates


@pytest.fixture
def two_groups():
    """Of one user each; under weights [1] the rows stand as they are listed."""
    return Candidates(
        users=np.array([0, 0, 0, 1, 1]),
        group=np.array([0, 0, 0, 1, 1]),
        rest=np.zeros(5),
        factors=np.array([[3.0], [2.0], [1.0], [2.0], [1.0]]),
        gains=np.array([0.0, 1.0, 0.0, 2.0, 2.0]),
        labels={"like": np.array([1.0, 0.0, 1.0, 0.0, 1.0])},
        known={"like": np.array([1.0, 0.0, 1.0, 1.0, 1.0])},
        k=2,
    )


def test_the_value_is_the_mean_ndcg_of_groups_whose_gains_differ(two_groups):
    found = two_groups.measure(np.array([1.0]), [VALUE])[VALUE]
    np.testing.assert_array_equal(found.under, [1, 0])
    assert found.ratio == pytest.approx(1 / np.log2(3))  # second of the first group


def test_a_rate_is_discounted_and_of_the_sample_space(two_groups):
    found = two_groups.measure(np.array([1.0]), ["like"])["like"]
    second = 1 / np.log2(3)
    np.testing.assert_allclose(found.over, [1, second])
    np.testing.assert_allclose(found.under, [1, 1 + second])


def test_what_is_not_searched_takes_part_in_the_order(two_groups):
    turned = dataclasses.replace(two_groups, rest=np.array([0.0, 1.5, 3, 0, 2]))
    found = turned.measure(np.array([1.0]), ["like"])["like"]
    np.testing.assert_allclose(found.over[1], 1)


def test_sums_by_user_are_those_of_the_users_groups(two_groups):
    one_user = dataclasses.replace(two_groups, users=np.array([7, 7, 7, 7, 7]))
    found = one_user.measure(np.array([1.0]), ["like"])["like"]
    by_user = one_user.by_user(found)
    assert by_user.over == pytest.approx([found.over.sum()])
    assert by_user.ratio == pytest.approx(found.ratio)


def test_rows_that_are_taken_keep_their_groups(two_groups):
    part = two_groups.take(two_groups.users == 1)
    assert len(part) == 2 and len(part.groups) == 1
    np.testing.assert_array_equal(part.gains, [2, 2])

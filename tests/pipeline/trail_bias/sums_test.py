"""Rows -> sums, by hand."""

import fractions

import numpy as np
import pytest

from pipeline.trail_bias.sums import (
    COUNT,
    POSITIVE_WEIGHT,
    POSITIVES,
    WEIGHT,
    Sums,
    add_up,
    place,
    sum_rows,
)

_RANDOM, _FEED = 0, 1


def _cells(sums: Sums, measure: int) -> np.ndarray:
    """Sums over groups of users [T, 2, B]."""
    return sums.cells[..., measure].sum(axis=-1)


@pytest.mark.parametrize(
    ("length", "bins", "weights"),
    [
        (4, [0, 0, 1, 1], [1_000_000] * 4),  # middles 1/8, 3/8, 5/8, 7/8
        # Middles 0.1, 0.3, 0.5, 0.7, 0.9; 5 / 2 over two and over three of them.
        (5, [0, 0, 1, 1, 1], [1_250_000] * 2 + [833_333] * 3),
        (3, [0, 1, 1], [1_500_000, 750_000, 750_000]),
    ],
)
def test_impressions_lie_where_their_middle_is(length, bins, weights):
    found, weight = place(np.arange(1, length + 1), np.full(length, length), 2)
    assert found.tolist() == bins
    assert weight.tolist() == weights


def test_a_trail_weighs_the_same_in_every_bin():
    for length in range(10, 80):
        positions = np.arange(1, length + 1)
        found, weight = place(positions, np.full(length, length), 10)
        middles = [
            fractions.Fraction(2 * k - 1, 2 * length) for k in positions.tolist()
        ]
        assert found.tolist() == [int(middle * 10) for middle in middles]
        per_bin = np.bincount(found, weight, minlength=10)
        np.testing.assert_allclose(per_bin, length * 1e5, atol=length)


def test_counts_and_weights_of_both_slices(study_of, trail, frame_of):
    rows = trail(1, 5, drawn=[1, 0, 0, 1, 0], liked=[1, 1, 0, 0, 1])
    rows += trail(2, 4, drawn=[0, 1, 1, 0], liked=[0, 1, 1, None])
    sums = sum_rows(frame_of(rows), study_of())
    like = 0
    # User 1 has positions 1, 2 and 3, 4, 5 in the bins, user 2 has 1, 2 and 3, 4.
    assert _cells(sums, COUNT)[like].tolist() == [[2, 2], [2, 2]]  # one label is null
    assert _cells(sums, POSITIVES)[like].tolist() == [[2, 1], [1, 1]]
    one, two, three = 1_000_000, 1_250_000, 833_333
    assert _cells(sums, WEIGHT)[like].tolist() == [
        [two + one, three + one],
        [two + one, 2 * three],
    ]
    assert _cells(sums, POSITIVE_WEIGHT)[like].tolist() == [
        [two + one, one],
        [two, three],
    ]
    assert sums.lengths == {4: 1, 5: 1}


def test_the_sample_space_bounds_a_task(study_of, trail, frame_of):
    rows = trail(1, 4, seen=[1, 0, 1, 0], liked=[1, 1, 0, 1])
    sums = sum_rows(frame_of(rows), study_of())
    assert _cells(sums, COUNT)[:, _FEED].tolist() == [[2, 2], [1, 1]]
    assert _cells(sums, POSITIVES)[:, _FEED].tolist() == [[2, 1], [1, 0]]


def test_filtered_rows_keep_their_place_in_the_trail(study_of, trail, frame_of):
    rows = trail(1, 4, watched=[-1, 5_000, 5_000, -1])
    sums = sum_rows(frame_of(rows), study_of())
    assert sums.lengths == {4: 1}
    assert _cells(sums, COUNT)[0, _FEED].tolist() == [1, 1]


def test_a_repeated_row_counts_once(study_of, trail, frame_of):
    sums = sum_rows(frame_of(trail(1, 4) + trail(1, 4)[:2]), study_of())
    assert _cells(sums, COUNT)[0, _FEED].tolist() == [2, 2]


def test_short_trails_are_counted_only(study_of, trail, frame_of):
    rows = trail(1, 3) + trail(1, 3, minute=31 + 1) + trail(2, 3, tab=[0, 1, 1])
    sums = sum_rows(frame_of(rows), study_of())
    assert sums.lengths == {1: 1, 2: 1, 3: 2}
    assert not sums.cells.any()


def test_trails_that_may_go_on_outside_the_days_are_cut(study_of, trail, frame_of):
    begins_late = trail(1, 4, minute=-12 * 60 + 29)  # after 29 minutes of the day
    begins = trail(2, 4, minute=-12 * 60 + 30)
    ends = trail(3, 4, minute=11 * 60 + 29, watched=[0, 0, 0, 30_000])  # ends 23:30:00
    ends_late = trail(4, 4, minute=11 * 60 + 29, watched=[0, 0, 0, 30_001])
    sums = sum_rows(frame_of(begins_late + begins + ends + ends_late), study_of())
    assert (sums.cut, sums.lengths) == (2, {4: 2})


def test_sums_do_not_depend_on_who_shares_a_shard(study_of, trail, frame_of):
    study = study_of(groups=7)
    users = {
        uid: trail(uid, 4 + uid % 5, drawn=[(uid + k) % 2 for k in range(4 + uid % 5)])
        for uid in range(20)
    }
    rows = [row for trails in users.values() for row in trails]
    whole = sum_rows(frame_of(rows), study)
    parts = [
        sum_rows(frame_of([row for row in rows if row["uid"] % 3 == part]), study)
        for part in range(3)
    ]
    together = add_up(parts, study)
    np.testing.assert_array_equal(together.cells, whole.cells)
    assert (together.lengths, together.cut) == (whole.lengths, whole.cut)
    assert (whole.cells[0, ..., COUNT].sum(axis=(0, 1)) > 0).sum() == 7  # all groups


def test_users_without_an_id_share_a_group(study_of, trail, frame_of):
    rows = trail(1, 4) + [dict(row, uid=None) for row in trail(2, 4)]
    sums = sum_rows(frame_of(rows), study_of())
    assert _cells(sums, COUNT)[0, _FEED].tolist() == [4, 4]


def test_no_row_left_gives_empty_sums(study_of, trail, frame_of):
    sums = sum_rows(frame_of(trail(1, 4, watched=[-1] * 4)), study_of())
    assert not sums.cells.any()
    assert add_up([], study_of()).lengths == {}

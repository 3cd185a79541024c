"""Ranks of a value within its group, from histograms that shards add up."""

import bisect
import math

import numpy as np
import polars as pl
import pytest

from feature_specs.past import QuantileSpec
from pipeline.examples.columns.quantiles import add_quantiles, add_up, histogram, none
from tests.pipeline.examples.columns.past_rows import (
    make_frame,
    make_spec,
    random_rows,
    row,
)


def _spec(**options):
    quantile = {"name": "q", "value": "watched / 1000.0", "step": 1.0, "max": 10.0}
    return make_spec(quantiles=(QuantileSpec(**(quantile | options)),))


def _ranks(spec, training, rows):
    histograms = histogram(make_frame(training), spec)
    return add_quantiles(make_frame(rows), histograms, spec)["q"].to_list()


def _watched(*watched, **values):
    return [row(n, watched=ms, **values) for n, ms in enumerate(watched)]


def test_a_rank_counts_lower_bins_and_half_of_its_own():
    training = _watched(0, 999, 1_000, 5_500)
    rows = _watched(0, 1_999, 3_000, 5_000, 9_000)
    # of 4: half of 2; 2 and half of 1; 3; 3 and half of 1; 4
    assert _ranks(_spec(), training, rows) == [0.25, 0.625, 0.75, 0.875, 1.0]


def test_values_are_clipped_at_zero_and_max():
    training = _watched(-3_000, 0, 10_000, 50_000)
    assert _ranks(_spec(), training, training) == [0.25, 0.25, 0.75, 0.75]
    (counts,) = histogram(make_frame(training), _spec())
    assert counts.tolist() == [[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]]


def test_a_step_that_does_not_divide_max_has_a_shorter_last_bin():
    (counts,) = histogram(make_frame(_watched(9_999, 60_000)), _spec(step=4.0))
    assert counts.tolist() == [[0, 0, 2]]


def test_groups_have_ranks_of_their_own_and_begin_at_their_boundary():
    spec = _spec(by="length", boundaries=(5_000.0, 8_000.0))
    lengths = [4_999, 5_000, 7_999, 8_000]
    training = [
        row(n, watched=1_000 * n, length=length) for n, length in enumerate(lengths)
    ]
    (counts,) = histogram(make_frame(training), spec)
    assert np.argwhere(counts).tolist() == [[0, 0], [1, 1], [1, 2], [2, 3]]
    assert _ranks(spec, training, training) == [0.5, 0.25, 0.75, 0.5]


def test_a_group_without_training_rows_has_no_ranks():
    spec = _spec(by="length", boundaries=(5_000.0,))
    rows = _watched(0, length=1) + _watched(0, length=9_000)
    assert _ranks(spec, rows[:1], rows) == [0.5, None]
    assert _ranks(spec, [], rows) == [None, None]


def test_rows_without_a_value_or_a_group_count_nowhere():
    spec = _spec(value="share", by="author", boundaries=(2.0,))
    pairs = [(0.5, 1), (None, 1), (0.5, None), (math.nan, 1)]
    rows = [row(n, share=share, author=a) for n, (share, a) in enumerate(pairs)]
    assert _ranks(spec, rows, rows) == [0.5, None, None, None]


def test_an_infinite_value_has_no_rank():
    rows = [row(n, share=share) for n, share in enumerate([math.inf, -math.inf, 3.0])]
    assert _ranks(_spec(value="share"), rows, rows) == [None, None, 0.5]


def test_histograms_of_shards_add_up():
    quantiles = (
        QuantileSpec(name="q", value="watched", step=1_000.0, max=60_000.0),
        QuantileSpec(
            name="r", value="length", by="tab", boundaries=(1.0,), step=7.0, max=99.0
        ),
    )
    spec = make_spec(quantiles=quantiles)
    rows = random_rows(2)
    whole = histogram(make_frame(rows), spec)
    parts = [histogram(make_frame(rows[n::3]), spec) for n in range(3)]
    added = add_up([none(spec), add_up(parts[:2]), parts[2]])
    assert [counts.shape for counts in added] == [(1, 61), (2, 15)]
    assert added[0].sum() == len(rows) > added[1].sum()
    for one, other in zip(added, whole, strict=True):
        assert one.dtype == np.int64
        np.testing.assert_array_equal(one, other)


def test_a_spec_without_quantiles_adds_nothing():
    frame = make_frame([row()])
    assert add_quantiles(frame, add_up([none(make_spec())]), make_spec()).equals(frame)


def test_no_rows_give_a_column_of_the_right_type():
    spec = _spec()
    found = add_quantiles(make_frame([]), none(spec), spec)
    assert found.schema["q"] == pl.Float64


@pytest.mark.parametrize("seed", range(3))
def test_random_rows_equal_plain_loops(seed):
    rows = random_rows(seed)
    training = rows[::2]
    spec = _spec(
        value="watched / 7.0",
        by="length",
        boundaries=(1.0, 60_000.0),
        step=0.3,
        max=700.0,
    )
    groups = [[], [], []]
    for r in training:
        groups[_group(r)].append(_bin(r))
    wanted = []
    for r in rows:
        bins = sorted(groups[_group(r)])
        lower = bisect.bisect_left(bins, _bin(r))
        same = bisect.bisect_right(bins, _bin(r)) - lower
        wanted.append((lower + same / 2) / len(bins))
    assert _ranks(spec, training, rows) == pytest.approx(wanted, rel=1e-12)


def _group(r):
    return sum(boundary <= r["length"] for boundary in (1.0, 60_000.0))


def _bin(r):
    return math.floor(min(max(r["watched"] / 7.0, 0), 700.0) / 0.3)

"""AUC, GAUC, RMSE and their errors against values worked out by hand."""

import math

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.evaluation import quality as evaluation

_SPEC = read_spec(
    """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, liked: int64}
  outcomes: [liked]
features:
  - {name: user_id, group: query, kind: id, table: video}
  - {name: video_id, group: candidate, kind: id, table: video}
tables: {video: {buckets: 10}}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: stay, kind: regression, label: "liked"}
fusion: {weights: {like: 1}}
"""
)


def test_auc_counts_pairs_and_half_of_the_ties():
    labels = np.array([1, 0, 1, 0])
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    # Pairs (positive, negative): .9>.5, .9>.1, .5=.5 (half), .5>.1 -> 3.5 of 4.
    assert evaluation.auc(labels, scores) == 3.5 / 4


def test_auc_needs_both_classes():
    assert math.isnan(evaluation.auc(np.ones(3), np.arange(3.0)))


def test_auc_equals_pair_counting_on_random_scores():
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.3).astype(int)
    scores = rng.integers(0, 20, 200).astype(float)
    above = [
        (p > n) + 0.5 * (p == n)
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    assert evaluation.auc(labels, scores) == pytest.approx(np.mean(above))


def test_auc_error_is_hanley_and_mcneil_s():
    # A = 0.8, 50 positives, 50 negatives: Q1 = 2/3, Q2 = 1.28/1.8 = 0.71111;
    # (0.16 + 49 * (0.66667 - 0.64) + 49 * (0.71111 - 0.64)) / 2500 = 0.0019804
    expected = math.sqrt(0.0019804)
    assert evaluation.auc_error(0.8, 50, 50) == pytest.approx(expected, rel=1e-4)


def test_gauc_weighs_users_by_rows_and_leaves_out_one_sided_ones():
    users = [1, 1, 2, 2, 2, 2, 3, 3]
    labels = np.array([1, 0, 1, 0, 0, 0, 1, 1])
    scores = np.array([0.2, 0.9, 0.8, 0.1, 0.1, 0.9, 0.5, 0.6])
    # User 1: 0 of 1; user 2: 2 of 3; user 3 has no negative.
    expected = (2 * 0.0 + 4 * 2 / 3) / 6
    assert evaluation.gauc(users, labels, scores) == pytest.approx(expected)


def _predictions() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key_user": [1, 1, 2, 2],
            "key_item": [1, 2, 1, 2],
            "key_time_ms": [1, 2, 3, 4],
            "label_like": [1.0, 0.0, 1.0, 0.0],
            "mask_like": [1.0, 1.0, 1.0, 0.0],
            "prediction_like": [0.6, 0.2, 0.1, 0.9],
            "label_stay": [1.0, 2.0, 3.0, 4.0],
            "mask_stay": [1.0, 1.0, 1.0, 1.0],
            "prediction_stay": [1.0, 2.0, 3.0, 6.0],
        }
    )


def test_rows_outside_the_sample_space_do_not_count():
    like, _ = evaluation.measure(_SPEC, _predictions())
    assert (like.rows, like.positives) == (3, 2)
    assert like.auc == 0.5  # 0.6 > 0.2, 0.1 < 0.2
    assert like.label_mean == pytest.approx(2 / 3)
    assert like.calibration == pytest.approx((0.9 / 3) / (2 / 3))


def test_regression_is_compared_with_the_label_mean():
    _, stay = evaluation.measure(_SPEC, _predictions())
    assert stay.rmse == 1.0  # sqrt(2^2 / 4)
    assert stay.constant_rmse == pytest.approx(math.sqrt(1.25))


def test_oracle_is_joined_by_the_keys():
    truth = pl.DataFrame(
        {
            "key_user": [2, 1, 1],
            "key_item": [1, 1, 2],
            "key_time_ms": [3, 1, 2],
            "oracle_like": [0.9, 0.8, 0.1],
        }
    )
    like, _ = evaluation.measure(_SPEC, _predictions(), truth)
    assert like.oracle_auc == 1.0

"""Qualities of tasks against values worked out by hand, and what has none."""

import dataclasses
import math

import polars as pl
import pytest

from pipeline.evaluation import quality as evaluation
from pipeline.evaluation.tables import quality_tables
from pipeline.reporting.metrics import MetricError, NotFiniteError
from tests.pipeline.evaluation.tiny import SPEC


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
    like, _ = evaluation.measure(SPEC, _predictions())
    assert (like.rows, like.positives) == (3, 2)
    assert like.auc == 0.5  # 0.6 > 0.2, 0.1 < 0.2
    assert like.label_mean == pytest.approx(2 / 3)
    assert like.calibration == pytest.approx((0.9 / 3) / (2 / 3))


def test_regression_is_compared_with_the_label_mean():
    _, stay = evaluation.measure(SPEC, _predictions())
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
    like, _ = evaluation.measure(SPEC, _predictions(), truth)
    assert like.oracle_auc == 1.0


def test_a_task_without_a_row_has_no_figures():
    nobody = _predictions().with_columns(mask_like=0.0)
    like, _ = evaluation.measure(SPEC, nobody)
    assert like.rows == 0
    assert math.isnan(like.auc) and math.isnan(like.calibration)


@pytest.mark.parametrize("task", ["like", "stay"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_prediction_is_refused_by_the_task_s_name(task, bad):
    # As ranks the two NaN would be the highest: an AUC of 1.0 where labels begin 1, 1.
    diverged = pl.when(pl.col("key_time_ms") < 3).then(bad).otherwise(0.1)
    rows = _predictions().with_columns(diverged.alias(f"prediction_{task}"))
    match = f"Task '{task}': predictions must be numbers. Got 2 of .* has diverged"
    with pytest.raises(NotFiniteError, match=match):
        evaluation.measure(SPEC, rows)


def test_what_lies_outside_the_sample_space_may_be_no_number():
    outside = pl.when(pl.col("mask_like") > 0).then("prediction_like").otherwise(None)
    rows = _predictions().with_columns(prediction_like=outside)
    assert evaluation.measure(SPEC, rows)[0].auc == 0.5


def test_a_label_that_is_neither_0_nor_1_is_refused_by_the_task_s_name():
    rows = _predictions().with_columns(label_like=pl.col("label_like") * 2)
    match = r"Task 'like', label 'liked = 1': labels: must be 0 or 1. Got 2\."
    with pytest.raises(MetricError, match=match):
        evaluation.measure(SPEC, rows)


def test_requests_have_their_own_gauc():
    """One user: 0.5 overall; 1.0 inside the first request, 0.0 inside the second."""
    rows = pl.DataFrame(
        {
            "key_user": [1] * 8,
            "key_item": [1] * 8,
            "key_time_ms": [1] * 8,
            "key_request": [5, 5, 7, 7, 9, 0, 0, 0],
            "label_like": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
            "mask_like": [1.0] * 8,
            "prediction_like": [0.9, 0.1, 0.1, 0.9, 0.5, 0.9, 0.1, 0.8],
        }
    )
    spec = dataclasses.replace(SPEC, tasks=SPEC.tasks[:1])
    # Request 9 has one label only, and rows of no request (0) are in none.
    assert evaluation.measure(spec, rows)[0].request_gauc == 0.5
    alone = rows.filter(pl.col("key_request") != 7)
    assert evaluation.measure(spec, alone)[0].request_gauc == 1.0
    without = evaluation.measure(spec, rows.drop("key_request"))[0]
    assert math.isnan(without.request_gauc)


def test_the_table_shows_requests_where_there_are_some():
    like, _ = evaluation.measure(SPEC, _predictions())
    heads = [c.header for c in quality_tables([like])[0].columns]
    assert "by request" not in heads
    like = dataclasses.replace(like, request_gauc=0.75)
    (table,) = quality_tables([like])
    cells = {c.header: list(c.cells) for c in table.columns}
    assert cells["by request"] == ["0.7500"]
    assert cells["calib"] == ["0.450"]  # 0.9 / 3 against 2 / 3

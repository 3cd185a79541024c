"""Sums by user make every metric, and that of any draw of users."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from pipeline.evaluation import quality, user_sums
from pipeline.evaluation.rows import Rows, collect
from pipeline.evaluation.task_sums import Slicing, area, sums_by_user
from pipeline.evaluation.user_sums import of_frame
from pipeline.reporting import metrics
from tests.pipeline.evaluation.drawn import drawn_rows
from tests.pipeline.evaluation.tiny import SPEC

_LIKE, _STAY = SPEC.tasks


@pytest.fixture(scope="module")
def frame():
    request = pl.col("key_time_ms") // 7 % 9  # 0 is no request
    return drawn_rows(slice_tab=pl.col("key_item") % 3, key_request=request)


@pytest.fixture(scope="module")
def sums(frame):
    rows = Rows.of(frame)
    return {
        task.name: of_frame(sums_by_user(rows, task, f"prediction_{task.name}"))
        for task in SPEC.tasks
    }


def _inside(frame):
    rows = frame.filter(pl.col("mask_like") > 0)
    return rows["key_user"], rows["label_like"], rows["prediction_like"]


def test_the_metrics_are_those_of_rows(frame, sums):
    users, labels, scores = _inside(frame)
    like, stay = sums["like"], sums["stay"]
    areas = reference.roc_auc_score(labels, scores)
    assert like.value("auc") == pytest.approx(areas, rel=1e-12)
    gauc = metrics.gauc(users, labels, scores)
    assert like.value("gauc") == pytest.approx(gauc, rel=1e-12)
    assert like.value("calibration") == pytest.approx(scores.sum() / labels.sum())
    error = reference.mean_squared_error(frame["label_stay"], frame["prediction_stay"])
    assert stay.value("rmse") == pytest.approx(math.sqrt(error))
    assert stay.value("constant_rmse") == pytest.approx(frame["label_stay"].std(ddof=0))
    assert "auc" not in stay.metrics and "auc" in like.metrics


def test_requests_of_a_user_are_groups_of_their_own(frame, sums):
    rows = frame.filter(pl.col("mask_like") > 0, pl.col("key_request") != 0)
    groups = rows["key_user"] * 100 + rows["key_request"]
    expected = metrics.gauc(groups, rows["label_like"], rows["prediction_like"])
    assert sums["like"].value("request_gauc") == pytest.approx(expected, rel=1e-12)


def test_a_draw_of_users_is_their_rows_so_often(frame, sums):
    like, stay = sums["like"], sums["stay"]
    weights = np.random.default_rng(2).integers(0, 4, (3, len(like)))
    drawn = {m: like.draws(m, weights) for m in ("gauc", "calibration")}
    errors = stay.draws("rmse", weights)
    for place, row in enumerate(weights):
        counts = pl.DataFrame({"key_user": like.users, "times": row})
        again = frame.join(counts, on="key_user")
        again = again.select(pl.all().repeat_by("times").explode(), copy=pl.lit(0))
        again = again.drop_nulls("times")
        users, labels, scores = _inside(again)
        # A user drawn twice has each of its own pairs four times, in as many rows.
        expected = metrics.gauc(users, labels, scores)
        assert drawn["gauc"][place] == pytest.approx(expected, rel=1e-12)
        ratio = scores.sum() / labels.sum()
        assert drawn["calibration"][place] == pytest.approx(ratio)
        error = reference.mean_squared_error(
            again["label_stay"], again["prediction_stay"]
        )
        assert errors[place] == pytest.approx(math.sqrt(error))


def test_the_auc_of_a_draw_is_right_to_first_order(frame, sums):
    like = sums["like"]
    draw = np.random.default_rng(4)
    weights = draw.multinomial(len(like), np.full(len(like), 1 / len(like)), 200)
    found = like.draws("auc", weights)
    users, labels, scores = _inside(frame)
    place = np.searchsorted(like.users.to_numpy(), users.to_numpy())
    exact = [
        reference.roc_auc_score(labels, scores, sample_weight=row[place])
        for row in weights
    ]
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert np.std(found) == pytest.approx(np.std(exact), rel=0.1)
    assert np.mean(found) == pytest.approx(np.mean(exact), abs=0.002)


def test_no_pair_is_no_number(frame):
    positive = frame.filter(pl.col("label_like") > 0)
    found = of_frame(sums_by_user(Rows.of(positive), _LIKE, "prediction_like"))
    assert math.isnan(found.value("auc")) and math.isnan(found.value("gauc"))
    assert found.value("label_mean") == 1


def test_parts_and_batches_change_nothing(frame, tmp_path):
    batches = [frame[::2], frame[1::2]]
    parts = collect(batches, 600, tmp_path, part_rows=90)
    for task in SPEC.tasks:
        for column in ("", "tab"):
            found = []
            for rows in (Rows.of(frame), parts):
                slicing = Slicing.by(column, rows) if column else Slicing()
                name = f"prediction_{task.name}"
                found.append(sums_by_user(rows, task, name, slicing))
            assert found[0].columns == found[1].columns
            assert found[0].equals(found[1])
    assert area(parts, _LIKE, "score") == area(Rows.of(frame), _LIKE, "score")


def test_a_slice_is_measured_as_if_it_were_all(frame, tmp_path):
    rows = Rows.of(frame)
    slicing = Slicing.by("tab", rows)
    assert slicing.names == ("tab=0", "tab=1", "tab=2")
    for task in SPEC.tasks:
        found = quality.measure_task(rows, task, 0, slicing)
        for value, name in enumerate(slicing.names):
            alone = frame.filter(pl.col("slice_tab") == value)
            expected = quality.measure_task(Rows.of(alone), task)
            one = expected.qualities[""]
            assert found.qualities[name].rows == one.rows
            for metric in ("auc", "gauc", "request_gauc", "rmse", "constant_rmse"):
                value_there = getattr(found.qualities[name], metric)
                assert value_there == pytest.approx(getattr(one, metric), nan_ok=True)


def test_sums_are_kept_by_slice(frame, tmp_path):
    rows = Rows.of(frame)
    whole = sums_by_user(rows, _LIKE, "prediction_like")
    by_tab = sums_by_user(rows, _LIKE, "prediction_like", Slicing.by("tab", rows))
    user_sums.write(str(tmp_path), "like", [whole, by_tab.drop("area", "mixed")])
    found = user_sums.read(str(tmp_path), "like", ["", "tab=2", "tab=7"])
    assert set(found) == {"", "tab=2"}
    assert found[""].users.is_sorted()
    assert found[""].value("auc") == of_frame(whole).value("auc")
    assert found["tab=2"].total("rows") < found[""].total("rows")
    assert "gauc" in found[""].metrics and "gauc" not in found["tab=2"].metrics
    with pytest.raises(FileNotFoundError):
        user_sums.read(str(tmp_path), "stay")

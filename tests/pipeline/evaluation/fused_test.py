"""The ranking by the fused score, against values by hand and scikit-learn."""

import dataclasses
import json
import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from feature_specs.spec import FusionSpec
from pipeline.evaluation import fused
from pipeline.evaluation.fused import ORACLE, RANDOM, SHOWN, measure_ranking
from pipeline.evaluation.model_evaluation import read_ranking
from pipeline.evaluation.rows import Rows, collect
from pipeline.evaluation.tables import ranking_tables
from pipeline.evaluation.user_sums import CUTOFFS, FUSED, of_frame
from pipeline.reporting.files import to_json
from pipeline.reporting.metrics import NotFiniteError
from tests.pipeline.evaluation.drawn import drawn_rows
from tests.pipeline.evaluation.tiny import SPEC


def _weighing(**weights):
    return dataclasses.replace(SPEC, fusion=FusionSpec(weights=weights))


_BOTH = _weighing(like=1.0, stay=0.5)


@pytest.fixture
def frame():
    """Two users: one with three rows, one with two whose gains are the same."""
    return pl.DataFrame(
        {
            "key_user": [1, 1, 1, 2, 2],
            "key_item": [1, 2, 3, 1, 2],
            "key_time_ms": [10, 20, 30, 10, 20],
            "key_split": [0, 0, 0, 0, 0],
            "label_like": [0.0, 1.0, 0.0, 1.0, 1.0],
            "mask_like": [1.0, 1.0, 1.0, 1.0, 1.0],
            "prediction_like": [0.3, 0.9, 0.1, 0.5, 0.5],
            "label_stay": [2.0, 0.0, 4.0, 3.0, 3.0],
            "mask_stay": [1.0, 1.0, 1.0, 1.0, 1.0],
            "prediction_stay": [5.0, 1.0, 3.0, 1.0, 2.0],
            "score": [0.2, 0.8, 0.7, 0.1, 0.2],
        }
    ).with_columns(pl.selectors.float().cast(pl.Float32))


def _dcg(*gains):
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def test_gains_weigh_labels_by_what_a_positive_one_is_on_average(frame):
    scales = fused.label_scales(_BOTH, Rows.of(frame))
    assert scales == {"like": 1.0, "stay": 3.0}  # (2 + 4 + 3 + 3) / 4
    found = fused.gains(_BOTH, frame, scales)
    halves = [0.5 * 2 / 3, 1, 0.5 * 4 / 3, 1.5, 1.5]
    np.testing.assert_allclose(found, halves)


def test_a_negative_weight_takes_away_down_to_nothing(frame):
    spec = _weighing(like=-1.0, stay=3.0)
    found = fused.gains(spec, frame, {"like": 1.0, "stay": 3.0})
    np.testing.assert_allclose(found, [2, 0, 4, 2, 2])  # -1 + 0 is no gain


def test_labels_outside_the_sample_space_gain_nothing(frame):
    outside = frame.with_columns(
        mask_stay=pl.lit(0.0), label_stay=pl.lit(math.nan), label_like=pl.lit(-5.0)
    )
    assert not fused.gains(_BOTH, outside, {"like": 1.0, "stay": 1.0}).any()


def test_the_ranking_by_hand(frame):
    found, sums = measure_ranking(_BOTH, Rows.of(frame))
    assert (found.by, found.groups, found.rows) == ("user and day", 1, 3)
    a, b, c = 1 / 3, 1, 2 / 3  # the gains of user 1
    best = _dcg(b, c, a)
    expected = {
        FUSED: _dcg(b, c, a),
        "like": _dcg(b, a, c),
        "stay": _dcg(a, c, b),
        SHOWN: _dcg(a, b, c),
        RANDOM: _dcg(2 / 3, 2 / 3, 2 / 3),
    }
    assert [one.order for one in found.orders] == list(expected)
    for one in found.orders:
        assert one.ndcg["5"] == pytest.approx(expected[one.order] / best)
        assert one.utility == {}
    by_user = of_frame(sums)
    assert by_user.sums["groups"].tolist() == [1, 0]
    assert by_user.value("ndcg@5") == found.order().ndcg["5"] == 1


def test_a_task_of_a_negative_weight_is_ordered_from_its_lowest(frame):
    spec = _weighing(like=1.0, stay=-0.5)
    found, _ = measure_ranking(spec, Rows.of(frame))
    # Gains 0, 1, 0; predictions of stay 5, 1, 3: the second row has the lowest.
    assert found.order("stay").ndcg["5"] == 1


def test_the_top_of_each_task_under_the_fused_order(frame):
    found, _ = measure_ranking(_BOTH, Rows.of(frame))
    by_order = {t.order: t for t in found.tasks if t.task == "like"}
    assert list(by_order) == [FUSED, "like", SHOWN]
    assert by_order[FUSED].groups == 1  # user 2 has positives only
    assert by_order[FUSED].gauc == 1 and by_order[SHOWN].gauc == 0.5
    assert by_order[FUSED].precision["5"] == pytest.approx(1 / 3)
    assert by_order[FUSED].recall["5"] == 1
    # Positives score .8, .1, .2, negatives .2, .7: 2 + 0 + (0.5) of 6 pairs.
    assert by_order[FUSED].auc == pytest.approx(2.5 / 6)
    (stay,) = (t for t in found.tasks if t.task == "stay")
    assert stay.order == FUSED and 0 < stay.xauc < 1


def test_requests_are_the_groups_where_there_are_some(frame):
    rows = frame.with_columns(key_request=pl.Series([5, 5, 0, 7, 7]))
    found, _ = measure_ranking(_BOTH, Rows.of(rows))
    assert (found.by, found.groups, found.rows) == ("request", 1, 2)  # without row 3
    assert found.order(SHOWN).ndcg["5"] == pytest.approx(
        _dcg(1 / 3, 1) / _dcg(1, 1 / 3)
    )
    days = frame.with_columns(key_split=pl.Series([0, 0, 1, 0, 0]))
    found, _ = measure_ranking(_BOTH, Rows.of(days))
    assert (found.groups, found.rows) == (1, 2)  # a day of one row has no order


def test_nothing_to_gain_is_no_number(frame):
    found, sums = measure_ranking(_weighing(like=-1.0), Rows.of(frame))
    assert found.groups == 0 and math.isnan(found.order().ndcg["10"])
    assert math.isnan(of_frame(sums).value("ndcg@10"))
    nobody = frame.with_columns(key_request=pl.lit(0))
    found, _ = measure_ranking(_BOTH, Rows.of(nobody))
    assert found.groups == 0


def test_the_truth_tells_the_best_possible(frame):
    chances = pl.Series("oracle_like", [0.5, 0.2, 0.8, 0.9, 0.1])
    found, _ = measure_ranking(_BOTH, Rows.of(frame.with_columns(chances)))
    assert found.order(ORACLE).utility == dict.fromkeys(map(str, CUTOFFS), 1.0)
    # Both users' chances differ: (like first) .2 .5 .8 of the best; 1 by mean of ties.
    first = _dcg(0.2, 0.5, 0.8) / _dcg(0.8, 0.5, 0.2)
    second = _dcg(0.5, 0.5) / _dcg(0.9, 0.1)
    assert found.order("like").utility["5"] == pytest.approx((first + second) / 2)
    # The oracle's own order of what came: rows 3, 1, 2.
    came = _dcg(2 / 3, 1 / 3, 1) / _dcg(1, 2 / 3, 1 / 3)
    assert found.order(ORACLE).ndcg["5"] == pytest.approx(came)


def test_a_group_whose_truth_has_gaps_has_no_utility(frame):
    chances = pl.Series("oracle_like", [0.5, None, 0.8, 0.9, 0.1])
    found, _ = measure_ranking(_BOTH, Rows.of(frame.with_columns(chances)))
    expected = _dcg(0.5, 0.5) / _dcg(0.9, 0.1)
    assert found.order("like").utility["5"] == pytest.approx(expected)


def test_a_score_that_is_no_number_is_refused(frame):
    bad = frame.with_columns(score=pl.Series([math.nan, 0.1, 0.2, 0.3, 0.4]))
    match = "The fused score: scores must be numbers. Got 1 of .* has diverged"
    with pytest.raises(NotFiniteError, match=match):
        measure_ranking(_BOTH, Rows.of(bad))
    endless = frame.with_columns(score=pl.Series([math.inf, 0.1, 0.2, 0.3, 0.4]))
    assert measure_ranking(_BOTH, Rows.of(endless))[0].order().ndcg["5"] < 1


def test_a_task_that_predicts_nothing_somewhere_orders_nothing(frame):
    gaps = frame.with_columns(
        mask_stay=pl.Series([1.0, 1.0, 0.0, 1.0, 1.0]),
        prediction_stay=pl.Series([5.0, 1.0, math.nan, 1.0, 2.0]),
    )
    found, _ = measure_ranking(_BOTH, Rows.of(gaps))
    with pytest.raises(KeyError):
        found.order("stay")


def test_the_means_are_scikit_learn_s_in_however_many_parts(tmp_path):
    rows = drawn_rows()
    scales = fused.label_scales(_BOTH, Rows.of(rows))
    gains = rows.select("key_user", "key_split", "score").with_columns(
        gain=fused.gains(_BOTH, rows, scales)
    )
    expected = {k: [] for k in CUTOFFS}
    for _, group in gains.group_by("key_user", "key_split"):
        if group["gain"].n_unique() > 1:
            columns = [group["gain"].to_numpy()], [group["score"].to_numpy()]
            for k in CUTOFFS:
                expected[k].append(reference.ndcg_score(*columns, k=k))
    parts = collect([rows[:200], rows[200:]], 600, tmp_path, part_rows=90)
    for held in (Rows.of(rows), parts):
        found, sums = measure_ranking(_BOTH, held)
        assert found.groups == len(expected[5])
        for k in CUTOFFS:
            mean = np.mean(expected[k])
            assert found.order().ndcg[str(k)] == pytest.approx(mean, rel=1e-12)
            assert of_frame(sums).value(f"ndcg@{k}") == pytest.approx(mean, rel=1e-12)


def test_a_ranking_survives_json_and_makes_tables(frame):
    found, _ = measure_ranking(_BOTH, Rows.of(frame))
    again = read_ranking(json.loads(to_json(dataclasses.asdict(found))))
    assert str(again) == str(found)
    assert read_ranking(None) is None and read_ranking({}) is None
    orders, top = ranking_tables(found)
    cells = {c.header: list(c.cells) for c in orders.columns}
    assert cells["ordered by"][0] == "fused score" and cells["NDCG@5"][0] == "1.0000"
    assert list(top.columns[0].cells) == ["like", "stay"]


def test_tasks_come_in_the_order_that_is_asked_for(frame):
    found, _ = measure_ranking(_BOTH, Rows.of(frame))
    other = found.in_order(["stay", "like"])
    names = [one.order for one in other.orders]
    assert names == [FUSED, "stay", "like", SHOWN, RANDOM]
    assert [t.task for t in other.tasks] == ["stay", "like", "like", "like"]

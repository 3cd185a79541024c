"""What a row is worth, and what NDCG takes of it."""

import dataclasses

import numpy as np
import pytest

from feature_specs.spec import EvaluationSpec
from feature_specs.utility import mistake_in
from pipeline.evaluation import fused
from pipeline.evaluation.rows import Rows
from pipeline.evaluation.utility import UtilityError, gains_of, utility_of
from pipeline.reporting import ranking
from pipeline.reporting.ranking import Groups, Order
from tests.pipeline.evaluation.drawn import drawn_rows
from tests.pipeline.evaluation.tiny import SPEC


def test_a_label_outside_its_sample_space_counts_as_0():
    frame = drawn_rows(50)
    found = utility_of("like * 20 + stay", SPEC, frame)
    likes = np.where(frame["mask_like"] > 0, frame["label_like"], 0)
    assert (frame["mask_like"].to_numpy() == 0).any()
    np.testing.assert_allclose(found, 20 * likes + frame["label_stay"].to_numpy())


def test_a_task_may_stand_anywhere_in_the_expression():
    for text in ("like", "stay - 3 * like", "CASE WHEN stay > 3 THEN like ELSE 0 END"):
        assert mistake_in(text, ["like", "stay"]) == ""
        assert utility_of(text, SPEC, drawn_rows(9)).shape == (9,)


def test_a_utility_that_is_no_number_is_told():
    with pytest.raises(UtilityError, match="is no number in"):
        utility_of("1 / like", SPEC, drawn_rows(50))


def test_a_group_with_what_harms_is_raised_and_others_stay():
    groups = Groups.of([1, 1, 1, 2, 2])
    found = gains_of(np.array([-3.0, 0.0, 2.0, 1.0, 4.0]), groups)
    np.testing.assert_array_equal(found, [0, 3, 5, 1, 4])


def test_what_harms_at_the_top_costs_more_than_what_is_worth_nothing():
    """By hand: gains 0, 3, 5; a place's discount is 1, 1 / log2(3), 1 / 2."""
    groups = Groups.of([1, 1, 1])
    gains = gains_of(np.array([-3.0, 0.0, 2.0]), groups)
    order = Order.of(groups, [3.0, 2.0, 1.0])
    third = 1 / np.log2(3)
    expected = (3 * third + 5 / 2) / (5 + 3 * third)
    np.testing.assert_allclose(ranking.ndcg(order, gains, 3), [expected])


def test_the_evaluation_goes_by_the_spec_s_utility():
    """Of stay alone, the best order is that by stay, and the weights do not matter."""
    aim = EvaluationSpec(utility="stay")
    spec = dataclasses.replace(SPEC, evaluation=aim)
    frame = drawn_rows()
    turned = frame.with_columns(score=frame["label_stay"])
    found = fused.measure_ranking(spec, Rows.of(turned))[0]
    assert found.order().ndcg["10"] == pytest.approx(1)
    assert found.utility == "stay" and found.scales == {}
    assert found.order("like").ndcg["10"] < 1

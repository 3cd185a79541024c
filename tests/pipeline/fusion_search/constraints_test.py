"""Limits on rates, from their texts."""

import pytest

from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError

_TASKS = ("like", "skip")


def test_a_limit_is_a_share_of_the_default_rate():
    found = Constraint.parse("skip <= 1%", _TASKS)
    assert found == Constraint("skip", "<=", 0.01)
    assert str(Constraint.parse(" like>=-2.5 % ", _TASKS)) == "like >= -2.5%"


def test_only_what_is_beyond_the_limit_violates_it():
    most = Constraint("skip", "<=", 0.01)
    assert most.violation(0.03) == pytest.approx(0.02)
    assert most.violation(0.01) == most.violation(-0.5) == 0
    least = Constraint("like", ">=", -0.02)
    assert least.violation(-0.05) == pytest.approx(0.03)
    assert least.violation(-0.02) == least.violation(0.5) == 0


@pytest.mark.parametrize("text", ["skip", "skip < 1%", "skip <= 1", "skip <= x%"])
def test_what_is_no_constraint_is_told(text):
    with pytest.raises(FusionSearchError, match="must be like 'skip <= 1%'"):
        Constraint.parse(text, _TASKS)


def test_an_unknown_task_is_told():
    with pytest.raises(FusionSearchError, match="no task 'hate'. The tasks are like"):
        Constraint.parse("hate <= 1%", _TASKS)

"""What is a utility of tasks, and what is not."""

import pytest

from feature_specs import SpecError, read_spec, views
from feature_specs.utility import mistake_in
from tests.tiny_spec import TINY_SPEC

_TASKS = ("like", "stay")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stay + 2 * lik", "names lik, which is no task; the tasks are like, stay"),
        ("stay +", "is not an SQL expression"),
        ("AVG(stay)", "mixes rows"),
        ("3", "names no task"),
        ("CAST(stay AS VARCHAR)", "must give a number"),
    ],
)
def test_what_is_no_utility_is_told(text, told):
    assert told in mistake_in(text, _TASKS)


def test_a_spec_s_utility_is_checked():
    with pytest.raises(SpecError, match="evaluation.utility: names bad"):
        read_spec(TINY_SPEC + "evaluation: {utility: bad * 2}\n")


def test_it_is_the_evaluation_s_alone():
    plain = read_spec(TINY_SPEC)
    aimed = read_spec(TINY_SPEC + "evaluation: {utility: good * 2}\n")
    changed = {
        name
        for name in views.VIEWS
        if views.text(plain, name) != views.text(aimed, name)
    }
    assert changed == {views.EVALUATION, views.EVERYTHING}

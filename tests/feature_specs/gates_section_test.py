"""What the section `data_gates` says, and who depends on it."""

import pytest

from feature_specs import load_spec, read_spec, views
from feature_specs.gates import DataGatesSpec
from feature_specs.spec_diff import SpecDiff


def _said(good: str, section: str) -> str:
    return f"{good}data_gates: {{{section}}}\n"


@pytest.fixture
def problems(good, mistakes):
    """What is said of a section."""
    end = "evaluation: {slices: [tab, user_group]}\n"
    return lambda section: mistakes(end, _said(end, section))


def test_a_spec_without_the_section_is_guarded(good):
    for spec in (read_spec(good), load_spec("kuairand"), load_spec("movielens")):
        assert spec.data_gates == DataGatesSpec()
        assert spec.data_gates.enabled


def test_a_column_has_its_own_limits_and_the_sections_others(good):
    text = _said(good, "z: 7, shift: 0.4, columns: {label_like: {label_odds: 3}}")
    gates = read_spec(text).data_gates
    own, other = gates.of_column("label_like"), gates.of_column("label_well")
    assert (own.label_odds, own.z, own.shift) == (3.0, 7.0, 0.4)
    assert (other.label_odds, other.z) == (1.6, 7.0)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("window: 3", "data_gates.min_days: must be at most window, which is 3. Got 5"),
        ("rows_ratio: [0.5]", "data_gates.rows_ratio: must be two positive numbers"),
        ("rows_ratio: [1.2, 1.8]", "data_gates.rows_ratio: must have 1 between them"),
        ("label_odds: 0.5", "data_gates.label_odds: must be above 1"),
        (
            "not_judged: [like]",
            "data_gates.not_judged[0]: is a task; its label is called label_like",
        ),
        (
            "not_judged: [tabs]",
            "data_gates.not_judged[0]: must be a column of the examples.",
        ),
        ("columns: {rows: {z: 3}}", "data_gates.columns.rows: must be a column of"),
        ("columns: {age: {zz: 3}}", "data_gates.columns.age.zz: is no key here."),
    ],
)
def test_mistakes_are_told(problems, section, told):
    (found,) = problems(section)
    assert found.startswith(told)


def test_the_days_own_measures_may_be_off(good):
    text = _said(good, "not_judged: [rows, hour, mask_like, reject_share]")
    assert len(read_spec(text).data_gates.not_judged) == 4


def test_a_limit_judges_again_and_makes_and_trains_nothing_again(good):
    one, other = (
        read_spec(good),
        read_spec(_said(good, "z: 8, not_judged: [hour, age]")),
    )
    changed = {
        name for name in views.VIEWS if views.text(one, name) != views.text(other, name)
    }
    assert changed == {views.DATA_GATES, views.EVERYTHING}


def test_one_meaning_has_one_text(good):
    """Written out defaults, and an order that means nothing."""
    one = read_spec(_said(good, "not_judged: [hour, age]"))
    other = read_spec(
        _said(good, "z: 5, rows_ratio: [0.6, 1.8], not_judged: [age, hour, age]")
    )
    assert views.text(one, views.EVERYTHING) == views.text(other, views.EVERYTHING)


def test_a_changed_limit_is_told_with_its_view(good):
    found = SpecDiff(read_spec(good), read_spec(_said(good, "z: 8")))
    assert [(str(one), name) for one, name in found.with_views()] == [
        ('data_gates was not set and is {"z": 8.0}', views.DATA_GATES)
    ]

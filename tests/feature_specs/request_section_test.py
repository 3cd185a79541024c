"""What tells requests apart: what a spec may say of it, and who may read a place."""

import pytest

from feature_specs import SpecError, read_spec, views

_PLACE = "  - {name: place, group: GROUP, kind: number, expr: request_position}\n"


def _with(good, request, columns=""):
    return good.replace(
        "outcomes: [liked, watched]",
        f"outcomes: [liked, watched]\n  request: {request}",
    ).replace("age: ", f"{columns}age: ")


@pytest.fixture
def told(good):
    """What is said of the good spec with a request."""

    def read(request, columns="", old="", new=""):
        try:
            read_spec(_with(good, request, columns).replace(old, new, 1))
        except SpecError as error:
            return list(error.problems)
        return []

    return read


def test_a_column_may_stand_alone(good):
    spec = read_spec(_with(good, "tab"))
    assert spec.log.request.column == spec.log.request.key == "tab"
    assert views.text(spec, views.EXAMPLES) == views.text(
        read_spec(_with(good, "{column: tab}")), views.EXAMPLES
    )


def test_a_request_changes_the_examples(good):
    one, other, none = (
        views.text(read_spec(text), views.EXAMPLES)
        for text in (
            _with(good, "{session: tab, seconds: 5}"),
            _with(good, "{session: tab, seconds: 6}"),
            good,
        )
    )
    assert len({one, other, none}) == 3
    assert views.text(read_spec(one), views.EXAMPLES) == one


@pytest.mark.parametrize("group", ["query", "context", "candidate", "trail"])
def test_no_feature_may_read_a_place(told, group):
    feature = _PLACE.replace("GROUP", group)
    (problem,) = told("tab", old="tasks:\n", new=f"{feature}tasks:\n")
    assert "feature 'place' reads request_position" in problem


def test_nor_what_is_derived_from_it(good):
    derived = 'derived:\n  first: "request_position = 1"\n'
    feature = "  - {name: place, group: context, kind: code, size: 2, expr: first}\n"
    text = _with(good, "tab").replace("derived:\n", derived)
    assert "first" in read_spec(text).outcomes
    with pytest.raises(SpecError, match="feature 'place' reads first, known only"):
        read_spec(text.replace("tasks:\n", f"{feature}tasks:\n"))


def test_labels_filters_and_slices_may_read_one(told):
    assert told("tab", old="slices: [tab", new="slices: [request_position, tab") == []
    assert told("tab", old='"liked = 1", s', new='"liked = request_size", s') == []
    assert told("tab", old='"duration > 5000"', new='"request_size > 1"') == []


def test_without_a_request_the_message_says_what_is_needed(mistakes):
    (problem,) = mistakes('"duration > 5000"', '"request_size > 1"')
    assert "Say in log.request what tells requests apart." in problem


@pytest.mark.parametrize(
    ("request_", "where", "rule"),
    [
        ("nothing", "log.request.column", "must be a declared column"),
        ("liked", "log.request.column", "is an outcome"),
        ("user_id", "log.request.column", "is the user's or the video's"),
        ("{}", "log.request", "one of column and session"),
        ("{column: tab, session: tags, seconds: 3}", "log.request", "one of column"),
        ("{session: tab}", "log.request.session, seconds", "go together"),
        ("{column: tab, seconds: 3}", "log.request.session, seconds", "go together"),
        ("{session: tab, seconds: -3}", "log.request.seconds", "0 or more"),
        ("{session: tab, minutes: 3}", "log.request.minutes", "is no key here"),
        ("[tab]", "log.request", "must be a mapping"),
        ("score", "log.request.column", "must be a declared column"),
    ],
)
def test_a_mistake_is_named(told, request_, where, rule):
    problems = told(request_)
    assert any(p.startswith(f"{where}: ") and rule in p for p in problems), problems


def test_a_request_s_id_is_a_whole_number_or_text(told):
    (problem,) = told("when", columns='when: "float64?", ')
    assert problem.startswith("log.request.column: must be whole numbers or text")


def test_a_column_of_the_files_may_not_bear_a_made_one_s_name(told):
    (problem,) = told("tab", columns="request_size: int64, ")
    assert problem.startswith("log.columns.request_size: is made by log.request")

"""The section `events`: what it makes, and every mistake with its place."""

import pytest

from feature_specs import read_spec, views
from feature_specs.build import SpecError
from feature_specs.tables import spec_tables
from tests.tiny_spec import TINY_SPEC

_SPEC = (
    TINY_SPEC.replace("columns: {user:", "columns: {imp: string, user:")
    + """
events:
  engagements:
    files: "engagements/dt={day:%Y-%m-%d}/*.csv"
    types: {imp: string, ts: int64, action: string, who: int64, event_id: "string?"}
    key: imp
    time: ts
    window: 24h
    id: event_id
    columns:
      like: "COUNT(*) FILTER (WHERE action = 'like') > 0"
      like_delay_s: "MIN(seconds_since_impression) FILTER (WHERE action = 'like')"
history: {positive: "like OR good = 1", columns: [item, like], length: 3}
trail: {gap_minutes: 30, scope: [user], last: [like]}
counters: [{name: likes, where: like}]
statistics: [{name: item_likes, by: item, value: like, measure: sum}]
derived: {quick: "like_delay_s < 60"}
"""
)


def _changed(old, new):
    assert old in _SPEC
    return _SPEC.replace(old, new)


def test_an_entry_takes_what_it_does_not_say_from_the_log():
    entry = read_spec(_SPEC).events["engagements"]
    assert entry.key == ("imp",)
    assert (entry.time.column, entry.time.unit) == ("ts", "ms")
    assert entry.time.timezone == entry.folder_timezone == "UTC"
    assert entry.window_ms == 86_400_000
    assert entry.source == "events.engagements"


def test_columns_of_events_are_outcomes_that_the_past_may_read():
    spec = read_spec(_SPEC)
    assert spec.outcomes == {"good", "like", "like_delay_s", "quick"}
    assert spec.column_types["like"] == "int64"
    assert spec.column_types["like_delay_s"] == "float32"
    assert spec.column_types["trail_last_like"] == "int64"


@pytest.mark.parametrize("column", ["like", "like_delay_s", "quick"])
def test_a_feature_may_read_none(column):
    text = _changed(
        "  - {name: item, group",
        f'  - {{name: x, group: candidate, kind: number, expr: "{column}"}}\n'
        "  - {name: item, group",
    )
    with pytest.raises(SpecError, match=rf"reads {column}, known only after .*events"):
        read_spec(text)


def test_a_feature_may_read_them_of_the_past():
    text = _changed(
        "  - {name: item, group",
        "  - {name: likes, group: query, kind: number}\n"
        "  - {name: item_likes, group: candidate, kind: number}\n"
        "  - {name: trail_last_like, group: context, kind: number}\n"
        "  - {name: item, group",
    )
    assert len(read_spec(text).features) == 5


def test_a_label_may_read_only_events():
    text = _changed('label: "good = 1"', "label: quick").replace("good: int64", "")
    text = text.replace("outcomes: [good]", "outcomes: []")
    spec = read_spec(text.replace(" OR good = 1", ""))
    assert spec.tasks[0].label == "quick"


def test_the_view_of_examples_has_one_text_for_one_meaning():
    text = views.text(read_spec(_SPEC), views.EXAMPLES)
    assert views.text(read_spec(text), views.EXAMPLES) == text
    for old, new in [
        ("window: 24h", "window: 1d"),
        ("key: imp", "key: [imp]"),
        ("time: ts", "time: {column: ts, unit: ms}"),
        ("id: event_id", "id: event_id\n    format: csv\n    folder_timezone: UTC"),
    ]:
        same = read_spec(_changed(old, new))
        assert views.text(same, views.EXAMPLES) == text, new
    for old, new in [
        ("window: 24h", "window: 23h"),
        ("id: event_id", "user: who"),
        ("action = 'like'\"", "action = 'save'\""),
        ("time: ts", "time: {column: ts, unit: s}"),
    ]:
        if old in _SPEC:
            other = read_spec(_changed(old, new))
            assert views.text(other, views.EXAMPLES) != text, new


def test_spec_show_names_files_and_columns():
    tables = spec_tables(read_spec(_SPEC))
    cells = [c for t in tables[:2] for column in t.columns for c in column._cells]
    assert "engagements/dt={day:%Y-%m-%d}/*.csv (csv) by imp, within 24h" in cells
    assert "engagements: COUNT(*) FILTER (WHERE action = 'like') > 0" in cells


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "action = 'like') > 0",
            "acton = 'like') > 0",
            r"columns\.like: reads 'acton'.*Did you mean 'action'",
        ),
        ("window: 24h", "window: soon", r"engagements\.window: must be a length"),
        ("  like_delay_s:", "  good:", r"columns\.good: is taken already"),
        ("  like_delay_s:", "  mask_x:", r"columns\.mask_x: may not begin with"),
        ("like: \"COUNT(*)", "like: \"MEDIAN(ts)", r"columns\.like: uses MEDIAN"),
        ("types: {imp: string", "types: {imp: int64", r"types\.imp: must be of the ty"),
        ("key: imp", "key: [imp, nix]", r"key\[1\]: must be a declared column"),
        ("key: imp", "key: [ts]", r"key: must be a declared column.*Got 'ts'"),
        ("key: imp", "key: []", "must name a column, such as the impression's id"),
        ("time: ts", "time: tz", r"time\.column: must be a declared column"),
        ("time: ts", "time: {column: ts, unit: iso}", r"types\.ts: must be a timestamp, str"),
        ("time: ts", "time: action", r"types\.action: must be a timestamp, string"),
        ("ts: int64", "ts: int64?", r"types\.ts: may not be empty in any row"),
        ("ts: int64", "ts: list<int64>", r"types\.ts: must be a timestamp, string"),
        ("id: event_id", "id: nix", r"engagements\.id: must be a declared column"),
        ("id: event_id", "user: action", r"types\.action: must be of the type that "),
        ("dt={day:%Y-%m-%d}", "../x", r"engagements\.files: must stay inside"),
        ("dt={day:%Y-%m-%d}", "{hour}", r"files: may hold \{day\}"),
        ("dt={day:%Y-%m-%d}", "x\"\n    folder_timezone: \"UTC", "have no {day}"),
        ("id: event_id", "folder_timezone: Mars/X", "must be an IANA time zone"),
        ("event_id: \"string?\"", "_id: string", r"types\._id: may not begin with _"),
        ("  engagements:", "  Engagements:", r"events\.Engagements: must be lower-ca"),
        ("key: imp", "key: good", r"key: is an outcome"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(old, new, message):
    text = _changed(old, new)
    if new == "key: good":
        text = text.replace("types: {imp: string", "types: {good: int64, imp: string")
    with pytest.raises(SpecError, match=message):
        read_spec(text)


def test_a_broken_entry_does_not_make_its_columns_unknown():
    with pytest.raises(SpecError) as error:
        read_spec(_changed("window: 24h", "windows: 24h"))
    problems = error.value.problems
    assert len(problems) == 2  # the unknown key, and the one that is missing
    assert all("engagements.window" in problem for problem in problems)

"""Histories of other logs: what a spec may say of them, and each mistake in words."""

import pytest

from feature_specs import SpecError, read_spec, views
from feature_specs.sides import whose

_SECTION = """
histories:
  searches:
    files: "searches/{day}.csv"
    format: csv
    user: who
    time: {column: at, unit: s}
    types: {who: int64, at: int64, query: "string?", results: "int64?"}
    where: "query <> ''"
    columns: {words: "STRING_TO_ARRAY(LOWER(query), ' ')", results: results}
    length: 20
"""
_FEATURE = (
    "  - {name: history_searches_words, group: query, kind: sequence, table: tag}\n"
)


@pytest.fixture
def text(good):
    return good.replace("tasks:\n", f"{_FEATURE}tasks:\n") + _SECTION


@pytest.fixture
def told(text):
    """`told(old, new)`: what is said of the text with `old` replaced."""

    def read_changed(old, new):
        assert text.count(old) == 1, old
        try:
            read_spec(text.replace(old, new))
        except SpecError as error:
            return list(error.problems)
        return []

    return read_changed


def test_a_history_gives_list_columns_of_the_user(text):
    spec = read_spec(text)
    feature = spec.feature("history_searches_words")
    assert (feature.dtype, feature.length) == ("string", 20)  # its history's length
    assert spec.feature("history_video_id").length == 7
    assert whose(spec).of("history_searches_results") == {"user"}
    history = spec.histories["searches"]
    assert history.time.timezone == "Asia/Shanghai"  # the log's clock


def test_a_candidate_that_reads_one_must_say_so(told):
    (problem,) = told("words, group: query", "words, group: candidate")
    assert "the user's or the request's" in problem


def test_a_time_may_be_the_column_alone(text):
    short = text.replace("{column: at, unit: s}", "at")
    assert read_spec(short).histories["searches"].time.unit == "ms"
    long = text.replace("{column: at, unit: s}", "{column: at}")
    assert views.text(read_spec(short), views.EXAMPLES) == views.text(
        read_spec(long), views.EXAMPLES
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "rule"),
    [
        ("user: who", "user: whom", "histories.searches.user", "'who'"),
        ("who: int64", "who: string", ".types.who", "must be int64, as log.user"),
        ("who: int64", 'who: "int64?"', ".types.who", "may not be empty"),
        ("at: int64", 'at: "int64?"', ".types.at", "may not be empty"),
        ("column: at, unit: s", "column: then, unit: s", ".time.column", "declared"),
        ("unit: s", "unit: iso", ".types.at", "must be a timestamp, string"),
        ("at, unit: s", "at, watched_ms: results", ".time.watched_ms", "no key here"),
        ("at, unit: s", "at, timezone: Mars", ".time.timezone", "IANA"),
        ("column: at,", 'expr: "query",', ".time.expr", "must give a number"),
        ("{column: at, unit: s}", "{unit: s}", ".time", "either column or expr"),
        ("at, unit: s", "at, zone_column: z", ".time.zone_column", "declared"),
        ("user: who", "user: who\n    header: [who, at]", ".types.query", "declared"),
        ("user: who", "user: who\n    header: [at, at]", ".header[1]", "named twice"),
        ("query <> ''", "video_id <> ''", ".where", "no column of this history"),
        ("query <> ''", "query", ".where", "must be a condition"),
        ("results: results}", "results: score}", ".columns.results", "no column of"),
        ("results: results}", "Results: results}", ".columns.Results", "lower-case"),
        ("searches/{day}", "../{day}", ".files", "must stay inside"),
        ("hes/{day}", "hes/{hour}", ".files", "no other braces"),
        ("user: who", "user: who\n    folder_timezone: X", "folder_timezone", "IANA"),
        ("  searches:", "  Searches:", "histories.Searches", "lower-case"),
        ("length: 20", "length: 0", ".length", "from 1 to 10,000"),
        ("length: 20", "lenght: 20", ".lenght", "Did you mean 'length'?"),
    ],
)
def test_a_mistake_is_named(told, old, new, where, rule):
    problems = told(old, new)
    assert any(where in p.split(": ")[0] and rule in p for p in problems), problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("column: at, unit: s", 'expr: "at + 1", unit: s'),
        ("column: at, unit: s", 'expr: "CAST(at AS TIMESTAMP)"'),
        ("column: at, unit: s", "column: query, unit: iso, zone_column: query"),
        ("user: who", "user: who\n    header: [results, who, at, more, query]"),
    ],
)
def test_times_and_headers_are_as_the_log_s(told, old, new):
    problems = told(old, new)
    assert [p for p in problems if "may not be empty" not in p] == []


def test_one_mistake_is_told_once(told):
    (problem,) = told("LOWER(query)", "LOWER(text)")
    assert "reads 'text', which is no column of this history" in problem


def test_a_broken_history_leaves_no_feature_without_its_column(told):
    (problem,) = told("user: who", "user: [who]")
    assert problem.startswith("histories.searches.user: must be text.")


def test_a_folder_s_zone_needs_a_folder_s_day(text):
    changed = text.replace("searches/{day}.csv", "searches.csv").replace(
        "user: who", "user: who\n    folder_timezone: UTC"
    )
    with pytest.raises(SpecError, match="is of the days in files, which has no"):
        read_spec(changed)


def test_a_column_that_is_there_already_is_refused(good):
    """The history called `video` gives `history_video_id`, as `history` does."""
    section = _SECTION.replace("  searches:", "  video:").replace("words:", "id:")
    with pytest.raises(SpecError, match=r"histories\.video\.columns\.id: is taken"):
        read_spec(good + section)


def test_views_know_one_meaning(text):
    one = read_spec(text)
    other = read_spec(
        text.replace(
            'who: int64, at: int64, query: "string?"',
            'query: "string?", at: int64, who: int64',
        ).replace("user: who", "user: who\n    folder_timezone: Asia/Shanghai")
    )
    longer = read_spec(text.replace("length: 20", "length: 30"))
    for name in views.VIEWS:
        written = views.text(one, name)
        assert written == views.text(other, name)
        assert written != views.text(longer, name)
        assert views.text(read_spec(written), name) == written

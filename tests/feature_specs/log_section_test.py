"""The section `log`: every mistake that it names."""

import re

import pytest

from feature_specs import SpecError, read_spec


def test_a_join_is_by_its_key(good):
    assert read_spec(good).log.joins["videos"].key == "video_id"


def test_on_is_refused_with_its_new_name_and_nothing_else_is_told(mistakes):
    told = (
        "log.joins.videos.on: is called `key`: programs that read YAML 1.1 take `on` "
        "for true. Got 'video_id'."
    )
    assert mistakes("key: video_id", "on: video_id") == [told]


def test_the_true_that_a_program_made_of_on_is_told(mistakes):
    (told,) = mistakes("key: video_id", "true: video_id")
    assert re.search("key True must be text; .* write key if it was the `on` of", told)


def test_a_join_has_its_own_format(good):
    log = read_spec(good).log
    assert (log.format, log.joins["videos"].format) == ("jsonl", "csv")


@pytest.mark.parametrize(
    "files",
    ["log_*.csv", "{day}/*.gz", "dt={day:%Y-%m-%d}/*.parquet", "{day:%Y/%m/%d}.csv"],
)
def test_files_may_name_the_day_once(mistakes, files):
    assert mistakes("log_{day}.jsonl", files) == []


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ("{day}/{day:%Y-%m-%d}.csv", r"may hold \{day\} once only"),
        ("{day:%Y-%m}.csv", r"must write a day with %Y, %m and %d, each once"),
        ("{day:%Y%m%d%H}.csv", r"must write a day"),
        ("{day:%Y%m%d%}.csv", r"must write a day"),
        ("{day:}.csv", r"must write a day"),
        ("{day:%Y%m%d*}.csv", r"must write a day"),
        ("{Day}.csv", r"may hold \{day\} or \{day:%Y-%m-%d\}, and no other braces"),
        ("{day.csv", r"may hold .* and no other braces"),
    ],
)
def test_a_day_in_files_that_names_no_day_is_refused(mistakes, files, rule):
    (told,) = mistakes("log_{day}.jsonl", files)
    assert re.search(rf"^log\.files: {rule}.* Got '", told)


@pytest.mark.parametrize(
    "column", ["event_time", "trail_length", "trail_last_tab", "history_tab", "_row"]
)
@pytest.mark.parametrize(
    ("old", "path"),
    [
        ('tags: "string?"', "log.columns"),
        ('score: "float64?"', "log.joins.videos.columns"),
    ],
)
def test_a_column_that_would_be_replaced_is_refused(mistakes, old, path, column):
    (told,) = mistakes(old, f"{old}, {column}: int64")
    assert told.startswith(f"{path}.{column}: may not be called event_time, ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("user: user_id", "user: usr_id", r"log\.user: .*Did you mean 'user_id'\?"),
        ("jsonl\n", "json\n", r"log\.format: must be one of csv, jsonl, parquet, tf"),
        ("format: csv", "format: cvs", r"joins\.videos\.format: must be one of"),
        ("[liked, w", "[lked, w", r"log\.outcomes\[0\]: must be a declared column"),
        ("time_ms: int64", "time_ms: int", r"log\.columns\.time_ms: must be bool, int"),
        ("time_ms: int64", "time_ms: string", r"time_ms: must be a number: it is log"),
        ("Asia/Shanghai", "Mars/Base", r"log\.timezone: must be an IANA time zone"),
        ("user_id: int64", '"user_id": "int64?"', r"may not be empty in any row, as l"),
        (
            "watched: int64",
            "watched: string",
            r"watched: must be a number: it is log\.",
        ),
        (
            "length_ms: duration",
            "length_ms: duration, length_s: age",
            r"log\.time\.length_s: is log\.time\.length_ms already; keep the one",
        ),
        ("length_ms: duration", "length_s: lasts", r"length_s: must be a declared"),
        (
            "length_ms: duration",
            "length_s: watched",
            r"log\.time\.length_s: is log\.time\.watched_ms already",
        ),
        ("column: time_ms,", "", r"log\.time: must have either column or expr"),
        ("column: time_ms,", "column: time_ms, expr: tab,", r"time: must have either"),
        ("column: time_ms", "expr: tags", r"time\.expr: must give a number in log\.ti"),
        ("column: time_ms", "expr: tabs", r"time\.expr: reads 'tabs', which is no col"),
        (
            "column: time_ms",
            "expr: watched + tab",
            r"time\.expr: reads watched, an out",
        ),
        (
            "column: time_ms",
            "expr: '1 +'",
            r"log\.time\.expr: is not an SQL expression",
        ),
        (
            "time_ms: int64",
            "time_ms: date",
            r"time_ms: must be a number, a timestamp or",
        ),
        (
            "time_ms: int64",
            "time_ms: bool",
            r"time_ms: must be a number, a timestamp or",
        ),
        (
            "column: time_ms",
            "column: time_ms, zone_column: tags",
            r"log\.time\.zone_column: has no use for numbers since the epoch",
        ),
        (
            "column: time_ms",
            "expr: time_ms, zone_column: tab",
            r"log\.time\.zone_column: must be a string: names such as",
        ),
        (
            "column: time_ms",
            "expr: time_ms, zone_column: tags, timezone: UTC",
            r"log\.time\.zone_column: says whose clock showed .*; remove log\.time\.tim",
        ),
        ("  random:", "  header: [tab]\n  random:", r"log\.header: is for csv without"),
        (
            "format: csv,",
            "format: csv, header: [video_id, author_id, author_id],",
            r"joins\.videos\.header\[2\]: is named twice",
        ),
        (
            "format: csv,",
            "format: csv, header: [video_id, author_id],",
            r"joins\.videos\.columns\.score: must be a declared column",
        ),
        (
            "length_ms: duration",
            "length_ms: duration, longest_ms: 0",
            r"log\.time\.longest_ms: must be from 1 to 3162240000000, .* Got 0",
        ),
        ("length_ms: duration", 'length_ms: ""', r"log\.time\.length_ms: must be a de"),
        ("[liked, watched]", "[liked]", r"log\.outcomes: must name 'watched' too"),
        ("key: video_id", "key: vid", r"log\.joins\.videos\.key: must be a declared"),
        (
            "{video_id: string",
            "{video_id: int64",
            r"columns\.video_id: must have one t",
        ),
        ("author_id: ", "tab: ", r"videos\.columns\.tab: is a column already"),
        (
            '"videos.csv"',
            '"videos_{day}.csv"',
            r"videos\.files: may hold no \{\.\.\.\}",
        ),
        (
            "  random:",
            "  separator: ab\n  random:",
            r"log\.separator: must be one char",
        ),
        (
            "  random:",
            "  min_day_share: 1.5\n  random:",
            r"min_day_share: must be a sh",
        ),
        (
            "  random:",
            "  max_reject_share: -1\n  random:",
            r"reject_share: must be a s",
        ),
        ("  random:", "  days_per_split: 0\n  random:", r"split: must be from 1 to"),
        ('"tab = 9"', '"liked = 1"', r"log\.random: reads liked, an outcome"),
        ('"tab = 9"', '"author_id = 1"', r"random: reads 'author_id', which is no col"),
        ('"tab = 9"', '"tags"', r"log\.random: must be a condition.*of type String"),
        ('"tab = 9"', '"AVG(tab) = 9"', r"log\.random: mixes rows"),
    ],
)
def test_each_mistake_is_named(mistakes, old, new, message):
    assert any(re.search(message, told) for told in mistakes(old, new))


def test_a_separator_belongs_to_csv(good):
    text = good.replace("  random:", '  separator: ";"\n  random:')
    assert read_spec(text).log.separator == ";"  # of the joined file, which is csv
    with pytest.raises(SpecError, match=r"log\.separator: belongs to csv, not to json"):
        read_spec(text.replace("format: csv", "format: parquet"))


@pytest.mark.parametrize(
    "rule", ["keep: last, by: age", "keep: most", "keep: most, by: liked"]
)
def test_duplicates_may_have_a_rule(mistakes, rule):
    changed = f"outcomes: [liked, watched]\n  duplicates: {{{rule}}}"
    assert mistakes("outcomes: [liked, watched]", changed) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("keep: last", r"duplicates\.by: is required with keep: last"),
        ("keep: last, by: agee", r"duplicates\.by: must be a declared column.*age"),
        ("keep: most, by: score", r"duplicates\.by: must be a declared column"),
        ("keep: last, by: video_id", r"duplicates\.by: is the same in all rows"),
        ("keep: first, by: age", r"duplicates\.keep: must be one of last, most"),
        ("by: age", r"duplicates\.keep"),
    ],
)
def test_a_rule_of_duplicates_that_chooses_no_row_is_refused(mistakes, rule, told):
    changed = f"outcomes: [liked, watched]\n  duplicates: {{{rule}}}"
    (found,) = mistakes("outcomes: [liked, watched]", changed)
    assert re.search(rf"^log\.{told}", found), found


def test_clocks_and_folders_are_of_the_logs_zone_unless_it_is_told_otherwise(good):
    log = read_spec(good).log
    assert (log.time.timezone, log.folder_timezone) == ("Asia/Shanghai",) * 2
    unsaid = read_spec(good.replace("  timezone: Asia/Shanghai\n", "")).log
    assert (unsaid.timezone, unsaid.time.timezone) == ("UTC", "")
    other = good.replace("watched_ms:", "timezone: Europe/Paris, watched_ms:")
    other = other.replace("timezone: Asia", "folder_timezone: UTC\n  timezone: Asia")
    log = read_spec(other).log
    assert (log.time.timezone, log.folder_timezone) == ("Europe/Paris", "UTC")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "watched_ms:",
            "timezone: Paris, watched_ms:",
            "log.time.timezone: must be an IANA time zone such as Asia/Shanghai.",
        ),
        (
            "timezone: Asia/Shanghai",
            "timezone: Asia/Shanghai\n  folder_timezone: CST8",
            "log.folder_timezone: must be an IANA time zone",
        ),
        (
            'log_{day}.jsonl"',
            'log_*.jsonl"\n  folder_timezone: UTC',
            "log.folder_timezone: is of the days in log.files, which has no {day};",
        ),
        (
            "time_ms: int64",
            "time_ms: string",
            "log.columns.time_ms: must be a number: it is log.time.column. Or say unit",
        ),
        (
            "watched_ms:",
            "unit: iso, watched_ms:",
            "log.columns.time_ms: must be string or timestamp: log.time.unit is iso.",
        ),
    ],
)
def test_zones_and_iso_texts_are_checked(mistakes, old, new, told):
    (found,) = mistakes(old, new)
    assert found.startswith(told)


def test_the_watch_and_the_length_may_be_missing_and_in_seconds(good):
    text = good.replace("watched: int64", "watched: 'float64?'").replace(
        "watched_ms: watched, length_ms: duration",
        "watched_s: watched, length_s: score",
    )
    time = read_spec(text).log.time
    assert time.watched == ("watched", 1_000)
    assert time.length == ("score", 1_000)  # of a side file
    assert read_spec(good).log.time.watched == ("watched", 1)


def test_a_watch_of_a_side_file_is_an_outcome_and_no_day_of_a_statistic(good):
    text = good.replace("watched_ms: watched", "watched_s: score")
    with pytest.raises(SpecError) as told:
        read_spec(text)
    assert len(told.value.problems) == 2  # both statistics
    assert "known only once 'score' has come from its side file" in str(told.value)
    statistics = text.index("statistics:"), text.index("quantiles:")
    text = text[: statistics[0]] + text[statistics[1] :]
    text = text.replace("  - {name: like_rate, group: candidate, kind: number}\n", "")
    assert "score" in read_spec(text).outcomes
    leak = "  - {name: score, group: candidate, kind: number}\n"
    with pytest.raises(SpecError, match="score.*outcome"):
        read_spec(text.replace("features:\n", f"features:\n{leak}"))

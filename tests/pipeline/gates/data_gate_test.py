"""Which days are stopped, and why; which are not.

Days of examples are drawn column by column, and summarized as the examples pass does it.
"""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec, views
from feature_specs.errors import Status
from pipeline.gates import accept, data_gate
from pipeline.gates.errors import GateError, SuspiciousDayError
from pipeline.gates.findings import DAY
from pipeline.summaries import columns, summarize
from pipeline.summaries.summary import DaySummary

SPEC = """
name: clips
log:
  files: "*.csv"
  user: user_id
  item: clip_id
  time: {column: began, watched_ms: watched, length_ms: length}
  columns: {user_id: int64, clip_id: int64, began: int64, watched: int64, length: int64,
            liked: int64, shared: int64, tab: int64, country: "string?", tags: "string?",
            age: "int64?"}
  outcomes: [watched, liked, shared]
derived:
  engaged: "liked + shared > 0"
tables: {clip: {buckets: 64}, tag: {buckets: 64}}
features:
  - {name: country, group: query, kind: category, size: 8}
  - {name: age, group: query, kind: bucket, boundaries: [18, 30]}
  - {name: tab, group: context, kind: code, size: 8}
  - {name: clip_id, group: candidate, kind: id, table: clip}
  - {name: tags, group: candidate, kind: sequence, table: tag, length: 4,
     expr: "STRING_TO_ARRAY(tags, ',')"}
  - {name: length_s, group: candidate, kind: number, transform: log1p,
     expr: "length / 1000"}
  - {name: warmth, group: candidate, kind: number, expr: "LN(length / 10000)"}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: engage, kind: binary, label: "engaged"}
  - {name: share, kind: binary, label: "shared = 1", sample_space: "watched > 3000"}
  - {name: watch, kind: regression, label: "watched / 1000"}
fusion: {weights: {like: 1.0}}
"""
FIRST = datetime.date(2024, 3, 1)


@pytest.fixture(scope="module")
def spec():
    """With a column of each form."""
    return read_spec(SPEC)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the rows of a day are drawn from.

    Attributes:
        rows: Of the day.
        users: Who have them, as many each.
        like: Share of rows with a like.
        tabs: Shares of tab 1, 2, 3.
        no_country: Share of users without a country.
        rejected: Unreadable rows.
    """

    rows: int = 3_000
    users: int = 150
    like: float = 0.02
    tabs: tuple[float, ...] = (0.7, 0.25, 0.05)
    no_country: float = 0.1
    rejected: int = 2


def frame_of(rng, drawn):
    """Examples [B] as `pipeline.examples.encode` gives them."""
    rows = drawn.rows
    user = np.sort(rng.integers(0, drawn.users, rows))
    countries = np.array(["BR", "DE", "ID", "US"])
    own = countries[np.arange(drawn.users) % 4]
    own = np.where(np.arange(drawn.users) % 10 < 10 * drawn.no_country, "", own)
    length = rng.lognormal(3.0, 0.8, rows)
    watched = length * rng.beta(1.2, 1.0, rows)
    liked = rng.random(rows) < drawn.like
    shared = rng.random(rows) < 0.01
    inside = watched > 3
    tags = rng.integers(0, 50, (rows, 2)).astype(str)
    return pl.DataFrame(
        {
            "country": own[user],
            "age": (15 + user % 40).astype(np.int64),
            "tab": rng.choice(3, rows, p=drawn.tabs).astype(np.int64) + 1,
            "clip_id": rng.integers(0, 500, rows),
            "tags": pl.Series(tags.tolist(), dtype=pl.List(pl.String)),
            "length_s": length.astype(np.float32),
            "warmth": np.log(length / 10).astype(np.float32),
            "label_like": liked.astype(np.float32),
            "mask_like": np.ones(rows, np.float32),
            "label_engage": (liked | shared).astype(np.float32),
            "mask_engage": np.ones(rows, np.float32),
            "label_share": (shared & inside).astype(np.float32),
            "mask_share": inside.astype(np.float32),
            "label_watch": watched.astype(np.float32),
            "mask_watch": np.ones(rows, np.float32),
            "key_user": user,
            "key_item": rng.integers(0, 500, rows),
            "key_time_ms": np.arange(rows),
        }
    )


def summary_of(spec, frame, date, rejected=2, trails=None):
    """The summary of a day's examples."""
    kept, most = columns.columns_of(spec), columns.most_values(spec)
    found = summarize.summarize(frame, kept)
    parts = [found.columns]
    parts += [summarize.add_up_values(c, kept) for c in (found.numbers, found.texts)]
    return DaySummary(
        split=f"day-{date:%Y%m%d}",
        rows=frame.height,
        users=frame["key_user"].n_unique(),
        videos=frame["key_item"].n_unique(),
        read=frame.height + rejected,
        rejected=rejected,
        trail_lengths=trails or {1: frame.height // 10, 5: frame.height // 10},
        columns=summarize.join(parts, most),
    )


def date_of(number):
    """The date of a day, from 0 on."""
    return FIRST + datetime.timedelta(days=number)


def day_of(spec, number, seed=0, drawn=None, change=None):
    """The summary of one drawn day.

    Args:
        spec: As the fixture.
        number: Of the day, from 0 on.
        seed: Of the draw.
        drawn: What it is drawn from.
        change: Of its rows, after they are drawn.
    """
    drawn = drawn or Drawn()
    frame = frame_of(np.random.default_rng([seed, number % 1_000]), drawn)
    if change is not None:
        frame = frame.with_columns(**change)
    return summary_of(spec, frame, date_of(number), drawn.rejected)


@pytest.fixture(scope="module")
def week(spec):
    """Eight clean days."""
    return [day_of(spec, number) for number in range(8)]


def _found(report):
    return {(finding.column, finding.measure) for finding in report.findings}


def _with(spec, **limits):
    gates = dataclasses.replace(spec.data_gates, **limits)
    return dataclasses.replace(spec, data_gates=gates)


def _first_half(rows):
    return pl.int_range(pl.len()) < rows // 2


# --- days that are stopped ------------------------------------------------------------

_DAMAGES = {
    "likes flipped": (
        {"change": {"label_like": 1 - pl.col("label_like")}},
        {("label_like", "exchanged labels")},
        "0 and 1 look exchanged",
    ),
    "play times in seconds": (
        {"change": {"label_watch": pl.col("label_watch") / 1_000}},
        {("label_watch", "unit")},
        "looks like seconds instead of milliseconds",
    ),
    "lengths in another unit": (
        {"change": {"length_s": pl.col("length_s") * 60}},
        {("length_s", "unit")},
        "looks like seconds instead of minutes",
    ),
    "a category all null": (
        {"change": {"country": pl.lit("")}},
        {("country", "no values")},
        "% had one before",
    ),
    "a list all null": (
        {"change": {"tags": pl.lit([], dtype=pl.List(pl.String))}},
        {("tags", "no values")},
        "no row has a value",
    ),
    "half of the values missing": (
        {"change": {"tab": pl.when(_first_half(3_000)).then(-1).otherwise("tab")}},
        {("tab", "missing")},
        "more rows without a value",
    ),
    "two values exchanged": (
        {"drawn": Drawn(tabs=(0.25, 0.7, 0.05))},
        {("tab", "mix of values")},
        "1 and 2 look exchanged",
    ),
    "a mix that moved": (
        {"drawn": Drawn(tabs=(0.4, 0.25, 0.35))},
        {("tab", "mix of values")},
        "(was 5 %)",
    ),
    "a new value": (
        {"change": {"tab": pl.when(pl.col("tab") == 2).then(7).otherwise("tab")}},
        {("tab", "unseen values"), ("tab", "mix of values")},
        "no day before has 7",
    ),
    "half of the rows": (
        {"drawn": Drawn(rows=1_500)},
        {(DAY, "rows")},
        "50 % of the rows are not there",
    ),
    "a fifth unreadable": (
        {"drawn": Drawn(rejected=750)},
        {(DAY, "reject_share")},
        "unreadable rows",
    ),
    "a mean that moved by a standard deviation": (
        {"change": {"warmth": pl.col("warmth") + 0.8}},
        {("warmth", "mean"), ("warmth", "quantiles")},
        "10 / 50 / 90 % are",
    ),
    "a label that never happens": (
        {"change": {"label_like": pl.lit(0.0, dtype=pl.Float32)}},
        {("label_like", "one value")},
        "it never happens",
    ),
    "a label that happens six times as often": (
        {"drawn": Drawn(like=0.12)},
        {("label_like", "label mean"), ("label_engage", "label mean")},
        "times what it was",
    ),
    "an empty sample space": (
        {"change": {"mask_share": pl.lit(0.0, dtype=pl.Float32)}},
        {("label_share", "no values"), ("mask_share", "sample space")},
        "no row has a value",
    ),
    "one id throughout": (
        {"change": {"clip_id": pl.lit(5, dtype=pl.Int64)}},
        {("clip_id", "one value")},
        "every row has the value 5",
    ),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_day_is_stopped_and_the_cause_is_named(spec, week, damage):
    draw, wanted, told = _DAMAGES[damage]
    report = data_gate.judge_day(spec, day_of(spec, 8, **draw), week)
    assert _found(report) == wanted
    assert told in " ".join(finding.cause for finding in report.findings)
    assert (report.verdict, report.passes) == ("refused", False)
    assert all(finding.times > 1 for finding in report.findings)


def test_the_worst_comes_first_and_the_common_source_is_named(spec, week):
    """A like that is broken is in two labels; what else reads it is said."""
    change = {
        name: pl.lit(0.0, dtype=pl.Float32) for name in ("label_like", "label_engage")
    } | {"warmth": pl.col("warmth") + 0.8}
    report = data_gate.judge_day(spec, day_of(spec, 8, change=change), week)
    times = [finding.times for finding in report.findings]
    assert times == sorted(times, reverse=True)
    assert report.source == (
        "2 of the 3 columns that moved read `liked`, as no other does."
    )


def test_an_error_with_the_table_says_how_to_go_on(spec, week):
    change = {"label_watch": pl.col("label_watch") / 1_000}
    days = [day_of(spec, 8, change=change), day_of(spec, 9)]
    with pytest.raises(SuspiciousDayError) as told:
        data_gate.check(data_gate.judge_days(spec, days, week))
    assert told.value.exit_status == Status.REFUSED
    assert told.value.days == ("20240309",)
    message = str(told.value)
    for part in (
        "DataGate: 20240309 is too unlike the days before; nothing was trained on it.",
        "3,000 rows, against 8 days (20240301 to 20240308)",
        "label_watch",
        "seconds instead of",
        "--replace 20240309",
        "--accept_day 20240309 --reason",
    ):
        assert part in message


# --- days that are not ----------------------------------------------------------------


@pytest.mark.parametrize(
    "drawn",
    [
        Drawn(),
        Drawn(rows=300, users=20, rejected=0),
        Drawn(rows=60, users=8, like=0.2, rejected=1),
    ],
    ids=["3000 rows", "300 rows", "60 rows"],
)
def test_clean_days_pass(spec, drawn):
    """However few rows: chance moves them, too."""
    for seed in range(3 if drawn.rows < 3_000 else 1):
        days = [day_of(spec, number, seed, drawn) for number in range(9)]
        reports = data_gate.judge_days(spec, days, [])
        assert [_found(r) for r in reports if not r.passes] == []
        assert reports[-1].judged > reports[1].judged > 50


def test_half_of_the_rows_is_noticed_though_days_differ_by_a_tenth(spec):
    """Noise of 0.21 in logarithms: 2.5 of it are 0.52, half of the rows is 0.69 less."""
    days = [day_of(spec, n, drawn=Drawn(rows=900 + 100 * (n % 3))) for n in range(9)]
    half = day_of(spec, 9, drawn=Drawn(rows=500))
    assert _found(data_gate.judge_day(spec, half, days)) == {(DAY, "rows")}


def test_weekends_are_like_weekends(spec):
    """2024-03-02 is a Saturday: half the rows again, and another mix of tabs."""

    def drawn(number):
        weekend = date_of(number).weekday() >= 5
        return Drawn(rows=3_000, tabs=(0.2, 0.7, 0.1)) if weekend else Drawn(rows=1_500)

    days = [day_of(spec, n, drawn=drawn(n)) for n in range(9)]
    report = data_gate.judge_day(spec, days[8], days[:8])  # the second Saturday
    assert report.passes
    in_the_week = day_of(spec, 10, drawn=drawn(8))  # a Monday like that
    report = data_gate.judge_day(spec, in_the_week, days)
    assert (DAY, "rows") in _found(report)


def test_a_trend_is_no_leap(spec):
    """A column that grows every day, as counts since the beginning do."""
    days = [
        day_of(spec, n, change={"length_s": pl.col("length_s") * (1 + n)})
        for n in range(12)
    ]
    reports = data_gate.judge_days(spec, days, [])
    assert [_found(r) for r in reports if not r.passes] == []


def test_a_rare_value_in_a_column_of_one_value_passes(spec):
    """Before, every row had the same; now one in a hundred has not."""
    always = {"warmth": pl.lit(0.0, dtype=pl.Float32)}
    days = [day_of(spec, n, change=always) for n in range(7)]
    some = (pl.int_range(pl.len()) % 100 == 0).cast(pl.Float32)
    report = data_gate.judge_day(spec, day_of(spec, 7, change={"warmth": some}), days)
    assert report.passes


# --- few days before ------------------------------------------------------------------


def test_with_few_days_only_what_is_impossible_stops_a_day(spec, week):
    few = week[:2]
    moved = day_of(spec, 8, drawn=Drawn(rows=1_500, like=0.06, tabs=(0.2, 0.2, 0.6)))
    report = data_gate.judge_day(spec, moved, few)
    assert report.passes
    (note,) = report.notes
    assert note.startswith("2 of 5 days before: only what is impossible was judged")
    for damage in ("likes flipped", "play times in seconds", "a category all null",
                   "a label that never happens", "a fifth unreadable"):  # fmt: skip
        draw, wanted, _ = _DAMAGES[damage]
        assert _found(data_gate.judge_day(spec, day_of(spec, 8, **draw), few)) == wanted


def test_the_first_day_is_judged_by_its_rejects_alone(spec):
    first = day_of(spec, 0, change={"country": pl.lit("")})
    report = data_gate.judge_day(spec, first, [])
    assert (report.passes, report.before, report.judged) == (True, (), 1)
    assert report.notes[0].startswith("No day before")
    report = data_gate.judge_day(spec, day_of(spec, 0, drawn=Drawn(rejected=750)), [])
    assert _found(report) == {(DAY, "reject_share")}


def test_a_label_too_rare_to_miss_is_no_wonder(spec):
    """300 rows, of which three should have a like: none at all may happen."""
    drawn = Drawn(rows=300, users=20, like=0.01)
    days = [day_of(spec, n, drawn=drawn) for n in range(8)]
    never = {"label_like": pl.lit(0.0, dtype=pl.Float32)}
    day = day_of(spec, 8, drawn=drawn, change=never)
    assert data_gate.judge_day(spec, day, days).passes


def test_a_value_too_rare_to_miss_is_no_wonder_either(spec):
    """60 rows, of which one has a tag on the days before."""
    tag = pl.lit(["x"], dtype=pl.List(pl.String))
    none = pl.lit([], dtype=pl.List(pl.String))
    one = pl.when(pl.int_range(pl.len()) == 0).then(tag).otherwise(none)
    drawn = Drawn(rows=60, users=8)
    days = [day_of(spec, n, drawn=drawn, change={"tags": one}) for n in range(4)]
    day = day_of(spec, 4, drawn=drawn, change={"tags": none})
    assert data_gate.judge_day(spec, day, days).passes


def test_a_column_that_no_day_before_has_is_noted(spec, week):
    lacking = [
        dataclasses.replace(
            day, columns={k: c for k, c in day.columns.items() if k != "age"}
        )
        for day in week
    ]
    report = data_gate.judge_day(spec, day_of(spec, 8), lacking)
    assert report.passes
    assert report.notes == ("No day before has age: not judged.",)


# --- several days ---------------------------------------------------------------------


def test_a_refused_day_is_not_what_the_next_is_compared_with(spec, week):
    bad = _DAMAGES["likes flipped"][0]
    new = [day_of(spec, 8, **bad), day_of(spec, 9), day_of(spec, 10, **bad)]
    reports = data_gate.judge_days(spec, new[::-1], week)
    assert [report.day for report in reports] == ["20240309", "20240310", "20240311"]
    assert [report.passes for report in reports] == [False, True, False]
    assert reports[2].before == tuple(d.split for d in [*week, new[1]])


def test_a_day_made_again_is_compared_with_those_before_it(spec, week):
    again = day_of(spec, 6, seed=9)
    (report,) = data_gate.judge_days(spec, [again], week)
    assert report.before == tuple(day.split for day in week[:6])


def test_the_verdict_is_the_same_in_whatever_order_days_come(spec, week):
    day = day_of(spec, 8, drawn=Drawn(tabs=(0.2, 0.2, 0.6), like=0.1))
    one = data_gate.judge_day(spec, day, week)
    assert data_gate.judge_day(spec, day, week[::-1]).to_json() == one.to_json()


def test_only_the_nearest_days_are_compared_but_values_are_known_from_all(spec, week):
    change = {"tab": pl.when(pl.col("tab") == 2).then(7).otherwise("tab")}
    longer = [day_of(spec, -1, seed=5, change=change), *week]
    near = _with(spec, window=6)
    report = data_gate.judge_day(near, day_of(spec, 8, change=change), longer)
    assert report.before == tuple(day.split for day in week[2:])
    assert _found(report) == {("tab", "mix of values")}  # 7 was seen once


def test_splits_of_several_days_may_have_fewer_of_them(spec, week):
    log = dataclasses.replace(spec.log, days_per_split=7)
    report = data_gate.judge_day(
        dataclasses.replace(spec, log=log), day_of(spec, 8, drawn=Drawn(rows=900)), week
    )
    assert report.passes


# --- acceptance -----------------------------------------------------------------------


def test_an_accepted_day_passes_with_its_findings(spec, week):
    day = day_of(spec, 8, drawn=Drawn(rows=1_500))
    seen = data_gate.judge_day(spec, day, week)
    found = accept.accept(seen, "a holiday", "ada")
    report = data_gate.judge_day(spec, day, week, [found])
    assert (report.passes, report.verdict) == (True, "accepted")
    assert report.findings == seen.findings
    assert (report.accepted_by, report.accepted_why) == ("ada", "a holiday")
    other = day_of(spec, 8, drawn=Drawn(rows=900))  # made again, and worse
    assert not data_gate.judge_day(spec, other, week, [found]).passes


def test_what_was_accepted_may_be_again_and_is_noted(spec, week):
    """A level that is right from now on is not asked about every day."""
    drawn = Drawn(tabs=(0.2, 0.2, 0.6))
    day, next_day = (day_of(spec, number, drawn=drawn) for number in (8, 9))
    found = accept.accept(data_gate.judge_day(spec, day, week), "a new tab", "ada")
    assert not data_gate.judge_day(spec, next_day, [*week, day]).passes
    report = data_gate.judge_day(spec, next_day, [*week, day], [found])
    assert (report.verdict, report.findings) == ("passed", ())
    assert report.notes == ("What was accepted of 20240309 passes again.",)
    # Of that column alone.
    both = day_of(spec, 9, drawn=dataclasses.replace(drawn, like=0.12))
    report = data_gate.judge_day(spec, both, [*week, day], [found])
    assert {column for column, _ in _found(report)} == {"label_like", "label_engage"}


# --- limits ---------------------------------------------------------------------------


def test_what_is_off_is_not_judged_and_a_column_has_its_own_limits(week):
    half = Drawn(rows=1_500, tabs=(0.2, 0.2, 0.6))
    text = f"{SPEC}data_gates: {{not_judged: [rows, tab]}}\n"
    spec = read_spec(text)
    assert data_gate.judge_day(spec, day_of(spec, 8, drawn=half), week).passes
    text = f"{SPEC}data_gates: {{columns: {{tab: {{jensen_shannon: 0.5}}}}}}\n"
    spec = read_spec(text)
    report = data_gate.judge_day(spec, day_of(spec, 8, drawn=half), week)
    assert _found(report) == {(DAY, "rows")}


def test_a_gate_that_is_off_measures_all_the_same(spec, week):
    day = day_of(spec, 8, drawn=Drawn(rows=1_500))
    report = data_gate.judge_day(_with(spec, enabled=False), day, week)
    assert (report.verdict, report.passes) == ("off", True)
    assert _found(report) == {(DAY, "rows")}


def test_the_gates_view_is_all_that_it_needs(spec, week):
    """The step is given no more."""
    day = day_of(spec, 8, drawn=Drawn(tabs=(0.2, 0.2, 0.6), like=0.1))
    given = read_spec(views.text(spec, views.DATA_GATES))
    one, other = (data_gate.judge_day(s, day, week) for s in (spec, given))
    assert one.findings
    assert one.to_json() == other.to_json()


def test_a_split_that_is_no_day_is_refused(spec, week):
    day = dataclasses.replace(day_of(spec, 8), split="train")
    with pytest.raises(GateError, match="must be a split of days such as"):
        data_gate.judge_day(spec, day, week)


def test_days_of_no_row_stop_nothing_but_are_told(spec, week):
    """An empty day has no mean; its rows are what is missing."""
    empty = frame_of(np.random.default_rng(0), Drawn()).clear()
    report = data_gate.judge_day(spec, summary_of(spec, empty, date_of(8)), week)
    assert (DAY, "rows") in _found(report)


def test_a_filter_that_counts_lets_more_videos_in_each_day(spec, week):
    """They are no finding then; rows that the log lacks still are."""
    grown = dataclasses.replace(
        day_of(spec, 8), videos=5 * week[0].videos, users=5 * week[0].users
    )
    assert {(DAY, "videos"), (DAY, "users")} <= _found(
        data_gate.judge_day(spec, grown, week)
    )
    filters = dataclasses.replace(spec.filters, min_item_impressions=10)
    counting = dataclasses.replace(spec, filters=filters)
    assert not _found(data_gate.judge_day(counting, grown, week))
    half = dataclasses.replace(grown, read=grown.read // 3)
    assert (DAY, "rows") in _found(data_gate.judge_day(counting, half, week))

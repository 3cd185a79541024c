"""All of example generation against a per-row reference, and the reference by hand.

The pipeline runs as users run it: CSV files in, TFRecord files out, read back here.
"""

import collections
import dataclasses
import datetime
import gzip
import math
import pathlib
import random
import struct

import numpy as np
import pyarrow as pa
import pytest
from tfx_bsl.coders import example_coder

from feature_specs import read_spec
from pipeline.examples.build import ExamplesRequest, run_examples
from pipeline.examples.days import DayRange
from tests.pipeline.examples import full_spec
from tests.pipeline.examples.messy_logs import (
    DAYS,
    messy_events,
    messy_logs,
    midnight,
    write_events,
    write_log,
)
from tests.pipeline.examples.reference import (
    Counter,
    Description,
    Quantile,
    Statistic,
    Task,
    make_reference,
)

_EVAL_DAYS = 2
_DAY_MS = 86_400_000


# --- the reference, by hand ---------------------------------------------------------

_SHANGHAI = Description(
    user="user",
    item="item",
    time="ts",
    watched="watched",
    length="length",
    timezone="Asia/Shanghai",
    log_columns=("user", "item", "ts", "watched", "length", "liked", "tab"),
    outcomes=("watched", "liked"),
    joins={"videos": ("item", ["tags"])},
    keep={"length": lambda r: r["length"] >= 5_000},
    min_user_events=2,
    min_item_impressions=2,
    gap_ms=600_000,
    trail_scope=("tab",),
    trail_last=("liked",),
    positive=lambda r: r["liked"] == 1,
    history_columns=("item",),
    history_length=2,
    counters=(
        Counter(name="plays"),
        Counter(name="likes", where=lambda r: r["liked"] == 1),
        Counter(name="item_since", match=lambda r: r["item"], measure="seconds_since"),
        Counter(name="tag_plays", match=lambda r: r["tags"]),
        Counter(
            name="tag_watched",
            match=lambda r: r["tags"],
            measure="mean",
            value=lambda r: r["watched"] / 1000,
            prior=2,
            strength=1,
        ),
    ),
    statistics=(
        Statistic(
            name="item_s",
            by="item",
            value=lambda r: r["watched"] / 1000,
            measure="sum",
            days=1,
        ),
        Statistic(name="item_shown", by="item", measure="count"),
        Statistic(
            name="item_liked",
            by="item",
            value=lambda r: r["liked"] == 1,
            prior=0.5,
            strength=2,
        ),
        Statistic(name="tab_liked", by="tab", value=lambda r: r["liked"]),
    ),
    quantiles=(
        Quantile(
            name="quantile",
            value=lambda r: r["watched"],
            by=lambda r: r["length"],
            boundaries=(20_000,),
            step=10_000,
            max=30_000,
        ),
    ),
    derived={"busy": lambda r: r["plays"] > 3},
    features={
        **full_spec.plain("int64", "trail_position", "trail_length", "busy"),
        **full_spec.plain("float32", "trail_seconds", "trail_watched_share"),
        **full_spec.plain("int64", "trail_last_liked", "plays", "likes", "tag_plays"),
        **full_spec.plain("float32", "item_since", "tag_watched", "item_s"),
        **full_spec.plain("float32", "item_liked", "tab_liked", "trail_relative"),
        **full_spec.plain("int64", "item_shown"),
        "history": (["int64"], lambda r: r["history_item"]),
        "tags": (["string"], lambda r: r["tags"]),
    },
    tasks={
        "like": Task(label=lambda r: r["liked"]),
        "quantile": Task(
            label=lambda r: r["quantile"], space=lambda r: r["watched"] > 0
        ),
    },
    slices={"tab": "int64"},
)
_TAGS = {9: ["y", "x", "y"], 10: ["x", "y"], 11: ["y"], 12: None}
_SIDES = {"videos": {item: {"tags": tags} for item, tags in _TAGS.items()}}
_MIDNIGHT = 1_649_433_600_000  # 2022-04-09 00:00 in Shanghai, 16:00 in London


def _row(user, item, since_midnight_ms, watched, length, liked, tab=0):
    ts = _MIDNIGHT + since_midnight_ms
    return dict(
        zip(
            ("user", "item", "ts", "watched", "length", "liked", "tab"),
            (user, item, ts, watched, length, liked, tab),
            strict=True,
        )
    )


_ROWS = [
    # The day before: context. The second one is known ten seconds after midnight.
    _row(1, 10, -3_600_000, 60_000, 60_000, 1),
    _row(1, 11, -30_000, 40_000, 20_000, 0),
    _row(2, 10, -1, 0, 20_000, 1),  # known at midnight
    # The training day. Items 9 and 11 begin as item 12 and the one before end.
    _row(1, 10, 0, 0, 30_000, 1),
    _row(1, 12, 5_000, 5_000, 10_000, 0),
    _row(1, 9, 10_000, 1_000, 4_000, 1),  # too short a video
    _row(1, 11, 10_000, 20_000, 40_000, 1),
    _row(1, 12, 20_000, 100, 10_000, 1, None),  # the next one knows of no like yet
    _row(1, 12, 20_000, 100, 10_000, 0, None),
    _row(1, 13, 40_000, 0, 30_000, 0),  # the only one of its video
    _row(3, 10, 50_000, 3_000, 5_000, 0),  # the only one of its user
    # The evaluation day, and one after it.
    _row(1, 10, _DAY_MS, 10_000, 20_000, 0),
    _row(2, 10, _DAY_MS + 1, 7_000, 5_000, 0),
    _row(1, 10, 2 * _DAY_MS, 10_000, 20_000, 0),
]


@pytest.fixture(scope="module")
def by_hand():
    """The reference of a dozen rows, its keys as (user, ms since midnight, item)."""
    day = datetime.date(2022, 4, 9)
    next_day = datetime.date(2022, 4, 10)
    found = make_reference(_ROWS, _SIDES, _SHANGHAI, day, next_day, 1)
    examples = {
        (user, ts - _MIDNIGHT, item): example
        for (user, ts, item), example in found.examples.items()
    }
    return dataclasses.replace(found, examples=examples)


def test_hand_accounts(by_hand):
    assert by_hand.filtered == {
        "duplicate": 1,
        "length": 1,
        "min_item_impressions": 1,
        "min_user_events": 1,
    }
    assert by_hand.context == 3
    assert by_hand.outside == 1
    assert {key: e["split"] for key, e in by_hand.examples.items()} == {
        (1, 0, 10): "day-20220409",
        (1, 5_000, 12): "day-20220409",
        (1, 10_000, 11): "day-20220409",
        (1, 20_000, 12): "day-20220409",
        (1, _DAY_MS, 10): "day-20220410",
        (2, _DAY_MS + 1, 10): "day-20220410",
    }


def _hand(by_hand, *names):
    """The features of the six examples, in order."""
    return [
        [by_hand.examples[key][name] for name in names]
        for key in sorted(by_hand.examples)
    ]


def test_hand_trails(by_hand):
    names = "trail_position", "trail_seconds", "trail_length", "trail_relative"
    assert _hand(by_hand, *names) == [
        # One trail from the eve's second row to item 11: 30 s before midnight on.
        [2, 30.0, 5, 0.4],
        [3, 35.0, 5, 0.6],
        [5, 40.0, 5, 1.0],
        [1, 0.0, 1, 1.0],  # no tab is another tab
        [1, 0.0, 1, 1.0],
        [1, 0.0, 1, 1.0],
    ]
    shares, last = zip(
        *_hand(by_hand, "trail_watched_share", "trail_last_liked"), strict=True
    )
    # The eve's second row, 40 s of 20 s watched, is known from 00:00:10 only. Then
    # (0 + 20 + 5) s of (30 + 20 + 10) s; item 9 of that moment is not known yet.
    assert [None if math.isnan(s) else s for s in shares] == [
        None,
        0.0,
        25 / 60,
        None,
        None,
        None,
    ]
    # Item 12 and the eve's row end at once: the later begin is the last.
    assert last == (-1, 1, 0, -1, -1, -1)


def test_hand_history_and_counters(by_hand):
    assert _hand(by_hand, "history", "plays", "likes", "tag_plays", "busy") == [
        [[10], 1, 1, 2, 0],
        [[10, 10], 2, 2, -1, 0],
        [[10, 10], 4, 2, 3, 1],  # of items 10, 10, 11 one tag each
        [[10, 9], 5, 3, -1, 1],  # item 11 still runs
        [[12, 11], 8, 5, 8, 1],  # x: 10, 10, 9; y: 10, 10, 11, 9, 11
        [[10], 1, 1, 2, 0],
    ]
    since, watched = zip(*_hand(by_hand, "item_since", "tag_watched"), strict=True)
    assert since[0] == 3_540.0
    assert math.isnan(since[1])
    assert since[2] == 0.0  # ended as this one begins
    assert since[3] == 10.0
    assert since[4] == 86_399.999  # one without length is known 1 ms later
    assert since[5] == 86_400.001
    assert watched[0] == pytest.approx((2 * 60 + 2) / 3)
    assert math.isnan(watched[1])
    assert watched[2] == pytest.approx((60 + 0 + 40 + 2) / 4)
    assert watched[4] == pytest.approx((61 + 121 + 2) / 9)
    assert watched[5] == pytest.approx((0 + 0 + 2) / 3)


def test_hand_statistics(by_hand):
    names = "item_s", "item_shown", "item_liked"
    found = _hand(by_hand, *names)
    assert found[0] == [60.0, 1, (1 + 1) / 3]  # user 2's of the eve: known at midnight
    assert found[1] == [0.0, 0, 0.5]
    assert found[2] == [0.0, 0, 0.5]
    assert found[4] == [3.0, 4, (3 + 1) / 6]  # all of item 10; 0 + 0 + 3 s yesterday
    assert found[5] == found[4]
    tabs = [e["tab_liked"] for _, e in sorted(by_hand.examples.items())]
    assert tabs[:3] == [1.0, 1.0, 1.0]
    assert math.isnan(tabs[3])
    assert tabs[4] == pytest.approx(5 / 9)


def test_hand_labels(by_hand):
    names = "label_like", "label_quantile", "mask_quantile", "slice_tab"
    # Groups of training rows, in bins of 10 s: [0, 0, 0, 0] and [0, 0, 0, 2, 3, 3].
    assert _hand(by_hand, *names) == [
        [1, 1.5 / 6, 0, 0],
        [0, 2 / 4, 1, 0],
        [1, 3.5 / 6, 1, 0],
        [1, 2 / 4, 1, -1],
        [0, 3 / 6, 1, 0],
        [0, 2 / 4, 1, 0],
    ]


def test_hand_longest_watch():
    """A watch of ten hours that is taken for one is known after one."""
    hour = 3_600_000
    rows = [
        _row(1, 10, 0, 10 * hour, 5_000, 1),
        *(_row(1, 11, time, 0, 5_000, 0) for time in (hour - 1, hour, 3 * hour)),
    ]
    spec = dataclasses.replace(
        _SHANGHAI, longest_ms=hour, min_user_events=0, min_item_impressions=0
    )
    first, last = datetime.date(2022, 4, 9), datetime.date(2022, 4, 10)
    examples = make_reference(rows, _SIDES, spec, first, last, 1).examples
    found = [
        (example["history"], example["trail_position"])
        for _, example in sorted(examples.items())
    ]
    assert found == [([], 1), ([], 2), ([10], 3), ([10], 1)]


def test_hand_clocks():
    """2022-11-06 has 25 hours in New York; India's midnight is at 18:30 in London."""
    utc = datetime.timezone.utc
    times = [
        datetime.datetime(2022, 11, 6, 4, 0, tzinfo=utc),
        datetime.datetime(2022, 11, 6, 5, 59, tzinfo=utc),
        datetime.datetime(2022, 11, 6, 6, 1, tzinfo=utc),
        datetime.datetime(2022, 11, 7, 4, 59, tzinfo=utc),
        datetime.datetime(2022, 11, 7, 5, 0, tzinfo=utc),
        datetime.datetime(2022, 11, 7, 18, 30, tzinfo=utc),
    ]
    clocks = {"America/New_York": [], "Asia/Kolkata": []}
    for timezone, found in clocks.items():
        spec = dataclasses.replace(
            _SHANGHAI,
            timezone=timezone,
            min_user_events=0,
            min_item_impressions=0,
            features={"clock": ("string", lambda r: f"{r['event_time']:%d %H:%M}")},
        )
        rows = [
            {**_ROWS[0], "ts": int(time.timestamp() * 1000), "item": n}
            for n, time in enumerate(times)
        ]
        first, last = datetime.date(2022, 11, 5), datetime.date(2022, 11, 8)
        examples = make_reference(rows, _SIDES, spec, first, last, 1).examples
        for _, example in sorted(examples.items()):
            found.append((example["clock"], example["split"][-2:]))
    assert clocks["America/New_York"] == [
        ("06 00:00", "06"),
        ("06 01:59", "06"),
        ("06 01:01", "06"),
        ("06 23:59", "06"),
        ("07 00:00", "07"),
        ("07 13:30", "07"),
    ]
    assert clocks["Asia/Kolkata"] == [
        ("06 09:30", "06"),
        ("06 11:29", "06"),
        ("06 11:31", "06"),
        ("07 10:29", "07"),
        ("07 10:30", "07"),
        ("08 00:00", "08"),
    ]


# --- the pipeline -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Run:
    """What a run of the pipeline wrote, by (user, begin, item)."""

    report: dict
    examples: dict


def _run(logs, out, text, first_day):
    """The whole pipeline, in small pieces; days begin after one day of context."""
    request = ExamplesRequest(
        spec=read_spec(text),
        logs_dir=str(logs),
        examples_dir=str(out / "examples"),
        rejects_dir=str(out / "rejects"),
        report_path=str(out / "report.json"),
        days=DayRange(first_day + _days(1), first_day + _days(DAYS - 1)),
        eval_days=_EVAL_DAYS,
        shards=3,
        range_bytes=200_000,
        file_rows=700,
    )
    report = run_examples(request)
    return _Run(report, _read_examples(request.examples_dir))


def _days(count):
    return datetime.timedelta(days=count)


def _read_examples(folder):
    found = {}
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    for path in sorted(pathlib.Path(folder).glob("Split-*/*")):
        split = path.parent.name.removeprefix("Split-")
        batch = decoder.DecodeBatch(_records(path))
        columns = [_lists(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            example = dict(zip(batch.schema.names, values, strict=True))
            key = tuple(example[k][0] for k in ("key_user", "key_time_ms", "key_item"))
            assert key not in found
            found[key] = {**example, "split": [split]}
    return found


def _lists(column):
    """Values [B] of each row of a feature; a loop over Arrow's own takes ten times."""
    values = column.flatten()
    if pa.types.is_large_binary(values.type) or pa.types.is_binary(values.type):
        plain = [value.decode() for value in values.to_pylist()]
    else:
        plain = values.to_numpy().tolist()
    ends = np.cumsum(column.value_lengths().fill_null(0).to_numpy()).tolist()
    return [plain[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _records(path):
    data, records, place = gzip.decompress(path.read_bytes()), [], 0
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        records.append(data[place + 12 : place + 12 + size])
        place += 16 + size
    return records


def _differences(found, expected):
    """Feature -> (how many rows differ, one of them as (row, found, expected))."""
    differ = {}
    for key in found.keys() & expected.keys():
        names = {n for n, values in found[key].items() if values} | set(expected[key])
        for name in names:
            got, wanted = found[key].get(name, []), expected[key].get(name, "nothing")
            wanted = wanted if isinstance(wanted, list) else [wanted]
            if not _equal(got, wanted):
                count = differ.get(name, (0,))[0]
                differ[name] = (count + 1, (key, got, wanted))
    return differ


def _equal(got, wanted):
    """Whether lists are equal; floats are float32 in an example."""
    if got == wanted and list(map(type, got)) == list(map(type, wanted)):
        return True
    if len(got) != len(wanted):
        return False
    return all(
        type(a) is type(b)
        and (
            math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
            or (math.isnan(a) and math.isnan(b))
            if isinstance(a, float)
            else a == b
        )
        for a, b in zip(got, wanted, strict=True)
    )


_CASES = {
    "a large log": ("Asia/Shanghai", datetime.date(2022, 4, 8), 32, 55),
    "autumn": ("America/New_York", datetime.date(2022, 11, 3), 16, 45),
    "spring": ("America/New_York", datetime.date(2022, 3, 10), 16, 45),
    "half an hour": ("Asia/Kolkata", datetime.date(2022, 4, 8), 16, 45),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case == "a large log" else [])
        for case in _CASES
    ],
)
def test_examples_equal_the_reference(tmp_path, case):
    timezone, first_day, users, rows_per_user_day = _CASES[case]
    rows, sides = messy_logs(
        tmp_path,
        timezone=timezone,
        first_day=first_day,
        users=users,
        rows_per_user_day=rows_per_user_day,
    )
    events = messy_events(rows)
    write_events(tmp_path, events)
    run = _run(tmp_path, tmp_path / "run", full_spec.yaml_text(timezone), first_day)
    expected = make_reference(
        rows,
        sides,
        full_spec.describe(timezone),
        first_day + _days(1),
        first_day + _days(DAYS - 1),
        _EVAL_DAYS,
        events,
    )
    assert run.report["filtered"] == expected.filtered
    assert run.report["context"] == expected.context
    assert run.report["outside_days"] == expected.outside
    assert run.examples.keys() == expected.examples.keys()
    found = _known_by_first(run.examples, 0)
    assert _differences(found, _known_by_first(expected.examples, None)) == {}
    _assert_accounts(run.report["histories"], expected.histories, events)
    assert run.report["examples"] == collections.Counter(
        example["split"] for example in expected.examples.values()
    )
    _assert_rich(expected)


def _known_by_first(examples, none):
    """The examples with each request called by the first of its examples."""
    firsts = {}
    for key in sorted(examples):
        firsts.setdefault(str(_request(examples[key])), str(key))
    firsts[str(none)] = "none"
    return {
        key: {**example, "key_request": [firsts[str(_request(example))]]}
        for key, example in examples.items()
    }


def _request(example):
    found = example["key_request"]
    return found[0] if isinstance(found, list) else found


def _assert_accounts(report, expected, events):
    """Every row of the other logs went where the reference says."""
    for name, rows in events.items():
        damaged = int(name == "searches")
        wanted = {**expected[name], "rejected": damaged}
        found = {b: n for b, n in report[name]["buckets"].items() if n or b in wanted}
        assert found == wanted
        assert report[name]["rows_in"] == len(rows) + damaged == sum(wanted.values())
    assert min(expected["searches"].values()) > 0
    assert len(expected["searches"]) == 5


def _assert_rich(expected):
    """The logs have all that the comparison is meant to see."""
    assert all(expected.filtered.values())
    assert expected.context and expected.outside
    examples = list(expected.examples.values())
    for name in examples[0].keys() - _SELDOM:
        assert len({str(e[name]) for e in examples}) > 1, name


# Binary labels are always known; these may be rare in a small log.
_SELDOM = {
    *(f"mask_{task}" for task in full_spec.ALWAYS_KNOWN),
    *(f"label_{task}" for task in ("follow", "comment", "share", "hate")),
}


# --- no future ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def unfiltered():
    """The full spec without the two counts, which look at all training days."""
    text = full_spec.yaml_text("Asia/Shanghai")
    for rule in ("min_user_events", "min_item_impressions"):
        assert f"{rule}: 5" in text
        text = text.replace(f"{rule}: 5", f"{rule}: 0")
    return text


@pytest.mark.parametrize("hours", [60.5, 109.25])  # a training day, an evaluation day
def test_what_comes_later_changes_nothing(tmp_path, unfiltered, hours):
    first_day = datetime.date(2022, 4, 8)
    rows, _ = messy_logs(
        tmp_path,
        timezone="Asia/Shanghai",
        first_day=first_day,
        users=14,
        rows_per_user_day=40,
        seed=int(hours),
    )
    now = midnight(first_day, "Asia/Shanghai") + int(hours * 3_600_000)
    rows += _running(rows, now)
    write_log(tmp_path, rows)
    events, draw = messy_events(rows), random.Random(int(hours))
    write_events(tmp_path, events)
    before = _run(tmp_path, tmp_path / "before", unfiltered, first_day)
    write_log(tmp_path, _with_another_future(rows, now, draw))
    write_events(tmp_path, _with_other_events(events, now, draw))
    after = _run(tmp_path, tmp_path / "after", unfiltered, first_day)

    ended = {_key(r) for r in rows if r["time_ms"] <= now and _known_from(r) <= now}
    past = {key for key in before.examples if key[1] <= now}
    assert len(past & ended) > 500
    assert past & ended == ended & after.examples.keys()
    kept = past & after.examples.keys()
    assert kept - ended  # some run at this moment: their own outcomes changed
    found, expected = _visible(after, kept, ended), _visible(before, kept, ended)
    assert _differences(found, expected) == {}

    later = before.examples.keys() & after.examples.keys() - past
    changed = _differences(
        *({k: run.examples[k] for k in later} for run in (after, before))
    )
    # The same comparison sees what has changed after this moment.
    assert {"history_video_id", "user_plays", "tag_since", "trail_seconds"} <= set(
        changed
    )
    assert {"history_searches_tokens", "history_follows_author"} <= set(changed)


def _running(rows, now):
    """One impression of each user that has begun before and has not ended."""
    users = {row["user_id"]: row for row in rows if (row["duration_ms"] or 0) > 0}
    times = {"duration_ms": 60_000, "play_time_ms": 50_000}
    return [
        {**row, **times, "time_ms": now - 40_000 + 1_000 * number}
        for number, (_, row) in enumerate(sorted(users.items()))
    ]


def _with_another_future(rows, now, draw):
    """Rows that began by `now` keep what is known of them then; later ones change."""
    seen = collections.Counter(map(_key, rows))
    changed = []
    for row in rows:
        if row["time_ms"] > now:
            if draw.random() < 0.3:
                continue
            tab, duration_ms = draw.choice([None, 0, 1]), draw.choice([6_000, 90_000])
            changed.append(_another(row, draw, tab=tab, duration_ms=duration_ms))
        elif _known_from(row) > now and seen[_key(row)] == 1:
            runs_on = now - row["time_ms"] + 1 + draw.randrange(600_000)
            changed.append(_another(row, draw, play_time_ms=runs_on))
        else:
            changed.append(row)
    later = [row for row in rows if row["time_ms"] > now]
    for row in draw.sample(later, len(later) // 4):
        time_ms = row["time_ms"] + draw.randrange(_DAY_MS)
        changed.append({**row, "time_ms": time_ms})
    return changed


def _with_other_events(events, now, draw):
    """What happened by `now` stays; of what came later some goes, and all changes."""
    searches = [
        e if e["at"] <= now else {**e, "query": "another future", "results": 9}
        for e in events["searches"]
        if e["at"] <= now or draw.random() < 0.7
    ]
    follows = [
        e if e["when_s"] * 1000 <= now else {**e, "author": 99}
        for e in events["follows"]
    ]
    return {"searches": searches, "follows": follows}


_LATER_VALUES = {
    "is_click": (0, 1),
    "is_like": (0, 1),
    "is_follow": (0, 1),
    "is_hate": (None, 0, 1),
    "long_view": (0, 1),
    "play_time_ms": (None, 0, 1, 4_000, 200_000, 90_000_000),
    "profile_stay_time": (None, 0, 900),
    "comment_stay_time": (None, 0, 900),
}


def _another(row, draw, **fixed):
    """The row with other outcomes, and with these columns."""
    return {**row, **{c: draw.choice(v) for c, v in _LATER_VALUES.items()}, **fixed}


def _key(row):
    return row["user_id"], row["time_ms"], row["video_id"]


def _known_from(row):
    return row["time_ms"] + max(1, min(row["play_time_ms"] or 0, full_spec.LONGEST_MS))


def _visible(run, keys, ended):
    """What is known at the moment: features, and labels of what has ended."""
    hidden = {*full_spec.FUTURE, *(f"label_{name}" for name in full_spec.QUANTILES)}
    return {
        key: {
            name: value
            for name, value in run.examples[key].items()
            if name not in hidden
            and (key in ended or not name.startswith(("label_", "mask_")))
        }
        for key in keys
    }

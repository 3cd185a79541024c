"""Events apart from impressions: against a per-row reference, to the row, no future."""

import datetime
import random

import polars as pl
import pytest

from feature_specs import read_spec
from feature_specs.column_types import parse_types
from pipeline.examples.build import run_examples
from pipeline.examples.columns import quantiles
from pipeline.examples.columns.event_columns import MS
from pipeline.examples.columns.statistics import daily_sums, windows
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.events import (
    OWNER,
    attach,
    count_alone,
    find_owners,
    impression_keys,
)
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.shard import make_examples, settle
from tests.pipeline.examples.engaged_logs import (
    DAYS,
    FIRST_DAY,
    engaged_logs,
    write_logs,
)
from tests.pipeline.examples.events_reference import SPEC, make_reference
from tests.pipeline.examples.reference_test import _differences, _read_examples
from tests.tiny_spec import TINY_SPEC

_LAST_DAY = FIRST_DAY + datetime.timedelta(days=DAYS - 2)
_WENT = ("joined", "late", "unmatched", "repeated")
_FIRST = FIRST_DAY + datetime.timedelta(days=1)


@pytest.mark.parametrize("count", [2_000, pytest.param(8_000, marks=pytest.mark.slow)])
def test_examples_equal_the_reference_and_no_event_is_lost(tmp_path, count):
    rows, events = engaged_logs(users=count // 100, rows=count)
    write_logs(tmp_path, rows, events, damage=3)
    out = tmp_path / "out"
    report = run_examples(
        ExamplesRequest(
            spec=read_spec(SPEC),
            logs_dir=str(tmp_path),
            examples_dir=str(out / "examples"),
            rejects_dir=str(out / "rejects"),
            report_path=str(out / "report.json"),
            days=DayRange(_FIRST, _LAST_DAY),
            shards=3,
            range_bytes=200_000,
        )
    )
    found = _read_examples(out / "examples")
    examples, filtered, went = make_reference(rows, events, _FIRST, _LAST_DAY, 1)
    assert _differences(found, examples) == {}
    assert found.keys() == examples.keys()
    for name, section in report["events"].items():
        assert section["rows"] == len(events[name]) + section["rejected"]
        accounts = {what: section[what] for what in _WENT}
        assert accounts == {what: went[name][what] for what in _WENT}
        assert all(accounts.values())
        assert section["before_impression"] == went[name]["early"]
        assert section["outside_days"] == went[name]["outside"]
    assert {name: s["rejected"] for name, s in report["events"].items()} == {
        "engagements": 6,
        "purchases": 3,
        "comments": 3,
    }
    assert report["rejected"] == 6
    assert report["rows_in"] == len(rows) + 6
    used = sum(report["examples"].values()) + sum(report["filtered"].values())
    other = report["context"] + report["outside_days"] + report["rejected"]
    assert used + other == report["rows_in"]
    rules = {rule: n for rule, n in report["filtered"].items() if n}
    assert rules == filtered


# --- no future ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_an_event_changes_no_example_that_begins_before_it(seed):
    draw = random.Random(seed)
    rows, events = engaged_logs(seed, users=8, rows=480)
    now = sorted(r["ts"] for r in rows)[len(rows) * 2 // 3]
    before = _examples(rows, events)
    after = _examples(
        rows, {n: _another_future(e, now, draw) for n, e in events.items()}
    )
    past, later = ([f for f in before if (f[0] <= now) == early] for early in (1, 0))
    assert len(past) > 200 and len(later) > 50
    assert {key: _known(before[key], now) for key in past} == {
        key: _known(after[key], now) for key in past
    }
    # The same comparison sees what changes after this moment.
    changed = {
        name
        for key in later
        for name, value in before[key].items()
        if value != after[key][name]
    }
    assert {"history_item", "history_like", "likes", "since_like"} <= changed
    assert {"mean_spent", "item_like_rate", "user_actions"} <= changed


def _another_future(events, now, draw):
    """Events up to `now` as they are; later ones other, moved, gone, or new."""
    kept = [e for e in events if e["ms"] <= now]
    found = []
    for e in (e for e in events if e["ms"] > now):
        ms = max(now + 1_000, e["ms"] + draw.choice([-7_200_000, 0, 7_200_000]))
        values = {"amount": 99.0} if "amount" in e else {}
        if "action" in e:
            values = {"action": draw.choice(["like", "unlike", "share"])}
        new = {**e, "ms": ms - ms % 1_000, **values}
        found += [] if draw.random() < 0.3 else [new]
    more = [{**draw.choice(kept), "ms": now + 60_000} for _ in range(30)]
    more = [{**e, "event_id": None} if "event_id" in e else e for e in more]
    return kept + found + more


def _known(example, now):
    """What is known of an example at a moment: all but its labels."""
    assert example["key_time_ms"] <= now
    hidden = ("label_", "mask_", "slice_engaged")
    return {
        name: repr(value)
        for name, value in example.items()
        if not name.startswith(hidden)
    }


def _examples(rows, events):
    """All examples of some users by (begin, user, item), of plain functions."""
    spec = read_spec(SPEC.replace('keep: {no_spam: "actions < 5"}', "keep: {}"))
    plan = plan_splits(
        DayRange(FIRST_DAY, _LAST_DAY + datetime.timedelta(days=9)), 1, 1
    )
    columns = [*spec.log.columns]
    frame = pl.DataFrame(rows, infer_schema_length=None).select(columns)
    frame = frame.with_columns(pl.col("ts").alias("_time_ms"))
    settled, _ = settle(frame, spec, FIRST_DAY)
    found = attach(settled, frame, _event_frames(spec, events), spec)
    settled = found.frame
    for by in ("item", "user", "author"):
        sums = daily_sums(settled, spec, by, found.versions)
        known = windows(sums, settled.select(by, "_day").unique(), spec, by)
        on = [by, "_day"]
        settled = settled.join(known, on=on, how="left", maintain_order="left")
    histograms = quantiles.histogram(settled, spec)
    shard = make_examples(settled, spec, plan, histograms, 0, found.versions)
    made = shard.examples.to_dicts()
    return {(e["key_time_ms"], e["key_user"], e["key_item"]): e for e in made}


def _event_frames(spec, events):
    """Events as they lie in a shard: those that find users by keys have them found."""
    found = {}
    for name, section in spec.events.items():
        owner = {"engagements": None, "purchases": "user", "comments": "who"}[name]
        types = parse_types(section.types)
        schema = {column: kind.polars for column, kind in types.items()}
        values = [
            {**e, section.time.column: _time(name, e["ms"])} for e in events[name]
        ]
        frame = pl.DataFrame(values, schema={**schema, "ms": pl.Int64})
        frame = frame.rename({"ms": MS})
        if owner:
            frame = frame.with_columns(pl.col(owner).alias(OWNER))
        else:
            user = pl.col("imp").str.extract(r"^i([0-9]+)-").cast(pl.Int64)
            frame = frame.with_columns(user.alias(OWNER))
        found[name] = frame
    return found


def _time(name, ms):
    return {"purchases": str(ms), "comments": ms // 1_000}.get(name, ms)


# --- by hand --------------------------------------------------------------------------

_HAND = read_spec(
    TINY_SPEC.replace("columns: {user:", 'columns: {imp: "string?", user:')
    + """
events:
  acts:
    files: "acts.csv"
    types: {imp: "string?", at: int64, act: string, event_id: "string?"}
    key: imp
    time: at
    id: event_id
    window: 30s
    columns: {liked: "COUNT(*) FILTER (WHERE act = 'like') > 0", n: "COUNT(*)"}
"""
)
_NOON = 1_649_390_400_000


def _log_rows(*rows):
    """(imp, user, item, seconds after noon) -> rows of the log."""
    columns = ("imp", "user", "item", "_time_ms")
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    at = pl.col("_time_ms") * 1_000 + _NOON
    return frame.with_columns(at.alias("_time_ms"), at.alias("time_ms"), good=0)


def _acts(*events, owner=1):
    """(imp, seconds after noon, act, id) -> events of a user."""
    names = ("imp", "at", "act", "event_id")
    schema = dict.fromkeys(names, pl.String) | {"at": pl.Int64}
    frame = pl.DataFrame(events, schema=schema, orient="row")
    at = pl.col("at") * 1_000 + _NOON
    frame = frame.with_columns(at.alias("at"), at.alias(MS))
    return frame.with_columns(pl.lit(owner, pl.Int64).alias(OWNER))


def _attached(rows, events):
    frame, _ = settle(rows, _HAND, FIRST_DAY)
    return attach(frame, rows, {"acts": events}, _HAND)


def _counts(found):
    return {k[2]: n for k, n in found.counts.items() if k[0] == "event"}


def test_an_event_goes_to_the_last_impression_of_its_key_that_had_begun():
    rows = _log_rows(("a", 1, 7, 0), ("a", 1, 8, 20), ("b", 1, 9, 25), (None, 1, 7, 50))
    events = _acts(
        ("a", 19, "like", "1"),
        ("a", 20, "save", "2"),  # as the second begins
        ("a", 50, "like", "3"),  # its window's last moment
        ("a", 51, "like", "4"),
        ("b", 24, "like", "5"),
        ("c", 24, "like", "6"),
        (None, 24, "like", "7"),
        ("a", 30, "like", "2"),  # told again, with another time
    )
    found = _attached(rows, events)
    assert found.frame.select("item", "liked", "n").rows() == [
        (7, True, 1),
        (8, True, 2),
        (9, False, 0),
        (7, False, 0),
    ]
    assert _counts(found) == {
        "joined": 3,
        "late": 1,
        "unmatched": 3,
        "before_impression": 1,
        "repeated": 1,
    }
    assert found.counts["event_day", "acts", "20220408"] == 3
    # Known from its end on, 1 ms after its begin; then from each event.
    known = found.versions
    assert known.rows.tolist() == [0, 0, 1, 1]
    ms = [(at - _NOON) / 1_000 for at in known.known_ms.tolist()]
    assert ms == [0.001, 19.0, 20.001, 50.0]
    assert known.values.rows() == [(False, 0), (True, 1), (False, 1), (True, 2)]


def test_copies_of_an_impression_may_have_keys_of_their_own():
    rows = _log_rows(("a", 1, 7, 0), ("b", 1, 7, 0))
    found = _attached(rows, _acts(("a", 1, "x", None), ("b", 2, "x", None)))
    assert found.frame["n"].to_list() == [2]


def test_a_key_of_several_impressions_that_began_together_is_told():
    rows = _log_rows(("a", 1, 7, 0), ("a", 1, 8, 0))
    found = _attached(rows, _acts(("a", 1, "x", None)))
    assert found.frame["n"].to_list() == [1, 0]
    assert _counts(found) == {"joined": 1, "shared_key": 1}


def test_an_event_of_another_user_is_not_the_impressions():
    rows = _log_rows(("a", 1, 7, 0))
    found = _attached(rows, _acts(("a", 1, "x", None), owner=2))
    assert found.frame["n"].to_list() == [0]
    assert _counts(found) == {"unmatched": 1}


def test_equal_rows_without_an_id_count_once():
    rows = _log_rows(("a", 1, 7, 0))
    again = [("a", 1, "x", None)] * 3 + [("a", 2, "x", None)]
    found = _attached(rows, _acts(*again))
    assert found.frame["n"].to_list() == [2]
    assert _counts(found) == {"joined": 2, "repeated": 2}


def test_without_events_impressions_have_the_columns_of_none():
    found = _attached(_log_rows(("a", 1, 7, 0)), None)
    assert found.frame.select("liked", "n").rows() == [(False, 0)]
    assert len(found.versions) == 0 and found.counts == {}


def test_the_user_is_that_of_the_last_impression_of_the_key():
    section = _HAND.events["acts"]
    rows = _log_rows(("a", 5, 7, 0), ("a", 3, 7, 10), ("a", 4, 7, 10), ("b", 6, 7, 60))
    events = _acts(
        ("a", 9, "x", None),
        ("a", 10, "x", None),
        ("b", 1, "x", None),  # too early: its user counts it
        ("c", 1, "x", None),
        ("c", 1, "x", None),
    ).drop(OWNER)
    found, counts = find_owners(events, impression_keys(rows, section, _HAND), section)
    owners = found.select("imp", OWNER).sort("imp", OWNER).rows()
    assert owners == [("a", 3), ("a", 5), ("b", 6)]
    assert counts == {
        ("event", "acts", "unmatched"): 1,
        ("event", "acts", "repeated"): 1,
    }


def test_events_of_users_without_an_impression_are_counted():
    section = _HAND.events["acts"]
    events = _acts(("a", 1, "x", None), ("a", 1, "x", None), ("b", 1, "x", None))
    assert count_alone(events, section) == {
        ("event", "acts", "unmatched"): 2,
        ("event", "acts", "repeated"): 1,
    }

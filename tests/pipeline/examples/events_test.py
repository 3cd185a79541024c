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
from pipeline.examples.events import OWNER, attach
from pipeline.examples.reading.values import empty_rows
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

_LAST_DAY = FIRST_DAY + datetime.timedelta(days=DAYS - 2)
_WENT = ("joined", "late", "unmatched", "repeated")
_FIRST = FIRST_DAY + datetime.timedelta(days=1)


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
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
        schema = empty_rows(parse_types(section.types)).schema
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

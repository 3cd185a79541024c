"""Summaries that come with examples: of the rows that are there, whatever the run."""

import collections
import datetime
import math

import numpy as np
import pytest

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.request import ExamplesRequest
from pipeline.summaries.store import read_summaries

_DAYS = ["day-20220408", "day-20220409", "day-20220410", "day-20220411"]


@pytest.fixture
def summaries_of(tmp_path, spec_text, write_logs, log_line):
    """(rows, settings) -> the summaries of a run on them, and its report."""

    def make(rows, text=spec_text, damaged=(), **settings):
        logs = write_logs(
            tmp_path / "logs", {"log_1.csv": [*map(log_line, rows), *damaged]}
        )
        request = ExamplesRequest(
            spec=read_spec(text),
            logs_dir=logs,
            examples_dir=str(tmp_path / "examples"),
            rejects_dir=str(tmp_path / "rejects"),
            report_path=str(tmp_path / "report.json"),
            days=DayRange.parse("20220408:20220411"),
            **settings,
        )
        report = run_examples(request)
        return read_summaries(request.examples_dir), report

    return make


def _day(row):
    zone = datetime.timezone(datetime.timedelta(hours=8))  # Shanghai
    return f"day-{datetime.datetime.fromtimestamp(row['ts'] / 1000, zone):%Y%m%d}"


def test_they_are_those_of_the_reference_examples(
    summaries_of, random_rows, reference, any_seed
):
    rows = random_rows(any_seed + 41, 500)
    found, report = summaries_of(rows, file_rows=50, shards=3)
    examples = collections.defaultdict(list)
    for key, example in reference(rows)[0].items():
        examples[_day({"ts": key[1]})].append(example)
    assert list(found) == _DAYS
    for day in _DAYS[:-1]:  # of the last one only what would be trained on
        wanted, summary, columns = examples[day], found[day], found[day].columns
        assert summary.rows == report["examples"][day] == len(wanted)
        assert summary.users == len({e["uid"] for e in wanted})
        assert summary.videos == len({e["video"] for e in wanted})
        for name in ("city", "hour", "author", "video"):
            known = [e[name] for e in wanted if e[name] not in (-1, "")]
            assert columns[name].top == collections.Counter(known), name
            assert columns[name].missing == len(wanted) - len(known), name
        for name in ("tags", "history_author"):
            items = [item for e in wanted for item in e[name] if item not in (-1, "")]
            assert columns[name].top == collections.Counter(items), name
            lengths = collections.Counter(len(e[name]) for e in wanted)
            assert columns[name].lengths == lengths, name
        ages = [e["age"] for e in wanted if not math.isnan(e["age"])]
        assert columns["age"].moments.count == len(ages)
        assert columns["age"].moments.mean == pytest.approx(np.mean(ages), rel=1e-12)
        ratios = [e["label_ratio"] for e in wanted if e["mask_ratio"]]
        found_ratio = columns["label_ratio"].moments
        assert found_ratio.count == len(ratios)
        assert found_ratio.std == pytest.approx(np.std(ratios), rel=1e-6)
        mean = report["label_means_per_split"][day]["like"]
        assert columns["label_like"].moments.mean == pytest.approx(mean, rel=1e-8)


def _trails(rows):
    """Day -> impressions of a trail on it -> trails, one row at a time (reference)."""
    sizes, trail, before, end = collections.Counter(), 0, None, 0
    for row in sorted(rows, key=lambda r: (r["uid"], r["ts"], r["video"])):
        goes_on = before and (row["uid"], row["tab"]) == (before["uid"], before["tab"])
        if not goes_on or row["ts"] - end > 30 * 60_000:
            trail, end = trail + 1, 0
        before, end = row, max(end, row["ts"] + row["watched"])
        sizes[_day(row), trail] += 1
    found = collections.defaultdict(collections.Counter)
    for (day, _), size in sizes.items():
        found[day][size] += 1
    return found


def test_trails_count_as_far_as_they_lie_on_the_day(summaries_of, spec_text, midnight):
    begins = {
        1: [-120_000, -60_000, 60_000, 3_600_000, 3_660_000],  # over midnight, a pause
        2: [-60_000, 60_000],
        3: [7_200_000],
    }
    rows = [
        {"uid": uid, "video": f"v{n % 2}", "ts": midnight + 86_400_000 + begin}
        for uid, all_begins in begins.items()
        for n, begin in enumerate(all_begins)
    ]
    rows += [{"uid": 8, "video": "v1", "ts": midnight + d * 86_400_000} for d in (2, 3)]
    plain = {"watched": 0, "length": 8_000, "tab": 0, "liked": 0}
    rows = [{**plain, **row} for row in rows]
    text = spec_text.replace("  min_user_events: 3\n  min_item_impressions: 2\n", "")
    found, _ = summaries_of(rows, text, allow_small_days=True)
    assert [found[day].trail_lengths for day in _DAYS] == [
        {1: 1, 2: 1},  # two users' evenings
        {1: 3, 2: 1},  # 1 + 2 of user 1, user 2, user 3
        {1: 1},
        {1: 1},
    ]


def test_trails_are_those_of_a_walk_through_the_rows(
    summaries_of, random_rows, any_seed
):
    drawn = random_rows(any_seed + 42, 300)
    rows = list({(r["uid"], r["ts"], r["video"]): r for r in drawn}.values())
    found, report = summaries_of(rows, shards=2)
    wanted = _trails(rows)
    assert {day: summary.trail_lengths for day, summary in found.items()} == wanted
    in_all = sum(sum(summary.trail_lengths.values()) for summary in found.values())
    assert in_all >= report["trails"]["trails"]  # one over midnight is in two days


def test_rows_that_were_read_and_rejected_are_those_of_the_day(
    summaries_of, random_rows, log_line, midnight
):
    rows = random_rows(43, 200)
    noon = midnight + 86_400_000 + 43_200_000  # 2022-04-09
    damaged = [log_line({**rows[0], "ts": noon}).replace(",v", ",v,") for _ in range(7)]
    found, report = summaries_of(rows, damaged=damaged)
    rejected = {day: summary.rejected for day, summary in found.items()}
    by_day = report["rejects_per_day"]
    assert sum(rejected.values()) == sum(by_day.values()) == 7
    for day, summary in found.items():
        name = day.removeprefix("day-")
        readable = report["rows_per_day"][name]
        assert summary.read == readable + by_day.get(name, 0)
        assert summary.reject_share == summary.rejected / summary.read


def test_a_split_of_several_days_has_one_summary(summaries_of, random_rows, spec_text):
    rows = random_rows(44, 200)
    text = spec_text.replace("  max_reject", "  days_per_split: 2\n  max_reject")
    found, report = summaries_of(rows, text)
    assert list(found) == ["day-20220408", "day-20220410", "day-20220411"]
    assert found["day-20220408"].rows == report["examples"]["day-20220408"]
    per_day = report["rows_per_day"]
    first = found["day-20220408"]
    assert first.read == per_day["20220408"] + per_day["20220409"]

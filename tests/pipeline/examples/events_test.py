"""Events apart from impressions: against a per-row reference, to the row, no future."""

import datetime

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.request import ExamplesRequest
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


def test_examples_equal_the_reference_and_no_event_is_lost(tmp_path):
    rows, events = engaged_logs(rows=20_000)
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

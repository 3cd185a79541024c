"""The table that a run stops with."""

import dataclasses
import math

from pipeline.gates import tables
from pipeline.gates.anomalies import anomalies_of
from pipeline.gates.findings import DAY, Finding, GateReport

_MOVED = Finding(
    column="label_[like]",
    measure="label mean",
    value=0.12,
    low=0.01,
    high=0.04,
    expected=0.02,
    times=2.5,
    cause="6 times what it was",
)
_IMPOSSIBLE = dataclasses.replace(
    _MOVED, column="tab", measure="no values", low=None, high=None, times=math.inf
)
_ROWS = dataclasses.replace(_MOVED, column=DAY, measure="rows", low=None)
_REPORT = GateReport(
    split="day-20240309",
    rows=3_000,
    before=("day-20240301", "day-20240308"),
    judged=40,
    findings=(_IMPOSSIBLE, _MOVED, _ROWS),
    notes=("Something was not judged.",),
    source="2 of the 3 columns that moved read `tab`, as no other does.",
)


def test_a_table_tells_what_moved_from_where_and_how_far():
    title, heads, _, *rows = tables.text_of(_REPORT).splitlines()
    assert title == "20240309: 3,000 rows, against 2 days (20240301 to 20240308)"
    assert heads.split()[:5] == ["column", "measure", "value", "before", "allowed"]
    cells = [" ".join(row.split()) for row in rows]
    assert cells[0] == "tab no values 0.12 0.02 6 times what it was"
    assert cells[1] == (
        "label_[like] label mean 0.12 0.02 0.01 - 0.04 2.5 6 times what it was"
    )
    assert cells[2] == "the day rows 0.12 0.02 <= 0.04 2.5 6 times what it was"
    caption = " ".join(cells[3:])
    assert caption == f"{_REPORT.source} Something was not judged."


def test_a_long_table_is_cut_and_says_so():
    told = tables.text_of(_REPORT, most=1)
    assert "label_[like]" not in told
    assert "2 more stand out; the report has them." in " ".join(told.split())


def test_several_days_are_told_at_once():
    other = dataclasses.replace(_REPORT, split="day-20240311", before=())
    told = tables.refusal([_REPORT, other])
    assert told.startswith("DataGate: 20240309, 20240311 are too unlike the days ")
    assert "20240311: 3,000 rows, no day before" in told
    assert "--replace 20240309" in told


def test_who_accepted_is_told():
    report = dataclasses.replace(_REPORT, accepted_by="ada", accepted_why="a [holiday]")
    assert "Accepted by ada: a [holiday]" in tables.text_of(report)


def test_all_measures_of_a_column_are_one_anomaly_of_tfdv():
    other = dataclasses.replace(_MOVED, measure="quantiles")
    found = anomalies_of(dataclasses.replace(_REPORT, findings=(_MOVED, other, _ROWS)))
    assert sorted(found.anomaly_info) == [DAY, "label_[like]"]
    info = found.anomaly_info["label_[like]"]
    assert info.short_description == "label mean"
    assert "quantiles is 0.12, was 0.02 (2.5 times): 6 times" in info.description
    assert info.severity == type(info).ERROR
    assert list(info.path.step) == ["label_[like]"]

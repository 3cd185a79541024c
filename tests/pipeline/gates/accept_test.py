"""Who lets a suspicious day pass, and for what."""

import datetime
import getpass

import pytest

from pipeline.gates import accept, store
from pipeline.gates.errors import GateError
from pipeline.gates.findings import Finding, GateReport


def _finding(column="label_like", value=0.98, times=3.0):
    return Finding(
        column=column,
        measure="label mean",
        value=value,
        low=0.01,
        high=0.03,
        expected=0.02,
        times=times,
        cause="49 times what it was",
    )


def _report(*findings, split="day-20240309", **said):
    return GateReport(
        split=split,
        rows=9,
        before=("day-20240308",),
        judged=3,
        findings=findings,
        **said,
    )


_NOON = datetime.datetime(2024, 3, 10, 12, tzinfo=datetime.timezone.utc)


def test_it_is_recorded_who_accepted_what_when_and_why():
    report = _report(_finding())
    found = accept.accept(report, " a holiday ", now=_NOON)
    assert (found.day, found.why) == ("20240309", "a holiday")
    assert (found.who, found.when) == (getpass.getuser(), "2024-03-10T12:00:00+00:00")
    assert found.findings == (("label_like", "label mean", 0.98),)
    assert found.digest == report.digest
    assert accept.accept(report, "a holiday", "ada").who == "ada"


def test_it_holds_for_what_was_seen_and_not_for_more():
    seen = _report(_finding(), _finding("tab"))
    found = accept.accept(seen, "a holiday")
    assert found.covers(seen)
    assert found.covers(_report(_finding()))  # a limit was loosened since
    assert not found.covers(_report(_finding(value=0.5), _finding("tab")))
    assert not found.covers(_report(_finding("age")))
    assert not found.covers(_report(_finding(), split="day-20240310"))
    assert found.is_of("tab", "label mean")
    assert not found.is_of("tab", "missing")


def test_the_newest_that_covers_counts():
    report = _report(_finding())
    late = accept.accept(report, "late", now=_NOON)
    early = accept.accept(report, "early", now=_NOON - datetime.timedelta(hours=1))
    other = accept.accept(_report(_finding("age")), "no", now=_NOON)
    assert accept.covering(report, [late, early, other]) == late
    assert accept.covering(report, [other]) is None


def test_it_comes_back_from_a_parameter_of_a_step():
    found = [accept.accept(_report(_finding(), _finding("tab")), 'why "so"', now=_NOON)]
    assert list(accept.from_json(accept.to_json(found))) == found
    assert accept.from_json("[]") == accept.from_json("") == ()
    with pytest.raises(GateError, match="Accept the day again"):
        accept.from_json('[{"day": "20240309"}]')


def test_nothing_is_accepted_unseen_or_without_a_reason(tmp_path):
    with pytest.raises(GateError, match="needs a reason"):
        accept.accept(_report(_finding()), "  ")
    with pytest.raises(GateError, match="was not refused"):
        accept.accept(_report(), "a holiday")
    with pytest.raises(GateError, match="has not been judged yet"):
        store.read_report(str(tmp_path), "20240309")


def test_a_report_is_a_file_that_comes_back(tmp_path):
    impossible = _finding("age", times=float("inf"))
    report = _report(impossible, _finding(), notes=("so",), source="three read `a`.")
    store.write_reports(str(tmp_path / "gates"), [report])
    assert [p.name for p in tmp_path.glob("*/*")] == ["day-20240309.json"]
    assert store.read_report(str(tmp_path / "gates"), "20240309") == report
    (tmp_path / "gates" / "day-20240309.json").write_text('{"form": 9}')
    with pytest.raises(GateError, match="is no report of a data gate .*form 9"):
        store.read_report(str(tmp_path / "gates"), "20240309")


def test_a_verdict_in_a_word():
    assert _report().verdict == "passed"
    assert _report(_finding()).verdict == "refused"
    assert _report(_finding(), accepted_by="ada").verdict == "accepted"
    assert _report(_finding(), enabled=False).verdict == "off"
    assert [_report(_finding(), enabled=on).passes for on in (True, False)] == [
        False,
        True,
    ]

"""What a sample of files is told to say against a spec."""

import json

import pytest

from feature_specs import read_spec
from pipeline.examples.reading.readers import log_source
from pipeline.examples.reading.sample_checks import (
    absurd_year,
    findings,
    fitting_type,
    sample_blocks,
)

_ROW = {"uid": 1, "video": "v", "watched": 0, "length": 6000, "liked": 0}
_S = 1_700_082_000  # 2023-11-15


def _told(folder, spec):
    source = log_source(spec)
    return findings(source, sample_blocks(source, str(folder)))


@pytest.fixture
def json_spec(spec_text):
    return read_spec(
        spec_text.replace("log:\n", "log:\n  format: jsonl\n", 1).replace(
            "ts: int64", "ts: int64, tags_of_day: 'string?'"
        )
    )


@pytest.mark.parametrize(
    ("value", "declared"),
    [(["a"], "list<string>"), ([1, 2], "list<int64>"), ([0.5, 1], "vector<2>")],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_list_that_is_declared_as_text_is_told_with_its_type(
    tmp_path, json_spec, value, declared, as_text
):
    value = json.dumps(value) if as_text else value
    rows = [_ROW | {"ts": _S * 1000, "tags_of_day": value}] * 2
    (tmp_path / "log.csv").write_text("\n".join(map(json.dumps, rows)))
    (finding,) = _told(tmp_path, json_spec)
    assert finding.path == "log.columns.tags_of_day"
    assert finding.told.endswith(f"Declare it as {declared}.")
    assert (finding.rows, str(value).split(",")[0].strip("[']") in finding.sample) == (
        2,
        True,
    )


def test_texts_of_which_some_are_no_list_are_texts(tmp_path, json_spec):
    rows = [_ROW | {"ts": _S * 1000, "tags_of_day": text} for text in ("[1]", "[x")]
    (tmp_path / "log.csv").write_text("\n".join(map(json.dumps, rows)))
    assert _told(tmp_path, json_spec) == []


def test_a_unit_that_makes_another_age_is_told_with_the_one_that_fits(
    tmp_path, json_spec
):
    rows = [_ROW | {"ts": _S * 10**6}] * 3
    (tmp_path / "log.csv").write_text("\n".join(map(json.dumps, rows)))
    (finding,) = _told(tmp_path, json_spec)
    # 1,700,082,000,000 s are 53,873.4 years of 31,556,952 s.
    assert str(finding) == (
        "log.time.unit: is ms, which makes it the year 55843; in us it is 2023-11-15. "
        "Write us. Such as 1700082000000000 (3 rows)."
    )


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (_S, "s", ""),
        (_S * 1000, "ms", ""),
        (_S, "ms", "is ms, which makes it the year 1970; in s it is 2023-11-15. Write"),
        (53_079_000_000, "s", "is s, which makes it the year 3652, and no other unit"),
        (_S * 10**9, "us", "the year 55843; in ns it is 2023-11-15. Write ns."),
        (5, "ms", "the year 1970, and no other unit fits. Name the column that"),
        (5, "iso", ""),
    ],
)
def test_an_absurd_year_is_said(value, unit, told):
    found = absurd_year(value, unit)
    assert told in found if told else found == ""


def test_other_rejects_are_told_with_a_value(tmp_path, json_spec):
    rows = [_ROW | {"ts": _S * 1000, "liked": "yes"}, _ROW | {"ts": _S * 1000}]
    (tmp_path / "log.csv").write_text("\n".join(map(json.dumps, rows)))
    (finding,) = _told(tmp_path, json_spec)
    assert (finding.path, finding.sample) == ("log.columns.liked", '{"liked":"yes"}')
    assert finding.told == "rows are rejected: not a whole number."


def test_lists_of_several_lengths_are_no_vectors():
    assert fitting_type([[0.5], [0.5, 1.5]]) == "list<float64>"
    assert fitting_type([[0.5, None]]) == "list<float64>"
    assert fitting_type([[]]) == "list<string>"

"""Encodings of days that lie on a disk: new, extended, fixed, refreshed."""

import json
import os
import shutil

import pytest

from feature_specs import read_spec
from feature_specs.places import PlaceError
from pipeline.encoding.learn import EncodingError
from pipeline.encoding.make import encode_days, make_encoding
from pipeline.summaries.store import SummaryError, summary_path, to_bytes
from tests.encoded_rows import summary_of
from trainer.days.encoding import read_encoding
from trainer.days.shards import DamagedExamplesError

_SPEC = read_spec(
    """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, tab: "int64?", liked: int64}
  outcomes: [liked]
tables: {user: {buckets: 50}, video: {buckets: 50}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: tab, group: query, kind: category, size: auto}
  - {name: age, group: query, kind: number, expr: tab}
  - {name: video_id, group: candidate, kind: id, table: video}
tasks: [{name: like, kind: binary, label: "liked = 1"}]
fusion: {weights: {like: 1}}
"""
)
_FIRST, _SECOND = "day-20240101", "day-20240102"


def _row(tab):
    row = {"user_id": 1, "tab": tab, "age": float(tab), "video_id": 7}
    row |= {"label_like": 1.0, "mask_like": 1.0, "key_user": 1, "key_item": 7}
    return row | {"key_time_ms": 5}


def _write_day(folder, split, tabs):
    summary = summary_of(_SPEC, [_row(tab) for tab in tabs], split)
    (folder / "summaries").mkdir(parents=True, exist_ok=True)
    with open(summary_path(str(folder), split), "wb") as file:
        file.write(to_bytes(summary))
    return split, str(folder)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two days, in two directories of examples; the first one has both days' report."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("1", "2"):
        _write_day(folder / name, _SECOND, [8, 8, 3])
    (folder / "1" / "report.json").write_text(json.dumps({"train": [_FIRST, _SECOND]}))
    return [_write_day(folder / "1", _FIRST, [5, 5, 3]), (_SECOND, str(folder / "2"))]


@pytest.fixture(scope="module")
def first(days, tmp_path_factory) -> str:
    graph = str(tmp_path_factory.mktemp("first") / "graph")
    encode_days(_SPEC, days[:1], graph)
    return graph


def test_a_first_run_learns_of_its_days(first):
    found = read_encoding(first)
    assert found.vocabularies == {"tab": ("5", "3")} and found.room == {"tab": 10}
    assert found.learned_through == "20240101"


def test_a_run_that_continues_extends_the_last_encoding(days, first, tmp_path):
    found = encode_days(_SPEC, days[1:], str(tmp_path / "g"), earlier=first)
    assert found.vocabularies == {"tab": ("5", "3", "8")}
    assert read_encoding(str(tmp_path / "g")) == found
    assert found.extends(read_encoding(first)) and found.days == (_FIRST, _SECOND)


def test_a_fixed_encoding_learns_nothing(days, first, tmp_path):
    found = encode_days(_SPEC, days, str(tmp_path / "g"), earlier=first, fixed=True)
    assert found == read_encoding(first) == read_encoding(str(tmp_path / "g"))
    with pytest.raises(EncodingError, match="one must be given"):
        encode_days(_SPEC, days, str(tmp_path / "h"), fixed=True)


def test_a_refresh_begins_anew_with_or_without_the_scales(days, first, tmp_path):
    """Of 5, 5, 3, 8, 8, 3: each twice; the mean is 16 / 3, and was 13 / 3."""
    was = read_encoding(first).scales["age"]
    assert was.shift == pytest.approx(13 / 3)
    whole = encode_days(
        _SPEC, days, str(tmp_path / "all"), earlier=first, refresh="all"
    )
    assert whole.vocabularies == {"tab": ("3", "5", "8")}
    assert whole.scales["age"].shift == pytest.approx(16 / 3)
    values = encode_days(
        _SPEC, days, str(tmp_path / "v"), earlier=first, refresh="vocabularies"
    )
    assert values.vocabularies == whole.vocabularies and values.scales["age"] == was


def test_an_earlier_encoding_of_another_spec_is_refused(days, first, tmp_path):
    text = _SPEC.text.replace("expr: tab}", "expr: tab, transform: log1p}")
    with pytest.raises(EncodingError, match="age was learned with scale: z"):
        encode_days(read_spec(text), days[1:], str(tmp_path / "g"), earlier=first)


def test_what_is_missing_is_told(days, first, tmp_path):
    with pytest.raises(SummaryError, match=r"day-20240103\.json\.gz: is missing"):
        encode_days(_SPEC, [("day-20240103", days[0][1])], str(tmp_path / "g"))
    with pytest.raises(DamagedExamplesError, match="must hold encoding"):
        encode_days(_SPEC, days, str(tmp_path / "g"), earlier=str(tmp_path))


def test_it_is_made_of_the_training_days_of_examples(days, tmp_path):
    made = make_encoding(_SPEC, days[0][1], tmp_path / "out")
    assert made.encoding.days == (_FIRST, _SECOND)
    assert read_encoding(made.graph) == made.encoding
    with pytest.raises(PlaceError, match="must be a new directory"):
        make_encoding(_SPEC, days[0][1], tmp_path / "out")


def test_it_is_extended_by_the_days_that_it_lacks(days, first, tmp_path):
    made = make_encoding(_SPEC, days[0][1], tmp_path / "out", earlier=first)
    assert made.encoding.vocabularies == {"tab": ("5", "3", "8")}
    assert [told.split for told in made.encoding.history["tab"]] == [_FIRST, _SECOND]


def test_a_directory_without_examples_is_told(tmp_path):
    with pytest.raises(PlaceError, match="examples"):
        make_encoding(_SPEC, tmp_path, tmp_path / "out")


def test_the_example_in_its_docstring(run_docstring, days, tmp_path, monkeypatch):
    shutil.copytree(days[0][1], tmp_path / "examples")
    (tmp_path / "tiny.yaml").write_text(_SPEC.text)
    monkeypatch.chdir(tmp_path)
    run_docstring("make_encoding", os=os)

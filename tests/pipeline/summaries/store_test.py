"""Files of summaries: what is written is read, and what is damaged is told."""

import gzip
import json

import pytest

from pipeline.examples.tfrecords import write_whole
from pipeline.summaries.store import (
    SummaryError,
    from_bytes,
    read_summaries,
    read_summary,
    summary_path,
    to_bytes,
)
from tests.pipeline.summaries.days import examples, summary_of


@pytest.fixture
def written(tmp_path):
    """An examples directory with the summaries of two days, and these."""
    folder = str(tmp_path / "examples [1]")  # no pattern
    days = [summary_of(examples(n), f"day-2022040{n}") for n in (9, 8)]
    for day in days:
        write_whole(summary_path(folder, day.split), iter([to_bytes(day)]))
    return folder, days


def test_summaries_are_read_as_they_were_written(written):
    folder, (second, first) = written
    found = read_summaries(folder)
    assert list(found) == ["day-20220408", "day-20220409"]
    assert repr(found["day-20220408"]) == repr(first)
    assert found["day-20220409"] == second
    assert read_summary(folder, "day-20220409") == second


def test_the_same_summary_is_the_same_bytes():
    assert to_bytes(summary_of(examples(30))) == to_bytes(summary_of(examples(30)))


def test_what_is_not_there_is_told(written, tmp_path):
    folder, _ = written
    with pytest.raises(SummaryError, match="no summary of its days"):
        read_summaries(str(tmp_path))
    with pytest.raises(SummaryError, match="day-20220401.json.gz: is missing"):
        read_summary(folder, "day-20220401")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[: len(data) // 2], "EOFError"),
        (lambda data: b"", "JSONDecodeError"),
        (lambda data: b"x" + data, "BadGzipFile"),
        (lambda data: gzip.compress(b'{"form": 9}'), "form 9, where this version"),
        (lambda data: gzip.compress(b"[]"), "AttributeError|TypeError"),
        (lambda data: gzip.compress(b'{"form": 1, "columns": {}}'), "KeyError"),
    ],
)
def test_damaged_files_are_told(written, damage, told):
    folder, (day, _) = written
    path = summary_path(folder, day.split)
    with open(path, "rb") as file:
        data = damage(file.read())
    with open(path, "wb") as file:
        file.write(data)
    with pytest.raises(SummaryError, match=told) as refused:
        read_summaries(folder)
    assert path in str(refused.value)


def test_the_file_is_json_that_other_tools_read():
    day = summary_of({"city": ["a", "a", "ü"], "age": [1.0, 2.0, 3.0]})
    values = json.loads(gzip.decompress(to_bytes(day)))
    assert values["columns"]["city"]["top"] == [["a", 2], ["ü", 1]]
    assert values["columns"]["age"]["moments"][0] == 3
    assert int(values["columns"]["age"]["moments"][1], 16) == 6 << 149
    assert from_bytes(to_bytes(day)) == day

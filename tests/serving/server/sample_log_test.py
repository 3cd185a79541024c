"""The log's files: exact rows, whole files only, made by size and time, the oldest go."""

import os

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from serving.server.sample_log import COLUMNS, Sample, SampleLog, files_of, order_of

MB = 2**20


def log(path, **options) -> SampleLog:
    options = {"file_bytes": MB, "most_bytes": 10 * MB, "roll_s": 60.0} | options
    return SampleLog(str(path), **options)


def sample(number=0, **inputs) -> Sample:
    return Sample(
        values={"request_id": str(number), "model": "m", "signature": "rank"},
        inputs=inputs,
        served={"like": np.array([0.5], np.float32)},
    )


def test_rows_are_nested_as_the_arrays_are(tmp_path):
    found = log(tmp_path)
    ragged = [np.array([[1, 2, 3]]), np.array([[4], [5]]), np.zeros((0, 4), int)]
    for number, ids in enumerate(ragged):
        text = np.array([b"a", b"\xff"][: len(ids)], object)
        weight = np.float64(number)
        found.add(sample(number, ids=ids, text=text, weight=weight))
    assert found.flush() == 0
    (file,) = files_of(tmp_path)
    rows = pq.read_table(file).to_pylist()
    assert [row["input.ids"] for row in rows] == [[[1, 2, 3]], [[4], [5]], []]
    assert [row["input.text"] for row in rows] == [[b"a"], [b"a", b"\xff"], []]
    assert [row["input.weight"] for row in rows] == [0.0, 1.0, 2.0]
    assert [row["served.like"] for row in rows] == [[0.5]] * 3
    assert [row["request_id"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["user"] is None
    assert pl.read_parquet(file).columns[: len(COLUMNS)] == COLUMNS.names


def test_other_columns_have_a_file_of_their_own(tmp_path):
    found = log(tmp_path)
    for inputs in ({"a": np.ones(2)}, {"b": np.ones(2)}, {"a": np.ones(3)}):
        found.add(sample(**inputs))
    found.flush()
    assert sorted(pq.read_table(file).num_rows for file in files_of(tmp_path)) == [1, 2]


def test_a_file_is_due_by_size_and_by_time(tmp_path):
    found = log(tmp_path, file_bytes=3000)
    assert found.due_in_s() is None
    found.add(sample(x=np.zeros(100)))  # 800 bytes and some 500 of its own
    assert 0 < found.due_in_s() <= 60
    found.add(sample(x=np.zeros(100)))
    assert found.due_in_s() > 0
    found.add(sample(x=np.zeros(100)))
    assert found.due_in_s() == 0
    assert len(found) == 3
    found.flush()
    assert (len(found), found.due_in_s()) == (0, None)
    soon = log(tmp_path, roll_s=1e-9)
    soon.add(sample())
    assert soon.due_in_s() == 0


def test_the_oldest_files_go(tmp_path):
    draws = np.random.default_rng(0)  # what cannot be compressed
    found = log(tmp_path, most_bytes=350_000)
    for number in range(6):
        found.add(sample(number, x=draws.normal(size=12_500)))  # 100,000 bytes
        found.flush()
    kept = [
        pq.read_table(file).to_pylist()[0]["request_id"] for file in files_of(tmp_path)
    ]
    assert kept == ["3", "4", "5"]
    assert found.size_bytes == sum(file.stat().st_size for file in files_of(tmp_path))
    assert log(tmp_path).size_bytes == found.size_bytes


def test_a_reader_sees_whole_files_only(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

    def look(old, new):
        seen.append((len(files_of(tmp_path)), pq.read_table(old).num_rows))
        replace(old, new)

    monkeypatch.setattr(os, "replace", look)
    found = log(tmp_path)
    found.add(sample())
    found.flush()
    assert seen == [(0, 1)]  # it was whole under another name
    assert len(files_of(tmp_path)) == 1


def test_what_a_killed_server_left_goes(tmp_path):
    left = tmp_path / "samples-20240101T000000-1-000001.parquet.tmp"
    left.write_bytes(b"half")
    log(tmp_path)
    assert not left.exists()


def test_samples_that_the_disk_refuses_are_told(tmp_path):
    found = log(tmp_path / "log")
    found.add(sample())
    (tmp_path / "log").rmdir()
    assert found.flush() == 1
    (tmp_path / "log").mkdir()
    found.add(sample())
    assert found.flush() == 0


@pytest.mark.parametrize(
    ("outputs", "order"),
    [
        ({"log_score": [1.0, 3.0, 2.0]}, [1, 2, 0]),
        ({"score": [1.0, 1.0, 2.0]}, [2, 0, 1]),
        ({"log_score": [9.0, 8.0], "positions": [4, 1]}, [4, 1]),
        ({"log_score": [8.0, 9.0], "positions": [4, 1]}, [1, 4]),
        ({"like": [1.0]}, None),
        ({"score": [[1.0]]}, None),
    ],
)
def test_the_order_is_that_of_positions_in_the_request(outputs, order):
    assert order_of({name: np.array(v) for name, v in outputs.items()}) == order

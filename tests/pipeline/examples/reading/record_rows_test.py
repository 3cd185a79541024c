"""TFRecord files of tf.Examples: records, their checksums, features as columns."""

import gzip
import json

import pyarrow as pa
import pytest
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from pipeline.examples.reading import record_rows
from tests.pipeline.examples.reading.written_rows import (
    FIRST_TS,
    example,
    make_rows,
    read_all,
    record,
    record_file,
    source_of,
)

ROWS = make_rows(13, 300)


@pytest.fixture
def read(tmp_path):
    def write_and_read(data):
        path = tmp_path / "log.tfrecord"
        path.write_bytes(data)
        return read_all(path, "tfrecord")

    return write_and_read


def _example(**features):
    """Lists of values as a serialized tf.Example."""
    types = {int: pa.int64(), float: pa.float32(), bytes: pa.binary()}
    arrays = [pa.array([v], pa.list_(types[type(v[0])])) for v in features.values()]
    batch = pa.RecordBatch.from_arrays(arrays, list(features))
    return RecordBatchToExamplesEncoder().encode(batch)[0]


def test_records_are_read_plain_and_from_gzip(read, monkeypatch):
    assert read(record_file(ROWS)).rows == ROWS
    assert read(gzip.compress(record_file(ROWS))).rows == ROWS
    monkeypatch.setattr(record_rows, "BATCH_BYTES", 1_000)
    found = read(record_file(ROWS))
    assert (found.rows, found.lines) == (ROWS, 300)


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({"uid": [1], "ts": [FIRST_TS, FIRST_TS]}, "ts: more than one value"),
        ({"uid": [1]}, "ts: empty"),
        ({"uid": [b"one"], "ts": [FIRST_TS]}, "uid: not a whole number"),
        ({"uid": [1.5], "ts": [FIRST_TS]}, "uid: not a whole number"),
        ({"uid": [1], "ts": [5]}, "ts: not a plausible value"),
        ({"uid": [1], "ts": [FIRST_TS], "name": [b"\xff"]}, "name: not text"),
        ({"uid": [1], "ts": [FIRST_TS], "name": [1.5]}, "name: not text"),
    ],
)
def test_features_that_do_not_fit_are_rejects(read, features, reason):
    data = [example(ROWS[0]), _example(**features), example(ROWS[1])]
    found = read(b"".join(map(record, data)))
    assert found.rows == ROWS[:2]
    ((line, why, text),) = found.rejects
    assert (line, why) == (1, reason)
    assert json.loads(text)["uid"] == [
        value.decode() if isinstance(value, bytes) else value
        for value in features["uid"]
    ]


def test_features_of_other_types_in_some_records_are_read(read):
    data = [example(ROWS[0]), _example(uid=[b"7"], ts=[FIRST_TS]), example(ROWS[1])]
    found = read(b"".join(map(record, data)))
    assert [row["uid"] for row in found.rows] == [0, 7, 1]


def test_a_record_that_is_no_example_is_a_reject(read):
    found = read(
        record(example(ROWS[0])) + record(b"no example") + record(example(ROWS[1]))
    )
    assert found.rows == ROWS[:2]
    assert found.rejects == [(1, "not a tf.Example", "no example")]


def test_a_file_is_one_range(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(record_file(ROWS))
    (part,) = record_rows.plan(str(path), 99, 2, source_of(path, "tfrecord"), 10)
    assert (part.file, part.number, part.end, part.first_line) == (2, 0, 99, 0)

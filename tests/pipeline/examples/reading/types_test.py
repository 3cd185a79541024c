"""Every declared type from every format, and what is said of values that are none."""

import datetime
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow.core.example import example_pb2

from pipeline.examples.errors import LogsError
from pipeline.examples.reading.readers import plan_ranges, read_blocks
from pipeline.examples.reading.record_frames import masked_crc
from pipeline.examples.reading.sources import Source

_UTC = datetime.timezone.utc
_COLUMNS = {
    "id": "int64",
    "ok": "bool?",
    "small": "uint8?",
    "score": "float32?",
    "day": "date?",
    "at": "timestamp?",
    "tags": "list<string>?",
    "counts": "list<int16>?",
    "cover": "vector<2>?",
    "author.id": "int64?",
}
_AT = datetime.datetime(2023, 11, 15, 13, 0, 0, 250_000, _UTC)
# What all formats give for row 1; in row 2 everything is missing.
_FOUND = {
    "id": 1,
    "ok": True,
    "small": 255,
    "score": 0.5,
    "day": datetime.date(2023, 11, 15),
    "at": _AT,
    "tags": ["a", "b c"],
    "counts": [1, -2],
    "cover": [0.25, -1.0],
    "author.id": 77,
}
_MISSING = dict.fromkeys(_COLUMNS) | {"id": 2}


def _source(path, form, columns=_COLUMNS, clock="Asia/Shanghai"):
    return Source("log", path.name, columns, format=form, clock=clock)


def _read(path, source):
    (part,) = plan_ranges(source, str(path.parent))
    (block,) = read_blocks(part, source)
    return block


def _rows(block):
    return block.rows.select(list(_COLUMNS)).to_dicts()


def _write_parquet(path, rows, schema):
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


_SCHEMA = pa.schema(
    {
        "id": pa.int32(),
        "ok": pa.bool_(),
        "small": pa.uint8(),
        "score": pa.float32(),
        "day": pa.date32(),
        "at": pa.timestamp("us"),  # of Shanghai's clock, eight hours ahead
        "tags": pa.list_(pa.string()),
        "counts": pa.large_list(pa.int16()),
        "cover": pa.list_(pa.float32(), 2),
        "author": pa.struct({"id": pa.int64(), "name": pa.string()}),
    }
)


def test_parquet_has_every_type(tmp_path):
    local = datetime.datetime(2023, 11, 15, 21, 0, 0, 250_000)
    row = _FOUND | {"at": local, "author": {"id": 77, "name": "x"}}
    rows = [row, {"id": 2}, {"id": 3, "author": {"name": "y"}}]
    path = _write_parquet(tmp_path / "log.parquet", rows, _SCHEMA)
    block = _read(path, _source(path, "parquet"))
    assert (block.rejects, block.broken) == ((), "")
    assert _rows(block) == [_FOUND, _MISSING, _MISSING | {"id": 3}]
    assert block.notes == {"at: local times of Asia/Shanghai": 1}


def test_json_lines_have_every_type(tmp_path):
    row = _FOUND | {"day": "2023-11-15", "at": "2023-11-15T21:00:00.25", "ok": 1}
    row["author"] = {"id": row.pop("author.id"), "name": "x"}
    rows = [row, {"id": 2, "author": None, "cover": [], "tags": None}]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    block = _read(path, _source(path, "jsonl"))
    assert block.rejects == ()
    assert _rows(block) == [_FOUND, _MISSING]
    assert block.notes == {"at: local times of Asia/Shanghai": 1}


def test_csv_has_every_type(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        "id,ok,small,score,day,at,tags,counts,cover,author.id\n"
        '1,T,255,0.5,2023-11-15,2023-11-15 21:00:00.25,"[""a"",""b c""]","[1, -2]",'
        '"0.25 -1",77\n'
        "2,,,,,,,,,\n"
    )
    block = _read(path, _source(path, "csv"))
    assert block.rejects == ()
    assert _rows(block) == [_FOUND, _MISSING]
    assert block.notes == {"at: local times of Asia/Shanghai": 1}


def test_tf_examples_have_lists_and_numbers(tmp_path):
    example = example_pb2.Example()
    features = example.features.feature
    for name, values in {
        "id": [1],
        "ok": [1],
        "small": [255],
        "counts": [1, -2],
    }.items():
        features[name].int64_list.value.extend(values)
    for name, floats in {"score": [0.5], "cover": [0.25, -1.0]}.items():
        features[name].float_list.value.extend(floats)
    features["author.id"].int64_list.value.append(77)
    features["day"].bytes_list.value.append(b"2023-11-15")
    features["at"].bytes_list.value.append(b"2023-11-15T13:00:00.25Z")
    features["tags"].bytes_list.value.extend([b"a", b"b c"])
    empty = example_pb2.Example()
    empty.features.feature["id"].int64_list.value.append(2)
    path = tmp_path / "log.tfrecord"
    path.write_bytes(b"".join(map(_record, (example, empty))))
    block = _read(path, _source(path, "tfrecord"))
    assert block.rejects == ()
    assert _rows(block) == [_FOUND, _MISSING]


def _record(example):
    data = example.SerializeToString()
    length = len(data).to_bytes(8, "little")
    parts = (length, masked_crc(length), data, masked_crc(data))
    return b"".join(
        p if isinstance(p, bytes) else p.to_bytes(4, "little") for p in parts
    )


@pytest.mark.parametrize(
    ("column", "value", "reason", "sample"),
    [
        ("ok", "maybe", "ok: not true or false", '{"ok":"maybe"}'),
        ("small", 256, "small: not from 0 to 255 (uint8)", '{"small":256}'),
        ("day", "15.11.2023", "day: not a date (2023-11-15)", '{"day":"15.11.2023"}'),
        ("at", "noon", "at: not a time (ISO 8601: 2023-11-15T21:00:00+08:00)",
         '{"at":"noon"}'),
        ("tags", "a,b", "tags: not a list<string> (JSON: [...])", '{"tags":"a,b"}'),
        ("counts", [1, 2.5], "counts: not a list<int16> (JSON: [...])",
         '{"counts":[1,2.5]}'),
        ("cover", [1, 2, 3], "cover: not 2 finite numbers ([0.1, 0.2...])",
         '{"cover":[1,2,3]}'),
        ("author.id", "7", "author.id: not a whole number", '{"author.id":"7"}'),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_rejected_and_shown(
    tmp_path, column, value, reason, sample
):
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": 1}\n' + json.dumps({"id": 2, column: value}) + "\n")
    block = _read(path, _source(path, "jsonl"))
    assert block.rows["id"].to_list() == [1]
    assert [(r.line, r.reason) for r in block.rejects] == [(1, reason)]
    assert block.samples == {reason: sample}


def test_a_number_in_no_unit_is_no_timestamp_and_a_time_without_a_zone_none(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("id,at\n1,1700053200\n2,1700\n3,2023-11-15 13:00:00\n")
    columns = {"id": "int64", "at": "timestamp"}
    block = _read(path, _source(path, "csv", columns, clock=""))
    assert block.rows["at"].to_list() == [_AT.replace(microsecond=0)]
    assert [r.reason for r in block.rejects] == [
        "at: not a time (ISO 8601: 2023-11-15T21:00:00+08:00)",
        "at: a time without a zone (say whose it is: log.time.timezone)",
    ]


def test_whole_numbers_beyond_63_bits_are_told_to_be_texts(tmp_path):
    told = (
        "id: not from 0 to 9223372036854775807 (uint64: declare larger ones as string)"
    )
    path = tmp_path / "log.parquet"
    table = pa.table({"id": pa.array([1, 2**63], pa.uint64())})
    pq.write_table(table, path)
    for declared, rejects in (("uint64", [told]), ("string", [])):
        source = _source(path, "parquet", {"id": declared})
        assert [r.reason for r in _read(path, source).rejects] == rejects
    for form, text in (("csv", f"id\n1\n{2**63}\n"), ("jsonl", f'{{"id": {2**63}}}\n')):
        path = tmp_path / f"log.{form}"
        path.write_text(text)
        block = _read(path, _source(path, form, {"id": "uint64"}))
        assert [r.reason for r in block.rejects] == [told]


@pytest.mark.parametrize(
    ("column", "declared", "told"),
    [
        ("tags", "string", "'tags' is list<.*: declare it as list<string>, or write"),
        (
            "cover",
            "float64",
            "'cover' is fixed_size_list.*: declare it as vector<2>, or",
        ),
        ("author", "string", "'author' is struct<.*its fields, author.id, author.name"),
        ("day", "int64", "'day' is date32.*: declare it as date, or"),
        ("at", "int64", "'at' is timestamp.*: declare it as timestamp, or"),
    ],
)
def test_a_column_of_another_type_is_told_before_anything_is_read(
    tmp_path, column, declared, told
):
    row = {"id": 1, "author": {"id": 77, "name": "x"}}
    path = _write_parquet(tmp_path / "log.parquet", [row], _SCHEMA)
    source = _source(path, "parquet", {"id": "int64", column: declared})
    with pytest.raises(LogsError, match=told):
        plan_ranges(source, str(tmp_path))


def test_a_parquet_clock_without_a_zone_is_refused(tmp_path):
    path = _write_parquet(tmp_path / "log.parquet", [{"id": 1}], _SCHEMA)
    with pytest.raises(LogsError, match="'at' is timestamp.*without a zone"):
        plan_ranges(_source(path, "parquet", clock=""), str(tmp_path))


def test_a_damaged_text_in_a_list_costs_its_row(tmp_path):
    damaged = pa.array([[b"a"], [b"\xff"]], pa.list_(pa.binary())).view(
        pa.list_(pa.string())
    )
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"id": [1, 2], "tags": damaged}), path)
    columns = {"id": "int64", "tags": "list<string>"}
    block = _read(path, _source(path, "parquet", columns))
    assert block.rows["tags"].to_list() == [["a"]]
    assert [r.reason for r in block.rejects] == [
        "tags: not a list<string> (JSON: [...])"
    ]


def test_rows_have_the_types_that_expressions_were_checked_with(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": 1}\n')
    source = _source(path, "jsonl")
    expected = {c: kind.polars for c, kind in source.types.items()}
    rows = _read(path, source).rows
    assert {c: rows.schema[c] for c in _COLUMNS} == expected
    assert expected["at"] == pl.Datetime("ms", "UTC")

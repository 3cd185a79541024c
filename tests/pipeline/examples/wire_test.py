"""Serialized examples, read back by tfx_bsl's own decoder."""

import math

import polars as pl
import pytest
from tfx_bsl.coders import example_coder

from pipeline.examples.wire import serialize

_FRAME = pl.DataFrame(
    {
        "small": [0, 127, 128, -1],
        "wide": [2**62, -(2**63), 300, 2**63 - 1],
        "ratio": [0.5, -1.0, math.inf, 0.0],
        "other": [1.0, 2.0, 3.0, 4.0],
        "text": ["", "Xi'an", "西安", "x" * 300],
        "ids": [[1, 300, -1], None, [], [5] * 200],
        "tags": [["a", ""], ["é"], None, ["y" * 200] * 3],
    },
    schema_overrides={"ratio": pl.Float32, "other": pl.Float32},
)


def _decode(records):
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    return decoder.DecodeBatch(records.to_pylist()).to_pydict()


def test_the_decoder_reads_every_value_back():
    found = _decode(serialize(_FRAME))
    for name in ("small", "wide", "ratio", "other"):
        assert found[name] == [[value] for value in _FRAME[name]], name
    assert found["text"] == [[value.encode()] for value in _FRAME["text"]]
    assert found["ids"] == [[1, 300, -1], None, None, [5] * 200]
    assert found["tags"] == [[b"a", b""], ["é".encode()], None, [b"y" * 200] * 3]


def test_a_vector_is_read_back_among_the_other_floats():
    vectors = pl.Series([[0.5, -1.0, math.inf]] * 3 + [[1.0, 2.0, 3.0]])
    cover = vectors.cast(pl.Array(pl.Float32, 3))
    frame = _FRAME.select("small", "ratio", cover.alias("cover"), "other")
    found = _decode(serialize(frame))
    assert found["cover"] == [[0.5, -1.0, math.inf]] * 3 + [[1.0, 2.0, 3.0]]
    assert found["ratio"] == [[value] for value in _FRAME["ratio"]]
    assert found["other"] == [[1.0], [2.0], [3.0], [4.0]]
    whole = serialize(frame).to_pylist()
    assert whole == [serialize(frame[n : n + 1])[0].as_py() for n in range(4)]


def test_a_known_example_has_known_bytes():
    # Example{1: Features{1: {1: "a", 2: Feature{3: Int64List{1: 5}}}}} by hand.
    (record,) = serialize(pl.DataFrame({"a": [5]})).to_pylist()
    assert record == b"\n\x0c\n\n\n\x01a\x12\x05\x1a\x03\n\x01\x05"


def test_equal_rows_give_equal_bytes_in_any_batch():
    whole = serialize(_FRAME).to_pylist()
    assert whole == [serialize(_FRAME[n : n + 1])[0].as_py() for n in range(4)]


def test_rows_without_any_list_value():
    empty = _FRAME.select("small", pl.Series("ids", [[]] * 4, pl.List(pl.Int64)))
    assert _decode(serialize(empty)) == {"small": [[0], [127], [128], [-1]]}


def test_a_type_without_a_place_is_refused():
    with pytest.raises(TypeError, match="'flag': Boolean has no place"):
        serialize(pl.DataFrame({"flag": [True]}))

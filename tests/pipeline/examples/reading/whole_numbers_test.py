"""Whole numbers in many shapes, alike in CSV, JSON lines and Parquet where they can be."""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_specs.column_types import parse_types
from pipeline.examples.reading import csv_lines, json_lines
from pipeline.examples.reading.parquet_rows import parse_rows
from pipeline.examples.reading.sources import Source
from pipeline.examples.reading.whole_numbers import from_texts

_FLOAT = pa.float64()
_NO_NUMBER = "n: not a whole number"
_INEXACT = "n: a float too large to be exact (write a whole number)"


def _csv(text, kind):
    types = parse_types({"n": kind})
    block = csv_lines.parse_block(b"0,%s\n" % text.encode(), ("k", "n"), types)
    return _outcome(block)


def _json(text, kind):
    types = parse_types({"n": kind})
    block = json_lines.parse_block(b'{"n": %s}\n' % text.encode(), types)
    return _outcome(block)


def _parquet(value, kind, dtype=_FLOAT):
    column = pa.array([value], dtype, from_pandas=False)
    batch = pa.RecordBatch.from_arrays([column], ["n"])
    return _outcome(
        parse_rows(batch, Source("log", "x", {"n": kind}, format="parquet"))
    )


def _outcome(block):
    """The value, or why there is none."""
    reasons = [reject.reason for reject in block.rejects]
    return reasons[0] if reasons else block.rows["n"].item()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("12.0", 12),
        ("12.", 12),
        ("-7.000", -7),
        ("+3.0", 3),
        ('"12.0"', 12),
        ("007.0", 7),
        ("0.0", 0),
        ("-0.0", 0),
        ("1e3", 1000),
        ("1.5E+2", 150),
        ("25e-1", _NO_NUMBER),
        ("120e-1", 12),
        ("12.5", _NO_NUMBER),
        ("0.1e1", 1),
        (".0", 0),
        ("9007199254740993.0", 9007199254740993),  # 2^53 + 1, which no float is
        ("9223372036854775807.0", 2**63 - 1),
        ("-9223372036854775808.00", -(2**63)),
        ("9223372036854775808.0", _NO_NUMBER),
        ("1e18", 10**18),
        ("1e19", _NO_NUMBER),
        ("1e999999999", _NO_NUMBER),
        ("0e999999999", 0),
        ("1e-999999999", _NO_NUMBER),
        ("12.0.0", _NO_NUMBER),
        ("1,0".replace(",", "_"), _NO_NUMBER),
        ("inf", _NO_NUMBER),
        ("-Infinity", _NO_NUMBER),
        ("nan", _NO_NUMBER),
        ("0x10", _NO_NUMBER),
        ("٣", _NO_NUMBER),
        ("", "n: empty"),
    ],
)
def test_a_text_is_the_whole_number_it_stands_for(text, value):
    assert _csv(text, "int64") == value


@pytest.mark.parametrize("text", ["", "nan", "NaN", "NAN", '""', '"NaN"'])
@pytest.mark.parametrize("kind", ["int64?", "float64?"])
def test_what_pandas_writes_for_nothing_is_missing_where_it_may_be(text, kind):
    assert _csv(text, kind) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.0", 12),
        ("1e3", 1000),
        ("12.5", _NO_NUMBER),
        ("9007199254740991.0", 2**53 - 1),
        ("9007199254740993", 2**53 + 1),  # written without a point it is no float
        ("9007199254740993.0", _INEXACT),
        ("1e17", _INEXACT),
        ("1e300", _INEXACT),
        ("NaN", _NO_NUMBER),
        ("-Infinity", _NO_NUMBER),
        ('"12.0"', _NO_NUMBER),  # in JSON a text is no number
        ("null", "n: empty"),
    ],
)
def test_json_numbers(text, value):
    assert _json(text, "int64") == value


def test_json_nothing_is_missing_where_it_may_be():
    assert _json("NaN", "int64?") is None
    assert _json("NaN", "float64?") is None
    assert _json("null", "int64?") is None
    assert _json("Infinity", "float64?") == "n: not a number"


@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (12.0, pa.float64(), 12),
        (12.5, pa.float64(), _NO_NUMBER),
        (2.0**53 - 1, pa.float64(), 2**53 - 1),
        (2.0**53, pa.float64(), _INEXACT),
        (-(2.0**60), pa.float64(), _INEXACT),
        (2.0**24 - 1, pa.float32(), 2**24 - 1),
        (2.0**24, pa.float32(), _INEXACT),
        (float("inf"), pa.float64(), _NO_NUMBER),
        (float("nan"), pa.float64(), _NO_NUMBER),
        (None, pa.float64(), "n: empty"),
        ("9007199254740993.0", pa.string(), 2**53 + 1),
        (7, pa.int32(), 7),
        (2**63, pa.uint64(), _NO_NUMBER),
    ],
)
def test_parquet_numbers(value, dtype, found):
    assert _parquet(value, "int64", dtype) == found


@pytest.mark.parametrize("value", [None, float("nan")])
def test_parquet_nothing_is_missing_where_it_may_be(value):
    assert _parquet(value, "int64?") is None


def test_a_column_may_widen_from_day_to_day(tmp_path):
    """int32 on the first day, int64 on the second, floats once a value is missing."""
    columns = [
        pa.array([1, 2], pa.int32()),
        pa.array([3, 2**40], pa.int64()),
        pa.array([5.0, float("nan")], pa.float64()),
        pa.array([None, None], pa.null()),
    ]
    found = []
    for number, column in enumerate(columns):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"n": column}), path)
        (batch,) = pq.ParquetFile(path).iter_batches()
        block = parse_rows(batch, Source("log", "x", {"n": "int64?"}, format="parquet"))
        found += block.rows["n"].to_list()
    assert found == [1, 2, 3, 2**40, 5, None, None, None]


def test_whole_columns_are_read_at_once():
    texts = pl.Series("n", ["12", "7.0", None, "1e2", "x", "1e2", "-0"])
    assert from_texts(texts).to_list() == [12, 7, None, 100, None, 100, 0]

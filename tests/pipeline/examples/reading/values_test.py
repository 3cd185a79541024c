"""What rows of raw values are told to lack, and how they are shown."""

import decimal

from pipeline.examples.reading.values import as_json

_INF, _NAN = float("inf"), float("nan")


def test_a_row_of_any_values_is_one_line_of_json():
    row = {"a": b"\xff", "b": _NAN, "c": [_INF, b"x"], "d": decimal.Decimal("1.5")}
    assert as_json(row) == '{"a":"\\\\xff","b":"nan","c":["inf","x"],"d":"1.5"}'

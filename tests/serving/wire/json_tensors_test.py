"""JSON bodies <-> arrays: the REST contract's sections 2 and 3, without a server."""

import base64
import json
import math
import tracemalloc

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from serving.options import Limits
from serving.wire import json_parser, json_tensors
from serving.wire.json_tensors import (
    BadRequest,
    parse_body,
    request_arrays,
    response_body,
)

ONE = {"x": "float32"}


def arrays(body, dtypes, **limits):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = Limits(**limits)
    return request_arrays(parse_body(text, told), dtypes, told)


def refusal(body, dtypes, **limits) -> BadRequest:
    with pytest.raises(BadRequest) as error:
        arrays(body, dtypes, **limits)
    return error.value


# --- the fast way and the exact way ---------------------------------------------------


def same(first, second) -> bool:
    """Equal in values and in types, NaN to NaN and -0.0 to -0.0."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(
            same(value, second[key]) for key, value in first.items()
        )
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return repr(first) == repr(second)
    return first == second


NUMBERS = [
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1e3",
    "1E400",
    "-1e-400",
    "NaN",
    "Inf",
    "-Infinity",
]
NUMBERS += ["9223372036854775808", "18446744073709551615", "18446744073709551616"]
NUMBERS += [
    "-9223372036854775809",
    "1" * 400,
    "0." + "7" * 40,
    "01",
    "1.",
    "nan",
    "-NaN",
]
STRINGS = ['"a"', '""', '"x: y"', r'"\":"', '": "', r'"\ud83d\ude00"', r'"\ud800"']
STRINGS += [
    r'"\udc80"',
    r'"\u0061"',
    '"\u20ac"',
    '"\x01"',
    '"b64"',
    r'"\x"',
    '"NaN Inf"',
]
KEYS = ['"a"', r'"\u0061"', '"b64"', '"a:b"', '"x"']
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t "])


def lists(children):
    items = st.lists(st.tuples(SPACE, children, SPACE).map("".join), max_size=4)
    return items.map(lambda parts: f"[{','.join(parts)}]")


def objects(children):
    colon = st.tuples(SPACE, st.just(":"), SPACE).map("".join)
    member = st.tuples(SPACE, st.sampled_from(KEYS), colon, children, SPACE)
    items = st.lists(member.map("".join), max_size=3)
    return items.map(lambda parts: f"{{{','.join(parts)}}}")


SCALARS = st.sampled_from([*NUMBERS, *STRINGS, "true", "null"])
SCALARS |= st.floats(allow_nan=False, allow_infinity=False).map(repr)
SCALARS |= st.integers(-(2**70), 2**70).map(str)
TEXTS = st.recursive(
    SCALARS, lambda inner: lists(inner) | objects(inner), max_leaves=12
)
TAILS = st.sampled_from(["", "", "", " ", "x", "{}", "]"])


def check_same_reading(text: bytes) -> None:
    """`parse_body` reads each text as the exact parser does, or refuses it as well."""
    try:
        exact = json_parser.parse(text, 10**6)
    except json_parser.ParseError as error:
        with pytest.raises(BadRequest) as refused:
            parse_body(text)
        assert str(refused.value) == str(error)
        return
    if not isinstance(exact, dict):
        with pytest.raises(BadRequest, match="Is not object"):
            parse_body(text)
        return
    assert same(parse_body(text), exact)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(objects(TEXTS), TAILS)
def test_fast_and_exact_reading_agree_on_json_and_nearly_json(text, tail):
    check_same_reading((text + tail).encode("utf-8", "surrogatepass"))


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(objects(TEXTS), st.data())
def test_they_agree_on_broken_bytes(text, data):
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + 1] = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b":", b"NaN", b"Inf", b"\xff"]))  # fmt: skip
    check_same_reading(bytes(raw))


@pytest.mark.parametrize(
    "text",
    [
        '{"x" :1, "x":2}',  # one colon behind a space, the other not
        '{"a": ":", "x": 1, "x": 2}',
        r'{"a": "\":\":", "x": 1, "x": 2}',
        '{"x": NaN, "x": 2}',
        '{"x": NaN, "x": NaN, "y": [NaN]}',
        '{"x": "NaN", "y": [NaN, 1, {"z": NaN}]}',
        '{"NaN": NaN, "y": [null, NaN]}',
        '{"x": ["NaN, NaN", 1], "y": NaN}',
        r'{"x": ["\\NaN", NaN], "y": [[NaN], [1]]}',
        '{"x": [NaN, -9223372036854775809]}',
        '{"x": [NaN, 123456789012345678901.5]}',
        '{"x": [NaN, 0.12345678901234567890123]}',
        '{"x": [Infinity, 1e0400]}',
        '{"x": [Inf, 1e400]}',
        '{"x": [Inf, -9223372036854775809, 18446744073709551615]}',
        '{"x": [Inf, 18446744073709551616, -Infinity, -Inf]}',
        '{"x": [Infinityinity]}',
        '{"x": [InfInf]}',
        '{"x": [I\0n\0f\0]\0}\0',
        '{"x": [-NaN, Inf]}',
        r'{"x": [NaN, "\ud800"]}',
    ],
)
def test_they_agree_where_parsers_in_c_differ(text):
    check_same_reading(text.encode())


def test_well_formed_bodies_do_not_need_the_exact_parser(monkeypatch):
    monkeypatch.setattr(json_parser, "parse", None)
    rows = [
        {"x": 1.5, "time": "12:30", "text": 'a "quoted", b: c', "b": {"b64": "YQ=="}}
    ]
    for indent in (None, 2):
        for value in (1.5, math.nan, -math.inf, 2**63):
            body = {"instances": [rows[0] | {"x": value}]}
            assert same(parse_body(json.dumps(body, indent=indent).encode()), body)


# --- values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "tokens", "values"),
    [
        ("float32", "[1, 2.5, 1435774380, 1e39, 1e-60]", [1, 2.5, 1435774336, math.inf, 0]),
        ("float64", "[18446744073709551616, 0.1]", [2.0**64, 0.1]),
        ("int8", "[127, 128, -129]", [127, -128, 127]),  # narrowed
        ("uint8", "[255, 256, -1]", [255, 0, 255]),
        ("int16", "[32767, 32768]", [32767, -32768]),
        ("int32", "[2147483647, -2147483648]", [2**31 - 1, -(2**31)]),
        ("int64", "[9223372036854775807, -9223372036854775808]", [2**63 - 1, -(2**63)]),
        ("uint32", "[4294967295, 0]", [2**32 - 1, 0]),
        ("uint64", "[18446744073709551615, 0]", [2**64 - 1, 0]),
        ("bool", "[true, false]", [True, False]),
        ("string", r'["a", "\u00e9", {"b64": "_w==" }]'.replace("_", "/"), [b"a", b"\xc3\xa9", b"\xff"]),
        ("string", '[{"b64": "YWI"}]', [b"ab"]),
    ],
)  # fmt: skip
def test_dtypes(dtype, tokens, values):
    for text in ('{"inputs": %s}', '{"instances": %s}', '{"inputs": {"x": %s}}'):
        found = arrays((text % tokens).encode(), {"x": dtype})["x"]
        assert found.dtype == (object if dtype == "string" else dtype)
        assert found.tolist() == values


@pytest.mark.parametrize(
    ("dtype", "token"),
    [
        *[(d, t) for d in ("float32", "float64") for t in ('"1"', "true", "null")],
        *[("int32", t) for t in ("1.0", "1e3", "NaN", '"1"', "true", "null", "2147483648", "-2147483649")],
        *[(d, "2147483648") for d in ("int8", "int16", "uint8")],
        *[("int64", t) for t in ("9223372036854775808", "-9223372036854775809", "-1.0", "18446744073709551616")],
        *[("uint32", t) for t in ("-1", "4294967296")],
        *[("uint64", t) for t in ("-1", "18446744073709551616", "1.5")],
        *[("bool", t) for t in ("0", "1", '"true"', "null")],
        *[("string", t) for t in ("1", "1.5", "true", "null")],
    ],
)  # fmt: skip
def test_other_tokens_are_refused(dtype, token):
    error = refusal(b'{"inputs": [%s]}' % token.encode(), {"x": dtype})
    assert f"is not of expected type: {dtype}" in str(error)
    assert error.status == 400


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "uint16"])
def test_dtypes_without_json_are_501_by_column_and_400_by_row(dtype):
    assert refusal({"inputs": [1]}, {"x": dtype}).status == 501
    assert refusal({"instances": [1]}, {"x": dtype}).status == 400


def test_rows_of_several_inputs_in_any_order_of_keys():
    rows = [{"x": 1, "s": [["a"]], "n": []}, {"n": [], "s": [["b"]], "x": 2}]
    found = arrays({"instances": rows}, {"x": "int32", "s": "string", "n": "float32"})
    assert found["x"].tolist() == [1, 2]
    assert found["s"].tolist() == [[[b"a"]], [[b"b"]]]
    assert found["n"].shape == (2, 0)


def test_an_input_called_b64():
    rows = [{"b64": ["YQ=="]}, {"b64": ["Yg=="]}]  # no strings: objects with one name
    assert arrays({"instances": rows}, {"b64": "string"})["b64"].shape == (2, 1)
    values = [{"b64": "YQ=="}, {"b64": "Yg=="}]
    assert arrays({"instances": values}, {"b64": "string"})["b64"].tolist() == [
        b"a",
        b"b",
    ]
    mixed = refusal({"instances": [rows[0], values[0]]}, {"b64": "string"})
    assert "Expecting object but got list at item 1" in str(mixed)


def test_the_row_that_differs_is_named():
    two = {"x": "float32", "y": "float32"}
    error = refusal({"instances": [{"x": 1, "y": 2}, {"x": 1}]}, two)
    assert "element: 1 of 'instances'" in str(error) and '["y"]' in str(error)
    error = refusal({"instances": [{"x": 1, "y": [2]}, {"x": 1, "y": 2}]}, two)
    assert "element: 1 key: y" in str(
        error
    ) and "Expecting shape [1] but got: []" in str(error)


# --- limits ---------------------------------------------------------------------------


def test_limits_end_the_reading():
    assert arrays({"inputs": [1, 2, 3]}, ONE, max_elements=3)["x"].size == 3
    error = refusal(b'{"inputs": [1, 2, 3, 4, no JSON', ONE, max_elements=3)
    assert "max_elements 3" in str(error)
    assert arrays({"instances": [1, 2]}, ONE, max_rows=2)["x"].size == 2
    assert "max_rows" in str(refusal({"instances": [1, 2, 3]}, ONE, max_rows=2))
    assert arrays({"inputs": [[1]]}, ONE, max_nesting=2)["x"].shape == (1, 1)
    assert "max_nesting" in str(refusal({"inputs": [[[1]]]}, ONE, max_nesting=2))
    assert "max_nesting" in str(refusal({"instances": [[[1]]]}, ONE, max_nesting=2))


@pytest.mark.parametrize("depth", [32, 33, 40, 500, 50_000])
def test_lists_nested_deeper_than_arrays_are_refused(depth):
    text = b'{"inputs": %s}' % (b"[" * depth + b"1" + b"]" * depth)
    if depth == 32:
        assert arrays(text, ONE)["x"].ndim == 32
    else:
        assert "32 deep (max_nesting)" in str(refusal(text, ONE))


def test_unused_keys_may_be_nested_at_any_depth():
    deep = b"[" * 20_000 + b"]" * 20_000
    assert arrays(b'{"a": %s, "inputs": [1]}' % deep, ONE)["x"].tolist() == [1.0]


@pytest.mark.parametrize("empty", [b"[]", b"{}"])
def test_empty_rows_stay_small(empty):
    body = b'{"instances": [%s]}' % b",".join([empty] * 100_000)
    tracemalloc.start()
    with pytest.raises(BadRequest):
        arrays(body, ONE)
        raise BadRequest("empty lists are fine, empty objects are not")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 100_000  # bytes; an empty list has 56


def test_messages_quote_little_of_a_large_value():
    for text in (b'{"inputs": [%s]}' % (b'"a"' + b',"a"' * 10_000), b"[" * 10_000 + b"]" * 10_000, b'{"instances": [{"x":1},{%s}]}' % b",".join(b'"k%d":1' % i for i in range(10_000)), b'{"signature_name": [%s]}' % b",".join([b"1"] * 10_000)):  # fmt: skip
        with pytest.raises(BadRequest) as error:
            body = parse_body(text)
            json_tensors.signature_name(body)
            request_arrays(body, ONE)
        assert len(str(error.value)) < 500


# --- answers --------------------------------------------------------------------------


def answer(outputs, row_format: bool):
    return json.loads(response_body(outputs, row_format))


def test_shapes_survive():
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    empty = np.zeros((2, 0, 3), np.int64)
    outputs = {"cube": cube, "empty": empty, "column": np.array([[True], [False]])}
    assert answer(outputs, False) == {
        "outputs": {name: array.tolist() for name, array in outputs.items()}
    }
    assert answer(outputs, True)["predictions"] == [
        {name: array[row].tolist() for name, array in outputs.items()} for row in (0, 1)
    ]


def test_one_output_has_no_name():
    assert answer({"y": np.array([[1, 2]], np.uint8)}, True) == {
        "predictions": [[1, 2]]
    }
    assert answer({"y": np.float32(0.5)}, False) == {"outputs": 0.5}
    assert answer({"y": np.zeros((0, 3), np.float32)}, True) == {"predictions": []}
    assert answer({"y": np.zeros((3, 0), np.float32)}, True) == {
        "predictions": [[]] * 3
    }
    assert answer({"y": np.zeros((0,), np.int64)}, False) == {"outputs": []}


def test_transposed_outputs_keep_their_order():
    table = np.array([[1.5, 2.5], [3.5, 4.5]], np.float32).T
    assert answer({"y": table}, True) == {"predictions": [[1.5, 3.5], [2.5, 4.5]]}


def test_floats_of_both_widths_side_by_side():
    outputs = {"a": np.array([0.1], np.float32), "b": np.array([1 / 3]), "c": np.array([9e6], np.float32)}  # fmt: skip
    text = response_body(outputs, True)
    assert b'{"a": 0.1, "b": 0.33333333333333331, "c": 9e+06}' in text


def test_strings_are_bytes():
    text = np.array([b'a"\xff\n', "\u20ac".encode()], object)
    body = response_body({"text": text, "raw_bytes": text}, False)
    assert b'"text": ["a\\"\xff\\n", "\xe2\x82\xac"]' in body
    encoded = base64.b64encode(b'a"\xff\n').decode()
    assert f'"raw_bytes": [{{"b64": "{encoded}"}}, '.encode() in body
    assert answer({"y": b"ends in zero\0"}, False) == {"outputs": "ends in zero\0"}
    names = {'a%s"b': np.array([1]), "c": np.array([2])}
    assert answer(names, True) == {"predictions": [{'a%s"b': 1, "c": 2}]}


@pytest.mark.parametrize("dtype", ["float16", "uint16", "complex64"])
def test_outputs_without_json_are_refused(dtype):
    with pytest.raises(BadRequest, match=f"Failed to write JSON .* y of type: {dtype}"):
        response_body({"y": np.zeros(1, dtype)}, False)


def test_rows_need_one_common_size():
    with pytest.raises(BadRequest, match="a has no shape information"):
        response_body({"a": np.float32(1)}, True)
    with pytest.raises(
        BadRequest, match="b has inconsistent batch size: 2 expecting: 1"
    ):
        response_body({"a": np.zeros(1), "b": np.zeros(2)}, True)
    with pytest.raises(BadRequest, match="empty tensor map"):
        response_body({}, True)

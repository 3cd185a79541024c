"""JSON examples of classify and regress: features typed by their tokens (sec. 4)."""

import pytest
import tensorflow as tf

from serving.options import Limits
from serving.wire.json_examples import serialized_examples
from serving.wire.json_tensors import BadRequest, parse_body


def features(text, limits=None, context="{}"):
    """Feature -> (kind, values) of the example whose JSON is `text`."""
    body = parse_body(f'{{"context": {context}, "examples": [{text}]}}'.encode())
    (data,) = serialized_examples(body, "classify", limits or Limits())
    found = tf.train.Example.FromString(data).features.feature
    return {
        name: (kind, list(getattr(feature, kind).value) if kind else [])
        for name, feature in found.items()
        for kind in [feature.WhichOneof("kind")]
    }


@pytest.mark.parametrize(
    ("value", "kind", "values"),
    [
        ("1", "int64_list", [1]),
        ("[1, -2]", "int64_list", [1, -2]),
        ("true", "int64_list", [1]),
        ("[false, 3]", "int64_list", [0, 3]),
        ("9223372036854775807", "int64_list", [2**63 - 1]),
        ("-9223372036854775808", "int64_list", [-(2**63)]),
        ("1.0", "float_list", [1.0]),
        ("1e2", "float_list", [100.0]),
        ("[Infinity, -Infinity]", "float_list", [float("inf"), -float("inf")]),
        ("[1.5, NaN]", "float_list", [1.5, pytest.approx(float("nan"), nan_ok=True)]),
        ('"a"', "bytes_list", [b"a"]),
        ('["a", {"b64": "/w=="}]', "bytes_list", [b"a", b"\xff"]),
        ('{"b64": "YQ"}', "bytes_list", [b"a"]),
        ("[]", None, []),
    ],
)
def test_kinds(value, kind, values):
    assert features(f'{{"x": {value}}}') == {"x": (kind, values)}


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ("[10, 10.0]", "values of one kind"),
        ('[1, "a"]', "values of one kind"),
        ("null", "must be a number"),
        ("[null]", "must be a number"),
        ("[[1]]", "must be a number"),
        ('{"a": 1}', "must be a number"),
        ('{"b64": 1}', "must be a number"),
        ('{"b64": "YQ==", "x": 1}', "must be a number"),
        ('{"b64": "&"}', "Unable to base64 decode"),
        ("9223372036854775808", "does not fit into int64"),
    ],
)
def test_refused_values(value, fragment):
    with pytest.raises(
        BadRequest, match=f"example 0, feature 'x': .*{fragment}"
    ) as bad:
        features(f'{{"x": {value}}}')
    assert bad.value.status == 400


def test_context_is_in_every_example_and_the_example_wins():
    found = features('{"x": 1}', context='{"x": 7, "y": 8}')
    assert found == {"x": ("int64_list", [1]), "y": ("int64_list", [8])}


@pytest.mark.parametrize("text", ["1", "[1]", "null", '"a"'])
def test_an_example_and_the_context_are_objects(text):
    with pytest.raises(BadRequest, match="example 0: expected an object"):
        features(text)
    with pytest.raises(BadRequest, match="context: expected an object"):
        features("{}", context=text)


@pytest.mark.parametrize("text", ["{}", '{"examples": 1}', '{"examples": []}'])
def test_there_must_be_examples(text):
    body = parse_body(text.encode())
    with pytest.raises(BadRequest, match="When method is regress, key 'examples'"):
        serialized_examples(body, "regress", Limits())


def test_limits():
    limits = Limits(max_elements=4, max_rows=2)
    row = {"x": [1, 2]}
    assert len(serialized_examples({"examples": [row, row]}, "classify", limits)) == 2
    for body, fragment in (
        ({"examples": [{}, {}, {}]}, "has 3 items; at most 2"),
        ({"examples": [row, {"x": [1, 2, 3]}]}, "more than 4 values"),
        ({"examples": [{}, {}], "context": {"x": [1, 2, 3]}}, "more than 2 values"),
    ):
        with pytest.raises(BadRequest, match=fragment):
            serialized_examples(body, "classify", limits)


def test_a_large_context_is_not_copied_into_very_many_examples():
    body = {"context": {"x": "y" * 10_000}, "examples": [{}] * 10_000}
    with pytest.raises(BadRequest, match="for each of 10000 examples"):
        serialized_examples(body, "classify", Limits())

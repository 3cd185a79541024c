import pytest

from feature_specs.task_kinds import TASK_KINDS
from feature_specs.transforms import (
    TRANSFORMS,
    Transform,
    TransformError,
    default_transform,
    parse_transform,
)


@pytest.mark.parametrize(
    ("text", "numbers", "again"),
    [
        ("clip(0, 3)", (0.0, 3.0), "clip(0, 3)"),
        (" linear ( 0.1 ) ", (0.1,), "linear(0.1)"),
        ("linear", (1.0,), "linear"),
        ("expm1(1)", (1.0,), "expm1"),
        ("expm1()", (1.0,), "expm1"),
        ("identity", (), "identity"),
        ("log1p(1234567.5)", (1234567.5,), "log1p(1234567.5)"),
    ],
)
def test_a_transform_is_read_and_written(text, numbers, again):
    found = parse_transform(text)
    assert (found.numbers, found.text) == (numbers, again)
    assert parse_transform(again) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cube", r"must be one of identity, linear\(scale = 1\), clip\(low, high\)"),
        ("clip(0, 3", "must be one of"),
        ("clip", r"must be clip\(low, high\)"),
        ("clip(1)", r"must be clip\(low, high\)"),
        ("expm1(1, 2)", r"must be expm1\(scale = 1\)"),
        ("identity(1)", "must be identity"),
        ("linear(a)", "with numbers"),
        ("linear(0)", "scale from 1e-06 to 1e\\+12"),
        ("linear(nan)", "scale from"),
        ("clip(-1, 3)", "0 <= low < high"),
        ("clip(3, 3)", "0 <= low < high"),
        ("clip(0, inf)", "0 <= low < high"),
    ],
)
def test_what_is_no_transform_is_told(text, told):
    with pytest.raises(TransformError, match=told):
        parse_transform(text)


def test_default_is_a_kinds_own():
    assert default_transform(TASK_KINDS["binary"]) == Transform("identity")
    assert default_transform(TASK_KINDS["regression"]) == Transform("linear", (1.0,))


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("identity", "p"),
        ("linear", "1 + max(0, p)"),
        ("linear(10)", "1 + max(0, p) / 10"),
        ("clip(0, 3)", "1 + min(max(0, p), 3)"),
        ("log1p", "1 + log(1 + max(0, p))"),
        ("softplus(2)", "log(1 + exp(p / 2))"),
        ("expm1", "1 + expm1(p)"),
        ("sigmoid", "1 / (1 + exp(-p))"),
    ],
)
def test_formula_for_people(text, factor):
    assert parse_transform(text).factor("p") == factor
    assert parse_transform(text).name in TRANSFORMS

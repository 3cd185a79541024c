"""Floats in JSON: expected texts from the REST contract and C's printf."""

import numpy as np
import pytest

from serving.wire.json_floats import float_lists, float_tokens


@pytest.mark.parametrize(
    ("value", "single", "double"),
    [
        (0.2, "0.2", "0.2"),
        (1.0, "1.0", "1.0"),
        (0.0, "0.0", "0.0"),
        (-0.0, "-0.0", "-0.0"),
        (-2.5, "-2.5", "-2.5"),
        (999999.0, "999999.0", "999999.0"),
        (1000000.0, "1e+06", "1e+06"),
        (9000000.0, "9e+06", "9e+06"),
        (1234567.0, "1234567.0", "1234567.0"),
        (123456789.0, "123456792.0", "123456789.0"),
        (0.0001, "0.0001", "0.0001"),
        (0.00003, "3e-05", "3e-05"),
        (1 / 3, "0.333333343", "0.33333333333333331"),
        (0.1234567, "0.123456702", "0.1234567"),  # %.17g is 0.1234567 and zeros
        (1e300, "Infinity", "1e+300"),
        (1e-45, "1.4013e-45", "1e-45"),
        (float("nan"), "NaN", "NaN"),
        (float("inf"), "Infinity", "Infinity"),
        (float("-inf"), "-Infinity", "-Infinity"),
    ],
)
def test_texts(value, single, double):
    with np.errstate(over="ignore"):
        assert float_tokens(np.array([value]).astype(np.float32)) == [single]
    assert float_tokens(np.array([value], np.float64)) == [double]


def test_none():
    assert float_tokens(np.zeros(0, np.float32)) == []


def printf(value, digits: int) -> str:
    """Upstream's rule for one number, by Python's own formatting."""
    text = f"{float(value):.6g}"
    if type(value)(text) != value:
        text = f"{float(value):.{digits}g}"
    return text if "." in text or "e" in text else text + ".0"


@pytest.mark.parametrize(("dtype", "digits"), [("float32", 9), ("float64", 17)])
def test_agrees_with_printf_on_every_kind_of_number(dtype, digits):
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    powers = 10.0 ** np.arange(-8.0, 12)
    kinds = [
        bits[np.isfinite(bits)],
        rng.random(5000),
        rng.integers(0, 10**6, 5000) / 10.0 ** rng.integers(0, 10, 5000),  # short
        rng.integers(0, 10**9, 5000) / 10.0 ** rng.integers(0, 10, 5000),
        (rng.integers(0, 10**6, 5000) + 0.5)
        / 10.0 ** rng.integers(0, 10, 5000),  # ties
        powers,
        np.nextafter(powers.astype(dtype), np.array(0, dtype)),
        np.nextafter(powers.astype(dtype), np.array(np.inf, dtype)),
    ]
    values = np.concatenate([kind.astype(dtype) for kind in kinds])
    assert float_tokens(values) == [printf(value, digits) for value in values]


def test_lists_are_the_tokens_of_each():
    lists = [
        np.array([0.5, 1 / 3, 2.0], np.float32),
        np.zeros(0, np.float32),
        np.array([0.5, np.nan, 1e-7], np.float32),  # not all by the fast way
    ]
    assert float_lists(lists) == [
        "[0.5, 0.333333343, 2.0]",
        "[]",
        "[0.5, NaN, 1e-07]",
    ]

"""YAML values to dataclasses: numbers that no column can hold."""

import dataclasses

import pytest

from feature_specs.build import Problems, build, parse_yaml


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Numbers:
    count: int = 0
    rate: float = 0.0
    cuts: tuple[float, ...] = ()
    weights: dict[str, float] = dataclasses.field(default_factory=dict)


def _problems(text: str) -> list[str]:
    problems = Problems()
    build(_Numbers, parse_yaml(text, "test"), "", problems)
    return problems.found


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1" + "0" * 400])
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("rate: {}", "rate"),
        ("cuts: [1, {}]", "cuts[1]"),
        ("weights: {{like: {}}}", "weights.like"),
    ],
)
def test_a_number_has_to_be_finite(text, path, value):
    (told,) = _problems(text.format(value))
    assert told.startswith(f"{path}: must be a finite number, no larger than 64 bits")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("count: 9223372036854775807", []),  # 2^63 - 1
        ("rate: -1e300", []),
        ("rate: 3", []),
        ("count: 1.5", ["count: must be a whole number. Got 1.5."]),
        ("count: true", ["count: must be a whole number. Got True."]),
        ("rate: false", ["rate: must be a number. Got False."]),
    ],
)
def test_numbers_of_the_right_kind_pass(text, told):
    assert _problems(text) == told


def test_a_whole_number_fits_64_bits():
    (told,) = _problems("count: 9223372036854775808")
    assert told.startswith("count: must be a finite number, no larger than 64 bits")

"""YAML values to dataclasses: what YAML has, and no field or column can hold."""

import dataclasses

import pytest

from feature_specs.build import Problems, SpecError, build, parse_yaml


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # A day is no number, nor text, though JSON would have it as text.
        ("rate: 2024-01-31", "rate: must be a number. Got datetime.date(2024, 1, 31)."),
        ("count: 2024-01-31", "count: must be a whole number. Got datetime.date("),
        ("weights: {a: !!set {b}}", "weights.a: must be a number. Got {'b'}."),
        ("weights: [1]", "weights: must be a mapping. Got [1]."),
        ("cuts: !!binary aGk=", "cuts: must be a list. Got b'hi'."),
        ("7: 1", "7: is no key here. Known: count, cuts, rate, weights."),
        ("weights: {7: x}", "weights.7: must be a number. Got 'x'."),
    ],
)
def test_what_yaml_has_and_json_has_not(text, told):
    assert _problems(text)[0].startswith(told)


def test_a_large_whole_number_may_be_a_float():
    assert _problems("rate: 1" + "0" * 30) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rate: &x {a: *x}", "line 1, column 7: not YAML: found unconstructable"),
        ('rate: "\\ud800"', "line 1, column 10: not YAML: found invalid Unicode"),
        (
            "rate: 2024-13-45",
            "line 1, column 7: not YAML: is no timestamp (month must be",
        ),
    ],
)
def test_what_cannot_be_read_is_a_mistake(text, told):
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "test")
    assert caught.value.problems[0].startswith(told)

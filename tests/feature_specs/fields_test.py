"""What fields say of themselves in their annotations, and how a breach is told."""

import dataclasses
import subprocess
import sys
from typing import Annotated

import pytest

from feature_specs.build import Problems, build, parse_yaml
from feature_specs.fields import (
    Named,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Rule,
    Share,
    ShareBelowOne,
    Widths,
)

_COLOURS = {"red": 1, "green": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    size: PositiveInt = 1
    weight: NonNegativeFloat = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Whole:
    share: Share = 0.5
    dropout: ShareBelowOne = 0.5
    minutes: PositiveFloat = 1.0
    units: Widths | None = None
    layers: Annotated[Widths, Rule("must have a layer.", min_length=1)] = (1,)
    width: Annotated[int, Rule("must be a multiple of 4.", ge=0, multiple_of=4)] = 0
    sign: Annotated[str, Rule("must be one character.", max_length=1)] = ","
    two: Annotated[dict[str, int], Rule("must be two.", min_length=2)] = (
        dataclasses.field(default_factory=lambda: {"a": 1, "b": 2})
    )
    rates: dict[str, ShareBelowOne] = dataclasses.field(default_factory=dict)
    parts: tuple[_Part, ...] = ()
    colour: Annotated[str, Named(_COLOURS)] = "red"


def _read(text: str) -> tuple[_Whole | None, list[str]]:
    problems = Problems()
    return build(_Whole, parse_yaml(text, "test"), "", problems), problems.found


@pytest.mark.parametrize(
    "text",
    [
        "share: 0",
        "share: 1",
        "dropout: 0",
        "minutes: 1e-9",
        "units: []",
        "units: null",
        "units: [1, 2]",
        "width: 8",
        "sign: ''",
        "two: {a: 1, b: 2, c: 3}",
        "rates: {a: 0.999}",
        "parts: [{size: 1, weight: 0}]",
    ],
)
def test_what_is_allowed_passes(text):
    whole, told = _read(text)
    assert whole is not None and told == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("share: 1.5", "share: must be a share between 0 and 1. Got 1.5."),
        ("dropout: 1", "dropout: must be at least 0 and below 1. Got 1."),
        ("minutes: 0", "minutes: must be positive. Got 0."),
        (
            "units: [1, 0]",
            "units: must be positive widths: at most 64 of them, none above 65,536. Got [1, 0].",
        ),
        ("layers: []", "layers: must have a layer. Got []."),
        (
            "layers: [0]",
            "layers: must be positive widths: at most 64 of them, none above 65,536. Got [0].",
        ),
        ("width: 6", "width: must be a multiple of 4. Got 6."),
        ("width: -4", "width: must be a multiple of 4. Got -4."),
        ("sign: ab", "sign: must be one character. Got 'ab'."),
        ("two: {a: 1}", "two: must be two. Got {'a': 1}."),
        ("rates: {a: -1}", "rates.a: must be at least 0 and below 1. Got -1."),
        ("parts: [{size: 0}]", "parts[0].size: must be at least 1. Got 0."),
        ("parts: [{weight: -1}]", "parts[0].weight: must be 0 or more. Got -1."),
        # Of another type: that is told, and not the rule.
        ("width: wide", "width: must be a whole number. Got 'wide'."),
        ("units: 3", "units: must be a list. Got 3."),
        ("units: [x]", "units[0]: must be a whole number. Got 'x'."),
        ("sign: 7", "sign: must be text. Got 7."),
    ],
)
def test_a_broken_rule_is_told_in_its_own_words(text, told):
    assert _read(text)[1] == [told]


def test_a_broken_rule_hides_no_other_mistake():
    whole, told = _read("{share: 2, widht: 4, parts: [{size: 0, wieght: 1}], width: 8}")
    assert told == [
        "share: must be a share between 0 and 1. Got 2.",
        "parts[0].size: must be at least 1. Got 0.",
        "parts[0].wieght: is no key here. Did you mean 'weight'?",
        "widht: is no key here. Did you mean 'width'?",
    ]
    # Sections are checked against each other with the values as they are.
    assert whole == _Whole(share=2.0, width=8, parts=(_Part(size=0),))


def test_a_wrong_type_leaves_the_place_empty():
    whole, told = _read("{share: much, dropout: 2}")
    assert whole is None
    assert told == [
        "share: must be a number. Got 'much'.",
        "dropout: must be at least 0 and below 1. Got 2.",
    ]


def test_a_name_has_to_be_in_the_registry_when_the_file_is_read(monkeypatch):
    told = "colour: must be one of red, green. Got 'blue'."
    assert _read("colour: blue") == (None, [told])
    monkeypatch.setitem(_COLOURS, "blue", 3)
    whole, told = _read("colour: blue")
    assert whole is not None and whole.colour == "blue" and told == []


@pytest.mark.parametrize("value", ["7", "null", "[red]", "{red: 1}", "true"])
def test_what_is_no_text_is_no_name(value):
    (told,) = _read(f"colour: {value}")[1]
    assert told.startswith("colour: must be one of red, green. Got ")


def test_importing_the_classes_does_not_import_pydantic():
    code = "import feature_specs, sys; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

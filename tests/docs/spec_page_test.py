"""docs/spec.md: made of the classes, and right."""

import dataclasses
import importlib.util
import pathlib
import sys
from typing import Annotated, Literal

import pytest

from feature_specs import SpecError, load_spec, read_spec
from feature_specs.fields import Named, Rule

_DOCS = pathlib.Path(__file__).parents[2] / "docs"


def _script():
    place = importlib.util.spec_from_file_location(
        "build_spec_page", _DOCS / "build_spec_page.py"
    )
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module  # where dataclasses and NamedTuples look
    place.loader.exec_module(module)
    return module


build = _script()


def test_the_page_is_what_the_classes_say():
    told = "docs/spec.md is not of these classes: run `python docs/build_spec_page.py`."
    assert build.PAGE.read_text() == build.page(), told


@pytest.mark.parametrize("file", build.example_files(), ids=lambda file: file.name)
def test_the_examples_are_right(file):
    assert load_spec(str(file)).name


def test_every_key_says_what_it_means():
    assert [key.path for key in build.all_keys() if not key.says] == []


def test_every_key_has_an_example():
    lacking = [key.path for key in build.all_keys() if not build.example_of(key.path)]
    assert lacking == [], "Add one to docs/spec_example.yaml, or to another beside it."


def test_it_lists_the_sections_of_the_reader():
    """In a text of its own: a section that is none is a mistake that names all."""
    sections = {part.path.split(".")[0] for part in build.parts()}
    with pytest.raises(SpecError) as told:
        read_spec("zzzzzz: 1")
    (line,) = [p for p in told.value.problems if p.startswith("zzzzzz")]
    known = line.partition("Known: ")[2].rstrip(".").split(", ")
    assert sections == set(known)


# --- what it makes of a class ---------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wheel:
    """A wheel.

    Attributes:
        spokes: How many; the
            more the better.
    """

    spokes: Annotated[int, Rule("must be at least 3.", ge=3)] = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Cart:
    """A cart (SFV sec. 4.1), for

    everybody.

    Attributes:
        name: Of it.
        colour: Of the wood.
        owner: Who has it.
        wheels: By place.
        load: What lies on it.
    """

    name: str
    colour: Literal["", "red", "blue"] = ""
    owner: Annotated[str, Named(["ann", "bo"])]
    wheels: dict[str, _Wheel] = dataclasses.field(default_factory=dict)
    load: tuple[float, ...] | None = None


def test_a_class_becomes_keys_with_types_defaults_and_texts():
    cart, wheel = build._nested(_Cart, "cart")
    assert (cart.path, cart.says) == (
        "cart",
        "A cart (SFV sec. 4.1), for\n\neverybody.",
    )
    assert cart.keys == (
        build.Key("cart.name", "text", "**required**", "Of it."),
        build.Key("cart.colour", "`red` `blue`", "", "Of the wood."),
        build.Key("cart.owner", "`ann` `bo`", "**required**", "Who has it."),
        build.Key(
            "cart.wheels",
            "mapping of name to [mapping](#cartwheelsname)",
            "",
            "By place.",
        ),
        build.Key("cart.load", "list of numbers", "", "What lies on it."),
    )
    assert wheel.path == "cart.wheels.NAME"
    assert wheel.keys == (
        build.Key(
            "cart.wheels.NAME.spokes",
            "whole number; at least 3",
            "`8`",
            "How many; the more the better.",
        ),
    )

"""The preset reader."""

import pytest

from feature_specs import SpecError, load_preset, read_preset
from feature_specs.model import shipped_presets


@pytest.mark.parametrize("name", shipped_presets())
def test_shipped_presets_are_right(name):
    assert load_preset(name).switcher.kind in ("mmoe", "shared_bottom")


def test_mmoe_is_as_written():
    config = read_preset(
        "switcher: {kind: mmoe, experts: 3, units: [8, 4]}\ndisentangle: 0.5"
    )
    assert config.switcher.experts == 3
    assert config.switcher.units == (8, 4)
    assert config.disentangle == 0.5


def test_a_rate_in_powers_of_ten_is_a_number():
    text = "switcher: {kind: mmoe}\noptimizer: {learning_rate: 1e-3}"
    assert read_preset(text).optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bottom: [8]", r"switcher: is required"),
        (
            "switcher: {kind: mmmoe}",
            r"switcher\.kind: must be one of shared_bottom, mmoe",
        ),
        ("switcher: {kind: mmoe, expert: 3}", r"expert: is no key here.*'experts'"),
        ("switcher: {kind: mmoe}\ntower: [0]", r"tower: must be positive widths"),
        ("switcher: {kind: mmoe}\ntrail: {dropout: 1.0}", r"trail\.dropout: must be"),
        ("switcher: {kind: mmoe, experts: yes}", r"must be a whole number\. Got 'yes'"),
    ],
)
def test_each_mistake_is_named(text, message):
    with pytest.raises(SpecError, match=message):
        read_preset(text)


def test_unknown_preset_names_the_closest():
    with pytest.raises(SpecError, match="Did you mean 'mmoe'"):
        load_preset("mmo")

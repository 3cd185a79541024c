"""What is searched: as it is written, and checked by the preset's own rules."""

import pytest

from feature_specs import SpecError, load_preset, load_spec, read_preset
from feature_specs.preset import shipped_presets
from pipeline.tune.errors import TuneError
from pipeline.tune.space import (
    Choices,
    Range,
    check_space,
    default_space,
    domain_of,
    own_value,
    parse_searched,
    parse_space,
)


def test_a_file_says_ranges_and_choices():
    text = """
    optimizer.learning_rate: {low: 1e-4, high: 0.1, log: true}
    epochs_per_day: {low: 1, high: 3}
    bottom: [[64], [128, 64]]
    """
    found = parse_space(text, "space.yaml")
    assert found == {
        "optimizer.learning_rate": Range(1e-4, 0.1, log=True),
        "epochs_per_day": Range(1, 3),
        "bottom": Choices(([64], [128, 64])),
    }
    assert found["epochs_per_day"].is_whole
    assert not Range(0.0, 1).is_whole
    for domain in found.values():
        assert domain_of(domain.as_yaml(), "again") == domain


def test_flags_say_the_same():
    found = parse_searched(["dropout={low: 0.0, high: 0.5}", "bottom = [[8], [4]]"])
    assert found == {"dropout": Range(0.0, 0.5), "bottom": Choices(([8], [4]))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout", "--search 'dropout': must be a key of a preset and its values"),
        ("dropout=0.1", r"a list of values, or a range like .* Got 0.1"),
        ("dropout=[0.1]", "must list two values or more, each once"),
        ("dropout=[0.1, 0.1]", "must list two values or more, each once"),
        ("dropout={low: 0.1}", "or a range like"),
        ("dropout={low: 0.1, high: 0.2, logs: true}", "Did you mean 'log'"),
        ("dropout={low: a, high: 0.2}", "must be numbers. Got 'a'"),
        ("dropout={low: .inf, high: 1}", "must be numbers. Got inf"),
        ("dropout={low: 0.2, high: 0.1}", "low must be below high. Got 0.2 and 0.1"),
        ("dropout={low: 0, high: 0.1, log: true}", "above 0. Got low 0"),
        ("dropout={low: 0.1, high: 0.2, log: 1}", "log must be true or false. Got 1"),
    ],
)
def test_what_is_no_range_is_told(text, message):
    with pytest.raises(TuneError, match=message):
        parse_searched([text])


def test_a_key_twice_is_told():
    with pytest.raises(TuneError, match="--search dropout: is there twice"):
        parse_searched(["dropout=[0.1, 0.2]", "dropout=[0.3, 0.4]"])


def test_a_file_that_is_no_mapping_is_told():
    with pytest.raises(SpecError, match="must be a mapping of keys"):
        parse_space("[1]", "space.yaml")


@pytest.mark.parametrize(
    ("key", "domain", "message"),
    [
        ("optimizer.learnig_rate", Range(0.1, 0.2), "Did you mean 'learning_rate'"),
        ("dropout", Range(0.5, 1.5), "dropout"),  # the upper end alone is wrong
        ("dropout", Choices((0.1, "much")), "dropout"),
        ("epochs_per_day", Range(0.5, 2.5), "epochs_per_day"),
        ("bottom.width", Choices((1, 2)), "--space bottom.width: 'bottom'"),
        ("loss_weights.clik", Range(0.5, 1.5), "Did you mean 'click'"),
    ],
)
def test_what_the_preset_or_the_spec_refuses_is_told(spec, key, domain, message):
    preset = read_preset("{}")
    with pytest.raises(TuneError, match="--space") as told:
        check_space({"tower": Choices(([4], [8])), key: domain}, preset, spec)
    assert message in str(told.value)


def test_an_empty_space_is_told(spec):
    with pytest.raises(TuneError, match="must name one key"):
        check_space({}, read_preset("{}"), spec)


def test_a_drawn_number_is_told_in_three_figures_and_stays_inside():
    assert Range(0.001, 0.1).told(0.0123456) == 0.0123
    assert Range(0.001, 0.12345).told(0.123449) == 0.123
    assert Range(0.12345, 0.2).told(0.12346) == 0.12345
    assert Range(0.1, 0.99999).told(0.99998) == 0.99999
    assert Range(1000, 2000).told(1234) == 1234


def test_own_values_are_the_presets_or_the_specs(spec):
    preset = read_preset("{bottom: [8], loss_weights: {like: 7}}")
    assert own_value(preset, spec, "bottom") == [8]
    assert own_value(preset, spec, "loss_weights.like") == 7
    assert own_value(preset, spec, "loss_weights.click") == 1  # of the spec
    assert own_value(preset, spec, "passes.most") == 1
    assert own_value(preset, spec, "towers.click.units") is None


@pytest.mark.parametrize("name", shipped_presets())
def test_the_default_space_fits_every_shipped_preset_and_holds_it(name):
    preset, spec = load_preset(name), load_spec("kuairand")
    space = default_space(preset, spec)
    check_space(space, preset, spec)
    for key, domain in space.items():
        assert domain.holds(own_value(preset, spec, key)), key


def test_the_default_space_has_what_the_preset_has_a_use_for(spec):
    found = default_space(load_preset("mmoe"), spec)
    assert found["optimizer.learning_rate"] == Range(0.001, 0.025, log=True)
    assert found["bottom"] == Choices(([64], [128], [256]))
    assert found["switcher.experts"] == Range(4, 16, log=True)
    assert 0.01 in found["disentangle"].values
    assert "loss_weights.like" not in found  # the spec calls no task sparse
    plain = default_space(load_preset("shared_bottom"), load_spec("kuairand"))
    assert not {"switcher.experts", "disentangle"} & plain.keys()
    assert plain["loss_weights.share"] == Range(5.0, 80.0, log=True)
    assert "loss_weights.share" not in default_space(
        load_preset("uniform"), load_spec("kuairand")
    )

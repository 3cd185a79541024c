"""What is compared: names, baseline, reference and sizes, told before any training."""

import dataclasses

import pytest

from feature_specs import SpecError, read_preset, read_spec
from pipeline.compare.comparison import (
    choose_baseline,
    choose_reference,
    choose_seesaw,
    load_presets,
    plan_entrants,
)

_SINGLE = "structure: {kind: single}\nswitcher: {kind: shared_bottom, units: [4]}"


@pytest.fixture
def presets():
    return {
        "mine": read_preset("switcher: {kind: mmoe}"),
        "alone": read_preset(_SINGLE),
        "hard": read_preset("switcher: {kind: shared_bottom}"),
    }


def test_presets_are_named_as_shipped_or_as_their_file(tmp_path):
    (tmp_path / "my.best.yaml").write_text("bottom: [8]")
    found = load_presets([str(tmp_path / "my.best.yaml"), "mmoe"])
    assert list(found) == ["my.best", "mmoe"]
    assert found["my.best"].bottom == (8,)


def test_two_presets_of_one_name_are_refused(tmp_path):
    (tmp_path / "mmoe.yaml").write_text("bottom: [8]")
    with pytest.raises(ValueError, match="names of their own. Got two called 'mmoe'"):
        load_presets(["mmoe", str(tmp_path / "mmoe.yaml")])


def test_an_unknown_preset_is_told_with_the_nearest_one():
    with pytest.raises(SpecError, match="mmo: 1 mistake\n.*Did you mean 'mmoe'"):
        load_presets(["mmo"])


def test_the_single_task_model_is_the_baseline(presets):
    assert choose_baseline(presets, None) == "alone"
    assert choose_baseline(presets, "some/where/hard.yaml") == "hard"
    del presets["alone"]
    assert choose_baseline(presets, None) is None
    with pytest.raises(ValueError, match="--baseline 'hart': must be one of .* 'hard'"):
        choose_baseline(presets, "hart")


def test_the_first_that_shares_is_the_reference(presets):
    assert choose_reference({"alone": presets["alone"]} | presets, None) == "mine"
    assert choose_reference(presets, "hard") == "hard"
    assert choose_reference({"alone": presets["alone"]}, None) is None
    with pytest.raises(ValueError, match="--reference 'x': must be one of --presets"):
        choose_reference(presets, "x")


def test_the_seesaw_is_of_the_first_binary_task_and_the_first_regression(
    spec, spec_text
):
    assert choose_seesaw(spec, None) == ("click", "watch")
    assert choose_seesaw(spec, ["like", "click"]) == ("like", "click")
    with pytest.raises(ValueError, match="--seesaw 'lik': .* Did you mean 'like'"):
        choose_seesaw(spec, ["lik", "click"])
    with pytest.raises(ValueError, match="must be two tasks. Got 'like' twice"):
        choose_seesaw(spec, ["like", "like"])
    binary = dataclasses.replace(spec, tasks=(spec.tasks[0], spec.tasks[2]))
    assert choose_seesaw(binary, None) == ("click", "like")
    assert choose_seesaw(dataclasses.replace(spec, tasks=spec.tasks[:1]), None) == ()
    assert read_spec(spec_text) == spec


def test_sizes_are_matched_to_the_reference_but_for_single(spec, preset_of):
    presets = {
        "alone": preset_of(_SINGLE),
        "mixed": preset_of("switcher: {kind: mmoe, experts: 2, units: [16]}"),
        "hard": preset_of("switcher: {kind: shared_bottom, units: [4]}"),
    }
    alone, mixed, hard = plan_entrants(presets, spec, "mixed")
    assert [entrant.is_scaled for entrant in (alone, mixed, hard)] == [
        False,
        False,
        True,
    ]
    # Each unit: 8 inputs and a bias, and 4 towers of 4. Mixing: 2 experts of 16 units,
    # and 4 gates with a weight for each input and expert, with or without a bias.
    experts, gates = 2 * 16 * 9 + 16 * 16, 4 * 2 * 8
    rest = mixed.weights - experts - gates
    (width,) = hard.config.switcher.units
    assert hard.weights == pytest.approx(rest + width * (9 + 16), abs=4 * 2)
    assert width % 4 == 0
    assert abs(hard.weights - mixed.weights) <= 2 * 25 + 8  # half a step of 4 units
    unmatched = plan_entrants(presets, spec, None)
    assert [entrant.config for entrant in unmatched] == [*presets.values()]


def test_a_poor_match_is_told(spec, preset_of, comparison_of):
    presets = {
        "narrow": "switcher: {kind: shared_bottom, units: [4]}",
        "wide": "switcher: {kind: mmoe, experts: 40, units: [8]}",
    }
    configs = {name: preset_of(text) for name, text in presets.items()}
    entrants = plan_entrants(configs, spec, "narrow")
    comparison = comparison_of(presets, entrants=entrants, reference="narrow")
    share = entrants[1].weights / entrants[0].weights
    assert entrants[1].config.switcher.units == (4,)
    assert share > 1.05
    assert comparison.poor_matches() == [
        f"wide has {share:.0%} of the weights of narrow: its widths, in steps of 4, "
        "come no nearer."
    ]
    alone = dataclasses.replace(comparison, reference=None)
    assert alone.poor_matches() == []


def test_a_preset_that_does_not_fit_the_spec_is_told_by_name(spec, preset_of):
    presets = {"tall": preset_of("towers: {clik: {units: [8]}}")}
    with pytest.raises(ValueError, match="--presets tall: .*\n.*Did you mean 'click'"):
        plan_entrants(presets, spec, None)

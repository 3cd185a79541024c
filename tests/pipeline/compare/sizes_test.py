"""Matching of sizes: exact along the widths, on real rankers and on closed formulas."""

import dataclasses

import pytest

from feature_specs import read_preset
from pipeline.compare.sizes import (
    count_weights,
    match_size,
    remembering,
    scaled,
    sharing_widths,
)
from trainer.model.ranker import Ranker


def _flat(units, kind="mmoe", subspaces=2):
    lines = f"kind: {kind}, units: {list(units)}, subspaces: {subspaces}"
    return read_preset(f"switcher: {{{lines}}}")


def _of_one_width(config):
    return _formula(*config.switcher.units)


def _formula(width):
    """Weights of 4 experts of one layer on 10 inputs, and of 3 towers of 6."""
    return 4 * (10 * width + width) + 3 * (width * 6 + 6)


@pytest.mark.parametrize("target", [500, 4321, 10_000, 123_456])
@pytest.mark.parametrize("begin", [1, 8, 30, 32, 500])
def test_the_nearest_multiple_of_four_is_found(target, begin):
    found = match_size(_flat([begin]), target, _of_one_width)
    off = abs(_of_one_width(found) - target)
    widths = [*range(4, 4000, 4), begin]
    assert off == min(abs(_formula(width) - target) for width in widths)


@pytest.mark.parametrize("target", [3_000, 47_000, 900_000])
def test_two_layers_are_scaled_together(target):
    def count(config):
        first, second = config.switcher.units
        return 20 * first + first * second + second

    begin = _flat([64, 24])
    found = match_size(begin, target, count)
    factors = [2 ** (step / 300) for step in range(-1800, 1801)]
    tried = [begin, *(scaled(begin, factor) for factor in factors)]
    assert abs(count(found) - target) == min(abs(count(t) - target) for t in tried)
    assert all(width % 4 == 0 for width in found.switcher.units)


def test_the_wanted_size_leaves_a_preset_alone():
    preset = _flat([30])
    assert match_size(preset, _of_one_width(preset), _of_one_width) is preset


def test_a_preset_as_near_as_it_gets_keeps_its_own_width():
    preset = _flat([30])
    assert match_size(preset, _of_one_width(preset) + 5, _of_one_width) == preset


def test_a_size_out_of_reach_gets_the_narrowest():
    assert match_size(_flat([64]), 10, _of_one_width).switcher.units == (4,)


def test_sluice_keeps_its_subspaces():
    preset = _flat([24, 12], kind="sluice", subspaces=3)
    assert scaled(preset, 1.4).switcher.units == (36, 12)  # multiples of 12
    assert scaled(preset, 0.1).switcher.units == (12, 12)
    other = _flat([24], kind="mmoe", subspaces=3)
    assert scaled(other, 1.4).switcher.units == (32,)  # 33.6: subspaces mean nothing


def test_single_has_no_sharing_part():
    preset = read_preset("structure: {kind: single}\nswitcher: {kind: shared_bottom}")
    assert match_size(preset, 10**6, _of_one_width) is preset
    assert scaled(preset, 2) == preset
    assert sharing_widths(preset) == ""


def test_levels_and_nodes_of_nested_structures_are_scaled():
    preset = read_preset("""
bottom: [100]
tower: [20]
switcher: {kind: mmoe, units: [64]}
structure:
  kind: multi_facet
  levels:
    - {kind: shared_bottom, units: [40]}
    - {kind: sluice, subspaces: 8, units: [32, 16]}
  node: [12]
  nodes: {new: [24]}
""")
    found = scaled(preset, 2)
    levels = [level.units for level in found.structure.levels]
    assert levels == [(80,), (64, 32)]
    assert (found.structure.node, found.structure.nodes) == ((24,), {"new": (48,)})
    kept = dataclasses.replace(found, structure=preset.structure)
    assert kept == preset  # bottom, tower and the switcher of `flat` as they were
    assert sharing_widths(found) == "80 / 64-32 / node 24"


def test_real_weights_are_counted_without_the_tables(spec, label_means, preset_of):
    preset = preset_of("switcher: {kind: mmoe, experts: 3, units: [8]}")
    ranker = Ranker(spec, preset, label_means)
    dense = sum(v.numpy().size for v in ranker.dense_variables)
    everything = sum(v.numpy().size for v in ranker.trainable_variables)
    assert count_weights(spec, preset) == dense < everything
    wider = preset_of("switcher: {kind: mmoe, experts: 3, units: [12]}")
    # Four columns more: 3 experts on 8 inputs with biases, 4 towers of 4 units.
    assert count_weights(spec, wider) - dense == 3 * (8 * 4 + 4) + 4 * (4 * 4)


def test_a_real_ranker_is_matched_exactly(spec, preset_of):
    def hard(width):
        return preset_of(f"switcher: {{kind: shared_bottom, units: [{width}]}}")

    count = remembering(lambda config: count_weights(spec, config))
    assert match_size(hard(8), count(hard(52)), count) == hard(52)
    assert match_size(hard(52), count(hard(8)) + 10, count) == hard(8)

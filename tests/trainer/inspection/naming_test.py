"""Variables are of the layer they are in."""

import dataclasses

import pytest

from feature_specs.model import StructureConfig, SwitcherConfig
from feature_specs.spec import FacetSpec
from trainer.inspection.naming import shared_layers
from trainer.model.ranker import Ranker


@pytest.fixture
def layers(spec, config, label_means):
    def make(**changes):
        changed = dataclasses.replace(config, bottom=(6, 5), **changes)
        (network,) = Ranker(spec, changed, label_means).networks
        found = shared_layers(network)
        variables = [v.ref() for layer in found.values() for v in layer]
        assert len(set(variables)) == len(variables)
        assert set(variables) == {v.ref() for v in network.shared_variables}
        return list(found)

    return make


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("shared_bottom", ["shared"]),
        ("mmoe", ["experts", "gates"]),
        ("ple", ["level 1", "level 2"]),
        ("ml_mmoe", ["level 1", "level 2", "gates"]),
        ("snr", ["level 1", "level 2", "routes 1", "routes 2"]),
        ("cross_stitch", ["level 1", "level 2", "alpha"]),
        ("asymmetric", ["bottoms"]),
    ],
)
def test_layers_below_the_towers_are_all_there_once(layers, kind, expected):
    found = layers(switcher=SwitcherConfig(kind=kind, units=(4,), experts=2))
    assert found == ["request", "candidate", "bottom", *expected]


def test_nested_structures_have_layers_of_nodes_and_switchers(
    spec, config, label_means
):
    facet = FacetSpec(
        name="place", feature="tab", partitions={"a": (0,), "b": (1,)}, default="a"
    )
    spec = dataclasses.replace(spec, facets={"place": facet})
    structure = StructureConfig(kind="multi_facet", facets=("place",), node=(4,))
    changed = dataclasses.replace(config, structure=structure)
    (network,) = Ranker(spec, changed, label_means).networks
    found = shared_layers(network)
    assert list(found) == [
        *("request", "candidate", "bottom", "switchers 0"),
        *("nodes 1", "switchers 1", "nodes 2", "switchers 2", "mix 2"),
    ]
    variables = {v.ref() for layer in found.values() for v in layer}
    assert variables == {v.ref() for v in network.shared_variables}

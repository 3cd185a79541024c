"""What a preset may not say of its structure, and what it is told."""

import pytest

from feature_specs.model import ModelConfig, StructureConfig, SwitcherConfig
from trainer.model import structures

_TASKS = ("cmpl", "skip", "finish")
_READING = SwitcherConfig(kind="asymmetric", reads={"nw": ("old",)})
_FACETS = {"group": ("new", "old"), "heat": ("cold", "hot")}


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (
            {"facets": ("grup",)},
            r"structure.facets: .*Got 'grup'. Did you mean 'group'\? Known: group, heat",
        ),
        ({"facets": ("group", "group")}, r"structure.facets: may name a facet once"),
        (
            {"facets": ("group",), "split": ("skp",)},
            r"structure.split: .*Got 'skp'. Did you mean 'skip'",
        ),
        ({"split": ("skip",)}, r"structure.split: needs a facet .*Got \['skip'\]"),
        ({"nodes": {"new": (3,)}}, r"structure.nodes: .*'new'. There is none"),
        ({"depth": 1}, r"structure.depth: is for multi_facet, not for flat. Got 1"),
        (
            {"kind": "hierarchical", "facets": ("group",), "depth": 2},
            r"structure.depth: is for multi_facet, not for hierarchical. Got 2",
        ),
        (
            {"kind": "hierarchical", "facets": ("task",)},
            r"structure.facets: must name a facet .*\['task'\]. .*is flat",
        ),
        (
            {"kind": "multi_facet"},
            r"structure.facets: must name a facet of the spec beside `task`.*\[\]",
        ),
        (
            {"kind": "multi_facet", "facets": ("group",), "split": ("skip",)},
            r"structure.split: is for flat; multi_facet splits every task",
        ),
        (
            {"kind": "multi_facet", "facets": ("group",), "levels": ()},
            r"structure.levels: must have one switcher at least",
        ),
        (
            {"kind": "multi_facet", "facets": ("group",), "depth": 2},
            r"structure.depth: must be from 1 to 1.*Got 2",
        ),
        (
            {"kind": "multi_facet", "facets": ("group", "heat"), "depth": -1},
            r"structure.depth: must be from 1 to 2.*Got -1",
        ),
        (
            {"kind": "multi_facet", "facets": ("group",), "nodes": {"now": (3,)}},
            r"nodes: .*Got 'now'. Did you mean 'new'\? Known: group, task, new, old",
        ),
        (  # codes go by the order of the facets
            {
                "kind": "multi_facet",
                "facets": ("task", "group", "heat"),
                "nodes": {"new&skip": (3,)},
            },
            r"'new&skip'. Did you mean .* and 18 more",  # 3 + 7 + 16 nodes, 8 shown
        ),
        (
            {"kind": "hierarchical", "facets": ("group",), "nodes": {"skip": (3,)}},
            r"structure.nodes: .*Got 'skip'. Known: new, old\.",
        ),
        (
            {"kind": "multi_facet", "facets": ("group",), "levels": (_READING,)},
            r"structure.levels\[0\].reads: .*Got 'nw'. Did you mean 'new'",
        ),
        (
            {"kind": "hierarchical", "facets": ("group",), "nodes": {"": (3,)}},
            r"structure.nodes: must be codes of nodes. Got ''",
        ),
    ],
)
def test_a_structure_that_cannot_be_is_told(structure, message):
    config = ModelConfig(structure=StructureConfig(**structure))
    with pytest.raises(ValueError, match=message):
        structures.create(config, _TASKS, _FACETS)


def test_a_code_of_two_nodes_cannot_have_widths():
    """Here `new` is a facet, and a partition of another one."""
    facets = {"new": ("yes", "no"), "group": ("new", "old")}
    config = StructureConfig(
        kind="multi_facet", facets=("new", "group"), nodes={"new": (3,)}
    )
    with pytest.raises(ValueError, match="one node each.*Got 'new'. Rename"):
        structures.create(ModelConfig(structure=config), _TASKS, facets)

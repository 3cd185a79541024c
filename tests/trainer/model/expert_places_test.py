"""Experts get the names their gates have for them."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.errors import ModelError
from trainer.model.expert_places import ExpertPlace, expert_places, pairs_kept_apart
from trainer.model.structures import PlacedGating
from trainer.model.switchers import create


def _places(kind, names, **sizes):
    switcher = create(SwitcherConfig(kind=kind, units=(4,), **sizes), names)
    switched = switcher(tf.ones([2, 1, 3]))
    gatings = [PlacedGating(("",), gating) for gating in switcher.gatings]
    return expert_places(gatings, [e.shape[1:3] for e in switched.experts])


def test_experts_of_a_mixture_are_those_of_its_gates():
    (place,) = _places("mmoe", ("a", "b"), experts=3)
    assert place.names == ("expert 0", "expert 1", "expert 2")
    assert (place.nodes, place.level, place.gates) == (("",), 1, (0,))


def test_own_experts_come_before_shared_ones_in_each_level():
    places = _places("ple", ("a", "b"), experts=1, task_experts=2, levels=2)
    own = ("a expert 0", "a expert 1", "b expert 0", "b expert 1")
    assert [place.names for place in places] == [(*own, "shared expert 0")] * 2
    # Level 1 has the tasks' gates and the shared one, level 2 the tasks'.
    assert [(place.level, place.gates) for place in places] == [(1, (0, 1)), (2, (2,))]


def test_one_task_weighs_its_own_experts_and_the_shared_ones():
    (place,) = _places("cgc", ("a",), experts=1)
    assert place.names == ("a expert 0", "shared expert 0")


def test_levels_of_a_mixture_are_apart():
    places = _places("ml_mmoe", ("a", "b"), experts=3, levels=3)
    assert [(place.level, place.gates) for place in places] == [
        (1, (0,)),
        (2, (1,)),
        (3, (2,)),
    ]


def test_experts_without_gates_have_plain_names():
    places = _places("snr", ("a", "b"), experts=2, levels=2)
    assert [place.names for place in places] == [("expert 0", "expert 1")] * 2
    assert [place.level for place in places] == [1, 2]
    assert [place.gates for place in places] == [(), ()]


def test_experts_find_the_gates_of_their_own_nodes():
    cgc = create(SwitcherConfig(kind="cgc", experts=1), ("a", "b"))
    mmoe = create(SwitcherConfig(kind="mmoe", experts=3), ("new", "old"), groups=2)
    gatings = [
        PlacedGating(("",), cgc.gatings[0]),
        PlacedGating(("a", "b"), mmoe.gatings[0]),
    ]
    first, second = expert_places(gatings, [(1, 3), (2, 3)])
    assert (first.nodes, first.gates) == (("",), (0,))
    assert (second.nodes, second.gates) == (("a", "b"), (1,))


PLACES = [
    ExpertPlace(("",), 1, ("like expert 0", "hate expert 0", "shared expert 0"), ()),
    ExpertPlace(("new", "old"), 2, ("level 2 expert 0", "level 2 expert 1"), ()),
]
ALL = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
PAIR, NONE = [[0, 1], [1, 0]], [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ((), ([ALL], [PAIR, PAIR])),
        (("level 2",), ([ALL], [NONE, NONE])),
        (("old",), ([ALL], [PAIR, NONE])),
        (("hate",), ([[[0, 0, 1], [0, 0, 0], [1, 0, 0]]], [PAIR, PAIR])),
        (("shared", "new"), ([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]], [NONE, PAIR])),
    ],
)
def test_a_task_a_node_and_a_level_can_be_left_out(left_out, expected):
    found = pairs_kept_apart(PLACES, left_out)
    for pairs, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pairs, own)


def test_what_no_experts_are_called_is_refused():
    told = (
        "disentangle_without: .*Got 'lik'. Known: level 1, like, hate, shared, level 2"
    )
    with pytest.raises(ModelError, match=told):
        pairs_kept_apart(PLACES, ["lik"])

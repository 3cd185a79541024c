"""Weights of each partition: found where they differ, kept where users are few."""

import dataclasses

import numpy as np
import pytest

from feature_specs import load_spec
from pipeline.fusion_search.by_facet import check_facet, search_partitions, told
from pipeline.fusion_search.candidates import VALUE
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.scored import Part
from tests.pipeline.fusion_search.toy import toy

_PARTITIONS = ("one", "other", "few")
_START = np.array([1.0, 0.0])


def _rows(seed: int) -> Part:
    """130 users of two partitions who want the opposite of each other, 5 of a third."""
    rows = toy(seed=seed, users=265)
    places = np.where(rows.users < 130, 0, np.where(rows.users < 260, 1, 2))
    ways = np.where(places == 1, -1, 1)
    worth = np.maximum(ways * (rows.factors @ np.array([1.0, -0.6])) + 1, 0)
    return Part(dataclasses.replace(rows, gains=worth), places)


def _search(rows: Part, **others):
    settings = {"constraints": [], "evaluations": 60, "seed": 0, "keep_signs": False}
    settings |= {"scale_free": True, "default": _START, "common": _START, **others}
    return search_partitions(rows, _PARTITIONS, **settings)


def test_each_partition_gets_what_its_users_want():
    searched, judged = _rows(0), _rows(1)
    found = _search(searched)
    assert found.users == {"one": 130, "other": 130, "few": 5}
    assert found.weights[0, 0] > 0 > found.weights[1, 0]
    np.testing.assert_array_equal(found.weights[2], _START)
    assert list(found.kept) == ["few"]
    assert "5 users to search on, 50 are needed" in found.kept["few"]
    made = told("who", ["like", "skip"], found, judged, _START)
    assert list(made.own) == ["one", "other"]
    assert made.change.low > 0
    rows = judged.candidates
    own = rows.measure(found.weights[judged.places], [VALUE])[VALUE].ratio
    common = rows.measure(_START, [VALUE])[VALUE].ratio
    assert made.change.mean == pytest.approx(own - common)


def test_what_keeps_no_constraint_keeps_the_common_weights():
    found = _search(_rows(0), constraints=[Constraint.parse("like >= 900%", ["like"])])
    assert set(found.kept) == set(_PARTITIONS)
    assert "None of" in found.kept["one"]
    np.testing.assert_array_equal(found.weights, np.tile(_START, (3, 1)))


def test_a_group_of_several_partitions_is_searched_in_none():
    rows = _rows(0)
    places = rows.places.copy()
    places[0] = 1  # a row of the first user
    found = _search(Part(rows.candidates, places), evaluations=1)
    assert found.users == {"one": 129, "other": 130, "few": 5}


@pytest.mark.parametrize(
    ("name", "length", "told"),
    [
        ("usr_group", False, "there is no facet 'usr_group'"),
        ("user_group", True, "--by, --length"),
        ("length", False, "a feature of the candidate"),
    ],
)
def test_a_facet_that_weights_cannot_go_by_is_told(name, length, told):
    spec = load_spec("kuairand")
    facet = spec.facets["user_group"]
    other = dataclasses.replace(facet, name="length", feature="duration_bucket")
    spec = dataclasses.replace(spec, facets={"user_group": facet, "length": other})
    with pytest.raises(FusionSearchError, match=told):
        check_facet(spec, name, length=length)

"""Features of G against arithmetic by hand."""

import math

import pytest

from pipeline.weight_selection.features import task_features, with_weight

_TASKS = ("click", "share", "like", "watch")
_LAYERS = [
    {
        "name": "bottom",
        "norms": [2.0, 0.5, 4.0, 9.0],
        "cosines": [
            [1.0, 0.3, 0.2, None],
            [0.3, 1.0, -0.5, None],
            [0.2, -0.5, 1.0, None],
            [None, None, None, None],
        ],
    }
]
_MEANS = {"click": 0.5, "share": 0.001, "like": 0.02}  # watch is a regression
_WEIGHTS = {"click": 1.0, "share": 7.0, "like": 10.0, "watch": 1.0}


def test_norms_cosines_label_means_and_weights():
    others = ("click", "like", "watch")
    found = task_features("share", others, _TASKS, _LAYERS, _MEANS, _WEIGHTS)
    assert found == pytest.approx(
        {
            "log norm, bottom": math.log(0.5),
            "log norm over others', bottom": math.log(0.5 / ((2 + 4 + 9) / 3)),
            "mean cosine, bottom": (0.3 - 0.5) / 2,  # watch has no gradient
            "least cosine, bottom": -0.5,
            "log label mean": math.log(0.001),
            "log label mean over others'": math.log(0.001) - math.log(0.5 * 0.02) / 2,
            "mean log weight of others": math.log(10) / 3,
        }
    )


def test_a_task_that_is_not_trained_has_no_part():
    found = task_features("share", ("like",), _TASKS, _LAYERS, _MEANS, _WEIGHTS)
    assert found["log norm over others', bottom"] == pytest.approx(math.log(0.5 / 4))
    assert found["mean cosine, bottom"] == -0.5
    assert found["log label mean over others'"] == pytest.approx(math.log(0.05))


def test_a_task_without_a_gradient_has_finite_features():
    found = task_features(
        "watch", ("click",), _TASKS, _LAYERS, _MEANS | {"watch": 0}, {"click": 1.0}
    )
    assert found["mean cosine, bottom"] == found["least cosine, bottom"] == 0
    assert found["log label mean"] == pytest.approx(math.log(1e-12))


def test_the_weight_comes_by_itself_and_times_each_feature():
    own = {"a": 3.0, "b": -2.0, "mean log weight of others": 0.5}
    names, values = with_weight(own, math.e**2)
    told = ["a", "b", "log weight", "log weight over others'"]
    assert names == [*told, "log weight x a", "log weight x b"]
    assert values.tolist() == pytest.approx([3, -2, 2, 1.5, 6, -4])

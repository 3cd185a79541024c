"""Scored rows as arrays: the served score from predictions, groups, what is refused."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from feature_specs import load_spec
from feature_specs.spec import FusionSpec, LengthSpec
from pipeline.evaluation import fused
from pipeline.evaluation.rows import Rows
from pipeline.fusion_search.candidates import VALUE
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.run import halves
from pipeline.fusion_search.scored import (
    LENGTH,
    default_weights,
    is_scale_free,
    scored,
    searched_names,
)
from tests.pipeline.evaluation.drawn import drawn_rows
from tests.pipeline.evaluation.tiny import SPEC

BOTH = dataclasses.replace(SPEC, fusion=FusionSpec(weights={"like": 1.0, "stay": 0.5}))
_NAMES = ["like", "stay"]
_ROWS = 60


@pytest.fixture(scope="module")
def served():
    """(spec, frame, what is served with other weights), of all transforms in use."""
    import tensorflow as tf

    from serving.export.fusion import fuse
    from trainer.objective.losses import link_of

    spec = load_spec("kuairand")
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 3, (_ROWS, len(spec.tasks))).astype(np.float32)
    length = draw.uniform(1, 300, _ROWS).astype(np.float32)
    columns = {
        "key_user": np.repeat(np.arange(6), 10),
        "key_request": np.repeat(np.arange(1, 7), 10),
        "key_split": np.zeros(_ROWS, np.int32),
        "key_time_ms": np.arange(_ROWS),
        "score": fuse(spec, tf.constant(logits), length).log_score.numpy(),
    }
    for place, task in enumerate(spec.tasks):
        predictions = link_of(task).predict(tf.constant(logits[:, place]))
        columns[f"prediction_{task.name}"] = predictions.numpy()
        columns[f"label_{task.name}"] = draw.integers(0, 2, _ROWS).astype(np.float32)
        columns[f"mask_{task.name}"] = np.ones(_ROWS, np.float32)
    given = tf.constant(draw.normal(0, 1, len(spec.tasks)).astype(np.float32))
    return spec, pl.DataFrame(columns), (logits, length, given)


def test_the_score_with_other_weights_is_what_would_be_served(served):
    """Predictions are float32, so the logarithm of one has some seven digits."""
    from serving.export.fusion import fuse

    spec, frame, (logits, length, given) = served
    names = [task.name for task in spec.tasks]
    found = scored(spec, Rows.of(frame), names, utility="", k=5).candidates
    default = found.rest + found.factors @ default_weights(spec, names)
    np.testing.assert_allclose(default, frame["score"], rtol=1e-12)
    expected = fuse(spec, logits, length, given).log_score.numpy()
    mine = found.rest + found.factors @ given.numpy().astype(np.float64)
    np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5)


def test_a_task_that_is_not_searched_keeps_its_weight(served):
    from serving.export.fusion import fuse

    spec, frame, (logits, length, _) = served
    names = ["long_view", "skip"]
    given = np.full(len(spec.tasks), np.nan, np.float32)
    for name, weight in zip(names, (2.0, -1.0), strict=True):
        given[[task.name for task in spec.tasks].index(name)] = weight
    found = scored(spec, Rows.of(frame), names, utility="", k=5).candidates
    expected = fuse(spec, logits, length, given).log_score.numpy()
    mine = found.rest + found.factors @ np.array([2.0, -1.0])
    np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5)


def test_the_length_s_factor_is_what_is_left_of_the_score(served):
    """f = 1 + log(1 + seconds), the kuairand spec's; the tasks' factors leave it."""
    spec, frame, (_, length, _) = served
    names = ["long_view", "skip", LENGTH]
    found = scored(spec, Rows.of(frame), names, utility="", k=5).candidates
    expected = np.log1p(np.log1p(length.astype(np.float64)))
    np.testing.assert_allclose(found.factors[:, 2], expected, atol=1e-4)
    default = found.rest + found.factors @ default_weights(spec, names)
    np.testing.assert_allclose(default, frame["score"], rtol=1e-12)


def test_without_a_utility_the_value_is_the_evaluation_s_ndcg():
    rows = Rows.of(drawn_rows())
    found = scored(BOTH, rows, _NAMES, utility="", k=10).candidates
    expected = fused.measure_ranking(BOTH, rows)[0].order().ndcg["10"]
    value = found.measure(default_weights(BOTH, _NAMES), [VALUE])[VALUE]
    assert value.ratio == pytest.approx(expected)


def test_other_users_judge_and_with_several_days_on_the_last():
    found = scored(BOTH, Rows.of(drawn_rows()), _NAMES, utility="like", k=5)
    searched, judged = (part.candidates for part in halves(found, 2))
    assert len(searched) == int(((found.day == 0) & (found.half == 0)).sum())
    assert len(judged) == int(((found.day == 1) & (found.half == 1)).sum())
    assert not set(searched.users) & set(judged.users)
    searched, judged = (part.candidates for part in halves(found, 1))
    assert len(searched) + len(judged) == len(found.candidates)
    assert not set(searched.users) & set(judged.users)
    assert 10 <= len(set(searched.users)) <= 30  # of some 40
    other = scored(BOTH, Rows.of(drawn_rows()), _NAMES, utility="", k=5, seed=1)
    assert (other.half != found.half).any()


def test_one_user_cannot_be_judged():
    frame = drawn_rows().with_columns(key_user=pl.lit(3))
    found = scored(BOTH, Rows.of(frame), _NAMES, utility="", k=5)
    with pytest.raises(FusionSearchError, match="are of [01] users"):
        halves(found, 2)


def test_rows_of_no_request_are_no_group():
    frame = drawn_rows().with_columns(key_request=pl.lit(0, pl.Int64))
    with pytest.raises(FusionSearchError, match="No row of the evaluation days"):
        scored(BOTH, Rows.of(frame), _NAMES, utility="", k=5)


def test_a_model_without_a_task_is_told():
    with pytest.raises(FusionSearchError, match="has no prediction_stay"):
        scored(
            BOTH, Rows.of(drawn_rows().drop("prediction_stay")), _NAMES, utility="", k=5
        )


def test_whose_weights_are_searched():
    assert searched_names(BOTH, [], False) == ["like", "stay"]
    assert searched_names(SPEC, ["stay", "like"], False) == ["stay", "like"]
    long = LengthSpec(feature="seconds", weight=0.5)
    with_length = dataclasses.replace(
        BOTH, fusion=dataclasses.replace(BOTH.fusion, length=long)
    )
    assert searched_names(with_length, [], True) == ["like", "stay", LENGTH]
    assert is_scale_free(BOTH, ["like", "stay"])
    assert not is_scale_free(BOTH, ["like"])
    assert not is_scale_free(with_length, ["like", "stay"])
    assert is_scale_free(with_length, ["like", "stay", LENGTH])


@pytest.mark.parametrize(
    ("tasks", "length", "told"),
    [
        (["liek", "stay"], False, "no task 'liek'"),
        (["like"], False, "two weights at least"),
        ([], True, "must have a `length`"),
    ],
)
def test_what_cannot_be_searched_is_told(tasks, length, told):
    with pytest.raises(FusionSearchError, match=told):
        searched_names(BOTH, tasks, length)


def test_a_weight_that_goes_by_a_facet_is_not_searched():
    by_facet = {"who": {"new": {"stay": 2.0}}}
    spec = dataclasses.replace(
        BOTH, fusion=FusionSpec(weights=BOTH.fusion.weights, facets=by_facet)
    )
    with pytest.raises(FusionSearchError, match="weight of 'stay' goes by a facet"):
        searched_names(spec, ["like", "stay"], False)

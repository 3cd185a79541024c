"""The study of co-training: what differs between its strategies, and its measures."""

import dataclasses
import pathlib
import sys

import numpy as np
import polars as pl
import pytest

from feature_specs.preset import check_preset, separate_tasks, weighted

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, _BENCHMARKS)
    try:
        import study_cotraining

        yield study_cotraining
    finally:
        sys.path.remove(_BENCHMARKS)


@pytest.fixture(scope="module")
def spec(study):
    return study.own_tasks(study.spec_with_both())


def test_strategies_differ_in_the_sparse_tasks_alone(study, spec):
    found = {}
    for name, config in study.strategies().items():
        check_preset(config, spec)
        tasks = weighted(spec, config).tasks
        assert all(t == spec.task(t.name) for t in tasks[:4])  # the dense ones
        (said,) = {
            (t.loss_weight, t.balance, t.positive_rate, t.name in config.separate)
            for t in tasks[4:]
        }
        found[name] = said
    assert found == {
        "separate": (1, 0, 1, True),
        "none": (1, 0, 1, False),
        "balanced 0.5": (1, 0.5, 1, False),
        "up-sampled 50": (1, 0, 50, False),
        **{f"upweighted {w}": (w, 0, 1, False) for w in (10, 20, 50, 100, 1000)},
    }
    apart = study.strategies()["separate"]
    assert set(separate_tasks(apart, spec)) == {"share", "like_and_follow"}


# Of three rows: shown as they happened.
_TRUTH = pl.DataFrame(
    {
        "p_is_click": [0.5, 0.4, 0.2],
        "p_long_view": [0.4, 0.2, 0.1],
        "p_complete": [0.3, 0.2, 0.1],
        "p_skip": [0.2, 0.3, 0.6],
        "p_is_forward": [0.004, 0.003, 0.002],
        "p_is_like": [0.1, 0.05, 0.01],
        "p_is_follow": [0.02, 0.008, 0.004],
    }
)


def test_both_need_a_play_and_are_tossed_apart(study):
    """0.5 * (0.1 / 0.5) * (0.02 / 0.5) is 0.004."""
    found = study.chance_of("like_and_follow", _TRUTH)
    np.testing.assert_allclose(found, [0.004, 0.001, 0.0002])
    np.testing.assert_allclose(study.chance_of("share", _TRUTH), [0.004, 0.003, 0.002])


def test_what_an_untrained_ranker_is_worth(study, spec):
    """It predicts the label means for every row: calibration by hand."""
    from trainer.model.ranker import Batch, Ranker

    tasks = [task.name for task in spec.tasks]
    means = dict(zip(tasks, (0.4, 0.3, 0.2, 0.3, 0.003, 0.0052), strict=True))
    plain = dataclasses.replace(study.strategies()["none"], bottom=(8,))
    ranker = Ranker(spec, plain, means)
    batch = Batch(ranker.example_features(3), None, None, None)
    log = study.Log(
        name="", spec=spec, days=(), examples="", graph="", batch=batch, rows=_TRUTH
    )
    found = study.measure(log, ranker)
    dense = [found[f"auc {name}"] for name in tasks[:4]]
    assert found["auc dense"] == pytest.approx(np.mean(dense))
    weights = [np.prod(v.shape) for v in ranker.dense_variables]
    assert found["weights"] == sum(weights)
    assert found["rate like_and_follow"] == pytest.approx(0.0052 / 3)
    assert found["calibration like_and_follow"] == pytest.approx(3, rel=1e-4)
    assert found["calibration share"] == pytest.approx(1, rel=1e-4)
    assert found["calibration skip"] == pytest.approx(0.9 / 1.1, rel=1e-4)


def test_gains_are_over_separate_training_and_paired(study):
    def run(auc, weights):
        aucs = {f"auc {task}": auc for task in (*study._TASKS, "dense")}
        more = {
            f"{kind} {t}": 1.0 for t in study._TASKS for kind in ("rate", "positives")
        }
        more |= {f"calibration {t}": 1.0 for t in study._TASKS}
        return {**aucs, **more, "rows": 9.0, "weights": weights}

    results = {
        "separate": {(7, 0): run(0.7, 200.0), (8, 0): run(0.6, 200.0)},
        "none": {(7, 0): run(0.68, 80.0), (8, 0): run(0.6, 80.0)},
    }
    sizes = dataclasses.replace(study._FULL, logs=2, strategies=tuple(results))
    told = study._summary(results, sizes, 3.0)
    gain = told["strategies"]["none"]["more_than_separate"]["share"]
    assert gain["gain"] == pytest.approx(-0.01) and gain["pairs"] == 2
    assert told["weights_saved"] == 0.6
    assert "more_than_separate" not in told["strategies"]["separate"]
    assert study._table(results, sizes).row_count == 2
    assert len(study._draw(results, sizes).axes) == 3

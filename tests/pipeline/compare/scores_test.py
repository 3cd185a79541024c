"""Metrics of a trained ranker, against pairs of rows counted one by one."""

import math

import numpy as np
import pytest

from feature_specs import read_spec
from pipeline.compare.metrics import headline, metrics_of
from pipeline.compare.scores import predict, score
from trainer.model.ranker import Ranker


@pytest.fixture(scope="module")
def ranker(spec, label_means, preset_of):
    """Not trained, but all its parts say something."""
    ranker = Ranker(spec, preset_of("switcher: {kind: mmoe, units: [4]}"), label_means)
    rng = np.random.default_rng(0)
    for variable in ranker.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return ranker


@pytest.fixture(scope="module")
def rows(make_rows):
    return make_rows(150, seed=11)


@pytest.fixture(scope="module")
def day(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("day") / "data.gz"
    rows.write(path)
    return ("day-20220410", [str(path)])


@pytest.fixture(scope="module")
def served(ranker, rows, spec):
    """Task -> predictions of the rows without their trail features."""
    features = rows.batch().features
    without = {f.name: features[f.name] for f in spec.served_features}
    return {name: values.numpy() for name, values in ranker(without).items()}


def _share_above(labels, scores):
    positive, negative = scores[labels > 0], scores[labels == 0]
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    return np.mean(pairs)


def test_regressions_have_their_squared_error(ranker, spec, day, rows, served):
    found, _ = score(ranker, spec, [day])
    for task in ("watch", "seconds"):
        error = np.mean((rows.labels[task] - served[task]) ** 2)
        assert found[task]["mse"] == pytest.approx(error, rel=1e-5)
        assert found[task]["rmse"] == pytest.approx(math.sqrt(error), rel=1e-5)
        explained = 1 - error / np.var(rows.labels[task])
        assert found[task]["r2"] == pytest.approx(explained, rel=1e-4)


def test_binary_tasks_are_judged_in_their_sample_space(ranker, spec, day, rows, served):
    found, _ = score(ranker, spec, [day])
    for task in ("click", "like"):
        inside = rows.masks[task] > 0
        labels, chance = rows.labels[task][inside], served[task][inside]
        area = _share_above(labels, chance)
        assert found[task]["auc"] == pytest.approx(area, abs=1e-6)
        lost = np.where(labels > 0, -np.log(chance), -np.log(1 - chance))
        assert found[task]["log_loss"] == pytest.approx(lost.mean(), rel=1e-5)


def test_gauc_is_inside_each_user(ranker, spec, day, rows, served):
    users, labels = rows.features["user_id"], rows.labels["click"]
    areas, counts = [], []
    for user in np.unique(users):
        own = users == user
        if 0 < labels[own].sum() < own.sum():
            areas.append(_share_above(labels[own], served["click"][own]))
            counts.append(own.sum())
    wanted = np.average(areas, weights=counts)
    found, positives = score(ranker, spec, [day])
    assert found["click"]["gauc"] == pytest.approx(wanted)
    assert positives == {"click": labels.sum(), "like": rows.labels["like"].sum()}


def test_several_days_are_judged_together(ranker, spec, day, rows, make_rows, tmp_path):
    make_rows(40, seed=12).write(tmp_path / "more.gz")
    frame = predict(ranker, spec, [day, ("day-20220411", [str(tmp_path / "*.gz")])])
    assert frame.height == 190  # and no padding
    counted = rows.labels["click"].sum() + make_rows(40, seed=12).labels["click"].sum()
    assert frame["label_click"].sum() == counted


def test_trail_features_do_not_count(ranker, spec, day, rows, make_rows, tmp_path):
    tired = make_rows(150, seed=11)
    tired.features["trail_position"] = np.full(150, 4, np.int32)
    tired.write(tmp_path / "tired.gz")
    changed = ranker(tired.batch().features)["click"].numpy()
    assert np.abs(changed - ranker(rows.batch().features)["click"].numpy()).max() > 1e-3
    other = ("day-20220410", [str(tmp_path / "tired.gz")])
    assert score(ranker, spec, [other]) == score(ranker, spec, [day])


def test_a_task_without_positives_has_no_auc(ranker, spec, make_rows, tmp_path):
    rows = make_rows(30, seed=1)
    rows.labels["like"] = np.zeros(30)
    rows.masks["click"] = np.zeros(30)
    rows.write(tmp_path / "data.gz")
    day = ("day-20220410", [str(tmp_path / "data.gz")])
    found, positives = score(ranker, spec, [day])
    assert positives == {"click": 0, "like": 0}
    assert math.isnan(found["like"]["auc"])
    assert found["like"]["log_loss"] > 0
    assert math.isnan(found["click"]["auc"])
    assert math.isnan(found["click"]["log_loss"])


def test_a_spec_without_the_user_has_no_gauc(spec, spec_text):
    other = "{name: user_id, group: query, kind: id, table: user}"
    text = spec_text.replace(f"  - {other}\n", "")
    without = read_spec(text)
    task = spec.task("click")
    assert metrics_of(task, spec) == ("auc", "gauc", "log_loss")
    assert metrics_of(task, without) == ("auc", "log_loss")
    assert (headline(task), headline(spec.task("watch"))) == ("auc", "mse")

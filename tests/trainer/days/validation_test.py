"""Progressive validation: what it measures, and that it leaves no trace."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import RequestSpec
from tpu_configs import SliceConfig
from trainer.days import loop
from trainer.days.divergence import DivergedError
from trainer.days.input import count_labels
from trainer.days.layout import Layout
from trainer.days.training import Training
from trainer.days.validation import Validator, _metrics

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)


@pytest.fixture(scope="module")
def files(make_rows, tmp_path_factory):
    """300 rows: 5 batches, the last one of 44 rows."""
    path = tmp_path_factory.mktemp("rows") / "data.gz"
    make_rows(300, seed=1).write(path)
    return [str(path)]


@pytest.fixture(scope="module")
def training(spec, config, files):
    """Trained a little, so that scores differ."""
    found = Training(
        spec, config, SLICE, tf.distribute.get_strategy(), seed=3, first_files=files
    )
    for _ in found.epoch("d1", files, 0):
        pass
    return found


def test_metrics_are_those_of_served_predictions(spec, training, files, make_rows):
    found = Validator(training, 1000).validate(files)
    batch = make_rows(300, seed=1).batch()
    served = [f.name for f in spec.served_features]
    with training.average.applied():
        predictions = training.ranker({name: batch.features[name] for name in served})
    assert found["rows"] == 300
    for column, task in enumerate(spec.tasks):
        rows = batch.masks[:, column].numpy() == 1
        labels = batch.labels[:, column].numpy()[rows].astype(float)
        scores = predictions[task.name].numpy()[rows].astype(float)
        if task.kind == "binary":
            entropy = -np.mean(np.log(np.where(labels == 1, scores, 1 - scores)))
            assert found["loss"][task.name] == pytest.approx(entropy, rel=1e-4)
            assert found["auc"][task.name] == pytest.approx(
                _pairs_won(scores, labels), abs=1e-6
            )
            ratio = scores.sum() / labels.sum()
            assert found["calibration"][task.name] == pytest.approx(ratio, rel=1e-4)
            assert found["log_loss"][task.name] == pytest.approx(entropy, rel=1e-4)
            assert found["positives"][task.name] == labels.sum()
        else:
            assert task.name not in found["auc"]
            left = np.mean((labels - scores) ** 2) / np.var(labels)
            assert found["r2"][task.name] == pytest.approx(1 - left, rel=1e-4)
    squared = np.mean((predictions["watch"] - batch.labels[:, 1]) ** 2)
    assert found["loss"]["watch"] == pytest.approx(float(squared), rel=1e-4)


def test_the_order_inside_requests_is_in_the_loss(spec, config, make_rows, tmp_path):
    """Untrained, all rows score alike: cross-entropy, and half of log 2 of each pair."""
    request = RequestSpec(session="user_id", seconds=9.0, together=True)
    click = dataclasses.replace(spec.task("click"), pairwise=0.5)
    spec = dataclasses.replace(
        spec,
        log=dataclasses.replace(spec.log, request=request),
        tasks=(click, *spec.tasks[1:]),
    )
    rows = make_rows(128, seed=1)
    rows.features["key_request"] = np.repeat(np.arange(1, 17), 8)
    rows.write(tmp_path / "data.gz")
    files = [str(tmp_path / "data.gz")]
    one = tf.distribute.get_strategy()
    training = Training(spec, config, SLICE, one, seed=3, first_files=files)
    found = Validator(training, 128).validate(files)["loss"]["click"]
    mean = (rows.labels["click"].sum() + 0.5) / 129
    entropy = -np.mean(np.log(np.where(rows.labels["click"] == 1, mean, 1 - mean)))
    assert found == pytest.approx(entropy + math.log(2) / 2, rel=1e-4)


def _pairs_won(scores, labels):
    """AUC by its definition: over all pairs, a tie counts half."""
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    return np.mean((gaps > 0) + (gaps == 0) / 2)


def test_one_class_alone_has_no_auc(spec):
    masks = np.ones([3, len(spec.tasks)], np.float32)
    ones = np.ones_like(masks)
    found = _metrics(spec, ones[:1], ones / 2, ones, masks)
    assert found["auc"]["click"] is None
    assert found["calibration"]["click"] == 0.5
    found = _metrics(spec, ones[:1], ones / 2, 0 * ones, masks)
    assert found["calibration"]["click"] is None


def test_a_diverged_ranker_is_refused_by_the_task_s_name(spec):
    rows = np.ones([4, len(spec.tasks)], np.float32)
    labels = rows * [[1], [1], [0], [0]]
    scores = rows * [[np.nan], [np.nan], [0.1], [0.2]]
    match = "Task 'click', judged before .* scores must be numbers. Got 2 of 4"
    with pytest.raises(DivergedError, match=match):
        _metrics(spec, rows[:1], scores, labels, rows)


def test_at_most_the_rows_asked_for(training, files):
    assert Validator(training, 100).validate(files)["rows"] == 128  # two whole batches


def test_the_weights_are_as_before(training, files):
    kept = [*training.ranker.variables, *training.average.averages.values()]
    before = [v.numpy() for v in kept]
    Validator(training, 64).validate(files)
    for found, expected in zip(kept, before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_day_is_judged_before_it_is_trained(spec, config, files, make_rows, tmp_path):
    """Exactly what a validator says of the ranker as it was then."""
    make_rows(600, seed=2).write(tmp_path / "d1.gz")
    first_files = [str(tmp_path / "d1.gz")]
    loop.train(
        spec,
        config,
        [("d1", first_files), ("d2", files)],
        checkpoint_dir=str(tmp_path / "run"),
        slice=SLICE,
        options=loop.LoopOptions(validate_rows=300),
    )
    lines = (tmp_path / "run" / loop.METRICS_FILE).read_text().splitlines()
    first, second = (json.loads(line)["validation"] for line in lines)
    strategy = tf.distribute.get_strategy()
    by_hand = Training(spec, config, SLICE, strategy, seed=0, first_files=first_files)
    judge = Validator(by_hand, 300)
    assert first == judge.validate(first_files)
    for _ in by_hand.epoch("d1", first_files, 0):
        pass
    assert second == judge.validate(files)
    assert second != judge.validate(first_files)
    # The first day's judge knows nothing but label means, and ranks nobody.
    mean = count_labels(Layout(spec), first_files).means["click"]
    clicks = _labels(by_hand, first_files, 5)[:, 0].mean()
    entropy = -clicks * math.log(mean) - (1 - clicks) * math.log(1 - mean)
    assert first["loss"]["click"] == pytest.approx(entropy, rel=1e-5)
    assert first["calibration"]["click"] == pytest.approx(mean / clicks, rel=1e-5)
    assert first["auc"]["click"] == 0.5


def _labels(training, files, batches):
    """[rows, tasks], of the rows that are judged."""
    found = [batch.labels.numpy() for batch in training.sample(files, batches)]
    return np.concatenate(found)

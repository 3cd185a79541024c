"""What takes no network, on three days of the trainer's small data set."""

import json
import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from feature_specs import label_key, mask_key
from pipeline.compare.errors import CompareError
from pipeline.compare.examples import examples_of_folder
from pipeline.compare.run import CompareOptions
from pipeline.compare.yardsticks import (
    YARDSTICKS_FILE,
    means,
    measure_yardsticks,
    trees,
)
from pipeline.compare.yardsticks.id_sums import IdSums


@pytest.fixture(scope="module")
def days(make_rows):
    """The rows of the three days: 300 each, the last to judge."""
    return [make_rows(300, seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def example_days(spec, examples):
    return examples_of_folder(spec, str(examples))


@pytest.fixture(scope="module")
def found(example_days):
    return means.predict(example_days)


def _by_hand(days, key, task, binary):
    """(value of `key` in each row of the last day, its smoothed mean, label mean)."""
    ids, labels, masks = (
        np.concatenate([read(day) for day in days[:2]])
        for read in (
            lambda d: d.features[key],
            lambda d: d.labels[task],
            lambda d: d.masks[task],
        )
    )
    rows, total = masks.sum(), (labels * masks).sum()
    mean = (total + 0.5) / (rows + 1) if binary else total / rows
    own = []
    for value in days[2].features[key]:
        mine = (ids == value) & (masks > 0)
        own.append((labels[mine].sum() + 20 * mean) / (mine.sum() + 20))
    return np.array(own), mean


@pytest.mark.parametrize(
    ("name", "key"), [("user's mean", "user_id"), ("item's mean", "video_id")]
)
@pytest.mark.parametrize(("task", "binary"), [("click", True), ("watch", False)])
def test_means_are_smoothed_with_twenty_rows(found, days, name, key, task, binary):
    expected, _ = _by_hand(days, key, task, binary)
    values = np.sort(found[name][f"prediction_{task}"].to_numpy())
    np.testing.assert_allclose(values, np.sort(expected), rtol=1e-5)


def test_the_label_mean_is_that_of_the_sample_space(found, days):
    _, mean = _by_hand(days, "user_id", "like", True)
    assert set(found["label mean"]["prediction_like"].round(6)) == {round(mean, 6)}


def test_user_and_item_add_in_log_odds_and_as_they_are(found, days):
    both = found["user's + item's mean"]
    for task, binary in (("click", True), ("watch", False)):
        user, mean = _by_hand(days, "user_id", task, binary)
        item, _ = _by_hand(days, "video_id", task, binary)
        if binary:
            odds = user / (1 - user) * item / (1 - item) / (mean / (1 - mean))
            expected = odds / (1 + odds)
        else:
            expected = user + item - mean
        values = np.sort(both[f"prediction_{task}"].to_numpy())
        np.testing.assert_allclose(values, np.sort(expected), rtol=1e-5)


@pytest.fixture(scope="module")
def measured(example_days, tmp_path_factory):
    out = tmp_path_factory.mktemp("yardsticks")
    return measure_yardsticks(example_days, ["means", "trees"], out), out


def test_scores_are_of_the_rows_to_judge(measured, found):
    scores, _ = measured
    frame = found["user's mean"].filter(pl.col(mask_key("like")) > 0)
    area = roc_auc_score(frame[label_key("like")] > 0.5, frame["prediction_like"])
    assert len(frame) < 300  # of those who clicked
    assert scores["user's mean"]["like"]["auc"] == pytest.approx(area, abs=1e-9)
    assert scores["label mean"]["like"]["auc"] == 0.5
    assert math.isfinite(scores["trees"]["watch"]["mse"])


def test_trees_learn_what_there_is_to_learn(measured):
    """Clicks hang on the video's tag, watch time on more (tests.trainer.conftest)."""
    scores, _ = measured
    assert scores["trees"]["click"]["auc"] > 0.55
    assert scores["trees"]["watch"]["mse"] < scores["label mean"]["watch"]["mse"]


def test_what_is_found_is_not_made_again(measured, example_days):
    scores, out = measured
    told = []
    again = measure_yardsticks(example_days, ["trees"], out, told.append)
    assert told == [] and list(again) == ["trees"]
    assert again["trees"]["click"] == pytest.approx(
        scores["trees"]["click"], nan_ok=True
    )


def test_a_file_cut_off_counts_for_nothing(measured, example_days, tmp_path):
    _, out = measured
    text = (out / YARDSTICKS_FILE).read_text()
    (tmp_path / YARDSTICKS_FILE).write_text(text[: len(text) // 2])
    told = []
    measure_yardsticks(example_days, ["means"], tmp_path, told.append)
    assert told == ["means"]
    assert json.loads((tmp_path / YARDSTICKS_FILE).read_text())


def test_a_days_own_labels_say_nothing_of_its_ids(example_days, monkeypatch):
    """An id's mean is that of the days before: labels of a day are not in its inputs."""
    seen = []
    original = trees._Inputs.of

    def spy(self, frame):
        found = original(self, frame)
        seen.append(found)
        return found

    monkeypatch.setattr(trees._Inputs, "of", spy)
    monkeypatch.setattr(trees, "_MOST_CODES", 20)
    monkeypatch.setattr(
        trees, "_MOST_TASKS", 1
    )  # at a time: the days of one come first
    trees.predict(example_days)
    first, second = seen[:2]
    assert np.isnan(first).any(axis=0).any()  # nothing is known on the first day
    assert not np.isnan(second).any()


def test_no_other_yardstick_is_known():
    with pytest.raises(
        CompareError, match="--yardsticks: must be of means, trees. Got"
    ):
        CompareOptions(yardsticks=("meens",))


def test_trees_read_no_day_beyond_their_rows(monkeypatch):
    """The newest days, and of the oldest of them its last rows."""
    monkeypatch.setattr(trees, "MOST_ROWS", 5)
    read = []

    def days():
        for day in (3, 2, 1):
            read.append(day)
            yield pl.DataFrame({"day": [day] * 3, "row": [0, 1, 2]})

    older, newest = trees._newest(days())
    assert read == [3, 2]
    assert newest["day"].to_list() == [3, 3, 3]
    assert older.rows() == [(2, 1), (2, 2)]


def test_an_id_beyond_all_that_were_there_has_the_label_mean():
    sums = IdSums()
    sums.add(np.array([7, 2]), np.array([1.0, 5.0]), np.array([1.0, 0.0]))
    sums.add(np.array([900]), np.array([0.0]), np.array([1.0]))
    ids = np.array([7, 2, 900, 5_000])
    np.testing.assert_array_equal(sums.counts(ids), [1, 0, 1, 0])
    expected = [(1 + 20 * 0.5) / 21, 0.5, 20 * 0.5 / 21, 0.5]
    np.testing.assert_allclose(sums.means(ids, 0.5), expected)

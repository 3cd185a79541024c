"""Batches of static shape from files of examples."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import RequestSpec
from trainer.days import input as examples
from trainer.days.layout import Layout


@pytest.fixture(scope="module")
def day(make_rows, tmp_path_factory):
    """Two files of 7 and 4 rows, and their columns."""
    folder = tmp_path_factory.mktemp("day")
    parts = [make_rows(7, seed=1), make_rows(4, seed=2)]
    for index, part in enumerate(parts):
        part.write(folder / f"part-{index}.gz")
    return [str(folder / "*.gz")], parts


def _files(day):
    return examples.match_files("day-20220408", day[0])


def _batches(spec, day, size, seed=0):
    return examples.BatchReader(Layout(spec), size).batches(_files(day), seed=seed)


def test_every_row_comes_once_and_the_last_batch_is_filled_up(spec, day):
    batches = list(_batches(spec, day, 4))
    assert [float(tf.reduce_sum(b.weight)) for b in batches] == [4, 4, 3]
    ages = np.concatenate([b.features["age"][b.weight > 0] for b in batches])
    written = np.concatenate([part.features["age"] for part in day[1]])
    np.testing.assert_array_equal(np.sort(ages), np.sort(written))
    last = batches[-1]
    assert not last.masks[3].numpy().any() and not last.labels[3].numpy().any()
    assert not last.features["history_video_id"][3].numpy().any()


def test_shapes_are_static_and_ids_are_int32(spec, day):
    batch = _batches(spec, day, 4).element_spec
    shapes = {name: value.shape.as_list() for name, value in batch.features.items()}
    assert shapes["history_video_id"] == [4, 4] and shapes["user_id"] == [4]
    assert batch.labels.shape == batch.masks.shape == [4, 4]
    assert batch.features["video_id"].dtype == tf.int32
    assert batch.features["age"].dtype == tf.float32


def test_no_tuner_delays_the_end_of_a_pass(spec, day):
    reader = examples.BatchReader(Layout(spec), 4)
    files = _files(day)
    for pass_ in (reader.batches(files, seed=0), reader.serialized(files, seed=0)):
        for dataset in (pass_, pass_.take(1)):
            assert dataset.options().autotune.enabled is False


def test_columns_stay_together_in_a_row(spec, day):
    part = day[1][0]
    found = {
        float(age): (int(user), float(watch), float(mask))
        for batch in _batches(spec, day, 4)
        for age, user, watch, mask in zip(
            batch.features["age"].numpy(),
            batch.features["user_id"].numpy(),
            batch.labels[:, 1].numpy(),
            batch.masks[:, 2].numpy(),
            strict=True,
        )
    }
    age, user = float(part.features["age"][3]), int(part.features["user_id"][3])
    expected = (user, float(part.labels["watch"][3]), float(part.masks["like"][3]))
    assert found[age] == expected


def test_a_request_stays_in_one_batch(spec, make_rows, tmp_path):
    """Blocks of 64 rows change places, and none of their rows, 16 requests of four."""
    rows = make_rows(256, seed=3)
    keys = 2**40 + np.repeat(np.arange(64), 4)
    rows.features["key_request"] = keys
    rows.write(tmp_path / "part.gz")
    request = RequestSpec(session="user_id", seconds=9.0, together=True)
    own = dataclasses.replace(spec, log=dataclasses.replace(spec.log, request=request))
    reader = examples.BatchReader(Layout(own), 64)
    files = examples.match_files("day", [str(tmp_path / "*.gz")])
    orders = []
    for seed in (0, 1):
        found = [
            b.features["key_request"].numpy() for b in reader.batches(files, seed=seed)
        ]
        for batch in found:
            assert (batch.reshape(16, 4) == batch[::4, None]).all()
        orders.append(np.concatenate(found))
    np.testing.assert_array_equal(np.sort(orders[0]), keys % 2**31)
    assert (orders[0] != orders[1]).any()


def test_order_follows_from_the_seed(spec, day):
    def order(seed):
        batches = _batches(spec, day, 11, seed)
        return next(iter(batches)).features["age"].numpy().tolist()

    assert order(0) == order(0) != order(1)


def test_label_means_are_over_the_sample_space(spec, day):
    means = examples.count_labels(Layout(spec), _files(day)).means
    click = np.concatenate([part.labels["click"] for part in day[1]])
    like = np.concatenate([part.labels["like"] for part in day[1]])
    watch = np.concatenate([part.labels["watch"] for part in day[1]])
    assert means["click"] == pytest.approx((click.sum() + 0.5) / (11 + 1))
    assert means["like"] == pytest.approx((like.sum() + 0.5) / (click.sum() + 1))
    assert means["watch"] == pytest.approx(watch.mean(), rel=1e-6)


def test_a_day_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Day 'day-20220408': must have one file"):
        examples.match_files("day-20220408", [str(tmp_path / "*.gz")])

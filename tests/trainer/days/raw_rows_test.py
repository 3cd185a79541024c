"""Raw examples through an encoding's graph, from files to batches and weights."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import label_key, mask_key, read_spec
from pipeline.encoding.graph import write_transform_graph
from tests.encoded_rows import as_examples, encoded, splitmix64
from tests.trainer.conftest import SPEC
from tests.trainer.raw_days import ENCODING, RAW_SPEC, raw_rows, write_rows
from tpu_configs import SliceConfig
from trainer.days import input as examples
from trainer.days import loop
from trainer.days.layout import Layout
from trainer.days.packed import DayCache
from trainer.days.raw_rows import load_graph
from trainer.errors import TrainingError

_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=48, steps_per_call=4)
_ROWS = 500


@pytest.fixture(scope="module")
def raw_spec():
    return read_spec(RAW_SPEC)


@pytest.fixture(scope="module")
def graph(raw_spec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoding") / "graph"
    write_transform_graph(ENCODING, raw_spec, str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def rows(any_seed):
    return raw_rows(_ROWS, any_seed)


@pytest.fixture(scope="module")
def day(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "Split-day-20220408"
    write_rows(folder / "data_tfrecord-0.gz", rows[:300])
    write_rows(folder / "data_tfrecord-1.gz", rows[300:])
    return "day-20220408", [str(folder / "*.gz")]


def _features(layout, records, batch=_ROWS):
    """Feature -> values, read in parts of `batch` rows."""
    parts = [records[i : i + batch] for i in range(0, len(records), batch)]
    matrix = np.concatenate([layout.reader()(tf.constant(p)).numpy() for p in parts])
    found = layout.unpack(tf.constant(matrix), len(records))
    return found, matrix


def test_a_row_is_what_tensorflow_transforms_own_layer_makes_of_it(
    raw_spec, graph, rows
):
    found, _ = _features(Layout(raw_spec, graph), as_examples(rows))
    expected = encoded(graph, raw_spec, rows)
    for feature in raw_spec.features:
        values = found.features[feature.name].numpy()
        np.testing.assert_allclose(values, expected[feature.name], rtol=1e-6)
    for column, task in enumerate(raw_spec.tasks):
        own = [row[label_key(task.name)] for row in rows]
        np.testing.assert_array_equal(found.labels[:, column], np.float32(own))
        own = [row[mask_key(task.name)] for row in rows]
        np.testing.assert_array_equal(found.masks[:, column], np.float32(own))


def test_rows_by_hand(raw_spec, graph, rows):
    known = {"age": float(np.expm1(3.0)), "tab": 5, "history_video_id": [1, 2, 3, 4, 5]}
    other = {"age": float("nan"), "tab": 3, "history_video_id": []}
    absent = {k: v for k, v in rows[0].items() if k not in ("tab", "age")}
    own = [rows[0] | known, rows[0] | other, rows[0] | {"tab": -1}, absent]
    batch, _ = _features(Layout(raw_spec, graph), as_examples(own))
    assert batch.features["tab"].numpy().tolist() == [2, 5, 0, 0]  # 5: of all others
    ages = batch.features["age"].numpy()[[0, 1, 3]]
    np.testing.assert_allclose(ages, [(3.0 - 2.0) / 0.5, 0, 0], rtol=1e-6)
    newest = [splitmix64(video) % 4999 + 1 for video in (2, 3, 4, 5)]
    assert batch.features["history_video_id"].numpy()[0].tolist() == newest
    assert batch.features["history_video_id"].numpy()[1].tolist() == [0] * 4


@pytest.mark.parametrize("size", [1, 7, 64, 333])
def test_a_row_is_encoded_alike_in_whatever_batch_it_is(raw_spec, graph, rows, size):
    """To the last bit: or a training that goes on in mid-day would be another one."""
    layout, records = Layout(raw_spec, graph), as_examples(rows)
    _, whole = _features(layout, records)
    _, parts = _features(layout, records[: 9 * size], size)
    np.testing.assert_array_equal(parts, whole[: len(parts)])


def _matrices(batches):
    return [np.concatenate([np.ravel(v) for v in tf.nest.flatten(b)]) for b in batches]


def test_batches_are_the_same_from_a_cache_from_the_middle_and_in_order_of_the_seed(
    raw_spec, graph, day, tmp_path
):
    files = examples.match_files(*day)
    layout = Layout(raw_spec, graph)
    reader = examples.BatchReader(layout, 48)
    cache = DayCache(str(tmp_path), layout)
    cached = examples.BatchReader(layout, 48, cache=cache)
    whole = _matrices(reader.batches(files, seed=1))
    assert len(whole) == 11  # 500 rows
    for other in (
        _matrices(reader.batches(files, seed=1, skip=3)),
        _matrices(cached.batches(files, seed=1, skip=3)),
    ):
        np.testing.assert_array_equal(other, whole[3:])
    # As the records come unparsed, which is the order of a training before.
    serialized = np.concatenate(list(reader.serialized(files, seed=1)))
    batch, _ = _features(layout, serialized)
    users = [b.features["user_id"][b.weight > 0] for b in reader.batches(files, seed=1)]
    np.testing.assert_array_equal(np.concatenate(users), batch.features["user_id"])


def test_machines_and_replicas_get_parts_of_the_same_batches(raw_spec, graph, day):
    files = examples.match_files(*day)
    reader = examples.BatchReader(Layout(raw_spec, graph), 48)
    whole = [b.features["age"].numpy() for b in reader.batches(files, seed=1)]
    shares = [examples.Share(machine, 2, 2) for machine in range(2)]
    parts = [
        [b.features["age"].numpy() for b in reader.batches(files, seed=1, share=share)]
        for share in shares
    ]
    assert [len(own) for own in parts] == [2 * len(whole)] * 2
    for number, expected in enumerate(whole):
        own = [p for part in parts for p in part[2 * number : 2 * number + 2]]
        np.testing.assert_array_equal(np.concatenate(own), expected)


def test_a_cache_keeps_no_rows_of_another_encoding(raw_spec, graph, day, tmp_path):
    files = examples.match_files(*day)
    longer = ENCODING.extended_by("day-20220408", {"tab": {"3": 1}})
    write_transform_graph(longer, raw_spec, str(tmp_path / "longer"))

    def tabs(directory):
        layout = Layout(raw_spec, directory)
        cache = DayCache(str(tmp_path / "cache"), layout)
        batches = examples.BatchReader(layout, 500, cache=cache).batches(files, seed=0)
        return next(iter(batches)).features["tab"].numpy()

    before, after = tabs(graph), tabs(str(tmp_path / "longer"))
    assert {*before} == {0, 1, 2, 5} and {*after} == {0, 1, 2, 3}
    np.testing.assert_array_equal(before == 5, after == 3)


@pytest.mark.slow
def test_training_ends_with_the_weights_of_encoded_rows(
    raw_spec, config, graph, day, tmp_path
):
    """Bit by bit, those of rows that were encoded before, as Transform wrote them."""
    layout = Layout(raw_spec, graph)
    for file in examples.match_files(*day):
        records = list(tf.data.TFRecordDataset(file, "GZIP").as_numpy_iterator())
        batch, _ = _features(layout, records)
        columns = {name: value.numpy() for name, value in batch.features.items()}
        for place, task in enumerate(raw_spec.tasks):
            columns[label_key(task.name)] = batch.labels.numpy()[:, place]
            columns[mask_key(task.name)] = batch.masks.numpy()[:, place]
        own = [
            {k: _plain(v[i]) for k, v in columns.items()} for i in range(len(records))
        ]
        write_rows(tmp_path / "encoded" / file.rsplit("/", 1)[1], own)
    before = [(day[0], [str(tmp_path / "encoded" / "*.gz")])]
    settings = {"slice": _SLICE, "seed": 3}
    found = loop.train(
        raw_spec,
        config,
        [day],
        checkpoint_dir=str(tmp_path / "1"),
        graph=graph,
        **settings,
    )
    expected = loop.train(
        raw_spec, config, before, checkpoint_dir=str(tmp_path / "2"), **settings
    )
    assert int(found.steps) == 11
    for own, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(own, other, own.name)


def _plain(value):
    values = value.tolist()
    return values if value.ndim else value.item()


def test_rows_that_only_judge_are_not_trained_on(day, rows, tmp_path):
    folder = tmp_path / "Split-day-20220408"
    for name in ("data_tfrecord-0.gz", "evaluation_only-0.gz"):
        write_rows(folder / name, rows[:3])
    (tmp_path / "report.json").write_text('{"examples": {"day-20220408": 3}}')
    patterns = [str(folder / "*.gz")]
    (trained,) = examples.match_files(day[0], patterns)
    assert trained.endswith("data_tfrecord-0.gz")
    assert len(examples.match_files(day[0], patterns, evaluation=True)) == 2
    # What the report counts is what is trained on.
    assert (
        len(list(examples.BatchReader(_LAYOUT, 3).serialized([trained], seed=0))) == 1
    )
    (tmp_path / "report.json").write_text('{"examples": {"day-20220408": 6}}')
    with pytest.raises(ValueError, match="must have the 6 examples .* Got 3"):
        examples.BatchReader(_LAYOUT, 3).serialized([trained], seed=0)


_LAYOUT = Layout(read_spec(SPEC))


def test_a_graph_of_another_spec_is_refused(raw_spec, graph, spec, tmp_path):
    with pytest.raises(TrainingError, match="must hold the graph of an encoding"):
        load_graph(raw_spec, str(tmp_path))
    tag = dataclasses.replace(raw_spec.feature("tag"), name="other")
    more = dataclasses.replace(raw_spec, features=(*raw_spec.features, tag))
    with pytest.raises(TrainingError, match="'other' is int64 .* Got no such feature"):
        load_graph(more, graph)
    text = dataclasses.replace(raw_spec.feature("tab"), dtype="string")
    others = tuple(text if f.name == "tab" else f for f in raw_spec.features)
    with pytest.raises(TrainingError, match="'tab' is string .* Got TensorSpec"):
        load_graph(dataclasses.replace(raw_spec, features=others), graph)
    assert load_graph(spec, graph)  # `tab` is a code there: its raw values are the same

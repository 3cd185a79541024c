"""Ranks as seconds: by hand, and an exported model's against plain sorted play times."""

import json
import math

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from feature_specs import read_preset, read_spec
from feature_specs.past import QuantileSpec
from feature_specs.spec import SecondsSpec, TaskSpec
from pipeline.examples.columns import quantiles
from serving.client.client import Client
from serving.export.answers import read_answers
from serving.export.export import export
from serving.export.quantile_tables import (
    Group,
    QuantilesError,
    read_tables,
    tables_as_json,
)
from serving.export.rank_values import RankValues
from tests.encoded_rows import write_graph
from trainer.model.ranker import Ranker

NAN = math.nan
_QUANTILE = QuantileSpec(
    name="q",
    value="watched",
    by="length",
    boundaries=(5_000.0, 9_000.0),
    step=100.0,
    max=1_000.0,
)
_TASK = TaskSpec(
    name="rank",
    kind="regression",
    label="q",
    seconds=SecondsSpec(unit="ms", feature="length_s", factor=1000.0),
)
# Below 5 s: 2 rows of 0 to 0.1 s, 1 of 0.1 to 0.2 s, 1 of 0.7 to 0.8 s. Below 9 s: 3
# rows at the most, 1 s. From 9 s on: none.
_GROUPS = [
    Group(np.array([0, 1, 7]), np.array([2, 1, 1])),
    Group(np.array([10]), np.array([3])),
    Group(np.array([], np.int64), np.array([], np.int64)),
]


def _seconds(ranks, lengths, groups=_GROUPS, quantile=_QUANTILE, task=_TASK):
    values = RankValues(task, quantile, groups)
    raw = None if lengths is None else tf.constant(lengths, tf.float32)
    return values.seconds(tf.constant(ranks, tf.float32), raw).numpy().tolist()


def test_ranks_by_hand():
    # Half of the rows are in the first 0.1 s, a quarter in the next, one from 0.7 s on.
    ranks = [0.0, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0]
    found = _seconds(ranks, [3.0] * 7)
    assert found == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.75, 0.8], abs=1e-6)


def test_ranks_beyond_0_and_1_are_cut_off_and_nothing_is_above_max():
    found = _seconds([-3.0, 7.0, 0.0, 0.5, 1.0], [3.0, 3.0, 6.0, 6.0, 6.0])
    assert found == pytest.approx([0, 0.8, 1, 1, 1], abs=1e-6)


def test_lengths_that_are_unknown_or_were_never_seen_go_by_all_rows():
    # Of 7: 2, 1 and 1, and 3 at 1 s. 2/14 is the middle of the first bin.
    ranks = [2 / 14, 2.5 / 7, 3.5 / 7, 0.9]
    reverse = _GROUPS[::-1]  # the first is empty, and the last has rows
    cases = [(NAN, _GROUPS), (9.0, _GROUPS), (400.0, _GROUPS)]
    for length, groups in [*cases, (NAN, reverse), (3.0, reverse)]:
        found = _seconds(ranks, [length] * 4, groups)
        assert found == pytest.approx([0.05, 0.15, 0.75, 1.0], abs=1e-6)


def test_a_group_begins_at_its_boundary_in_the_units_of_the_feature():
    found = _seconds([0.25] * 3, [4.999, 5.0, 8.999])
    assert found == pytest.approx([0.05, 1.0, 1.0], abs=1e-6)
    lengths = np.array([10_001, 10_000], np.float64)  # as `length / 1000` in a row
    cut = QuantileSpec(
        name="q", value="w", by="l", boundaries=(10_001.0,), step=1.0, max=9.0
    )
    groups = [Group(np.array([n]), np.array([1])) for n in (0, 5)]
    found = _seconds([0.5, 0.5], lengths / 1000, groups, cut)
    assert found == pytest.approx([0.0055, 0.0005], abs=1e-7)


def test_one_length_may_hold_for_all_rows():
    assert _seconds([0.25, 0.75], [3.0]) == pytest.approx([0.05, 0.2], abs=1e-6)


def test_without_groups_no_feature_is_read():
    whole = QuantileSpec(name="q", value="w", step=2.0, max=10.0)
    task = TaskSpec(
        name="r", kind="regression", label="q", seconds=SecondsSpec(unit="s")
    )
    groups = [Group(np.array([1, 3]), np.array([1, 1]))]
    found = _seconds([0.0, 0.25, 0.5, 1.0], None, groups, whole, task)
    assert found == pytest.approx([2, 3, 4, 8])


def test_a_rank_that_is_no_number_is_no_time():
    assert math.isnan(_seconds([NAN], [3.0])[0])


def test_rows_are_needed():
    empty = Group(np.array([], np.int64), np.array([], np.int64))
    with pytest.raises(QuantilesError, match=r"tasks\.rank\.seconds: no row"):
        RankValues(_TASK, _QUANTILE, [empty] * 3)


# --- the file -------------------------------------------------------------------------


def _written(tmp_path, change=lambda values: None):
    histogram = np.zeros((3, 11), np.int64)
    histogram[0, [0, 1, 7]] = 2, 1, 1
    histogram[1, 10] = 3
    values = tables_as_json([_QUANTILE], [histogram])
    change(values)
    path = tmp_path / "quantiles.json"
    path.write_text(json.dumps(values))
    return str(path)


def test_the_file_holds_what_was_counted(tmp_path):
    found = read_tables(_written(tmp_path), [_QUANTILE])["q"]
    assert [g.bins.tolist() for g in found] == [[0, 1, 7], [10], []]
    assert [g.rows.tolist() for g in found] == [[2, 1, 1], [3], []]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format=2), "is no file of quantiles.*format 2"),
        (lambda v: v.pop("quantiles"), "is no file of quantiles"),
        (lambda v: v["quantiles"][0].update(step=10.0), "made for other quantiles"),
        (lambda v: v["quantiles"][0].update(name="p"), "no such one"),
        (lambda v: v["quantiles"][0]["groups"].pop(), "2 groups"),
        (lambda v: v["quantiles"][0]["groups"][0]["rows"].pop(), "do not fit"),
    ],
)
def test_a_wrong_file_is_told(tmp_path, change, message):
    with pytest.raises(QuantilesError, match=message):
        read_tables(_written(tmp_path, change), [_QUANTILE])


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(QuantilesError, match="is missing.*Go on with a new day"):
        read_tables(str(tmp_path / "quantiles.json"), [_QUANTILE])


# --- an exported model ----------------------------------------------------------------

_SPEC = """
name: ranks
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, watched: float64, length: int64}
  outcomes: [watched]
quantiles:
  - {name: watch_rank, value: watched, by: length, boundaries: [7000, 20000], step: 250, max: 30000}
tables: {user: {buckets: 50, dim: 4}, video: {buckets: 50, dim: 4}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: length_s, group: candidate, kind: number, expr: "length / 1000"}
tasks:
  - {name: rank, kind: regression, label: watch_rank, seconds: {unit: ms, feature: length_s, factor: 1000}}
fusion: {weights: {rank: 1.0}}
"""
_PRESET = "{bottom: [8], switcher: {kind: shared_bottom, units: [8]}, tower: [4]}"
_STEP = 0.25  # seconds


@pytest.fixture(scope="module")
def log():
    """Play times of 600 impressions, ms, as they depend on the length."""
    draws = np.random.default_rng(5)
    length = draws.integers(3_000, 60_000, 600)
    watched = np.clip(draws.gamma(1.5, length / 2), 0, 90_000)
    return pl.DataFrame({"watched": watched, "length": length})


@pytest.fixture(scope="module")
def exported(log, tmp_path_factory):
    folder, spec = tmp_path_factory.mktemp("ranks"), read_spec(_SPEC)
    row = {"user_id": 1, "video_id": 7, "length_s": 5.0, "label_rank": 0.5}
    row |= {"mask_rank": 1.0, "key_user": 1, "key_item": 7, "key_time_ms": 5}
    encoded = write_graph(spec, [row, row | {"length_s": 40.0}], str(folder / "out"))
    model = Ranker(spec, read_preset(_PRESET), {"rank": 0.5})
    draws = np.random.default_rng(3)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(draws.normal(0, 0.35, variable.shape))
    tables = tables_as_json(spec.quantiles, quantiles.histogram(log, spec))
    (folder / "quantiles.json").write_text(json.dumps(tables))
    with pytest.raises(QuantilesError, match="quantiles=EXAMPLES"):
        export(model, encoded, spec, folder / "none")
    path = str(folder / "1")
    export(model, encoded, spec, path, quantiles=folder / "quantiles.json")
    return path


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(exported)


_LENGTHS = np.array([3.5, 6.999, 7.0, 19.0, 20.0, 55.0, NAN] * 6, np.float32)
_VIDEOS = np.arange(len(_LENGTHS))
_SHOWN = {"video_id": _VIDEOS, "length_s": _LENGTHS}


def _example(video, length):
    numbers = {"user_id": 4, "video_id": video}
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        for name, value in numbers.items()
    }
    features["length_s"] = tf.train.Feature(
        float_list=tf.train.FloatList(value=[length])
    )
    found = tf.train.Example(features=tf.train.Features(feature=features))
    return found.SerializeToString()


_INPUTS = {
    "serving_default": {"user_id": np.full(len(_VIDEOS), 4), **_SHOWN},
    "rank": {
        "user_id": [4],
        "weights": np.zeros(0, np.float32),
        "top_k": np.int32(0),
        **_SHOWN,
    },
    "score_examples": {
        "examples": [_example(*row) for row in zip(_VIDEOS, _LENGTHS, strict=True)]
    },
}


@pytest.mark.parametrize("signature", sorted(_INPUTS))
def test_the_model_gives_the_time_before_which_so_many_stopped(served, log, signature):
    """In the sorted play times of like lengths, the one at the predicted rank."""
    dtypes = {"user_id": tf.int64, "video_id": tf.int64}
    inputs = {
        name: tf.constant(values, dtypes.get(name))
        for name, values in _INPUTS[signature].items()
    }
    outputs = served.signatures[signature](**inputs)
    ranks, found = outputs["rank"].numpy(), outputs["rank_seconds"].numpy()
    assert ((ranks > 0) & (ranks < 1)).sum() > 10  # else a constant would do
    group = np.digitize(log["length"], [7_000, 20_000])
    times = np.minimum(log["watched"].to_numpy() / 1000, 30.0)
    for rank, length, seconds in zip(ranks, _LENGTHS, found, strict=True):
        own = group == np.digitize(length, [7.0, 20.0])
        ordered = np.sort(times if math.isnan(length) else times[own])
        place = math.ceil(np.clip(rank, 0, 1) * ordered.size) - 1
        assert abs(seconds - ordered[max(place, 0)]) <= _STEP + 1e-5


def test_the_best_have_the_seconds_of_their_own_lengths(served):
    dtypes = {"user_id": tf.int64, "video_id": tf.int64}
    inputs = {n: tf.constant(v, dtypes.get(n)) for n, v in _INPUTS["rank"].items()}
    everything = served.signatures["rank"](**inputs)["rank_seconds"].numpy()
    best = served.signatures["rank"](**inputs | {"top_k": tf.constant(9)})
    places = best["positions"].numpy()
    assert len(places) == 9 and len({*np.digitize(_LENGTHS[places], [7, 20])}) > 1
    assert best["rank_seconds"].numpy().tolist() == everything[places].tolist()


def test_seconds_are_not_recorded_beside_their_ranks(exported):
    """Where few rows are, a rank's last digit is worth seconds: no gate compares it."""
    outputs = {name for one in read_answers(exported) for name in one.outputs}
    assert outputs == {"rank", "score", "log_score", "positions"}


def test_of_no_candidates_the_answer_has_the_same_outputs(served):
    spec = read_spec(_SPEC)
    with Client("http://127.0.0.1:9", spec) as client:  # nobody is asked
        found = client.rank({}, [])
    outputs = {*served.signatures["rank"].structured_outputs} - {"positions"}
    assert found.outputs == {name: [] for name in outputs}

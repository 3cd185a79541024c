"""The Transform step's graph, run for real on rows worked out by hand."""

import hashlib
import json
import math
import shutil

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from feature_specs import read_spec
from pipeline.schema import build_schema
from pipeline.transform import preprocessing_fn
from trainer.days.encoding import read_encoding

_SPEC = read_spec(
    """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, liked: int64, city: "string?", age: "float64?", fans: "float64?", tab: "int64?", title: "string?"}
  outcomes: [liked]
derived: {floats: "ARRAY[0.5, 1.5]"}
trail: {scope: [user_id]}
history: {positive: "liked = 1", columns: [video_id], length: 3}
tables: {user: {buckets: 50}, video: {buckets: 1000}, word: {buckets: 500}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: city, group: query, kind: category, size: 2}
  - {name: tab, group: context, kind: code, size: 3}
  - {name: age, group: query, kind: bucket, boundaries: [18, 30]}
  - {name: fans, group: query, kind: number, transform: log1p}
  - {name: share, group: query, kind: number, scale: minmax, expr: fans}
  - {name: never, group: query, kind: number, scale: minmax, expr: fans}
  - {name: plain, group: query, kind: number, scale: none, transform: log1p, expr: fans}
  - {name: town, group: query, kind: category, size: auto, expr: city}
  - {name: title, group: candidate, kind: text, table: word, length: 4}
  - {name: words, group: candidate, kind: text, size: 2, length: 4, expr: title}
  - {name: cover, group: candidate, kind: vector, size: 2, expr: floats}
  - {name: raw_cover, group: candidate, kind: vector, size: 2, normalize: none, expr: floats}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4]}
tasks: [{name: like, kind: binary, label: "liked = 1"}]
fusion: {weights: {like: 1}}
facets:
  country: {feature: city, partitions: {italy: [Rome, Pisa], norway: [Oslo]}, default: norway}
  series: {column: video_id, partitions: {eight: [8], others: []}, default: others}
"""
)
_NAN = math.nan
_CITIES = ["Rome", "Rome", "Oslo", "Oslo", "Rome", "Bern", ""]
_AGES = [17.9, 18.0, 29.0, 30.0, _NAN, 50.0, 20.0]
_FANS = [0.0, math.e - 1, _NAN, math.e**2 - 1, math.inf, math.e - 1, 0.0]
_TABS = [0, 1, 2, 3, -1, 99, -7]
_TITLES = ["The cat, THE Cat! x", "", "cat", "dog:猫", "a b c d e", "Cat dog dog", " ."]
_COVERS = [[3, 4], [_NAN, _NAN], [0, 0], [1e30, 1e30], [1, _NAN], [-2, 0], [0, 5]]
_HISTORIES = [[], [7], [7, 8], [7, 8, 9], [6, 7, 8, 9], [7, 8, -1, 9], [9]]


def _rows() -> list[dict]:
    return [
        {
            "user_id": -1 if index == 0 else index,
            "history_video_id": _HISTORIES[index],
            "city": _CITIES[index],
            "age": _AGES[index],
            "fans": _FANS[index],
            "tab": _TABS[index],
            "share": _FANS[index],
            "never": _NAN,
            "plain": _FANS[index],
            "town": _CITIES[index],
            "title": _TITLES[index],
            "words": _TITLES[index],
            "cover": [float(value) for value in _COVERS[index]],
            "raw_cover": [float(value) for value in _COVERS[index]],
            "video_id": 7 + index % 3,
            "trail_position": 1.0,
            "label_like": 1.0,
            "mask_like": 1.0,
            "key_user": index,
            "key_item": 7,
            "key_time_ms": 5,
        }
        for index in range(7)
    ]


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("graph") / "out")


@pytest.fixture(scope="module")
def transformed(graph, tmp_path_factory) -> dict[str, np.ndarray]:
    metadata = tft.DatasetMetadata(build_schema(_SPEC))
    with (
        beam.Pipeline(
            runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner"
        ) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path_factory.mktemp("tft"))),
    ):
        rows = pipeline | beam.Create(_rows())
        data, fitted = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing_fn(inputs, {"spec": _SPEC.text})
        )
        _ = fitted | tft_beam.WriteTransformFn(graph)
        found: list[dict] = []
        out = str(tmp_path_factory.mktemp("out") / "part")
        coder = tft.coders.ExampleProtoCoder(data[1].schema)
        data[0] | beam.Map(coder.encode) | beam.io.WriteToTFRecord(out)
    files = tf.io.gfile.glob(out + "*")
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        found.append(
            {
                name: list(value.int64_list.value) or list(value.float_list.value)
                for name, value in example.features.feature.items()
            }
        )
    found.sort(key=lambda row: row["key_user"])
    return {name: np.array([row[name] for row in found]) for name in found[0]}


def test_ids_are_hashed_into_the_table_and_0_is_missing(transformed):
    ids = transformed["user_id"][:, 0]
    assert ids[0] == 0
    assert ((ids[1:] >= 1) & (ids[1:] < 50)).all()
    # FarmHash of "3", "4", "5": another hash would spoil every checkpoint.
    assert ids[3:6].tolist() == [24, 7, 2]


def test_a_sequence_keeps_its_newest_ids_and_pads_at_the_end(transformed):
    histories = transformed["history_video_id"]
    assert histories.shape == (7, 3)
    seven, eight, nine = (transformed["video_id"][i, 0] for i in range(3))
    assert histories[0].tolist() == [0, 0, 0]
    assert histories[1].tolist() == [seven, 0, 0]
    assert histories[3].tolist() == [seven, eight, nine]
    assert histories[4].tolist() == [seven, eight, nine]  # 6 is the oldest
    assert histories[5].tolist() == [seven, eight, nine]  # -1 is missing


def test_a_category_takes_the_most_frequent_values(transformed):
    cities = transformed["city"][:, 0].tolist()
    # Rome (3 times) first, Oslo (2) next, Bern among the others, none missing.
    assert cities == [1, 1, 2, 2, 1, 3, 0]


def test_a_facets_values_are_looked_up_whatever_the_vocabulary_is(transformed):
    # Oslo 1, Pisa 2 (in no row), Rome 3; Bern is not listed, the last one is missing.
    assert transformed["facet_country"][:, 0].tolist() == [3, 3, 1, 1, 3, 0, 0]
    assert transformed["facet_series"][:, 0].tolist() == [0, 1, 0, 0, 1, 0, 0]


def test_a_code_has_its_own_row_and_others_share_the_last(transformed):
    assert transformed["tab"][:, 0].tolist() == [1, 2, 3, 4, 0, 4, 4]


def test_a_bucket_counts_the_boundaries_at_or_below(transformed):
    assert transformed["age"][:, 0].tolist() == [1, 2, 2, 3, 0, 3, 2]


def test_a_number_is_scaled_without_missing_and_infinite_ones(transformed):
    logs = np.array([0, 1, 2, 1, 0])  # log1p of the five known values
    expected = (logs - logs.mean()) / logs.std()
    known = np.delete(transformed["fans"][:, 0], [2, 4])
    np.testing.assert_allclose(known, expected, atol=1e-5)
    assert transformed["fans"][[2, 4], 0].tolist() == [0, 0]


def test_a_number_may_be_scaled_to_the_range_of_the_training_days(transformed):
    top = math.e**2 - 1
    expected = [0, (math.e - 1) / top, 0, 1, 0, (math.e - 1) / top, 0]
    np.testing.assert_allclose(transformed["share"][:, 0], expected, atol=1e-6)


def test_a_number_may_be_left_as_it_is(transformed):
    expected = [0, 1, 0, 2, 0, 1, 0]  # log1p; what is missing is 0
    np.testing.assert_allclose(transformed["plain"][:, 0], expected, atol=1e-6)


def test_a_counted_vocabulary_has_every_value(transformed, graph):
    assert transformed["town"][:, 0].tolist() == [1, 1, 2, 2, 1, 3, 0]
    assert read_encoding(graph).sizes == {"city": 2, "town": 3, "words": 2}


def test_words_are_cut_out_of_a_text_and_looked_up(transformed):
    # Of the first four words of each title: cat 4 times, dog 3, the others fewer.
    assert transformed["words"].tolist() == [
        [3, 1, 3, 1],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [2, 3, 0, 0],
        [3, 3, 3, 3],
        [1, 2, 2, 0],
        [0, 0, 0, 0],
    ]


def test_words_are_hashed_as_ids_are(transformed):
    titles = transformed["title"]
    the, cat = titles[0, :2]
    assert titles[0].tolist() == [the, cat, the, cat] and the != cat
    assert titles[5, 0] == cat and titles[5].tolist()[1:] == [titles[3, 0]] * 2 + [0]
    # FarmHash of "cat": what an id of text has in the same table.
    assert cat == tf.strings.to_hash_bucket_fast("cat", 499).numpy() + 1
    assert titles[[1, 6]].sum() == 0


def test_a_vector_is_of_length_1_or_zeros_where_a_float_is_missing(transformed):
    half = math.sqrt(0.5)
    expected = [[0.6, 0.8], [0, 0], [0, 0], [half, half], [0, 0], [-1, 0], [0, 1]]
    np.testing.assert_allclose(transformed["cover"], expected, atol=1e-6)
    raw = [[3, 4], [0, 0], [0, 0], [1e30, 1e30], [0, 0], [-2, 0], [0, 5]]
    np.testing.assert_allclose(transformed["raw_cover"], raw, rtol=1e-6)


def test_a_row_of_a_request_is_encoded_as_in_training(transformed, graph):
    """Values that no training day had: cut off at the ends of the range."""
    layer = tft.TFTransformOutput(graph).transform_features_layer()
    found = layer(
        {
            "share": tf.constant([-5.0, 1e9, _NAN, math.e - 1]),
            "never": tf.constant([-5.0, 1e9, _NAN, 0.5]),
            "town": tf.constant(["Rome", "Paris", "", "Bern"]),
            "words": tf.constant(["DOG!", "a fox", "", "\u732b cat"]),
            "cover": tf.constant([[8.0, 6.0], [_NAN, 1.0], [0.0, 0.0], [0.0, -7.0]]),
        }
    )
    share = [0, 1, 0, (math.e - 1) / (math.e**2 - 1)]
    np.testing.assert_allclose(found["share"], share, atol=1e-6)
    assert found["never"].numpy().tolist() == [0, 0, 0, 0]
    assert found["town"].numpy().tolist() == [1, 4, 0, 3]
    assert found["words"].numpy()[:, :2].tolist() == [[2, 0], [3, 3], [0, 0], [3, 1]]
    expected = [[0.8, 0.6], [0, 0], [0, 0], [0, -1]]
    np.testing.assert_allclose(found["cover"], expected, atol=1e-6)


def test_labels_masks_and_keys_pass_as_they_are(transformed):
    assert transformed["label_like"][:, 0].tolist() == [1] * 7
    assert transformed["key_user"][:, 0].tolist() == list(range(7))


def test_what_was_learned_is_read_from_the_graph(transformed, graph, tmp_path):
    """Of five known values 0, 1, 2, 1, 0: mean 4 / 5, variance 2.8 / 5."""
    found = read_encoding(graph).learned
    digest = hashlib.sha256(b"Rome\nOslo\n").hexdigest()[:12]
    assert found.pop("vocabulary city") == f"2 values (Rome, Oslo; {digest})"
    assert found.pop("vocabulary words").startswith("2 values (cat, dog; ")
    assert found.pop("vocabulary town").startswith("3 values (Rome, Oslo, Bern; ")
    ends = json.loads(found.pop("share smallest (negated) and largest"))
    assert ends == pytest.approx([0, math.e**2 - 1])
    none = "[-inf, -inf]"  # as no training day had a value
    assert found.pop("never smallest (negated) and largest") == none
    numbers = {name: float(value) for name, value in found.items()}
    expected = {"fans mean": 0.8, "fans variance": 0.56}
    assert numbers == pytest.approx(expected)
    shutil.copytree(graph, tmp_path / "elsewhere")
    assert read_encoding(str(tmp_path / "elsewhere")) == read_encoding(graph)

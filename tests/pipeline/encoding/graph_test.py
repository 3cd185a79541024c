"""The graph of an encoding, run for real on rows worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from feature_specs import read_spec
from pipeline.encoding.graph import write_transform_graph
from pipeline.encoding.learn import learn
from tests.encoded_rows import encoded, splitmix64, summary_of, write_graph
from trainer.days.encoding import Encoding, read_encoding

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
def encoding() -> Encoding:
    return learn(_SPEC, [summary_of(_SPEC, _rows(), "day-20240101")])


@pytest.fixture(scope="module")
def graph(encoding, tmp_path_factory) -> str:
    directory = str(tmp_path_factory.mktemp("graph") / "out")
    write_transform_graph(encoding, _SPEC, directory)
    return directory


@pytest.fixture(scope="module")
def transformed(graph) -> dict[str, np.ndarray]:
    return encoded(graph, _SPEC, _rows())


def test_ids_are_hashed_into_the_table_and_0_is_missing(transformed):
    ids = transformed["user_id"]
    assert ids[0] == 0
    assert ((ids[1:] >= 1) & (ids[1:] < 50)).all()
    # 1 + splitmix64(3, 4, 5) mod 49: another hash would spoil every checkpoint.
    assert ids[3:6].tolist() == [1 + splitmix64(n) % 49 for n in (3, 4, 5)]


def test_a_sequence_keeps_its_newest_ids_and_pads_at_the_end(transformed):
    histories = transformed["history_video_id"]
    assert histories.shape == (7, 3)
    seven, eight, nine = (transformed["video_id"][i] for i in range(3))
    assert histories[0].tolist() == [0, 0, 0]
    assert histories[1].tolist() == [seven, 0, 0]
    assert histories[3].tolist() == [seven, eight, nine]
    assert histories[4].tolist() == [seven, eight, nine]  # 6 is the oldest
    assert histories[5].tolist() == [seven, eight, nine]  # -1 is missing


def test_a_category_takes_the_most_frequent_values(transformed):
    cities = transformed["city"].tolist()
    # Rome (3 times) first, Oslo (2) next, Bern among the others, none missing.
    assert cities == [1, 1, 2, 2, 1, 3, 0]


def test_a_facets_values_are_looked_up_whatever_the_vocabulary_is(transformed):
    # Oslo 1, Pisa 2 (in no row), Rome 3; Bern is not listed, the last one is missing.
    assert transformed["facet_country"].tolist() == [3, 3, 1, 1, 3, 0, 0]
    assert transformed["facet_series"].tolist() == [0, 1, 0, 0, 1, 0, 0]


def test_a_code_has_its_own_row_and_others_share_the_last(transformed):
    assert transformed["tab"].tolist() == [1, 2, 3, 4, 0, 4, 4]


def test_a_bucket_counts_the_boundaries_at_or_below(transformed):
    assert transformed["age"].tolist() == [1, 2, 2, 3, 0, 3, 2]


def test_a_number_is_scaled_without_missing_and_infinite_ones(transformed):
    logs = np.array([0, 1, 2, 1, 0])  # log1p of the five known values
    expected = (logs - logs.mean()) / logs.std()
    known = np.delete(transformed["fans"], [2, 4])
    np.testing.assert_allclose(known, expected, atol=1e-5)
    assert transformed["fans"][[2, 4]].tolist() == [0, 0]


def test_a_number_may_be_scaled_to_the_range_of_the_training_days(transformed):
    top = math.e**2 - 1
    expected = [0, (math.e - 1) / top, 0, 1, 0, (math.e - 1) / top, 0]
    np.testing.assert_allclose(transformed["share"], expected, atol=1e-6)


def test_a_number_may_be_left_as_it_is(transformed):
    expected = [0, 1, 0, 2, 0, 1, 0]  # log1p; what is missing is 0
    np.testing.assert_allclose(transformed["plain"], expected, atol=1e-6)


def test_a_counted_vocabulary_has_every_value_and_room_for_more(transformed, graph):
    assert transformed["town"].tolist() == [1, 1, 2, 2, 1, 3, 0]
    assert read_encoding(graph).room == {"city": 2, "town": 3 + 8, "words": 2}


def test_words_are_cut_out_of_a_text_and_looked_up(transformed):
    # Of all words of the titles: cat 4 times, dog 3, the others fewer.
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
    assert found["town"].numpy().tolist() == [1, 12, 0, 3]  # room for 11
    assert found["words"].numpy()[:, :2].tolist() == [[2, 0], [3, 3], [0, 0], [3, 1]]
    expected = [[0.8, 0.6], [0, 0], [0, 0], [0, -1]]
    np.testing.assert_allclose(found["cover"], expected, atol=1e-6)


def test_labels_masks_and_keys_pass_as_they_are(transformed):
    assert transformed["label_like"].tolist() == [1] * 7
    assert transformed["key_user"].tolist() == list(range(7))


def test_other_tools_read_the_graph_as_a_transforms(graph):
    output = tft.TFTransformOutput(graph)
    assert output.vocabulary_size_by_name("vocabulary_city") == 2
    assert output.vocabulary_by_name("vocabulary_city") == [b"Rome", b"Oslo"]
    found = output.transformed_feature_spec()
    assert found["history_video_id"] == tf.io.FixedLenFeature([3], tf.int64)
    assert found["cover"] == tf.io.FixedLenFeature([2], tf.float32)
    assert found["label_like"] == tf.io.FixedLenFeature([], tf.float32)


def test_what_was_learned_is_read_from_the_graph(encoding, graph):
    assert read_encoding(graph) == encoding


def test_values_that_come_later_leave_every_id_as_it_was(
    encoding, transformed, tmp_path
):
    later = encoding.extended_by("day-20240102", {"town": {"Paris": 2, "Bern": 9}})
    write_transform_graph(later, _SPEC, str(tmp_path / "later"))
    rows = _rows()
    rows[6]["town"] = "Paris"
    found = encoded(str(tmp_path / "later"), _SPEC, rows)
    assert found["town"].tolist() == [1, 1, 2, 2, 1, 3, 4]
    for name, values in transformed.items():
        if name != "town":
            np.testing.assert_array_equal(found[name], values, name)


def test_a_vocabulary_may_be_empty(tmp_path):
    rows = [{**row, "town": "", "city": ""} for row in _rows()]
    empty = learn(_SPEC, [summary_of(_SPEC, rows, "day-20240101")])
    assert empty.vocabularies["town"] == ()
    write_transform_graph(empty, _SPEC, str(tmp_path / "graph"))
    assert read_encoding(str(tmp_path / "graph")) == empty
    found = encoded(str(tmp_path / "graph"), _SPEC, _rows())
    assert found["town"].tolist() == [9] * 6 + [0]  # room for 8, and one for others


def test_words_of_the_summaries_are_those_that_the_graph_cuts_out(tmp_path):
    """Two libraries cut them: a word that only one of them knows would be none."""
    titles = [
        "\u0130STANBUL \u03a3\u03a4\u039f\u03a3 Stra\u00dfe \u00c9COLE",
        "\U0001f600\U0001f600 5\u20ac+tax=a_b #tag @you",
        "\u732b\u304b\u308f \u30ab\u30bf \u200bzero\u200b nb\u00a0sp",
        "don't e-mail 3.5 \u0e20\u0e32\u0e29\u0e32 caf\u0065\u0301",
    ]
    text = _SPEC.text.replace(
        "kind: text, size: 2, length: 4", "kind: text, size: 99, length: 16"
    )
    spec = read_spec(text)
    rows = [{**_rows()[0], "words": title} for title in titles]
    graph = str(tmp_path / "graph")
    values = write_graph(spec, rows, graph).vocabulary_by_name("vocabulary_words")
    ids = encoded(graph, spec, rows)["words"]
    assert set(ids[ids > 0].tolist()) == set(range(1, len(values) + 1))

"""A facet by values in the exported model: each row is served its own partition's leaf.

The request has the country as the logs have it; what it is looked up as is worked out
here by hand.
"""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import read_preset, read_spec
from serving.export.export import export
from tests.encoded_rows import splitmix64, write_graph
from trainer.model.ranker import Ranker

_SPEC = """
name: markets
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, country: "string?", liked: int64}
  outcomes: [liked]
tables: {user: {buckets: 50, dim: 4}, video: {buckets: 50, dim: 4}, country: {buckets: 50, dim: 4}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: country, group: query, kind: id, table: country}
  - {name: video_id, group: candidate, kind: id, table: video}
tasks: [{name: liked, kind: binary, label: "liked = 1"}]
fusion: {weights: {liked: 1.0}, facets: {market: {de: {liked: 3.0}}}}
facets:
  market: {feature: country, partitions: {br: [BR], de: [DE, AT]}, default: br}
  series: {feature: video_id, partitions: {old: [8], fresh: [9, 7]}, default: fresh}
"""
_PRESET = """
structure: {facets: [market, series]}
bottom: [8]
switcher: {kind: shared_bottom, units: [8]}
tower: [4]
"""
# Places in the sorted values AT, BR, DE, and 7, 8, 9; from 1, 0 for all others.
_MARKET = {"AT": 1, "BR": 2, "DE": 3, "US": 0, "de": 0, "": 0}
_SERIES = {7: 1, 8: 2, 9: 3, 10: 0}


@pytest.fixture(scope="module")
def spec():
    return read_spec(_SPEC)


@pytest.fixture(scope="module")
def encoded(spec, tmp_path_factory):
    """The transform; it has nothing to learn, as all features are hashed."""
    row = {"user_id": 1, "country": "BR", "video_id": 7, "label_liked": 1.0}
    row |= {"mask_liked": 1.0, "key_user": 1, "key_item": 7, "key_time_ms": 5}
    return write_graph(spec, [row], str(tmp_path_factory.mktemp("transform") / "out"))


@pytest.fixture(scope="module")
def ranker(spec):
    model = Ranker(spec, read_preset(_PRESET), {"liked": 0.3})
    draws = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(draws.normal(0, 0.6, variable.shape))
    return model


@pytest.fixture(scope="module")
def served(ranker, encoded, spec, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "markets" / "1"
    export(ranker, encoded, spec, str(path))
    loaded = tf.saved_model.load(str(path))
    yield loaded.signatures


def _hashed(value: int | str) -> int:
    if isinstance(value, int):
        return 1 + splitmix64(value) % 49
    return int(tf.strings.to_hash_bucket_fast(value, 49)) + 1


def _expected(ranker, country: str, videos: list[int]) -> np.ndarray:
    rows = {
        "user_id": [_hashed(1)] * len(videos),
        "country": [_hashed(country) if country else 0] * len(videos),
        "video_id": [_hashed(video) for video in videos],
        "facet_market": [_MARKET[country]] * len(videos),
        "facet_series": [_SERIES[video] for video in videos],
    }
    rows = {name: tf.constant(values, tf.int32) for name, values in rows.items()}
    return ranker(rows)["liked"].numpy()


@pytest.mark.parametrize("country", _MARKET)
def test_a_request_is_ranked_by_its_own_partition(served, ranker, country):
    found = served["rank"](
        user_id=tf.constant([1], tf.int64),
        country=tf.constant([country]),
        video_id=tf.constant(list(_SERIES), tf.int64),
        weights=tf.constant([np.nan]),
        top_k=tf.constant(0),
    )
    expected = _expected(ranker, country, list(_SERIES))
    np.testing.assert_allclose(found["liked"], expected, rtol=1e-5)


def test_whole_rows_are_scored_alike(served, ranker):
    found = served["serving_default"](
        user_id=tf.constant([1, 1], tf.int64),
        country=tf.constant(["DE", "BR"]),
        video_id=tf.constant([8, 9], tf.int64),
    )
    expected = [_expected(ranker, "DE", [8])[0], _expected(ranker, "BR", [9])[0]]
    np.testing.assert_allclose(found["liked"], expected, rtol=1e-5)


@pytest.mark.parametrize("country", _MARKET)
def test_weights_go_by_the_partition(served, country):
    weight = 3.0 if country in ("DE", "AT") else 1.0
    request = {
        "user_id": tf.constant([1], tf.int64),
        "country": tf.constant([country]),
        "video_id": tf.constant(list(_SERIES), tf.int64),
        "top_k": tf.constant(0),
    }
    found = served["rank"](**request, weights=tf.constant([np.nan]))
    np.testing.assert_allclose(found["score"], found["liked"] ** weight, rtol=1e-5)
    own = served["rank"](**request, weights=tf.constant([2.0]))  # of the request: all
    np.testing.assert_allclose(own["score"], own["liked"] ** 2, rtol=1e-5)


def test_rows_of_several_partitions_have_their_own_weights(served):
    found = served["serving_default"](
        user_id=tf.constant([1, 1], tf.int64),
        country=tf.constant(["DE", "BR"]),
        video_id=tf.constant([8, 8], tf.int64),
    )
    liked = found["liked"].numpy()
    expected = [liked[0] ** 3, liked[1]]
    np.testing.assert_allclose(found["score"], expected, rtol=1e-5)


def test_another_partition_has_other_weights(ranker):
    """Else nothing above could fail: of one row, only what is looked up differs."""
    row = {"user_id": 3, "country": 5, "video_id": 7}
    both = {name: tf.constant([value] * 4) for name, value in row.items()}
    both |= {"facet_market": tf.constant([1, 2, 1, 2])}
    both |= {"facet_series": tf.constant([1, 1, 2, 2])}
    assert len(np.unique(ranker(both)["liked"].numpy().round(4))) == 4

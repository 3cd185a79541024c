"""Statistics from summaries: TFDV's own of the same rows, and by hand where it sees a
value in what is missing."""

import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2

from pipeline.schema import statistics_schema
from pipeline.summaries.tfdv_statistics import statistics_of
from tests.pipeline.summaries.days import SPEC, examples, frame, summary_of

_SCHEMA = statistics_schema(SPEC)
_ONE_NUMBER = ("age", "label_like", "label_watch", "mask_like", "key_time_ms")


@pytest.fixture(scope="module")
def whole_rows():
    """Examples in which nothing is missing, and no label is outside its space."""
    rows = examples(700, seed=4)
    missing = {"city": "", "tab": -1, "slice_tab": -1, "title": ""}
    filled = [pl.col(n).replace(v, "c" if v == "" else 7) for n, v in missing.items()]
    return rows.with_columns(
        *filled,
        pl.col("age").fill_nan(40.0),
        pl.col("tags").fill_null(["t"]),
        pl.lit(1.0, pl.Float32).alias("mask_watch"),
        pl.Series("cover", np.ones((700, 2), np.float32)),
    )


@pytest.fixture(scope="module")
def tfdvs(whole_rows):
    """Name -> TFDV's statistics of it."""
    arrays = []
    for column in whole_rows.iter_columns():
        if isinstance(column.dtype, pl.Array):
            column = column.arr.to_list()
        lists = (
            column if column.dtype == pl.List else column.reshape((-1, 1)).arr.to_list()
        )
        array = lists.to_arrow(compat_level=pl.CompatLevel.oldest())
        inner = array.type.value_type
        inner = pa.binary() if pa.types.is_large_string(inner) else inner
        arrays.append(array.cast(pa.list_(inner)))
    batch = pa.RecordBatch.from_arrays(arrays, whole_rows.columns)
    found = stats_impl.generate_statistics_in_memory(
        batch, tfdv.StatsOptions(schema=_SCHEMA)
    )
    return _by_name(found)


@pytest.fixture(scope="module")
def ours(whole_rows):
    """Name -> ours."""
    return _by_name(statistics_of(summary_of(whole_rows), _SCHEMA))


def _by_name(found):
    (data,) = found.datasets
    return {feature.path.step[0]: feature for feature in data.features}


def _common(stats):
    field = "num_stats" if stats.HasField("num_stats") else "string_stats"
    common = getattr(stats, field).common_stats
    fields = ("num_missing", "num_non_missing", "min_num_values", "max_num_values")
    found = {name: getattr(common, name) for name in (*fields, "tot_num_values")}
    return {**found, "type": stats.type, "described": field}


def test_rows_and_values_are_those_of_tfdv(ours, tfdvs):
    assert ours.keys() == tfdvs.keys()
    for name in ours.keys() - {"title"}:  # a text has words here
        assert _common(ours[name]) == _common(tfdvs[name]), name


@pytest.mark.parametrize("name", [*_ONE_NUMBER, "cover"])
def test_moments_are_those_of_tfdv(ours, tfdvs, name):
    mine, theirs = ours[name].num_stats, tfdvs[name].num_stats
    for field in ("mean", "std_dev", "min", "max"):
        wanted = getattr(theirs, field)
        assert getattr(mine, field) == pytest.approx(wanted, rel=1e-6), field


@pytest.mark.parametrize("name", _ONE_NUMBER)
def test_medians_and_histograms_are_near_those_of_tfdv(ours, tfdvs, name):
    mine, theirs = ours[name].num_stats, tfdvs[name].num_stats
    width = theirs.max - theirs.min
    if name != "key_time_ms":  # of which a bin holds the whole day
        assert mine.median == pytest.approx(theirs.median, abs=width / 40)
    assert mine.num_zeros == theirs.num_zeros
    for one, other in zip(mine.histograms, theirs.histograms, strict=True):
        assert one.type == other.type
        assert one.buckets[0].low_value == pytest.approx(other.buckets[0].low_value)
        assert one.buckets[-1].high_value == pytest.approx(other.buckets[-1].high_value)
        assert sum(b.sample_count for b in one.buckets) == pytest.approx(700)
    if name in ("age", "label_watch"):
        counts = [
            np.array([b.sample_count for b in s.histograms[0].buckets])
            for s in (mine, theirs)
        ]
        assert np.abs(counts[0] - counts[1]).max() < 0.03 * 700


@pytest.mark.parametrize(
    "name", ["user", "city", "tab", "item", "tags", "key_user", "key_item", "slice_tab"]
)
def test_top_values_are_those_of_tfdv(ours, tfdvs, name):
    mine, theirs = ours[name].string_stats, tfdvs[name].string_stats
    assert mine.unique == theirs.unique
    assert list(mine.top_values) == list(theirs.top_values)
    assert list(mine.rank_histogram.buckets) == list(theirs.rank_histogram.buckets)
    assert mine.avg_length == pytest.approx(theirs.avg_length, rel=1e-6)


def test_what_is_missing_counts_as_missing():
    nan = math.nan
    day = summary_of(
        {
            "age": [nan, 2.0, 4.0, nan],
            "tab": [-1, -1, -1, 3],
            "city": ["", "a", "a", ""],
            "tags": [None, ["a", "b"], ["c"], None],
            "cover": [[nan, nan], [1.0, 2.0], [nan, nan], [nan, nan]],
            "title": ["", "red cat", "cat", ""],
            "mask_like": [0.0, 1.0, 1.0, 0.0],
            "label_like": [1.0, 0.0, 1.0, 1.0],
        }
    )
    found = _by_name(statistics_of(day, _SCHEMA))
    missing = {n: _common(found[n])["num_missing"] for n in found}
    expected = dict.fromkeys(found, 0) | {"age": 2, "tab": 3, "city": 2, "tags": 2}
    assert missing == expected | {"cover": 3, "title": 2, "label_like": 2}
    assert found["age"].num_stats.mean == 3
    assert found["label_like"].num_stats.mean == 0.5
    assert _common(found["tags"])["tot_num_values"] == 3
    assert found["tags"].string_stats.common_stats.avg_num_values == 1.5
    assert _common(found["cover"])["tot_num_values"] == 2
    assert _common(found["title"])["max_num_values"] == 1  # one text a row
    top = [(v.value, v.frequency) for v in found["title"].string_stats.top_values]
    assert top == [("cat", 2), ("red", 1)]


def test_a_column_without_a_value_has_no_moments():
    found = _by_name(statistics_of(summary_of({"age": [math.nan]}), _SCHEMA))
    assert found["age"].num_stats.common_stats.num_missing == 1
    assert not found["age"].num_stats.histograms
    assert found["age"].num_stats.mean == 0


def test_the_number_of_items_has_quantiles():
    lists = [["a"] * n for n in (1, 1, 1, 2, 9)]
    found = _by_name(statistics_of(summary_of({"tags": lists}), _SCHEMA))
    histogram = found["tags"].string_stats.common_stats.num_values_histogram
    assert histogram.type == statistics_pb2.Histogram.QUANTILES
    edges = [(b.low_value, b.high_value) for b in histogram.buckets]
    assert edges == [(1, 1)] * 6 + [(1, 2), (2, 2), (2, 9), (9, 9)]


def test_tfdv_finds_no_fault_in_drawn_days_and_reads_the_file(tmp_path):
    found = statistics_of(summary_of(examples(200)), _SCHEMA)
    anomalies = tfdv.validate_statistics(found, _SCHEMA)
    assert not anomalies.anomaly_info
    path = tmp_path / "FeatureStats.pb"
    data = found.SerializeToString(deterministic=True)
    path.write_bytes(data)
    loaded = tfdv.load_stats_binary(str(path))
    assert loaded.SerializeToString(deterministic=True) == data
    view = tfdv.DatasetListView(found).get_default_slice()
    assert view.get_feature(tfdv.FeaturePath(["city"])).string_statistics().unique == 3
    html = tfdv.utils.display_util.get_statistics_html(found)
    assert "facets-overview" in html


def _faults(values):
    day = summary_of(frame(values))
    found = tfdv.validate_statistics(statistics_of(day, _SCHEMA), _SCHEMA)
    return {n: info.short_description for n, info in found.anomaly_info.items()}


def test_faults_are_anomalies():
    nan = math.nan
    assert not _faults({"age": [1.0, nan]})
    assert _faults({"age": [nan, nan]}).keys() == {"age"}
    assert _faults({"tab": [-1, -1]}).keys() == {"tab"}
    assert _faults({"city": ["", ""]}).keys() == {"city"}
    assert _faults({"tags": [None, None]}).keys() == {"tags"}
    assert _faults({"cover": [[nan, nan]]}).keys() == {"cover"}
    assert _faults({"title": ["", ""]}).keys() == {"title"}
    assert _faults({"mask_like": [0.0, 0.0]}).keys() == {"label_like"}
    assert _faults({"label_like": [0.0, 2.0]}).keys() == {"label_like"}
    assert _faults({"mask_like": [0.5, 1.0]}).keys() == set()
    assert _faults({"mask_watch": [1.0, 1.5]}).keys() == {"mask_watch"}


def test_columns_that_the_schema_does_not_know_or_that_lack_are_anomalies():
    day = summary_of({"tab": [1, 2]})
    del day.columns["city"]
    day.columns["other"] = day.columns["age"]
    found = tfdv.validate_statistics(statistics_of(day, _SCHEMA), _SCHEMA)
    assert found.anomaly_info.keys() == {"city", "other"}

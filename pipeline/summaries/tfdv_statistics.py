"""Summaries of days -> the statistics that TFX's StatisticsGen would write of them.

Numbers of rows, means, deviations, extremes, top and unique values are exact. Medians
and histograms come from bins of 1.6 %, as TFDV's come from sketches. What is missing
(-1, NaN, "", an empty list) counts as missing, where TFDV sees a value.

A text's values are its words, as the encoding splits them: of the texts themselves only
the number of rows is known. Without a number for `avg_length` some values are not kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.summaries.histogram import Histogram
from pipeline.summaries.summary import ColumnSummary, DaySummary

# As many as TFDV writes by default.
_TOP_VALUES = 20
_RANKS = 1_000
_BUCKETS = 10

_Stats = statistics_pb2.FeatureNameStatistics
_Bucket = tuple[float, float, float]  # low, high, how many
_TYPES = {"int64": _Stats.INT, "float32": _Stats.FLOAT, "string": _Stats.STRING}


def statistics_of(
    summary: DaySummary, schema: schema_pb2.Schema
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of a split.

    Args:
        summary: Of its examples.
        schema: Says which whole numbers are categories: their values are counted, and
            not taken for amounts.
    """
    categories = {f.name for f in schema.feature if f.int_domain.is_categorical}
    found = statistics_pb2.DatasetFeatureStatisticsList()
    data = found.datasets.add(num_examples=summary.rows)
    for name, column in summary.columns.items():
        stats = data.features.add(type=_TYPES[column.dtype])
        stats.path.step.append(name)
        if _is_counted(column, name in categories):
            _fill_values(stats.string_stats, column)
        else:
            _fill_numbers(stats.num_stats, column)
    return found


def _is_counted(column: ColumnSummary, is_category: bool) -> bool:
    """Whether a column is described by its values, as texts are."""
    return column.moments is None or (is_category and column.dtype == "int64")


def _fill_common(
    common: statistics_pb2.CommonStatistics, column: ColumnSummary
) -> None:
    """Rows with and without a value, and how many values the rows have."""
    common.num_missing = column.missing
    common.num_non_missing = column.rows - column.missing
    if not common.num_non_missing:
        return
    sizes = _values_a_row(column)
    common.tot_num_values = sum(size * rows for size, rows in sizes.items())
    common.min_num_values, common.max_num_values = min(sizes), max(sizes)
    common.avg_num_values = common.tot_num_values / common.num_non_missing
    buckets = _of_equal_counts(_quantiles_of(sizes), common.num_non_missing)
    _add_buckets(common.num_values_histogram, "QUANTILES", buckets)


def _values_a_row(column: ColumnSummary) -> dict[int, int]:
    """Values -> rows with a value that have so many."""
    present = column.rows - column.missing
    if column.lengths:
        return {size: rows for size, rows in column.lengths.items() if size}
    width = 1 if column.norms is None else column.values // present
    return {width: present}


def _fill_numbers(
    stats: statistics_pb2.NumericStatistics, column: ColumnSummary
) -> None:
    """Moments, extremes, the median and histograms; nothing if there is no number."""
    _fill_common(stats.common_stats, column)
    moments = column.moments
    assert moments is not None
    if moments.smallest is None or moments.largest is None:
        return
    stats.mean, stats.std_dev = moments.mean, moments.std
    stats.min, stats.max = moments.smallest, moments.largest
    if column.histogram is None:  # a vector's floats, ids that are not categories
        stats.median = math.nan
        return
    stats.median = column.quantile(0.5)
    stats.num_zeros = column.histogram.zeros
    low, high = moments.smallest, moments.largest
    _add_buckets(
        stats.histograms.add(),
        "STANDARD",
        _of_equal_widths(column.histogram, low, high),
    )
    tenths = [column.quantile(n / _BUCKETS) for n in range(1, _BUCKETS)]
    buckets = _of_equal_counts([low, *tenths, high], moments.count)
    _add_buckets(stats.histograms.add(), "QUANTILES", buckets)


def _fill_values(stats: statistics_pb2.StringStatistics, column: ColumnSummary) -> None:
    """The most frequent values, equal ones in TFDV's order, and how many differ."""
    _fill_common(stats.common_stats, column)
    texts = [(str(value), count) for value, count in column.top.items()]
    texts.sort(key=lambda entry: (entry[1], entry[0]), reverse=True)
    stats.unique = column.distinct or 0
    if column.values and not column.others:
        size_bytes = sum(len(text.encode()) * count for text, count in texts)
        stats.avg_length = size_bytes / column.values
    for text, count in texts[:_TOP_VALUES]:
        stats.top_values.add(value=text, frequency=count)
    for rank, (text, count) in enumerate(texts[:_RANKS]):
        stats.rank_histogram.buckets.add(
            low_rank=rank, high_rank=rank, sample_count=count, label=text
        )


def _quantiles_of(sizes: dict[int, int]) -> list[float]:
    """The smallest of `sizes`, its tenths and the largest, exact."""
    order = sorted(sizes)
    found: list[float] = [order[0]]
    for n in range(1, _BUCKETS + 1):
        needed, seen = n * sum(sizes.values()) / _BUCKETS, 0
        for size in order:
            seen += sizes[size]
            if seen >= needed:
                found.append(size)
                break
    return found


def _of_equal_counts(edges: Sequence[float], count: int) -> Iterator[_Bucket]:
    for low, high in itertools.pairwise(edges):
        yield low, high, count / (len(edges) - 1)


def _of_equal_widths(histogram: Histogram, low: float, high: float) -> list[_Bucket]:
    """Ten equally wide buckets; a bin across an edge is shared by its widths."""
    if low == high:
        return [(low, high, histogram.count)]
    width = (high - low) / _BUCKETS
    counts = [0.0] * _BUCKETS
    for start, end, count in histogram.ranges():
        start, end = min(max(start, low), high), min(max(end, low), high)
        first = min(int((start - low) / width), _BUCKETS - 1)
        last = min(int((end - low) / width), _BUCKETS - 1)
        if first == last or start == end:
            counts[first] += count
            continue
        for place in range(first, last + 1):
            inside = min(end, low + (place + 1) * width) - max(
                start, low + place * width
            )
            counts[place] += count * inside / (end - start)
    edges = [*(low + place * width for place in range(_BUCKETS)), high]
    return list(zip(edges, edges[1:], counts, strict=False))


def _add_buckets(
    histogram: statistics_pb2.Histogram, kind: str, buckets: Iterable[_Bucket]
) -> None:
    histogram.type = statistics_pb2.Histogram.HistogramType.Value(kind)
    for low, high, count in buckets:
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)

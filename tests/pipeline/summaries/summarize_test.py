"""Rows of examples -> summaries; expected values by hand, and by NumPy."""

import collections
import itertools
import math
import random

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec, views
from pipeline.examples.hashing import hash_shards
from pipeline.summaries.columns import FEW, MANY, columns_of, most_values
from pipeline.summaries.summarize import VALUE, add_up_values, join, summarize
from tests.pipeline.summaries.days import SPEC, examples, summary_of

_NAN = math.nan


def _column(values, name):
    return summary_of({name: values}).columns[name]


def test_every_key_of_the_examples_has_a_summary():
    found = {column.key for column in columns_of(SPEC)}
    assert found == {
        *(feature.name for feature in SPEC.features),
        *("label_like", "mask_like", "label_watch", "mask_watch"),
        *("key_user", "key_item", "key_time_ms", "key_request", "slice_tab"),
    }
    most = most_values(SPEC)
    assert {name for name, n in most.items() if n == MANY} == {
        *("city", "tab", "title", "slice_tab")
    }
    assert {name for name, n in most.items() if n == FEW} == {
        *("user", "item", "tags", "key_user", "key_item")
    }


def test_numbers():
    found = _column([1.0, 3.0, _NAN, -0.5], "age")
    assert (found.rows, found.missing, found.values) == (4, 1, 3)
    assert found.missing_share == 0.25
    assert found.moments.mean == pytest.approx(3.5 / 3, rel=1e-15)
    assert (found.moments.smallest, found.moments.largest) == (-0.5, 3.0)
    # log1p takes what is below 0 as 0.
    wanted = np.mean([math.log(2), math.log(4), 0], dtype=np.float64)
    assert found.log1p.mean == pytest.approx(wanted, rel=1e-7)
    assert found.quantile(0.5) == 1.0
    assert found.distinct is None
    assert not found.top


def test_a_category_is_counted_and_minus_one_is_missing():
    found = _column([3, -1, 7, 3, 7, 0], "tab")
    assert (found.rows, found.missing, found.values) == (6, 1, 5)
    assert list(found.top.items()) == [(3, 2), (7, 2), (0, 1)]  # ties by value
    assert (found.distinct, found.others) == (3, 0)
    assert found.moments.mean == 4.0
    assert found.histogram is None


def test_texts_of_a_category_are_counted_as_they_are():
    found = _column(["b", "", "a", "b"], "city")
    assert list(found.top.items()) == [("b", 2), ("a", 1)]
    assert (found.missing, found.values) == (1, 3)
    assert found.moments is None


def test_a_label_counts_inside_its_sample_space():
    labels, masks = [1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0]
    found = summary_of({"label_like": labels, "mask_like": masks}).columns
    assert found["label_like"].moments.count == 3
    assert found["label_like"].moments.mean == pytest.approx(1 / 3)
    assert found["label_like"].missing == 2
    assert found["mask_like"].moments.mean == pytest.approx(3 / 5)
    assert found["label_like"].log1p is None


def test_lists():
    found = _column([["a", "b"], None, ["a", ""], []], "tags")
    assert (found.rows, found.missing, found.values) == (4, 2, 3)
    assert found.lengths == {0: 2, 2: 2}  # an item that is missing has its place
    assert list(found.top.items()) == [("a", 2), ("b", 1)]


def test_words_of_texts_are_counted_for_every_row():
    found = _column(["Red cat", "red CAT!", "", "blue", "Red cat", "..."], "title")
    assert (found.rows, found.missing, found.values) == (6, 1, 7)
    assert list(found.top.items()) == [("cat", 3), ("red", 3), ("blue", 1)]
    assert found.words == {0: 2, 1: 1, 2: 3}
    assert found.distinct == 3


def test_vectors():
    found = _column([[3.0, 4.0], [_NAN, _NAN], [0.0, 1.0]], "cover")
    assert (found.rows, found.missing, found.values) == (3, 1, 4)
    assert found.norms.mean == 3.0  # 5 and 1
    assert found.moments.mean == 2.0


def test_huge_vectors_have_a_finite_norm():
    largest = float(np.finfo(np.float32).max)
    assert _column([[largest, largest]], "cover").norms.largest == largest


def test_times_and_requests_are_amounts():
    found = summary_of({"key_time_ms": [10**12, 10**12 + 2], "key_request": [5, 5]})
    assert found.columns["key_time_ms"].moments.mean == 10**12 + 1
    assert found.columns["key_request"].distinct is None


def test_different_users_and_videos_of_the_day():
    found = summary_of({"key_user": [4, 4, 9, -5], "key_item": ["a", "b", "b", "b"]})
    assert (found.users, found.videos) == (3, 2)
    assert (found.read, found.rejected, found.reject_share) == (5, 1, 0.2)


def test_of_ids_the_most_frequent_are_kept_and_all_are_counted():
    draw = random.Random(5)
    ids = [n for n in range(FEW + 7) for _ in range(1 + (n % 3 == 0))]
    draw.shuffle(ids)
    found = _column(ids, "user")
    twice = [n for n in range(FEW + 7) if n % 3 == 0]
    once = [n for n in range(FEW + 7) if n % 3]
    assert list(found.top) == [*twice, *once][:FEW]
    assert found.distinct == FEW + 7
    assert found.others == 7
    assert found.values == len(ids) == sum(found.top.values()) + 7


def _in_parts(rows, cuts, parts, any_seed):
    """The columns of rows that lie in several files, values in several parts."""
    columns = columns_of(SPEC)
    files = [rows[a:b] for a, b in itertools.pairwise([0, *cuts, rows.height])]
    done = [summarize(file, columns) for file in files]
    found = [one.columns for one in done]
    for counts in (
        pl.concat([one.numbers for one in done]),
        pl.concat([one.texts for one in done]),
    ):
        places = hash_shards(counts[VALUE], parts)
        found += [
            add_up_values(counts.filter(places == n), columns) for n in range(parts)
        ]
    random.Random(any_seed).shuffle(found)
    most = most_values(SPEC)
    half = len(found) // 2  # joined in pieces, as workers join them
    return join([join(found[:half], most), join(found[half:], most)], most)


def test_files_parts_and_order_change_nothing(any_seed):
    rows = examples(3_000, seed=any_seed)
    whole = _in_parts(rows, [], 1, any_seed)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=any_seed)
    parts = _in_parts(shuffled, [11, 12, 900, 2_500], 3, any_seed + 1)
    assert parts == whole
    assert repr(parts) == repr(whole)  # the order of values and bins, too
    assert whole["user"].distinct > FEW  # some are left out


def test_values_are_those_that_are_counted_one_by_one(any_seed):
    rows = examples(500, seed=any_seed)
    found = _in_parts(rows, [200], 2, any_seed)
    for name in ("city", "tab"):
        known = [v for v in rows[name].to_list() if v not in (-1, "")]
        wanted = collections.Counter(known)
        assert found[name].top == dict(wanted)
        assert found[name].missing == 500 - len(known)
    ages = rows["age"].to_numpy()
    ages = ages[~np.isnan(ages)].astype(np.float64)
    assert found["age"].moments.mean == pytest.approx(ages.mean(), rel=1e-12)
    assert found["age"].moments.std == pytest.approx(ages.std(), rel=1e-12)
    logs = np.log1p(np.maximum(ages, 0))
    assert found["age"].log1p.std == pytest.approx(logs.std(), rel=1e-6)


def test_no_row_is_a_summary_of_no_row():
    none, some = summary_of(examples(0)), summary_of(examples(9))
    assert none.rows == none.users == none.columns["cover"].values == 0
    assert none.columns.keys() == some.columns.keys()
    assert none.columns["age"].moments.count == none.columns["age"].missing_share == 0
    assert repr(none.merge(some).columns) == repr(some.columns)


def test_what_only_the_encoding_reads_changes_nothing():
    changes = {
        "kind: category}": "kind: category, size: 3}",
        "length: 3}": "length: 9}",
    }
    text = SPEC.text
    for one, other in changes.items():
        assert one in text
        text = text.replace(one, other)
    plain = views.view(read_spec(text), views.EXAMPLES)
    assert columns_of(plain) == columns_of(views.view(SPEC, views.EXAMPLES))
    by_key = {column.key: column for column in columns_of(SPEC)}
    assert {column.key: column for column in columns_of(plain)} == by_key

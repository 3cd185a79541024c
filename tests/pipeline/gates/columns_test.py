"""What is compared of columns of every kind, and what texts and vectors show."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from feature_specs import load_spec
from pipeline.gates.columns import Form, columns_of
from pipeline.gates.data_gate import judge_day
from tests.pipeline.summaries.days import SPEC, examples, summary_of

_DAYS = [f"day-202204{number:02d}" for number in range(1, 8)]


def test_each_kind_has_a_form():
    forms = {column.key: column.form for column in columns_of(SPEC)}
    assert forms == {
        "user": Form.IDS,
        "city": Form.VALUES,
        "age": Form.NUMBERS,
        "tab": Form.VALUES,
        "item": Form.IDS,
        "tags": Form.LISTS,
        "title": Form.LISTS,
        "cover": Form.VECTORS,
        "label_like": Form.LABELS,
        "mask_like": Form.SPACE,
        "label_watch": Form.AMOUNTS,
        "mask_watch": Form.SPACE,
    }


def test_a_bucket_is_a_number_and_a_users_column_is_the_users():
    columns = {column.key: column for column in columns_of(load_spec("kuairand"))}
    assert columns["duration_bucket"].form is Form.NUMBERS
    assert columns["register_days"].alike == 1.0
    assert columns["duration_s"].alike < 0.5


def test_what_is_not_judged_is_left_out():
    gates = dataclasses.replace(SPEC.data_gates, not_judged=("city", "label_like"))
    spec = dataclasses.replace(SPEC, data_gates=gates)
    assert not {"city", "label_like"} & {column.key for column in columns_of(spec)}


@pytest.fixture(scope="module")
def days():
    """Six of them; users have two rows each or so, so that all is noise."""
    return [
        summary_of(examples(1_500, seed), split) for seed, split in enumerate(_DAYS[:6])
    ]


def _judged(days, **change):
    rows = examples(1_500, seed=7).with_columns(**change)
    report = judge_day(SPEC, summary_of(rows, _DAYS[6]), days)
    return {(finding.column, finding.measure) for finding in report.findings}


def test_days_with_columns_of_every_kind_pass(days):
    assert _judged(days) == set()


def test_texts_and_lists_that_become_longer_are_noticed(days):
    assert _judged(days, title=pl.lit("one two three four five six")) >= {
        ("title", "mean length")
    }
    tags = pl.lit(list("abcdefgh"), dtype=pl.List(pl.String))
    assert _judged(days, tags=tags) >= {("tags", "mean length")}


def test_vectors_of_another_length_are_noticed(days):
    rows = examples(1_500, seed=7)
    covers = np.array(rows["cover"].to_list(), np.float32) * 10
    cover = pl.Series(covers.tolist(), dtype=pl.Array(pl.Float32, 2))
    assert _judged(days, cover=cover) == {("cover", "mean norm")}

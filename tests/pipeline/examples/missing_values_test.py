"""A missing operand in each place of a spec that takes an expression; by hand."""

import math

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.report import build_report, count_shard
from pipeline.examples.shard import make_examples, settle
from pipeline.examples.tables import missing_line

_YAML = """
name: holes
log:
  files: "log*.csv"
  user: user
  item: item
  time: {{column: ts}}
  columns: {{user: int64, item: int64, ts: int64, played: int64, length: "float64?",
            text: "string?", tab: "int64?"}}
  outcomes: [played]
filters: {{keep: {{rule: "{keep}"}}}}
derived: {{made: "{derived}"}}
tables: {{user: {{buckets: 10}}, video: {{buckets: 10}}}}
features:
  - {{name: user, group: query, kind: id, table: user}}
  - {{name: item, group: candidate, kind: id, table: video}}
  - {{name: number, group: candidate, kind: number, expr: "{number}"}}
  - {{name: code, group: candidate, kind: code, size: 9, expr: "{code}"}}
  - {{name: word, group: candidate, kind: category, expr: "{word}"}}
  - {{name: made, group: candidate, kind: number}}
tasks:
  - {{name: yes, kind: binary, label: "{binary}", sample_space: "{space}"}}
  - {{name: much, kind: regression, label: "{regression}"}}
fusion: {{weights: {{yes: 1.0}}}}
"""
_PLAIN = {
    "keep": "item > 0",
    "derived": "1.0 * item",
    "number": "1.0 * item",
    "code": "item",
    "word": "'w'",
    "binary": "played > 0",
    "space": "item > 0",
    "regression": "played / 10",
}
# Of the second row: no length, no tab, a text that is no number. Of the third: a length
# that is no number, and none.
_ROWS = pl.DataFrame(
    {
        "user": [1, 1, 1],
        "item": [4, 5, 6],
        "ts": [1_709_337_600_000 + n for n in range(3)],  # 2024-03-02 UTC
        "played": [20, 20, 20],
        "length": [40.0, None, math.nan],
        "text": ["2", "x", None],
        "tab": [1, None, None],
    },
    schema_overrides={"tab": pl.Int64},
)
_PLAN = plan_splits(DayRange.parse("20240302:20240303"), 1, 1)


def _examples(**texts):
    spec = read_spec(_YAML.format(**{**_PLAIN, **texts}))
    rows = _ROWS.with_columns(pl.col("ts").alias("_time_ms"))
    frame, _ = settle(rows, spec, _PLAN.days.first)
    return make_examples(frame, spec, _PLAN, [])


_CONDITIONS = [
    "length > 3",
    "NOT length > 100",
    "played < length",
    "played / length >= 0.5",
    "LEAST(length, 3) = 3",
    "GREATEST(length, 3) > 3",
    "length BETWEEN 1 AND 50",
    "length <> 7",
    "tab = 1",
    "tab IN (1, 2)",
    "tab NOT IN (2, 3)",
    "CAST(text AS BIGINT) = 2",
    "CAST(text AS DOUBLE) > 1",
    "length / (item - 4) IS NULL",  # 40 / 0 is missing; of the others the length is
    "SQRT(length - 40) = 0",
    "length > 3 AND tab = 1",
    "length > 3 OR tab = 2",
    "COALESCE(length, 0) > 3",
    "IF(length > 3, TRUE, FALSE)",
    "CASE WHEN length > 3 THEN TRUE WHEN length <= 3 THEN FALSE END",
    "CONCAT(tab, 'x') = '1x'",
    "STRPOS(text, '2') = 1",
    "length - length = 0",
]
_DECIDED = {  # those that know an answer without the operand
    "length / (item - 4) IS NULL": [1, 1, 1],
    "COALESCE(length, 0) > 3": [1, 0, 0],
    "IF(length > 3, TRUE, FALSE)": [1, 0, 0],
    "STRPOS(text, '2') = 1": [1, 0, None],
    "CASE WHEN length > 3 THEN TRUE WHEN length <= 3 THEN FALSE END": [1, None, None],
}


@pytest.mark.parametrize("text", _CONDITIONS)
def test_a_condition_as_label_sample_space_and_filter(text):
    wanted = _DECIDED.get(text, [1, None, None])
    # A label has to read an outcome; this one is the condition's value.
    made = _examples(binary=f"({text}) AND played > 0").examples
    assert made["mask_yes"].to_list() == [float(v is not None) for v in wanted]
    assert made["label_yes"].to_list() == [float(v or 0) for v in wanted]
    made = _examples(space=text).examples
    assert made["mask_yes"].to_list() == [float(v or 0) for v in wanted]
    shard = _examples(keep=text)
    kept = [item for item, value in zip((4, 5, 6), wanted, strict=True) if value]
    assert shard.examples["item"].to_list() == kept
    assert shard.filtered["rule"] == 3 - len(kept)


_NUMBERS = {
    "length": [40.0, None, None],
    "LEAST(length / 10, 3)": [3.0, None, None],
    "GREATEST(length, 3)": [40.0, None, None],
    "LEAST(0 / 0, 3)": [None, None, None],
    "20 / length": [0.5, None, None],
    "length / (item - 4)": [None, None, None],
    "(item - 4) / (item - 5)": [0.0, None, 2.0],
    "LN(item - 4)": [None, 0.0, pytest.approx(math.log(2))],
    "SQRT(item - 5)": [None, 0.0, 1.0],
    "length * 0": [0.0, None, None],
    "COALESCE(length, -2)": [40.0, -2.0, -2.0],
    "CAST(text AS DOUBLE)": [2.0, None, None],
    "CASE WHEN length > 3 THEN length ELSE 7 END": [40.0, 7.0, 7.0],
    "IF(tab = 1, length, 20 / (item - 5))": [40.0, None, 20.0],
    "1e300 * item": [None, None, None],  # more than float32 holds
    "NULLIF(length, 40)": [None, None, None],
}


@pytest.mark.parametrize("text", _NUMBERS)
def test_a_number_as_label_feature_and_derived_column(text):
    wanted = _NUMBERS[text]
    label = f"({text}) + 0 * played"  # a label has to read an outcome
    made = _examples(number=text, derived=text, regression=label).examples
    for name in ("number", "made"):
        found = [None if math.isnan(v) else v for v in made[name].to_list()]
        assert found == wanted, name
    assert made["mask_much"].to_list() == [float(v is not None) for v in wanted]
    assert made["label_much"].to_list() == [0 if v is None else v for v in wanted]


def test_codes_and_words():
    made = _examples(code="CAST(20 / length AS BIGINT)", word="CONCAT(text, tab)")
    assert made.examples["code"].to_list() == [0, -1, -1]
    assert made.examples["word"].to_list() == ["21", "", ""]
    made = _examples(code="LEAST(tab, 5)", word="GREATEST(text, 'a')")
    assert made.examples["code"].to_list() == [1, -1, -1]
    assert made.examples["word"].to_list() == ["a", "x", ""]


def test_the_report_tells_what_examples_lack():
    spec = read_spec(_YAML.format(**{**_PLAIN, "number": "CAST(text AS DOUBLE)"}))
    rows = _ROWS.with_columns(pl.col("ts").alias("_time_ms"))
    frame, copies = settle(rows, spec, _PLAN.days.first)
    shard = make_examples(frame, spec, _PLAN, [])
    counts = count_shard(shard, frame, copies, spec, _PLAN)
    report = build_report(counts, spec, _PLAN, 0)
    assert report["missing"]["number"] == pytest.approx(2 / 3)
    assert report["missing"]["item"] == 0
    assert missing_line(report) == ""
    report["missing"]["number"] = 1.0
    assert missing_line(report).startswith("No example has a value of number.")


def test_examples_of_the_sample_space_without_a_label_are_counted():
    # The second row has no length, the third none that is a number.
    texts = {"binary": "played < length", "regression": "played / length"}
    texts["space"] = "item < 6"
    assert _examples(**texts).masked == {"yes": 1, "much": 2}
    assert _examples().masked == {"yes": 0, "much": 0}

"""What example generation prints: tasks without anything to learn, requests, logs."""

from feature_specs import load_spec
from pipeline.examples.tables import (
    history_tables,
    labels_lines,
    masked_line,
    requests_line,
    unexpected_line,
)


def test_a_task_without_anything_to_learn_is_named():
    spec = load_spec("movielens")
    means = {"rating": 1.0, "liked": None, "loved": 0.0, "disliked": 1.0}
    assert labels_lines({"label_means": means}, spec) == [
        "Nothing to learn for task liked: no training row is in its sample space.",
        "Nothing to learn for task loved: its label is 0 in all training rows.",
        "Nothing to learn for task disliked: its label is 1 in all training rows.",
    ]  # a mean rating of 1 is one
    # Of days that are all kept for evaluation nobody learns.
    assert labels_lines({"label_means": means, "train": []}, spec) == []


def test_labels_that_vary_are_not_mentioned():
    means = {"rating": 3.5, "liked": 0.5, "loved": 0.001, "disliked": 0.999}
    assert labels_lines({"label_means": means}, load_spec("movielens")) == []


def test_requests_are_told_where_there_are_some():
    assert requests_line({}) == requests_line({"requests": None}) == ""
    found = {"requests": 1234, "examples_without": 0}
    assert requests_line({"requests": found}) == "1,234 requests."
    found["examples_without"] = 5
    told = "1,234 requests; 5 examples are of none."
    assert requests_line({"requests": found}) == told


def test_the_rows_of_each_history_are_told_with_their_sum():
    assert history_tables({"histories": {}}) == history_tables({}) == []
    found = {"rows_in": 3000, "buckets": {"used": 2990, "outside_days": 10}}
    (table,) = history_tables({"histories": {"searches": found}})
    columns = [list(column.cells) for column in table.columns]
    assert columns == [
        ["searches"] * 3,
        ["used", "outside days", "in"],
        ["2,990", "10", "3,000"],
    ]


def test_what_is_missing_against_the_spec_is_told():
    values = {
        "watched": {"rows": 12, "share": 0.0123, "expected": False},
        "age": {"rows": 99, "share": 0.5, "expected": True},
        "liked": {"rows": 1, "share": 0.00001, "expected": False},
    }
    assert unexpected_line({"missing_values": values}).startswith(
        "Columns declared without `?`, but missing in some rows: watched (1.23%), liked "
        "(under 0.01%). The rows stay;"
    )
    assert unexpected_line({"missing_values": {"age": values["age"]}}) == ""
    assert masked_line({"masked": {"like": 0, "finish": 1_200}}) == (
        "Examples without a label, masked: finish (1,200)."
    )
    assert masked_line({"masked": {"like": 0}}) == unexpected_line({}) == ""

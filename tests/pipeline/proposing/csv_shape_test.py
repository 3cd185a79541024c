"""Separators and headers of CSV files."""

import pytest

from pipeline.proposing.csv_shape import csv_shape


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_the_one_that_cuts_all_lines_alike(separator):
    lines = [["user", "title"], ["1", "a b"], ["2", "c"]]
    found = csv_shape("".join(separator.join(line) + "\n" for line in lines))
    assert (found.separator, found.header) == (separator, ("user", "title"))
    assert found.has_header


def test_a_separator_inside_quotes_cuts_nothing():
    found = csv_shape('id;tags\n1;"a,b,c"\n2;"d,e"\n')
    assert found.separator == ";"


def test_a_first_line_with_a_number_names_no_columns():
    found = csv_shape("37448\t115\t9\n8623\t82\t8\n")
    assert found.header == ("c0", "c1", "c2")
    assert not found.has_header


def test_a_first_line_with_a_field_twice_names_no_columns():
    assert not csv_shape("like,view,like\nview,like,like\n").has_header


@pytest.mark.parametrize("text", ["", "\n\n", "one column\nonly\n"])
def test_what_has_one_column_is_no_table(text):
    assert csv_shape(text) is None

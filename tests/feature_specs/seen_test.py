"""What a sample showed, in a spec's tables."""

import io

import pytest
import rich.console

from feature_specs import load_spec
from feature_specs.seen import Seen
from feature_specs.tables import spec_tables


@pytest.fixture
def lines():
    """The tables of movielens with what a sample showed of two features and a task."""
    seen = Seen(
        means={"liked": 0.55375, "loved": None},
        known={"liked": 1.0},
        missing={"age": 0.125, "gender": 0.0},
        values={"gender": 2, "movie_id": 1682},
    )
    console = rich.console.Console(width=220, file=io.StringIO())
    console.print(*spec_tables(load_spec("movielens"), seen))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_features_show_missing_shares_and_different_values(lines):
    assert "feature group kind type input of the model from missing values" in lines
    (age,) = [line for line in lines if line.startswith("age query bucket")]
    assert age.endswith("12.5%")
    (gender,) = [line for line in lines if line.startswith("gender query")]
    assert gender.endswith("0.0% 2")
    assert any(line.endswith("1,682") and "movie_id" in line for line in lines)


def test_tasks_show_label_means_where_there_are_rows(lines):
    (liked,) = [line for line in lines if line.startswith("liked binary")]
    assert liked.endswith("0.5537")
    (loved,) = [line for line in lines if line.startswith("loved binary")]
    assert loved.endswith("0.5 y")  # its fusion weight, of the prediction as it is


def test_without_a_sample_the_tables_are_as_they_were():
    console = rich.console.Console(width=220, file=io.StringIO())
    console.print(*spec_tables(load_spec("movielens")))
    text = console.file.getvalue()
    assert " missing" not in text and " mean " not in text.replace("mean of", "")

"""What sampled values are."""

import polars as pl
import pytest

from pipeline.proposing.columns import columns_of, named, words_of
from pipeline.proposing.sampling import Sample


def column(values, dtype=None):
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    return columns_of(Sample(None, frame, True, 1.0))["x"]


@pytest.mark.parametrize(
    ("texts", "declared"),
    [
        (["1", "-2"], "int64"),
        (["1.0", "2."], "int64"),
        (["1.5", "2e3"], "float64"),
        (["true", "False"], "bool"),
        (["2023-11-15", "2024-02-29"], "date"),
        (["2023-11-15T21:00:00+08:00"], "string"),  # log.time reads it
        (["[0.1, 0.2]", "[1, 2]"], "vector<2>"),
        (["[0.1, 0.2]", "[1]"], "string"),
        (["a", "1"], "string"),
        (["1", None], "int64?"),
        (["1", "nan", "2.5"], "float64?"),
        (["01234", "99999"], "string"),  # zeros that a number would lose
        ([str(2**64)], "string"),  # beyond 64 bits
    ],
)
def test_the_type_of_texts(texts, declared):
    assert column(texts, pl.String).declared == declared


@pytest.mark.parametrize(
    ("values", "dtype", "declared"),
    [
        ([1], pl.UInt8, "uint8"),
        ([True], pl.Boolean, "bool"),
        ([["a"], ["b", "c"]], pl.List(pl.String), "list<string>"),
        ([[1], [2, 3]], pl.List(pl.Int64), "list<int64>"),
        ([[1.0, 2.0], [3.0, 4.0]], pl.List(pl.Float32), "vector<2>"),
        ([[1.0], [3.0, 4.0]], pl.List(pl.Float32), "list<float32>"),
        ([[1.0, 2.0]], pl.Array(pl.Float32, 2), "vector<2>"),
        ([1.5], pl.Float32, "float32"),
    ],
)
def test_a_typed_file_says_its_types(values, dtype, declared):
    assert column(values, dtype).declared == declared


def test_a_few_damaged_values_leave_a_number_a_number():
    assert column([*map(str, range(999)), "#"], pl.String).type == "int64"
    assert column([*map(str, range(90)), *"ABCDEFGHIJ"], pl.String).type == "string"


@pytest.mark.parametrize(
    ("texts", "separator"),
    [
        (["a,b", "b", "b,a", "a"] * 5, ","),
        (["Action|Drama", "Drama|War", "War", "War|Action", "Drama"] * 3, "|"),
        ([f"the {n} of {n + 1}" for n in range(40)], ""),  # sentences
        (["a", "b", "c"], ""),
    ],
)
def test_a_text_of_parts_that_come_back_is_a_list(texts, separator):
    words = ["a", "b", "Action", "Drama", "War"]
    texts = texts + [f"{x}{separator}{y}" for x in words[:2] for y in words[:2]] * (
        separator == ","
    )
    texts = texts + [f"{x}{separator}{y}" for x in words[2:] for y in words[2:]] * (
        separator == "|"
    )
    assert column(texts, pl.String).separator == separator


def test_names_are_alike_whatever_their_case_and_signs():
    found = {name: column([1]) for name in ("movieId", "userId")}
    columns = [
        type(c)(name, c.type, c.values, c.missing, c.distinct)
        for name, c in found.items()
    ]
    assert named(columns, "video_id", "movie_id").name == "movieId"
    assert named(columns, "item_id") is None


def test_words_of_names():
    assert words_of("isLike") == words_of("is_like") == ("is", "like")
    assert words_of("play_time_ms") == ("play", "time", "ms")
    assert words_of("authorID2") == ("author", "id", "2")

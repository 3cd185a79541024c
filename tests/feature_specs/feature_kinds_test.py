"""What each shipped kind of feature says of itself, by hand."""

import math

import pytest

from feature_specs import FeatureSpec, SpecError, TableSpec, read_spec
from feature_specs.feature_kinds import FEATURE_KINDS
from feature_specs.task_kinds import TASK_KINDS, losses_of

_TABLES = {"video": TableSpec(name="video", buckets=100, dim=8)}


def _feature(kind: str) -> FeatureSpec:
    keys = {
        "id": {"table": "video"},
        "sequence": {"table": "video", "length": 7, "pooling": "sum"},
        "code": {"size": 3},
        "category": {"size": 3},
        "bucket": {"boundaries": (1.0, 2.0)},
        "number": {"transform": "log1p"},
        "text": {"table": "video", "length": 5, "pooling": "max"},
        "vector": {"size": 64},
    }
    return FeatureSpec(name="x", group="query", kind=kind, **keys[kind])


# Kind -> shape, rows, facet's codes, shown
_KINDS = {
    "id": ((), 100, None, "video (100 rows)"),
    "sequence": ((7,), 100, None, "sum of 7 from video (100)"),
    "code": ((), 5, 3, "(5 rows)"),  # missing, 3, others
    "category": ((), 5, None, "(5 rows)"),
    "bucket": ((), 4, 3, "(4 rows)"),  # missing and 3 intervals
    "number": ((), None, None, "log1p, z-score"),
    "text": ((5,), 100, None, "max of 5 from video (100)"),
    "vector": ((64,), None, None, "64 floats, l2, projected to 32"),
}


def test_every_shipped_kind_is_here():
    assert set(_KINDS) == set(FEATURE_KINDS)


@pytest.mark.parametrize("name", _KINDS)
def test_a_kind_says_what_it_is(name):
    shape, rows, codes, shown = _KINDS[name]
    feature = _feature(name)
    kind = feature.of_kind
    assert feature.shape == shape
    assert kind.facet_codes(feature) == codes
    assert kind.describe(feature, _TABLES) == shown
    assert feature.is_sequence == (name == "sequence")
    assert feature.is_number == (rows is None)
    assert kind.may_be_length == (name == "number")
    assert feature.width == (64 if name == "vector" else 0)
    assert kind.projected(feature) == (32 if name == "vector" else 0)
    assert kind.is_id == (name == "id")
    assert kind.encoded == ("float32" if rows is None else "int64")
    if rows is None:
        with pytest.raises(ValueError, match=f"x: kind {name} has no embedding rows"):
            feature.rows(_TABLES)
    else:
        assert feature.rows(_TABLES) == rows


def test_a_missing_value_is_that_of_the_type():
    found = {
        dtype: FeatureSpec(name="x", group="query", kind="id", dtype=dtype).missing
        for dtype in ("int64", "float32", "string")
    }
    assert (found["int64"], found["string"]) == (-1, "")
    assert math.isnan(found["float32"])


def _shown(**keys) -> str:
    feature = FeatureSpec(name="x", group="query", **keys)
    return feature.of_kind.describe(feature, _TABLES)


def test_what_the_model_reads_is_shown():
    auto = {"size": "auto"}
    assert _shown(kind="category", **auto) == "(auto, at most 100,002 rows)"
    words = _shown(kind="text", length=3, **auto)
    assert words == "mean of 3 words (auto, at most 100,002 rows)"
    assert _shown(kind="text", length=3, size=9) == "mean of 3 words (11 rows)"
    assert _shown(kind="number", scale="minmax") == "0 to 1"
    assert _shown(kind="number", scale="none") == "as it is"
    log = {"kind": "number", "transform": "log1p"}
    assert _shown(scale="none", **log) == "log1p"
    vector = {"kind": "vector", "size": 8, "normalize": "none", "dim": 4}
    vector |= {"projection": "looks", "target": "cover"}
    told = "8 floats, projected to 4 (looks), cosine with cover"
    assert _shown(**vector) == told


def test_a_counted_size_is_taken_from_the_vocabulary(good):
    spec = read_spec(good.replace("category, size: 24", "category, size: auto"))
    assert spec.feature("hour").size == "auto"
    assert spec.feature("hour").rows(spec.tables) == 100_002
    known = spec.with_counted({"hour": 17, "user_group": 5})
    assert known.feature("hour").rows(spec.tables) == 19
    assert known.feature("user_group").size == 2  # as it is written
    nothing = spec.with_counted({"hour": 0})  # no training day has a value
    assert nothing.feature("hour").rows(spec.tables) == 3


_HOUR = "name: hour, group: context, kind: category, size: 24"
_YEARS = "kind: number, e"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (_HOUR, f"{_HOUR}, table: user", "table: has no use for kind category"),
        (_HOUR, f"{_HOUR}, boundaries: [1]", "boundaries: has no use for kind categ"),
        (_HOUR, f"{_HOUR}, length: 3", "length: has no use for kind category"),
        (_HOUR, f"{_HOUR}, transform: log1p", "transform: has no use for kind categ"),
        (_YEARS, "kind: number, size: 3, e", "size: has no use for kind number"),
        (_YEARS, "kind: number, scale: minmax, e", None),
        (_YEARS, "kind: number, scale: max, e", "must be one of z, minmax, none."),
        (_YEARS, "kind: number, dim: 4, e", "dim: has no use for kind number"),
        (_HOUR, f"{_HOUR}, scale: none", "scale: has no use for kind category"),
        (_HOUR, f"{_HOUR}, normalize: none", "normalize: has no use for kind categ"),
        (_HOUR, f"{_HOUR}, projection: a", "projection: has no use for kind categ"),
        (_HOUR, _HOUR.replace("24", "auto"), None),
        (_HOUR, _HOUR.replace("24", "many"), "size: must be a whole number, or auto."),
        (_HOUR, _HOUR.replace("24", "true"), "size: must be a whole number, or auto."),
        (_HOUR, _HOUR.replace("24", "0"), "size: must be from 1 to 10,000,000."),
        (_HOUR, _HOUR.replace(", size: 24", ""), None),
        (
            "kind: code, size: 2",
            "kind: code, size: auto",
            "must be a number for kind c",
        ),
        (_YEARS, "kind: number, pooling: max, e", "pooling: has no use for kind num"),
        (_HOUR, _HOUR.replace("category", "code"), None),
        (_YEARS, "kind: number, transform: log1p, e", None),
        ("kind: code, size: 2", "kind: id", "table: is required for kind id."),
    ],
)
def test_a_key_without_use_is_told(mistakes, old, new, message):
    told = mistakes(old, new)
    assert len(told) == (message is not None)
    assert all(message in mistake for mistake in told)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("kind: code, size: 9", "must be whole numbers for kind code. Got 'String'"),
        ("kind: number", "must be a number. Got 'String'"),
        ("kind: bucket, boundaries: [1]", "must be a number. Got 'String'"),
        ("kind: sequence, table: tag", "must be a list for kind sequence"),
        ("kind: vector, size: 2", "must be a vector for kind vector"),
        ("kind: text", "(user_group).table: is required for kind text."),
        ("kind: text, table: tag, size: 9", "size: has no use beside a table"),
        ("kind: text, size: 0", "size: must be from 1 to 10,000,000."),
        ("kind: text, size: 9, scale: none", "scale: has no use for kind text"),
        ("kind: text, table: words", "table: is not in tables."),
    ],
)
def test_a_column_has_a_type_that_the_kind_takes(mistakes, new, message):
    (told,) = mistakes("kind: category, size: 2}", f"{new}}}")
    assert message in told


@pytest.mark.parametrize("new", ["kind: text, size: 9", "kind: text, table: tag"])
def test_a_text_is_hashed_or_has_a_vocabulary(good, new):
    spec = read_spec(good.replace("kind: category, size: 2}", f"{new}}}"))
    assert spec.feature("user_group").length == 16
    assert spec.feature("user_group").shape == (16,)


_VECTORS = """
  - {name: cover, group: candidate, kind: vector}
  - {name: taste, group: query, kind: vector, size: 3, target: cover}
"""


@pytest.fixture
def vectors(good):
    """`vectors(old, new)`: what is said of a spec with vectors, one line replaced."""
    columns = 'columns: {user_id: int64, cover: "vector<3>?", taste: "list<float32>?", '
    text = good.replace("columns: {user_id: int64, ", columns)
    text = text.replace("\ntasks:", f"{_VECTORS}tasks:").replace("\n\n", "\n")

    def told(old: str, new: str) -> list[str]:
        assert text.count(old) == 1, old
        try:
            read_spec(text.replace(old, new))
        except SpecError as error:
            return list(error.problems)
        return []

    return told


_COVER, _TASTE = "kind: vector}", "size: 3, target: cover"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (_COVER, _COVER, None),
        (_COVER, "kind: vector, size: 3}", None),
        (_COVER, "kind: vector, size: 4}", "size: must be 3, as the column has it"),
        (_COVER, "kind: vector, size: auto}", "must be the number of floats"),
        (_COVER, "kind: vector, pooling: max}", "pooling: has no use for kind vector"),
        (_COVER, "kind: vector, dim: -1}", "dim: must be from 0 to 4,096."),
        (_COVER, "kind: vector, projection: A}", "projection: must be lower-case"),
        (_COVER, "kind: number}", "must be a number. Got 'Array"),
        (_COVER, "kind: vector, target: taste}", "is for vectors of group query or"),
        (_TASTE, "target: cover", "size: is required for a list"),
        (_TASTE, "size: 4, target: cover", "candidate feature of kind vector with 4"),
        (_TASTE, "size: 3, target: like_rate", "candidate feature of kind vector"),
        (_TASTE, "size: 3, dim: 2, projection: a", None),
        (_TASTE, "size: 0", "size: must be from 1 to 16,384."),
    ],
)  # fmt: skip
def test_a_vector_has_a_width_and_may_be_compared(vectors, old, new, message):
    told = vectors(old, new)
    assert (message is None) == (not told), told
    assert message is None or any(message in mistake for mistake in told)


def test_a_projection_is_of_one_shape(vectors):
    both = "kind: vector, projection: a}\n  - {name: seen, group: query, kind: vector"
    both += ", expr: taste, size: 3, dim: 2, projection: a}"
    (told,) = vectors(_COVER, both)
    assert "(seen).projection: is one of 3 floats to 3, as feature 'cover'" in told


def test_joined_steps_are_not_wider_than_a_network(mistakes):
    old = "table: tag, length: 4"
    assert mistakes(old, f"{old}, pooling: concat") == []
    (told,) = mistakes(old, "table: tag, length: 10000, pooling: concat")
    assert "pooling: makes 10,000 x 12 columns of it; at most 65,536" in told


def test_a_task_kind_says_what_labels_are_at_first():
    assert TASK_KINDS["binary"].mean_label(3, 9) == 0.35  # (3 + 0.5) / (9 + 1)
    assert TASK_KINDS["regression"].mean_label(3, 12) == 0.25
    assert TASK_KINDS["regression"].mean_label(0, 0) == 0
    assert TASK_KINDS["binary"].label_range == (0, 1)
    assert TASK_KINDS["regression"].label_range is None


def test_a_task_kind_has_its_losses():
    assert losses_of(TASK_KINDS["regression"]) == [
        "default",
        "squared_error",
        "huber",
        "log_target",
        "quantile",
        "ordinal",
    ]

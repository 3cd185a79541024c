"""What each shipped kind of feature says of itself, by hand."""

import math

import pytest

from feature_specs import FeatureSpec, TableSpec
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
    assert feature.is_number == kind.may_be_length == (rows is None)
    assert kind.is_id == (name == "id")
    assert kind.encoded == ("float32" if rows is None else "int64")
    if rows is None:
        with pytest.raises(ValueError, match="x: kind number has no embedding rows"):
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
    ],
)
def test_a_column_has_a_type_that_the_kind_takes(mistakes, new, message):
    (told,) = mistakes("kind: category, size: 2}", f"{new}}}")
    assert message in told


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
    ]

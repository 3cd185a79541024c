"""Which expressions are constant by what they say, and which only might be."""

import pytest

from feature_specs.constants import constant_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("FALSE", False),
        ("NOT TRUE", False),
        ("1 = 1", True),
        ("2 > 3", False),
        ("'x' = 'y'", False),
        ("a = 1 AND FALSE", False),
        ("a = 1 OR 1 = 1", True),
        ("NOT (a OR TRUE)", False),
        ("CAST(a AS BIGINT) * 0", 0),
        ("CASE WHEN a = 1 THEN 0 ELSE 0 END", 0),
        ("CASE WHEN a = 1 THEN 1 END", 1),  # or missing, which is masked
        ("CASE WHEN 1 = 2 THEN a ELSE 7 END", 7),
    ],
)
def test_a_constant_is_found(text, value):
    assert constant_of(text) == value and type(constant_of(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a = 1",
        "a AND TRUE",
        "a OR FALSE",
        "-1 * a",
        "a BETWEEN 1 AND 2",
        "LEAST(a, 3)",
        "COALESCE(a, 0)",
        "a IN (0, 0)",
        "CASE WHEN a = 1 THEN 1 ELSE 0 END",
        "CASE WHEN a = 1 THEN b END",
        "a = 0 AND a = 1",  # never, but that needs more than its parts
        "a +",  # told elsewhere
    ],
)
def test_what_may_vary_is_left_alone(text):
    assert constant_of(text) is None

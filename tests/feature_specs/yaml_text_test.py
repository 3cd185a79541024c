"""YAML within limits: what is at a limit is read, what is beyond is told with its line."""

import pytest

from feature_specs.yaml_text import YamlMistake, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: yes", {"on": "yes"}),  # the booleans of YAML 1.2
        ("a: true", {"a": True}),
        ("a: 1e-3", {"a": 0.001}),
        ("a: =", {"a": "="}),
        ("7: x", {"7": "x"}),
        ("a: 0", {"a": 0}),
        ("a: 0.5", {"a": 0.5}),
        ("a: '010'", {"a": "010"}),
        ("\ufeffa: 1", {"a": 1}),  # a byte order mark
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: |\n  1\n  2\n", {"a": "1\n2\n"}),
        ("a: 'Zürich 東京'", {"a": "Zürich 東京"}),
    ],
)
def test_what_people_write_is_read(text, value):
    assert read_yaml(text) == value


@pytest.mark.parametrize(("levels", "fits"), [(32, True), (33, False)])
def test_lists_are_nested_32_deep(levels, fits):
    text = "[" * levels + "]" * levels
    if fits:
        assert read_yaml(text) is not None
    else:
        with pytest.raises(YamlMistake, match="line 1, column 33: .*32 levels"):
            read_yaml(text)


@pytest.mark.parametrize(("digits", "fits"), [(500, True), (501, False)])
def test_a_number_has_500_digits(digits, fits):
    if fits:
        assert read_yaml("9" * digits) == 10**digits - 1
    else:
        with pytest.raises(YamlMistake, match="a number of 501 characters"):
            read_yaml("9" * digits)


def test_aliases_count_as_what_they_stand_for():
    hundred = f"[{', '.join('1' * 100)}]"
    uses = ", ".join(["*x"] * 1979)  # 1,979 * 101, and 106 around them: 199,985 values
    assert len(read_yaml(f"a: &x {hundred}\nb: [{uses}]")["b"]) == 1979
    with pytest.raises(YamlMistake, match="line 2, column .*more than 200,000 values"):
        read_yaml(f"a: &x {hundred}\nb: [{uses}, *x]")


def test_what_is_long_and_flat_is_read():
    text = "\n".join(f"- {i}" for i in range(20_000))
    assert read_yaml(text) == list(range(20_000))

"""What is said of models and versions by flags."""

import pytest

from feature_specs.errors import UsageError
from serving.store.store_options import (
    ALL,
    LATEST,
    StoreOptions,
    VersionPolicy,
    read_labels,
    read_policy,
    specific,
)


@pytest.mark.parametrize(
    ("text", "policy", "shown"),
    [
        ("latest", LATEST, "latest 1"),
        ("latest:2", VersionPolicy(most=2), "latest 2"),
        ("all", ALL, "all"),
        ("42,41", specific([41, 42]), "specific 41, 42"),
        ("0042", specific([42]), "specific 42"),
    ],
)
def test_policies(text, policy, shown):
    assert read_policy(text) == policy
    assert str(policy) == shown


@pytest.mark.parametrize(
    "text",
    ["", "latest:0", "latest:", "newest", "41,", "-1", "1.0", "9" * 19, "1" * 5000],
)
def test_what_is_no_policy(text):
    with pytest.raises(UsageError, match="--versions must be latest:N"):
        read_policy(text)


def test_wanted_versions_are_the_highest_first():
    assert VersionPolicy(most=2).wanted([1, 10, 9]) == [10, 9, 1]
    assert specific([7, 9]).wanted([1, 9]) == [9, 7]  # also what is not there


def test_labels():
    assert read_labels(["stable=41", "canary=042"]) == {"stable": 41, "canary": 42}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["stable"], "LABEL=VERSION.*Got 'stable'"),
        (["=1"], "Got '=1'"),
        (["a/b=1"], "letters, digits and _. Got 'a/b=1'"),
        (["a=b"], "Got 'a=b'"),
        (["a=1", "a=2"], "'a' is given twice"),
    ],
)
def test_what_is_no_label(texts, message):
    with pytest.raises(UsageError, match=message):
        read_labels(texts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "a directory of models or a model_config_file, not both"),
        ({"models_dir": "m", "model_config_file": "f"}, "not both"),
        ({"model_config_file": "f", "policy": ALL}, "Leave out --versions"),
        ({"model_config_file": "f", "labels": {"a": 1}}, "Leave out --versions"),
        ({"models_dir": "m", "poll_s": -1.0}, "poll_s must be 0 or more"),
        ({"models_dir": "m", "poll_s": float("nan")}, "poll_s must be 0 or more"),
    ],
)
def test_options_that_do_not_go_together(settings, message):
    with pytest.raises(UsageError, match=message):
        StoreOptions(**settings)

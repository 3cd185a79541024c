"""A preset with several values of a key: which presets come of it, and refusals."""

from __future__ import annotations

import pytest

from feature_specs import read_preset
from pipeline.compare.comparison import choose_baseline, choose_reference
from pipeline.compare.errors import CompareError
from pipeline.compare.variants import parse_varied, vary

_SINGLE = "structure: {kind: single}\nswitcher: {kind: shared_bottom, units: [4]}"


@pytest.fixture
def presets():
    return {"mine": read_preset("bottom: [8]"), "alone": read_preset(_SINGLE)}


def test_keys_and_lists_are_read():
    found = parse_varied(["loss_weights.share=[1, 10, 1e3]", "optimizer.kind=[adam]"])
    assert found == {"loss_weights.share": [1, 10, 1000], "optimizer.kind": ["adam"]}


@pytest.mark.parametrize("text", ["share", "=[1]", "share=1", "share=[1", ""])
def test_what_is_no_list_of_a_key_is_refused(text):
    with pytest.raises(CompareError, match="must be a key of a preset and a list"):
        parse_varied([text])


def test_a_key_twice_is_refused():
    with pytest.raises(CompareError, match="--vary dropout: is there twice"):
        parse_varied(["dropout=[0]", "dropout=[0.5]"])


def test_every_value_goes_with_every_other_and_the_kept_preset_stays(presets):
    varied = {"loss_weights.share": [1, 20.0], "dropout": [0, 0.5]}
    configs, variants = vary(presets, varied, "alone")
    assert list(configs) == [
        "mine share=1 dropout=0",
        "mine share=1 dropout=0.5",
        "mine share=20 dropout=0",
        "mine share=20 dropout=0.5",
        "alone",
    ]
    third = configs["mine share=20 dropout=0"]
    assert third.loss_weights == {"share": 20.0} and third.dropout == 0
    assert third.bottom == (8,)  # the rest is the preset's
    assert configs["alone"] == presets["alone"] and "alone" not in variants
    found = variants["mine share=20 dropout=0"]
    assert found.apart_from("dropout") == "mine share=20"


def test_a_kept_preset_without_others_is_varied_too(presets):
    only = {"mine": presets["mine"]}
    configs, variants = vary(only, {"dropout": [0.1, 0.2]}, "mine")
    assert list(configs) == ["mine", "mine dropout=0.1", "mine dropout=0.2"]
    assert list(variants) == list(configs)[1:]


def test_nothing_is_varied_without_a_key(presets):
    assert vary(presets, {}, None) == (presets, {})


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({"droput": [1]}, "droput"),
        ({"dropout": [2]}, "dropout: .* Got 2"),
        ({"dropout.share": [1]}, "'dropout' of preset 'mine' has no keys"),
        ({"dropout": [0.5, 0.5]}, "gives 'mine dropout=0.5' twice"),
    ],
)
def test_what_a_preset_may_not_have_is_told(presets, varied, message):
    with pytest.raises(CompareError, match=message):
        vary(presets, varied, "alone")


def test_a_variant_is_a_baseline_or_a_reference_by_its_name_or_the_presets(presets):
    configs, _ = vary(presets, {"dropout": [0, 0.25]}, None)
    assert choose_baseline(configs, "mine dropout=0.25") == "mine dropout=0.25"
    assert choose_reference(configs, "presets/mine.yaml") == "mine dropout=0"

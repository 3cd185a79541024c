"""The preset reader, and what a preset says about a spec."""

import pytest

from feature_specs import SpecError, load_preset, load_spec, read_preset
from feature_specs.model import plain_values
from feature_specs.preset import (
    check_preset,
    shipped_presets,
    weighted,
    with_loss_weights,
)
from feature_specs.preset_kinds import SWITCHER_KINDS


@pytest.fixture(scope="module")
def kuairand():
    return load_spec("kuairand")


@pytest.mark.parametrize("name", shipped_presets())
def test_shipped_presets_are_right_and_fit_kuairand(name, kuairand):
    check_preset(load_preset(name), kuairand)


def test_every_switcher_is_a_preset():
    kinds = {load_preset(name).switcher.kind for name in shipped_presets()}
    assert kinds == set(SWITCHER_KINDS)


def test_mmoe_is_as_written():
    config = read_preset(
        "switcher: {kind: mmoe, experts: 3, units: [8, 4]}\ndisentangle: 0.5"
    )
    assert config.switcher.experts == 3
    assert config.switcher.units == (8, 4)
    assert config.disentangle == 0.5


def test_a_lambda_of_the_sum_is_refused():
    assert read_preset("disentangle: 0").disentangle == 0
    assert read_preset("disentangle: 0.001").disentangle == 0.001
    with pytest.raises(SpecError, match="disentangle: must be 0, or at least.*0.0001"):
        read_preset("disentangle: 0.0001")


def test_a_rate_in_powers_of_ten_is_a_number():
    text = "switcher: {kind: mmoe}\noptimizer: {learning_rate: 1e-3}"
    assert read_preset(text).optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bottom: []", r"bottom: must have one layer at least, where the request's"),
        (
            "switcher: {kind: mmmoe}",
            r"switcher\.kind: must be one of shared_bottom, asymmetric",
        ),
        ("switcher: {kind: ple, levels: 0}", r"switcher\.levels: must be from 1 to"),
        ("switcher: {kind: cgc, units: []}", r"units: must have a width for cgc"),
        (
            "switcher: {kind: sluice, units: [6], subspaces: 4}",
            r"units: must be multiples of subspaces \(4\) for sluice\. Got 6",
        ),
        ("switcher: {kind: cross_stitch, stitch: 1.5}", r"stitch: must be at least 0"),
        ("weights: {kind: mgda, surgery: true}", r"weights\.surgery: has no use for"),
        (
            "structure: {kind: multi_facet, levels: [{kind: cgc, experts: 0}]}",
            r"structure\.levels\[0\]\.experts: must be from 1 to",
        ),
        (
            "structure: {kind: hierarchical, levels: []}",
            r"levels: must have one switch",
        ),
        ("structure: {kind: single, split: [like]}", r"split: has no use for kind sin"),
        ("structure: {nodes: {new: [0]}}", r"structure\.nodes\.new: must be positive"),
        ("towers: {like: {units: [-1]}}", r"towers\.like\.units: must be positive"),
        (
            "chains: [{kind: esmm, tasks: [a]}]",
            r"chains\[0\]\.tasks: must be two tasks",
        ),
        ("weights: {decay: {like: 1.5}}", r"weights\.decay\.like: must be above 0"),
        ("weights: {kind: gradnrm}", r"weights\.kind: must be one of fixed, unif"),
        ("unified: {buckets: 1}", r"unified\.buckets: must be 0 \(off\) or 2"),
        ("switcher: {kind: mmoe, expert: 3}", r"expert: is no key here.*'experts'"),
        ("switcher: {kind: mmoe}\ntower: [0]", r"tower: must be positive widths"),
        ("switcher: {kind: mmoe}\ntrail: {dropout: 1.0}", r"trail\.dropout: must be"),
        ("switcher: {kind: mmoe, experts: yes}", r"must be a whole number\. Got 'yes'"),
    ],
)
def test_each_mistake_is_named(text, message):
    with pytest.raises(SpecError, match=message):
        read_preset(text)


def test_unknown_preset_names_the_closest():
    with pytest.raises(SpecError, match="Did you mean 'mmoe'"):
        load_preset("mmo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trail: {tasks: [clack]}", r"trail\.tasks: is not a task of the spec"),
        ("structure: {split: [lik]}", r"structure\.split: .*Did you mean 'like'"),
        ("structure: {facets: [groups]}", r"facets: is not a facet.*'user_group'"),
        ("weights: {decay: {lik: 0.9}}", r"weights\.decay: .*Did you mean 'like'"),
        ("bias: {features: [trail_position]}", r"is not a served feature of the spec"),
        ("towers: {like: {inputs: [nope]}}", r"towers\.like\.inputs: is not a served"),
        (
            "chains: [{kind: esmm, tasks: [valid_play, completion]}]",
            r"chains\[0\]\.tasks: must be binary.*'completion'",
        ),
        (
            "chains: [{kind: esmm, tasks: [valid_play, like]},"
            " {kind: aitm, tasks: [like, follow]}]",
            r"chains\[1\]\.tasks: may be in one place of one chain only\. Got 'like'",
        ),
        (
            "structure: {kind: single}\nchains: [{kind: esmm, tasks: [skip, like]}]",
            r"chains: need tasks that share a network",
        ),
    ],
)
def test_what_the_spec_does_not_have_is_named(kuairand, text, message):
    with pytest.raises(SpecError, match=message):
        check_preset(read_preset(text), kuairand)


def test_towers_must_leave_both_sides_an_input(kuairand):
    names = [f.name for f in kuairand.features if f.group == "candidate"]
    text = f"towers: {{like: {{inputs: [{', '.join(names)}]}}}}"
    with pytest.raises(SpecError, match="no candidate feature"):
        check_preset(read_preset(text), kuairand)


def test_a_preset_weighs_tasks_anew(kuairand):
    spec, config = kuairand, load_preset("mmoe")
    found = weighted(spec, with_loss_weights(config, {"share": 7, "hate": 0}))
    assert found.task("share").loss_weight == 7
    assert found.task("hate").loss_weight == 0
    assert found.task("follow").loss_weight == spec.task("follow").loss_weight == 20
    before = with_loss_weights(config, {"share": 1, "like": 2})
    again = with_loss_weights(before, {"share": 3})
    assert again.loss_weights == {"share": 3, "like": 2}


def test_without_weights_a_preset_is_written_as_before_there_were_any():
    config = load_preset("mmoe")
    assert "loss_weights" not in plain_values(config)
    assert plain_values(with_loss_weights(config, {"a": 2}))["loss_weights"] == {"a": 2}


def test_weights_of_no_task_and_of_nothing_are_refused(kuairand):
    spec, config = kuairand, load_preset("mmoe")
    with pytest.raises(SpecError, match="loss_weights: is not a task.*'share'"):
        check_preset(with_loss_weights(config, {"shar": 1}), spec)
    nothing = {task.name: 0 for task in spec.tasks}
    with pytest.raises(SpecError, match="loss_weights: leave every task at 0"):
        check_preset(with_loss_weights(config, nothing), spec)
    with pytest.raises(SpecError, match="loss_weights.share: .*Got -1"):
        read_preset("loss_weights: {share: -1}")

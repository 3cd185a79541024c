"""What a spec and a preset say of rare labels."""

import dataclasses

import pytest

from feature_specs import SpecError, load_preset, load_spec
from feature_specs.imbalance import KEYS
from feature_specs.model import plain_values
from feature_specs.preset import check_preset, read_preset, weighted
from feature_specs.spec import TaskSpec
from feature_specs.task_kinds import Binary
from feature_specs.task_kinds.base import LOSS_KINDS


@pytest.fixture(scope="module")
def spec():
    return load_spec("kuairand")


def _mistakes(text, spec):
    with pytest.raises(SpecError) as raised:
        check_preset(read_preset(text), spec)
    return str(raised.value)


def test_a_preset_treats_rare_labels_anew(spec):
    config = read_preset(
        """
        loss_weights: {share: 3}
        imbalance:
          share: {balance: 0.5, loss: focal, focal_gamma: 1}
          like: {positive_weight: 50}
          follow: {negative_rate: 0.1, positive_rate: 4}
          hate: {loss: class_balanced, class_balance_beta: 0.99}
        """
    )
    check_preset(config, spec)
    found = weighted(spec, config)
    share = found.task("share")
    assert (share.balance, share.loss, share.focal_gamma) == (0.5, "focal", 1)
    assert share.loss_weight == 3
    assert found.task("like").positive_weight == 50
    follow, hate = found.task("follow"), found.task("hate")
    assert (follow.negative_rate, follow.positive_rate) == (0.1, 4)
    assert (hate.loss, hate.class_balance_beta) == ("class_balanced", 0.99)
    assert follow.loss_weight == spec.task("follow").loss_weight
    untouched = ("comment", "valid_play", "watch_time")
    assert [found.task(n) for n in untouched] == [spec.task(n) for n in untouched]


def test_every_key_is_a_field_of_a_task_and_of_some_use():
    fields = {field.name for field in dataclasses.fields(TaskSpec)}
    used = Binary.uses.union(*(LOSS_KINDS[name].uses for name in LOSS_KINDS))
    assert set(KEYS) <= fields
    assert set(KEYS) <= used


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("shar: {balance: 0.5}", "imbalance: is not a task of the spec. Did you mean"),
        ("share: {ballance: 0.5}", "imbalance.share.ballance: is no key here."),
        ("share: {balance: 1}", "imbalance.share.balance: must be at least 0 and"),
        ("share: {negative_rate: 0}", "share.negative_rate: must be above 0 and"),
        ("share: {positive_rate: 0.5}", "share.positive_rate: must be from 1 to"),
        ("share: {positive_weight: 0}", "share.positive_weight: must be above 0"),
        ("share: {loss: huber}", "imbalance.share.loss: belongs to regressions"),
        ("share: {focal_gamma: 2}", "focal_gamma: has no use without `loss: focal`"),
        (
            "watch_time: {balance: 0.5}",
            "imbalance.watch_time.balance: has no use without `kind: binary`",
        ),
        (
            "share: {balance_by_auc: true}",
            "imbalance.share.balance_by_auc: has no use without `balance`",
        ),
        (
            "share: {balance: 0.5, negative_rate: 0.1}",
            "imbalance.share.balance: finds the rate itself; remove negative_rate",
        ),
    ],
)
def test_what_fits_nothing_is_refused(said, told, spec):
    assert told in _mistakes(f"imbalance: {{{said}}}", spec)


def test_a_balance_beside_the_specs_own_rate_is_refused(spec):
    rated = [
        dataclasses.replace(t, negative_rate=0.2) if t.name == "share" else t
        for t in spec.tasks
    ]
    own = dataclasses.replace(spec, tasks=tuple(rated))
    assert "balance: finds the rate itself" in _mistakes(
        "imbalance: {share: {balance: 0.5}}", own
    )


def test_without_any_a_preset_is_written_as_before_there_was_any():
    assert "imbalance" not in plain_values(load_preset("mmoe"))
    said = read_preset("imbalance: {share: {balance: 0.5}}")
    assert plain_values(said)["imbalance"]["share"]["balance"] == 0.5

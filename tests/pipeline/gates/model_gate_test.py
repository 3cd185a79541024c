"""Which models the gates let through: of drawn predictions whose losses are known."""

import dataclasses
import math
import pathlib
import tempfile

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.evaluation import user_sums
from pipeline.evaluation.fused import Ranking
from pipeline.evaluation.model_evaluation import ModelEvaluation, evaluate_rows
from pipeline.evaluation.rows import Rows, prediction_key
from pipeline.evaluation.user_sums import FUSED, SLICE, USER
from pipeline.gates.model_gate import judge
from pipeline.gates.verdict import RefusedModelError, Verdict
from pipeline.reporting import metrics

_SPEC = read_spec(
    """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  timezone: UTC
  columns: {user_id: int64, video_id: int64, time_ms: int64, liked: int64, tab: int64}
  outcomes: [liked]
features:
  - {name: user_id, group: query, kind: id, table: video}
  - {name: video_id, group: candidate, kind: id, table: video}
tables: {video: {buckets: 10}}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: stay, kind: regression, label: "liked"}
fusion: {weights: {like: 1}}
evaluation: {slices: [tab]}
"""
)
_USERS, _EACH = 300, 20


def _spec(**limits):
    evaluation = dataclasses.replace(_SPEC.evaluation, **limits)
    return dataclasses.replace(_SPEC, evaluation=evaluation)


class _World:
    """Rows with a known truth, and models that see it through noise."""

    def __init__(self, seed, users=_USERS, rate=0.3):
        self.folder, self.made = tempfile.TemporaryDirectory(), 0
        self.draw = np.random.default_rng(seed)
        n = users * _EACH
        self.users = np.repeat(np.arange(users), _EACH)
        self.tab = self.draw.integers(0, 2, n)
        self.logit = (
            self.draw.normal(0, 1, n) + self.draw.normal(0, 1, users)[self.users]
        )
        self.logit += math.log(rate / (1 - rate))
        self.like = (self.draw.random(n) < _chance(self.logit)).astype(np.float32)
        self.stay = (self.logit + self.draw.normal(0, 1, n)).astype(np.float32)

    def model(self, noise=0.3, factor=1.0):
        """Predictions [N] of both tasks; `noise` is on the logit."""
        seen = self.logit + self.draw.normal(0, noise, len(self.logit))
        return _chance(seen) * factor, seen

    def measured(self, *models, mask=None, ranked=()):
        """The evaluations of models, in a folder of their own.

        `ranked` is what each has as NDCG@10 of every user [users].
        """
        inside = np.ones(len(self.users)) if mask is None else mask
        columns = {
            "key_user": self.users,
            "slice_tab": self.tab,
            "label_like": self.like,
            "mask_like": inside,
            "label_stay": self.stay,
            "mask_stay": inside,
        }
        for number, model in enumerate(models):
            for task, values in zip(("like", "stay"), model, strict=True):
                columns[prediction_key(task, number)] = values.astype(np.float32)
        rows = Rows.of(pl.DataFrame(columns))
        folder = pathlib.Path(self.folder.name) / str(self.made)
        self.made += 1
        return [
            self._evaluation(rows, number, folder, ranked)
            for number in range(len(models))
        ]

    def _evaluation(self, rows, number, folder, ranked):
        empty = ModelEvaluation(
            model=f"models/{9 - number}",
            days=("day-20240101",),
            rows=len(self.users),
            tasks=(),
            slices={},
            ranking=None,
            folder=str(folder / str(number)),
        )
        found = evaluate_rows(_SPEC, rows, number, empty)
        if not len(ranked):
            return found
        users = np.unique(self.users)
        sums = {"groups": np.ones(len(users)), "ndcg@10": ranked[number]}
        frame = pl.DataFrame({SLICE: "", USER: users, **sums})
        user_sums.write(found.folder, FUSED, [frame])
        ranking = Ranking(**{f.name: () for f in dataclasses.fields(Ranking)})
        return dataclasses.replace(found, ranking=ranking)


def _chance(logit):
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="module")
def world(any_seed):
    return _World(any_seed)


def _gate(verdict, measure, of, against="", slice=""):
    (found,) = [
        g
        for g in verdict.gates
        if (g.measure, g.of, g.slice) == (measure, of, slice)
        and bool(g.against) == bool(against)
    ]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_first_model_without_limits_is_blessed(seed):
    """Nothing is written and nothing is blessed yet: nothing to miss."""
    world = _World(seed, users=40, rate=0.05)
    verdict = judge(_spec(), world.measured(world.model()))
    assert verdict.blessed and verdict.against == ()
    assert {g.measure for g in verdict.gates} <= {"miscalibration"}


@pytest.mark.stochastic
def test_models_that_are_alike_are_refused_one_time_in_twenty_at_most(any_seed):
    """A/A, and the limits allow no loss at all, so that only the intervals hold."""
    nothing = dict.fromkeys(
        (
            *("max_auc_drop", "max_gauc_drop", "max_rmse_rise"),
            *("max_miscalibration_rise", "max_slice_auc_drop"),
        ),
        0.0,
    )
    spec, runs = _spec(draws=200, **nothing), 30
    refused = 0
    for seed in range(runs):
        world = _World((any_seed, seed), users=40)
        models = [world.model() for _ in range(3)]
        refused += not judge(spec, world.measured(*models)).blessed
    # One-sided 1 % of a binomial of 30 with 0.05
    assert refused <= 5


def test_a_model_that_lost_much_is_refused(world):
    verdict = judge(_spec(), world.measured(world.model(noise=1.0), world.model()))
    assert not verdict.blessed
    gate = _gate(verdict, "auc", "like", against="8")
    assert gate.outcome == "refused" and gate.key == "evaluation.max_auc_drop"
    assert gate.loss == pytest.approx(gate.best - gate.value)
    assert gate.loss > 0.01 and 0 < gate.low < gate.loss < gate.high
    assert _gate(verdict, "rmse", "stay", against="8").outcome == "refused"
    with pytest.raises(RefusedModelError, match="AUC of like: 0") as told:
        verdict.check()
    assert told.value.exit_status == 3
    assert "The model before it keeps serving" in str(told.value)


def test_a_better_model_passes(world):
    verdict = judge(_spec(), world.measured(world.model(), world.model(noise=1.0)))
    assert verdict.blessed
    assert _gate(verdict, "auc", "like", against="8").loss < 0


def test_a_small_loss_cannot_be_lost_every_day(any_seed):
    """Each model is 0.009 below the one before it. Against the last one that is
    allowed; against the best of the last three it is not."""
    world = _World(any_seed, users=1_500)
    first = world.model(noise=0.0)
    days = [first]
    for _ in range(2):
        days.append(_worse(world.like, days[-1], 0.009))
    spec = _spec(max_slice_auc_drop=0.99, max_rmse_rise=9.0, max_gauc_drop=0.99)
    against_last = judge(spec, world.measured(days[1], days[0]))
    gate = _gate(against_last, "auc", "like", against="8")
    assert gate.loss == pytest.approx(0.009, abs=2e-4) and gate.low > 0
    assert against_last.blessed
    against_best = judge(spec, world.measured(days[2], days[1], days[0]))
    assert not against_best.blessed
    assert _gate(against_best, "auc", "like", against="any").against == "7"


def _worse(labels, model, loss):
    """The model with as much of its scores exchanged as costs `loss` AUC."""
    chances, stays = model
    before = metrics.auc(labels, chances)
    draw = np.random.default_rng(1)
    order, other = draw.permutation(len(labels)), draw.permutation(chances)
    few, many = 0, len(labels)
    for _ in range(30):  # halving
        some = (few + many) // 2
        changed = chances.copy()
        changed[order[:some]] = other[order[:some]]
        if before - metrics.auc(labels, changed) < loss:
            few = some
        else:
            many = some
    return changed, stays


def test_a_loss_that_may_be_luck_passes(any_seed):
    """With 40 users an AUC moves by some hundredths; a loss of 0.02 says nothing."""
    world = _World(any_seed, users=40, rate=0.15)
    other = world.model(noise=0.0)
    verdict = judge(_spec(), world.measured(_worse(world.like, other, 0.012), other))
    gate = _gate(verdict, "auc", "like", against="8")
    assert gate.loss > 0.01 and gate.low < 0
    assert gate.outcome == "passed"


def test_few_positives_are_not_judged(any_seed):
    world = _World(any_seed)
    world.like[:] = 0
    world.like[: 13 * _EACH : _EACH] = 1
    verdict = judge(_spec(), world.measured(world.model(2.0), world.model()))
    gate = _gate(verdict, "auc", "like", against="8")
    assert gate.outcome == "not judged"
    assert gate.why == "there are 13 positive rows, and 50 are needed"
    assert _gate(verdict, "gauc", "like", against="8").outcome == "not judged"


def test_many_positives_of_few_users_are_not_judged(any_seed):
    world = _World(any_seed)
    world.like[:] = world.users < 5
    verdict = judge(_spec(), world.measured(world.model(2.0), world.model()))
    gate = _gate(verdict, "auc", "like", against="8")
    assert gate.outcome == "not judged" and "users that tell" in gate.why


def test_a_limit_that_is_written_is_held_to_the_value(world):
    model = world.model()
    value = _gate(
        judge(_spec(min_auc={"like": 0.5}), world.measured(model)), "auc", "like"
    )
    assert value.outcome == "passed"
    above = _spec(min_auc={"like": value.value + 0.001})
    verdict = judge(above, world.measured(model))
    told = (
        f"{value.value:.4f}; must be at least {value.value + 0.001:.4f}, 0.0010 below"
    )
    assert told in verdict.told() and not verdict.blessed
    error = judge(_spec(max_rmse={"stay": 0.1}), world.measured(model))
    assert _gate(error, "rmse", "stay").outcome == "refused"


def test_a_limit_without_a_value_is_failed(any_seed):
    """A day whose labels are all 0 shows nothing of what was asked for."""
    world = _World(any_seed)
    world.like[:] = 0
    verdict = judge(_spec(min_auc={"like": 0.5}), world.measured(world.model()))
    assert not verdict.blessed
    assert "has no value, as there are 0 positive rows" in verdict.told()


def test_predictions_that_are_far_off_are_refused(world):
    verdict = judge(_spec(), world.measured(world.model(factor=0.3)))
    gate = _gate(verdict, "miscalibration", "like")
    assert gate.outcome == "refused" and gate.limit == 2
    assert gate.value == pytest.approx(1 / 0.3, rel=0.15)
    written = judge(
        _spec(miscalibration={"like": 9}), world.measured(world.model(factor=0.3))
    )
    assert written.blessed


def test_a_calibration_that_got_worse_is_refused(world):
    verdict = judge(_spec(), world.measured(world.model(factor=0.7), world.model()))
    (gate,) = verdict.refused
    assert (gate.measure, gate.of) == ("miscalibration", "like")
    assert "% worse" in str(gate)


def test_a_slice_that_got_worse_is_refused(world):
    good, bad = world.model(), world.model(noise=2.0)
    mixed = tuple(
        np.where(world.tab == 1, b, g) for g, b in zip(good, bad, strict=True)
    )
    loose = _spec(max_auc_drop=0.9, max_gauc_drop=0.9, max_rmse_rise=9.0,
                  max_miscalibration_rise=9.0)  # fmt: skip
    verdict = judge(loose, world.measured(mixed, good))
    (gate,) = verdict.refused
    assert gate.name == "AUC of like, tab=1"
    assert gate.key == "evaluation.max_slice_auc_drop"
    assert _gate(verdict, "auc", "like", "8", "tab=0").outcome == "passed"


def test_a_slice_has_a_limit_of_its_own(world):
    spec = _spec(min_slice_auc={"like": 0.99})
    names = [g.name for g in judge(spec, world.measured(world.model())).refused]
    assert names == ["AUC of like, tab=0", "AUC of like, tab=1"]
    world = _World(1, users=40)
    world.tab[:] = 0
    world.tab[:30] = 1
    gate = _gate(
        judge(spec, world.measured(world.model())), "auc", "like", slice="tab=1"
    )
    assert gate.outcome == "not judged"


def test_the_fused_score_is_judged(world):
    draw = np.random.default_rng(3)
    best = draw.uniform(0.4, 0.9, _USERS)
    ranked = np.stack([best - 0.05 + draw.normal(0, 0.02, _USERS), best])
    model = world.model()
    measured = world.measured(model, model, ranked=ranked)
    verdict = judge(_spec(min_ndcg=0.9), measured)
    assert [g.name for g in verdict.refused] == ["NDCG@10 of fused score"] * 2
    gate = _gate(verdict, "ndcg", "fused score", against="8")
    assert gate.loss == pytest.approx(0.05, abs=0.005)


def test_a_gate_that_is_none_blesses_what_was_measured(world):
    rows = world.measured(world.model(noise=1.0), world.model())
    verdict = judge(_spec(gate="none"), rows)
    assert verdict.blessed and verdict.refused
    verdict.check()


def test_rows_outside_the_sample_space_do_not_count(world):
    chances, stays = world.model()
    mask = np.ones(len(chances))
    mask[:100] = 0
    broken = chances.copy()
    broken[:100] = 0
    spec = _spec(min_auc={"like": 0.5})
    found = judge(spec, world.measured((broken, stays), mask=mask))
    expected = metrics.auc(world.like[100:], chances[100:].astype(np.float32))
    assert _gate(found, "auc", "like").value == pytest.approx(expected, abs=1e-12)


def test_a_verdict_is_read_back(world):
    verdict = judge(_spec(), world.measured(world.model(1.0), world.model()))
    read = Verdict.from_json(verdict.to_json())
    assert read.to_json() == verdict.to_json()
    assert read.blessed is False and str(read.refused[0]) == str(verdict.refused[0])


def test_the_table_has_a_row_a_gate(world):
    verdict = judge(_spec(), world.measured(world.model(1.0), world.model()))
    assert verdict.table().row_count == len(verdict.gates)
    assert verdict.table(passed=False).row_count == sum(
        gate.outcome != "passed" for gate in verdict.gates
    )

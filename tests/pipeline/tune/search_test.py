"""Trials by arithmetic: what is drawn, given up, kept and gone on with."""

import dataclasses
import math

import pytest

from pipeline.tune import drawing
from pipeline.tune.errors import TuneError
from pipeline.tune.objective import choose_objective
from pipeline.tune.search import JOURNAL, Budget, Search, best_of
from pipeline.tune.space import Choices, Range
from tests.pipeline.tune.conftest import RATES, days_of
from trainer.days.divergence import DivergedError


def _search(plan, out, train, trials=12):
    search = Search(plan, out)
    search.run(Budget(trials=trials, seconds=None), train)
    return search


def _told(search):
    """What must be equal: all but the time it took."""
    return [dataclasses.replace(trial, seconds=0.0) for trial in search.tried]


@pytest.fixture(scope="module")
def unbroken(plan_of, rate_decides, tmp_path_factory):
    plan = plan_of()
    return _search(plan, tmp_path_factory.mktemp("search"), rate_decides(plan))


def test_trial_0_is_the_preset_and_the_best_is_no_worse(unbroken, plan_of):
    first, best = unbroken.tried[0], best_of(unbroken.tried)
    assert first.config == plan_of().preset
    assert first.values == {"optimizer.learning_rate": 0.01}
    # 0.01 is a tenth of 0.1; days add 0 to 0.03.
    assert first.days == pytest.approx((0.7, 0.705, 0.71, 0.715))
    assert (first.state, first.value) == ("complete", first.days[-1])
    assert best.value > first.value
    assert best.number > 0
    assert best.config.optimizer.learning_rate == best.values["optimizer.learning_rate"]
    assert len({str(trial.values) for trial in unbroken.tried}) == 12


def test_a_trial_keeps_most_of_a_large_space_as_the_best_has_it(plan_of):
    plan = plan_of(space={f"loss_weights.{n}": Range(0.0, 1.0) for n in range(24)})
    best = dict.fromkeys(plan.space, 0.5)
    kept = [drawing.kept_values(plan, number, best) for number in range(1, 21)]
    assert all(found.items() <= best.items() for found in kept)
    assert len({tuple(found) for found in kept}) == 20
    # 18 of 24 each; 5 standard deviations of the binomial.
    spread = math.sqrt(20 * 24 * 0.75 * 0.25)
    assert sum(map(len, kept)) == pytest.approx(20 * 18, abs=5 * spread)
    few = plan_of(space={"dropout": Range(0.0, 0.5), **RATES})
    assert drawing.kept_values(few, 1, {"dropout": 0.1}) == {}


def test_later_trials_keep_what_the_best_so_far_has(plan_of, spec, tmp_path):
    """Where more of each of twelve weights is better, one by one goes on from there."""
    space = {f"loss_weights.{t.name}": Range(0.5, 2.0) for t in spec.tasks}
    space |= {key: Range(1, 9) for key in ("epochs_per_day", "weights.decay_steps")}
    space |= {"dropout": Range(0.0, 0.3), "embedding_l2": Range(0.0, 0.1)}
    plan = plan_of(space=space)

    def train(config, judge):
        value = sum(config.loss_weights.values()) / 100
        with judge.until_enough():
            days_of(plan, judge, [0.5 + value] * 4)

    search = _search(plan, tmp_path, train, trials=6)
    for trial in search.tried[1:]:
        best = best_of(search.tried[: trial.number])
        kept = drawing.kept_values(
            plan, trial.number, search.study.trials[best.number].params
        )
        found = search.study.trials[trial.number].params
        assert kept.items() <= found.items()


def test_successive_halving_gives_up_who_is_not_in_the_better_half(unbroken):
    """A rung after days 1, 2 and 4, as ASHA has it; trial 0 is never given up."""
    rungs = {1: [], 2: [], 4: []}
    for trial in unbroken.tried:
        for days, reached in rungs.items():
            if len(trial.days) < days:
                break
            reached.append(trial.days[days - 1])
            ranked = sorted(reached, reverse=True)
            stays = trial.days[days - 1] >= ranked[max(0, len(ranked) // 2 - 1)]
            if days == 4 or not trial.number:
                continue  # the last day ends it anyway
            assert (len(trial.days) > days) == stays, trial
    states = [trial.state for trial in unbroken.tried]
    assert states.count("pruned") >= 3
    assert {len(t.days) for t in unbroken.tried if t.state == "complete"} == {4}


def test_a_seed_draws_the_same_and_another_one_other_values(
    unbroken, plan_of, rate_decides, tmp_path
):
    plan = plan_of()
    again = _search(plan, tmp_path / "again", rate_decides(plan), trials=3)
    assert _told(again) == _told(unbroken)[:3]
    other = _search(plan_of(seed=1), tmp_path / "other", rate_decides(plan), trials=2)
    assert other.tried[1].values != unbroken.tried[1].values


@pytest.mark.parametrize(("trial", "day"), [(0, 2), (3, 1), (11, 1)])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    unbroken, plan_of, rate_decides, tmp_path, trial, day
):
    plan, begun = plan_of(), []

    def killed(config, judge):
        begun.append(config)
        if len(begun) <= trial:
            return rate_decides(plan)(config, judge)
        told = judge.of_day

        def stops(name, says):
            if name == plan.examples.train[day][0]:
                raise KeyboardInterrupt
            told(name, says)

        judge.of_day = stops
        return rate_decides(plan)(config, judge)

    with pytest.raises(KeyboardInterrupt):
        _search(plan, tmp_path, killed)
    journal = tmp_path / JOURNAL
    assert len(Search(plan, tmp_path).tried) == trial
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"wor')  # half a line
    assert _told(_search(plan, tmp_path, rate_decides(plan))) == _told(unbroken)


def test_more_trials_go_on_and_what_is_over_is_not_trained_again(
    unbroken, plan_of, rate_decides, tmp_path
):
    plan = plan_of()
    _search(plan, tmp_path, rate_decides(plan), trials=4)
    count = []

    def train(config, judge):
        count.append(config)
        rate_decides(plan)(config, judge)

    assert _told(_search(plan, tmp_path, train, trials=6)) == _told(unbroken)[:6]
    assert len(count) == 2


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seed": 1}, "another seed"),
        ({"space": {"dropout": Range(0.0, 0.5)}}, "another space"),
        ({"preset": "optimizer: {learning_rate: 0.02}"}, "another preset"),
    ],
)
def test_another_search_in_the_same_directory_is_refused(
    plan_of, rate_decides, tmp_path, other, told
):
    plan = plan_of()
    _search(plan, tmp_path, rate_decides(plan), trials=1)
    with pytest.raises(TuneError, match=f"holds a search with {told}. Go on"):
        Search(plan_of(**other), tmp_path)


def test_other_days_metrics_and_specs_are_refused_too(plan_of, spec):
    plan = plan_of()
    fewer = dataclasses.replace(plan.examples, train=plan.examples.train[:-1])
    heavier = spec.tasks[0]
    heavier = dataclasses.replace(heavier, loss_weight=9.0)
    changed = dataclasses.replace(spec, tasks=(heavier, *spec.tasks[1:]))
    others = {
        "days": {"examples": fewer},
        "metric": {"objective": choose_objective(spec, ["like.auc"])},
        "slice": {"slice": dataclasses.replace(plan.slice, batch_size=8)},
        "spec": {"examples": dataclasses.replace(plan.examples, spec=changed)},
    }
    own = plan.identity()
    for name, settings in others.items():
        other = plan_of(**settings).identity()
        assert [key for key in own if own[key] != other[key]] == [name]


def test_no_trial_begins_after_the_seconds(plan_of, rate_decides, tmp_path):
    plan = plan_of()
    search = Search(plan, tmp_path)
    search.run(Budget(trials=9, seconds=1e-9), rate_decides(plan))
    assert len(search.tried) == 1
    tried = [dataclasses.replace(search.tried[0], seconds=5.0)] * 2
    assert Budget(trials=9, seconds=10.1).allows(tried)
    assert not Budget(trials=9, seconds=10.0).allows(tried)
    assert not Budget(trials=2, seconds=None).allows(tried)


def test_what_diverges_or_does_not_go_together_is_kept_with_its_reason(
    plan_of, spec, tmp_path
):
    plan = plan_of(
        preset="switcher: {kind: sluice, units: [4], subspaces: 2}",
        space={
            "switcher.units": Choices(([4], [6])),
            "switcher.subspaces": Choices((1, 2, 4)),  # 4 goes with [4] alone
        },
    )

    # Each value is fine beside the preset's others but [6] with 4.
    def train(config, judge):
        if config.switcher.subspaces == 1:
            raise DivergedError("Day 'x': loss is NaN.")
        with judge.until_enough():
            days_of(plan, judge, [0.5] * 4)

    tried = _search(plan, tmp_path, train, trials=20).tried
    for trial in tried[1:]:
        units, parts = trial.values.values()
        if (units, parts) == ([6], 4):
            assert trial.state == "refused"
            assert "must be multiples of subspaces (4)" in trial.why
            assert trial.config is None
        elif parts == 1:
            assert (trial.state, trial.why) == ("diverged", "Day 'x': loss is NaN.")
    assert {trial.state for trial in tried} >= {"refused", "diverged", "complete"}
    assert best_of(tried).number == 0  # the first of equals


def test_a_preset_that_diverges_is_no_place_to_begin(plan_of, tmp_path):
    plan = plan_of()

    def train(config, judge):
        raise DivergedError("Day 'x': loss is NaN.")

    for _ in range(2):  # and so it is told by a search that goes on
        with pytest.raises(TuneError, match="must train as it is.* loss is NaN"):
            _search(plan, tmp_path, train)
    assert [t.state for t in Search(plan, tmp_path).tried] == ["diverged"]


def test_a_preset_outside_of_the_space_is_still_trial_0(
    plan_of, rate_decides, tmp_path
):
    plan = plan_of(preset="optimizer: {learning_rate: 5.0}")
    tried = _search(plan, tmp_path, rate_decides(plan), trials=3).tried
    assert tried[0].values == {"optimizer.learning_rate": 5.0}
    assert tried[0].config == plan.preset
    assert all(trial.values["optimizer.learning_rate"] <= 1 for trial in tried[1:])


def test_passes_are_judged_on_the_last_search_day(plan_of, tmp_path):
    plan = plan_of(space={"passes.most": Choices((1, 4)), **RATES})
    last = plan.examples.train[-1][0]

    def says(value):
        return {"auc": {"click": value}, "positives": {"click": 100}}

    def train(config, judge):
        if config.passes.most == 1:
            with judge.until_enough():
                days_of(plan, judge, [0.9, 0.9, 0.9, 0.6])
        else:
            judge.of_pass(last, says(0.55))
            judge.of_pass(last, says(0.7))

    for trial in _search(plan, tmp_path, train, trials=6).tried:
        best = 0.6 if trial.values["passes.most"] == 1 else 0.7
        assert (trial.state, trial.days) == ("complete", (best,))


def test_days_without_the_metric_are_told(plan_of, tmp_path):
    plan = plan_of()

    def train(config, judge):
        with judge.until_enough():
            for day, _ in plan.examples.train:
                judge.of_day(day, {"auc": {"click": 0.7}, "positives": {"click": 3}})

    with pytest.raises(TuneError, match="no search day has mean of AUC of click"):
        _search(plan, tmp_path, train)

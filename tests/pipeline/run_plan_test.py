"""A run goes on where its directory left off, and does the same when asked again."""

import json

import pytest

from pipeline.ledger import Ledger, MadeDay, RunEntry
from pipeline.run_plan import Days, PlanError, RunPlan, judged_of, plan_run

_FIRST = Days.parse("20220408:20220410")


def _done(ledger: Ledger, plan: RunPlan, run: str, key: str = "k") -> Ledger:
    """The ledger after a run that made a split a day, its plan's new ones."""
    entry = RunEntry(id=run, began=run, plan=plan.to_json())
    ledger = ledger.with_run(entry)
    days = Days.parse(plan.new)
    for number in range(int(days.first), int(days.last) + 1):
        split = f"day-{number}"
        day = MadeDay(
            split=split, key=key, examples=f"e/{run}", state=f"s/{number}", run=run
        )
        ledger = ledger.with_day(day)
    return ledger


@pytest.fixture
def first() -> Ledger:
    """A ledger after a first run over three days, the last for evaluation."""
    plan = plan_run(Ledger(), "k", _FIRST, eval_days=1)
    return _done(Ledger(), plan, "1")


def test_a_first_run_makes_all_days():
    plan = plan_run(Ledger(), "k", _FIRST, eval_days=1)
    assert plan == RunPlan(new="20220408:20220410", new_eval_days=1, key="k")
    assert plan.is_first


def test_a_new_day_is_made_from_the_state_before_it(first):
    asked = Days.parse("20220408:20220411")
    plan = plan_run(first, "k", asked, eval_days=1, encoding="g/1")
    earlier = [(f"day-{day}", "e/1") for day in (20220408, 20220409, 20220410)]
    assert plan == RunPlan(
        new="20220411:20220411",
        new_eval_days=1,
        earlier=tuple(earlier),
        state_from="s/20220410",
        learned_through="20220409",
        encoding="g/1",
        key="k",
    )


def test_what_was_learned_through_stays_that_of_the_first_run(first):
    second = plan_run(first, "k", Days.parse("20220408:20220412"), eval_days=1)
    ledger = _done(first, second, "2")
    third = plan_run(ledger, "k", Days.parse("20220408:20220413"), eval_days=1)
    assert third.learned_through == "20220409"
    assert third.new == "20220413:20220413"
    assert dict(third.earlier)["day-20220412"] == "e/2"


def test_the_days_that_are_asked_for_may_begin_after_the_first_made_one(first):
    plan = plan_run(first, "k", Days.parse("20220411:20220412"), eval_days=1)
    assert plan.new == "20220411:20220412"
    assert len(plan.earlier) == 3


def test_no_more_days_are_for_evaluation_than_are_new(first):
    plan = plan_run(first, "k", Days.parse("20220408:20220411"), eval_days=2)
    assert plan.new_eval_days == 1


def test_with_nothing_new_the_last_plan_is_done_again(first):
    again = plan_run(first, "k", _FIRST, eval_days=1, encoding="g/1")
    assert again == RunPlan(new="20220408:20220410", new_eval_days=1, key="k")
    asked = Days.parse("20220408:20220411")
    second = plan_run(first, "k", asked, eval_days=1, encoding="g/1")
    ledger = _done(first, second, "2")
    found = plan_run(ledger, "k", asked, eval_days=1, encoding="g/2")
    assert found.to_json() == second.to_json()


def test_a_refreshed_encoding_stays_when_the_same_is_done_again(first):
    plan = plan_run(first, "k", _FIRST, eval_days=1, refresh_encoding="all")
    assert (plan.refresh_encoding, plan.new) == ("all", str(_FIRST))
    ledger = _done(first, plan, "2")
    assert plan_run(ledger, "k", _FIRST, eval_days=1).refresh_encoding == "all"
    later = plan_run(ledger, "k", Days.parse("20220408:20220411"), eval_days=1)
    assert later.refresh_encoding == "none"


def test_a_selected_weight_stays_until_somebody_asks(first):
    """A first selection of the same days is done again as it was: it is cached."""

    def plan(ledger, days=_FIRST, tasks=("share",), **more):
        known = {} if ledger is first else {"share": 50.0, "other": 2.0}
        asked = {"sparse_weights": tasks, "loss_weights": known, **more}
        return plan_run(ledger, "k", days, eval_days=1, **asked)

    selects = plan(first)
    assert (selects.sparse_weights, selects.loss_weights) == (("share",), {})
    ledger = _done(first, selects, "2")
    assert plan(ledger) == selects
    both = plan(ledger, tasks=("share", "follow"))
    assert both.loss_weights == {"share": 50.0}
    later = plan(ledger, Days.parse("20220408:20220411"))
    assert (later.sparse_weights, later.loss_weights) == (("share",), {"share": 50.0})
    assert RunPlan.from_json(json.loads(json.dumps(later.to_json()))) == later
    ledger = _done(ledger, later, "3")
    asked = Days.parse("20220408:20220411")
    anew = plan(ledger, asked, refresh_sparse_weights=True)
    assert (anew.new, anew.loss_weights) == (later.new, {})
    assert plan(_done(ledger, anew, "4"), asked) == anew
    assert plan(ledger, asked, tasks=()).sparse_weights == ()


def test_an_encoding_of_another_run_is_taken_as_it_is():
    plan = plan_run(Ledger(), "k", _FIRST, eval_days=1, fixed_encoding="other/g")
    assert plan.encoding == "other/g" and plan.fixed_encoding


def test_examples_of_another_key_or_with_earlier_days_are_all_made(first):
    asked = Days.parse("20220408:20220411")
    assert plan_run(first, "other", asked, eval_days=1).new == str(asked)
    earlier = Days.parse("20220407:20220411")
    assert plan_run(first, "k", earlier, eval_days=1).new == str(earlier)


def test_a_missing_day_is_passed_over_when_it_is_named(first):
    asked = Days.parse("20220408:20220412")
    plan = plan_run(first, "k", asked, eval_days=1, missing=["20220411"])
    assert plan.new == "20220412:20220412"
    assert plan.state_from == "s/20220410"
    assert plan.empty_days == ("20220411",)


def test_a_day_made_again_takes_all_after_it_along(first):
    plan = plan_run(first, "k", _FIRST, eval_days=1, replace_from="20220409")
    assert plan.new == "20220409:20220410"
    assert plan.state_from == "s/20220408"
    assert plan.earlier == (("day-20220408", "e/1"),)


@pytest.mark.parametrize(
    ("asked", "replaced", "told"),
    [
        ("20220408:20220409", "", "must not end before .*20220408 to 20220410"),
        ("20220413:20220414", "", "leaves days out .*Begin at 20220411"),
        ("20220408:20220410", "20220412", "--replace 20220412: must be a day"),
    ],
)
def test_days_that_do_not_go_on_are_refused(first, asked, replaced, told):
    with pytest.raises(PlanError, match=told):
        plan_run(first, "k", Days.parse(asked), eval_days=1, replace_from=replaced)


def test_the_newest_days_are_judged():
    splits = ["day-20220408", "day-20220409", "day-20220410"]
    assert judged_of(splits, "20220410", 1) == ("day-20220410",)
    assert judged_of(splits, "20220410", 2) == ("day-20220409", "day-20220410")
    # Of splits of several days the last one, though it began before.
    assert judged_of(["day-20220401", "day-20220408"], "20220410", 1) == (
        "day-20220408",
    )

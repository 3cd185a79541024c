"""What is told of an estimate: its verdict, and nothing that too few outcomes say."""

import dataclasses

import pytest

from feature_specs.spec import FusionSpec
from pipeline.fusion_search import estimate_report
from pipeline.fusion_search.estimate import VALUE, FusionEstimate, OrderEstimate
from pipeline.reporting.intervals import Gain

_NAMES = (VALUE, "skip", "like")


def _gain(mean: float, half: float) -> Gain:
    return Gain(mean=mean, low=mean - half, high=mean + half, pairs=80)


def _order(value: float, events: float) -> OrderEstimate:
    means = dict.fromkeys(_NAMES, _gain(value, 0.1))
    return OrderEstimate(
        fusion=FusionSpec(weights={"skip": -1.0}),
        snips=means,
        replay=means,
        events={VALUE: events, "skip": 150.0, "like": 6.0},
        matched=120.0,
        ess=222.0,
        ess_users=44.0,
    )


def _found(change: float, events: float = 90.0) -> FusionEstimate:
    changes = {VALUE: _gain(change, 0.05), "skip": _gain(-0.1, 0.02)}
    return FusionEstimate(
        found=_order(0.5 + change, events),
        against=_order(0.5, events),
        shown=dict.fromkeys(_NAMES, _gain(0.4, 0.1)),
        change={**changes, "like": _gain(-1.0, 0.0)},
        replayed={VALUE: _gain(change, 0.3)},
        utility="skip",
        candidates=10,
        days=("day-20240102",),
        rows=1_200,
        users=80,
        items=300,
        paired=("author_plays",),
        trained_days=(),
        seed=0,
    )


@pytest.mark.parametrize(
    ("change", "events", "verdict"),
    [
        (0.06, 90.0, "better"),
        (-0.06, 90.0, "worse"),
        (0.04, 90.0, "not shown to differ"),
        (0.06, 10.0, "too few outcomes to tell"),
    ],
)
def test_the_verdict_goes_by_the_interval_and_by_the_outcomes(change, events, verdict):
    assert _found(change, events).verdict == verdict


def test_the_page_tells_value_sizes_replay_and_what_is_not_estimated():
    text = estimate_report.markdown(_found(0.06))
    for part in (
        "Where videos are drawn at random: better. Value 0.5600 an impression, against "
        "0.5000: +0.0600 (+0.0100 to +0.1100) (95% interval over 80 users).",
        "1,200 random impressions of day-20240102, 300 different videos. Effective "
        "sample size: 222 impressions of 44 users",
        "By replay: +0.0600 (-0.2400 to +0.3600), of 120 and 120 impressions",
        "neither what the order does to the rest of a trail nor to returning",
        "Left out of all candidates: author_plays",
        "| skip | 0.4000 | 0.5000 | 0.5600 | -10.0% (-12.0% to -8.0%) |",
        "| like | 0.4000 | 0.5000 | 0.5600 | too few |",
    ):
        assert part in text
    assert "too few (95%" in " ".join(estimate_report.sentences(_found(0.06, 10.0)))


def test_programs_get_plain_values():
    found = estimate_report.summary(_found(0.06))
    assert found["verdict"] == "better"
    assert found["found"]["ess"] == 222
    assert "fusion" not in found["found"]
    trained = dataclasses.replace(_found(0.06), trained_days=("day-20240101",))
    assert "trained on day-20240101" in estimate_report.sentences(trained)[-1]

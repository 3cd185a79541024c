"""What is written: the spec as it was but for the section, changes that are known."""

import dataclasses

import numpy as np

from feature_specs import read_spec, views
from pipeline.fusion_search import report
from pipeline.fusion_search.by_facet import FacetWeights
from pipeline.fusion_search.judging import is_known
from pipeline.fusion_search.result import (
    BETTER,
    SAME,
    UNCLEAR,
    WORSE,
    FusionSearch,
    judge,
    with_weights,
)
from pipeline.fusion_search.scored import Part
from pipeline.reporting.intervals import Gain
from tests.pipeline.evaluation.tiny import TEXT
from tests.pipeline.fusion_search.toy import toy

_COMMENT = "# Whoever wrote this wants to keep it.\n"


def _found(text: str, weights: dict[str, float]) -> FusionSearch:
    default = {"like": 1.0, "stay": 0.0}
    rows = Part(toy(users=20), np.zeros(240, np.int64))
    start, own = (np.array(list(given.values())) for given in (default, weights))
    judged = judge(rows, start, own[np.newaxis])
    return FusionSearch(
        spec=with_weights(read_spec(text), weights),
        default=default,
        found=weights,
        utility="",
        k=5,
        by="request",
        constraints=("like >= -2%",),
        scale_free=True,
        by_users=False,
        searched_days=("day-20240101",),
        judged_days=("day-20240102",),
        trained_days=(),
        searched=judged,
        judged=judged,
        trials=10,
        seed=0,
    )


def test_the_spec_stays_as_it_was_written_but_for_the_section():
    text = (
        TEXT.replace("fusion:", f"{_COMMENT}fusion:") + f"{_COMMENT}evaluation: {{}}\n"
    )
    found = _found(text, {"like": 0.5, "stay": 0.25})
    written = report.spec_text(found)
    assert written.count(_COMMENT) == 2
    assert written.startswith(text.partition("fusion:")[0])
    assert views.digest(read_spec(written)) == views.digest(found.spec)


def test_a_section_of_another_form_is_written_anew():
    text = TEXT.replace("fusion:", "? fusion\n:")
    found = _found(text, {"like": 0.5, "stay": 0.25})
    assert read_spec(report.spec_text(found)).fusion.weights == found.found


def test_the_verdict_goes_by_the_interval():
    found = _found(TEXT, {"like": 0.5, "stay": 0.25})

    def verdict(low, high, weights=found.found):
        change = Gain(mean=(low + high) / 2, low=low, high=high, pairs=9)
        value = dataclasses.replace(found.judged.value, change=change)
        judged = dataclasses.replace(found.judged, value=value)
        return dataclasses.replace(found, judged=judged, found=weights).verdict

    assert verdict(0.01, 0.02) == BETTER
    assert verdict(-0.01, 0.02) == UNCLEAR
    assert verdict(-0.02, -0.01) == WORSE
    assert verdict(0.0, 0.0, found.default) == SAME


def test_the_page_tells_weights_guard_and_constraints():
    text = report.page(_found(TEXT, {"like": 0.5, "stay": 0.25}))
    assert "| stay | 0 | 0.25 |" in text
    guard = "half of the users, day-20240101, judged on the other half, day-20240102"
    assert guard in text
    assert "A multiple of all weights is the same order." in text
    assert "Constraint like >= -2%:" in text


def test_weights_by_a_facet_are_in_the_page_and_in_the_section():
    found = _found(TEXT, {"like": 0.5, "stay": 0.25})
    parted = FacetWeights(
        facet="who",
        own={"new": {"like": 0.75, "stay": -0.5}},
        kept={"old": "3 users to search on, 50 are needed"},
        users={"new": 60, "old": 3},
        change=Gain(mean=0.01, low=-0.01, high=0.03, pairs=60),
    )
    spec = with_weights(read_spec(TEXT), found.found, parted)
    assert spec.fusion.facets == {"who": {"new": {"like": 0.75, "stay": -0.5}}}
    found = dataclasses.replace(found, parted=parted, spec=spec)
    text = report.page(found)
    assert "| stay | 0 | 0.25 | -0.5 |" in text
    assert "who old keeps the common weights: 3 users to search on" in text
    assert "By who, NDCG@5 is +0.0100 (-0.0100 to +0.0300) more" in text
    assert "facets:\n    who:" in report.section(found)


def test_a_change_of_too_few_events_is_not_known():
    assert is_known(Gain(mean=0.3, low=-0.6, high=1.2, pairs=9))
    assert not is_known(Gain(mean=1.0, low=-0.2, high=2.2, pairs=9))
    assert not is_known(Gain(mean=-1.0, low=-1.0, high=-1.0, pairs=9))

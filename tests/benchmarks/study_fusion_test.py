"""The study of found weights: what it reads of a search, and its intervals over logs."""

import math
import pathlib
import sys

import pytest

from tests.pipeline.evaluation.tiny import TEXT
from tests.pipeline.fusion_search.report_test import _found

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, _BENCHMARKS)
    try:
        import study_fusion

        yield study_fusion
    finally:
        sys.path.remove(_BENCHMARKS)


def test_a_log_is_what_its_search_says(study):
    found = _found(TEXT, {"like": 0.5, "stay": 0.25})
    told = study.measures(found)
    assert told["judged"] == found.judged.value.found - found.judged.value.default
    assert told["judged default"] == found.judged.value.default
    assert math.isnan(told["random"])  # no estimate


def test_logs_are_what_the_interval_is_over(study):
    """0.1, 0.3 and 0.2: t with 2 degrees is 4.3027, the standard deviation 0.1."""
    logs = [dict.fromkeys(study._MEASURES.values(), v) for v in (0.1, 0.3, 0.2)]
    logs[1]["random"] = math.nan
    for log in logs:
        log["called better"] = 1.0
    gain = study.gain(logs, "judged")
    assert gain.half == pytest.approx(4.30265 * 0.1 / math.sqrt(3), rel=1e-4)
    told = study.summary(logs, study.QUICK, 1.0)
    assert told["gains"]["judged"]["gain"] == pytest.approx(0.2)
    assert told["gains"]["random"]["pairs"] == 2
    assert told["called_better"] == 3
    assert study.table(logs, study.QUICK).row_count == 4

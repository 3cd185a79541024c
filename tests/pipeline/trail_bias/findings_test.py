"""What the findings say, on sums made by hand; and that the figure shows them."""

import numpy as np
import pytest

from pipeline.trail_bias.findings import direction, find
from pipeline.trail_bias.plot import draw
from pipeline.trail_bias.report import sentences
from pipeline.trail_bias.sums import Sums

_UNIT = 1_000_000


@pytest.fixture
def sums_of(study_of):
    """Positives by slice and bin of 20 equal users' 30 rows -> sums of both tasks."""

    def make(random, feed):
        study = study_of(groups=20)
        cells = Sums.none(study).cells
        for number, positives in enumerate((random, feed)):
            for place, count in enumerate(positives or ()):
                one = [30, count, 30 * _UNIT, count * _UNIT]
                cells[0, number, place] = one
                cells[1, number, place] = one
        return Sums(cells, {1: 5, 2: 3, 6: 1, 9: 1}, 2), study

    return make


def test_trails_are_counted_by_length(sums_of):
    findings = find(*sums_of([10, 5], [10, 8]))
    assert (findings.trails, findings.short, findings.cut) == (2, 8, 2)
    # Ten trails in order: five of 1, three of 2, one of 6, one of 9.
    assert findings.lengths == {0.1: 1, 0.25: 1, 0.5: 1, 0.75: 2, 0.9: 6, 0.99: 9, 1: 9}
    assert findings.impressions == {"random": 1200, "feed": 1200}


def test_the_feed_is_compared_with_the_random_slice(sums_of):
    band = find(*sums_of([10, 5], [10, 8])).feed_over_random["like"]
    np.testing.assert_allclose(band.ratio, [1, 1.6])


@pytest.mark.parametrize(
    ("positives", "seen"),
    [([10, 5], "falls"), ([5, 10], "rises"), ([10, 0], "too few")],
)
def test_equal_users_leave_no_doubt(sums_of, positives, seen):
    findings = find(*sums_of(positives, [9, 9]))
    assert direction(findings.curves["random"]["like"].relative) == seen


def _spread(sums):
    """The same sums, of users who differ from each other at the end of the trail."""
    for users, more in ((slice(0, None, 2), 2), (slice(1, None, 2), -2)):
        sums.cells[:, :, 1, users, 1] += more
        sums.cells[:, :, 1, users, 3] += more * _UNIT


def test_a_band_over_1_is_unclear(sums_of):
    sums, study = sums_of([10, 10], [9, 9])
    _spread(sums)
    assert direction(find(sums, study).curves["random"]["like"].relative) == "unclear"


def test_the_figure_shows_what_is_not_too_sparse(sums_of):
    findings = find(*sums_of([4, 5], [10, 8]))  # 80 and 100 positives at random
    assert findings.too_sparse("random") == {"like": 80, "like_of_seen": 80}
    assert findings.too_sparse("feed") == {}
    random, feed = draw(findings).get_axes()
    lines = {line.get_label(): line for line in feed.get_lines()}
    assert lines["like"].get_xdata().tolist() == [25, 75]
    np.testing.assert_allclose(lines["like"].get_ydata(), [1, 0.8])
    assert not {"like", "like_of_seen"} & {x.get_label() for x in random.get_lines()}
    assert [text.get_text() for text in random.texts] == ["too few positives"]


def test_what_the_feed_does_beyond_the_trail_is_said(sums_of):
    said = " ".join(sentences(find(*sums_of([10, 5], [10, 8]))))
    assert "from the first bin to the last: falls: like, like_of_seen." in said
    assert "ends elsewhere than the random slice's: higher: like, like_of_seen." in said
    sums, study = sums_of([10, 5], [20, 11])
    _spread(sums)
    said = " ".join(sentences(find(sums, study)))
    assert "The feed's curves end where the random slice's do" in said

"""What moved, in words, and which log column several findings have in common."""

import pytest

from feature_specs import load_spec
from pipeline.gates import causes
from pipeline.gates.columns import columns_of
from pipeline.gates.levels import MISSING_SHARE, REJECTS, ROWS


@pytest.fixture(scope="module")
def spec():
    return load_spec("kuairand")


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ("label_finish", {"play_time_ms", "duration_ms"}),
        ("label_watch_rank", {"play_time_ms", "duration_ms"}),  # a quantile's
        ("user_play_rate", {"user_id", "is_click"}),  # a statistic's
        ("author_plays", {"author_id", "is_click"}),  # a counter's
        ("tags", {"tag"}),
        ("tab", {"tab"}),
        ("mask_like_after_view", {"is_click"}),
        ("mask_like", set()),
        ("trail_position", set()),
        ("history_video_id", set()),
        ("hour", {"event_time"}),
    ],
)
def test_a_column_is_made_of_columns_of_the_log(spec, column, read):
    assert causes.sources(spec, column) == read


def _common(spec, *found):
    return causes.common_source(spec, set(found), {c.key for c in columns_of(spec)})


def test_the_column_that_most_findings_read_is_named(spec):
    found = ("label_watch_seconds", "label_completion", "label_finish", "label_skip")
    assert _common(spec, *found) == (
        "4 of the 4 columns that moved read `play_time_ms`, as 5 others do."
    )
    found = ("label_like", "label_interact", "label_like_after_view")
    assert _common(spec, *found) == (
        "3 of the 3 columns that moved read `is_like`, as no other does."
    )


def test_findings_that_have_nothing_in_common(spec):
    assert _common(spec, "label_like", "tab", "hour") == ""
    assert _common(spec, "label_like") == ""
    assert _common(spec, "trail_position", "trail_seconds") == ""


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (causes.moved(ROWS, 400, 1_000), "60 % of the rows are not there"),
        (causes.moved(ROWS, 2_000, 1_000), "2 times what it was"),
        (causes.moved("mean", 1.0, 4.0), "1/4 times what it was"),
        (causes.moved("mean", 1.5, -0.5), "2 more than it was"),
        (causes.moved("label mean", 0.0, 0.25), "0.25 less than it was"),
        (causes.moved(MISSING_SHARE, 0.2, 0.5), "fewer rows without a value"),
        (causes.moved(REJECTS, 0.2, 0.0), "unreadable rows: the report of the "
         "examples says why"),
        (causes.unseen(["a", 7, "b" * 40, "c"]), "no day before has 'a', 7, "
         "'bbbbbbbbbbbbbbbbbbbb... and 1 more"),
        (causes.mix([("a", 0.5, 0.25)], None), "'a' 50 % (was 25 %)"),
        (causes.mix([("a", 0.5, 0.25)], ("a", "b")),
         "'a' and 'b' look exchanged: 'a' 50 % (was 25 %)"),
    ],
)  # fmt: skip
def test_words(told, wanted):
    assert told == wanted


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (1.5e-5, "1.5e-05"), (0.01949, "0.01949"), (12345.6, "12,346"),
     (2.5e9, "2.5e+09"), (-3.25, "-3.25")],
)  # fmt: skip
def test_numbers_of_any_size(value, told):
    assert causes.number(value) == told

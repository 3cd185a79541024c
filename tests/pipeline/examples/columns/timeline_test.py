"""How long impressions lasted, in the unit and the place that the spec names."""

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.columns.timeline import Timeline, known_from_ms, watched_ms
from pipeline.examples.columns.trails import add_trails

_BEGIN = 1_649_400_000_000


def _spec(spec_text, time, columns=""):
    text = spec_text.replace("watched_ms: watched", time)
    return read_spec(text.replace("watched: int64", columns or "watched: int64"))


@pytest.mark.parametrize(
    ("key", "declared", "values", "found"),
    [
        ("watched_ms", "int64", [7, -7, None, 2**62], [7, 0, 0, 5_000]),
        ("watched_s", "int64", [2, -2, None, 2**62], [2_000, 0, 0, 5_000]),
        ("watched_ms", "float64", [1.5, 2.5, None, 1e300], [2, 2, 0, 5_000]),
        ("watched_s", "float64", [0.29, -0.5, None, 1e300], [290, 0, 0, 5_000]),
    ],
)
def test_a_watch_is_whole_milliseconds(spec_text, key, declared, values, found):
    spec = _spec(
        spec_text, f"{key}: watched, longest_ms: 5000", f"watched: '{declared}?'"
    )
    dtype = pl.Int64() if declared == "int64" else pl.Float64()
    frame = pl.DataFrame(
        {"watched": pl.Series(values, dtype=dtype), "_time_ms": [_BEGIN] * 4}
    )
    assert watched_ms(frame, spec).tolist() == found
    # An impression that has no length is known from the next millisecond on.
    expected = [_BEGIN + max(1, watched) for watched in found]
    assert known_from_ms(frame, spec).tolist() == expected


def test_a_length_of_a_side_file_and_missing_watches_count_as_they_should(spec_text):
    text = spec_text.replace("tags: ", "lasts: 'float64?', tags: ")
    text = text.replace("outcomes: [watched,", "outcomes: [watched, seconds,")
    time = "watched_s: seconds, length_s: lasts"
    spec = _spec(text, time, "watched: int64, seconds: 'float64?'")
    frame = pl.DataFrame(
        {
            "uid": [1] * 5,
            "_time_ms": [_BEGIN + n * 60_000 for n in range(5)],
            "tab": [0] * 5,
            "seconds": [5.0, None, 3.0, 20.0, 1.0],
            "lasts": [10.0, 10.0, None, 10.0, 10.0],
        }
    )
    found = add_trails(frame, spec, Timeline.of(frame, spec))["trail_watched_share"]
    # Of the first 5 of 10 s; the second and the third lack one of the two; of the
    # fourth no more than all of it.
    assert found.to_list() == [None, 0.5, 0.5, 0.5, 15 / 20]
    assert add_trails(frame, spec, Timeline.of(frame, spec))[
        "trail_position"
    ].to_list() == [1, 2, 3, 4, 5]

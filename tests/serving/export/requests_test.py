import math

import pytest

from serving.export.requests import rank_inputs


def test_fills_what_is_missing_and_pads_sequences(spec):
    inputs = rank_inputs(
        spec,
        {"user_id": 5, "history_video_id": [3, 4]},
        [
            {"video_id": 1, "kind": "a", "seconds": 2.5, "cover": [3, 4.5]},
            {"video_id": 2, "kind": None, "title": "A cat"},
        ],
        {"watched": 1},
    )
    assert math.isnan(inputs["seconds"].pop())
    assert math.isnan(inputs["weights"].pop(0))
    missing = [inputs["cover"].pop(), *inputs.pop("history_cover")]
    assert all(math.isnan(part) for vector in missing for part in vector)
    assert inputs == {
        "user_id": [5],
        "history_video_id": [[3, 4]],
        "tab": [-1],
        "video_id": [1, 2],
        "kind": ["a", ""],
        "seconds": [2.5],
        "title": ["", "A cat"],
        "cover": [[3, 4.5]],
        "weights": [1.0],
        "top_k": 0,
    }


def test_a_missing_vector_is_nan_throughout(spec):
    for absent in ({}, {"cover": None}, {"cover": []}, {"cover": [math.nan] * 2}):
        (cover,) = rank_inputs(spec, {}, [absent])["cover"]
        assert len(cover) == 2 and all(map(math.isnan, cover))
    (half,) = rank_inputs(spec, {}, [{"cover": [1.0, None]}])["cover"]
    assert half[0] == 1 and math.isnan(half[1])


def test_an_absent_sequence_is_one_missing_value(spec):
    inputs = rank_inputs(spec, {}, [{"video_id": 1}])
    assert inputs["history_video_id"] == [[-1]]


@pytest.mark.parametrize(
    ("request_values", "candidate", "weights", "message"),
    [
        ({"tap": 1}, {}, {}, "request: 'tap' is unknown. Did you mean 'tab'?"),
        ({}, {"user_id": 1}, {}, "candidate 0: 'user_id' is unknown"),
        ({}, {}, {"watch": 1.0}, "Did you mean 'watched'?"),
        ({"trail_position": 1.0}, {}, {}, "'trail_position' is unknown"),
        ({}, {"cover": [1.0]}, {}, "cover: must be a list of 2 numbers, as the model"),
        ({"history_cover": [1.0] * 3}, {}, {}, "Got 3."),
    ],
)
def test_unknown_names_are_refused(spec, request_values, candidate, weights, message):
    with pytest.raises(ValueError) as error:
        rank_inputs(spec, request_values, [candidate], weights)
    assert message in str(error.value)

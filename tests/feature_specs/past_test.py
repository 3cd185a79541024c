"""Which derived columns know what an outcome knows."""

from feature_specs.past import with_readers


def test_readers_of_readers_are_found_and_others_are_not():
    derived = {
        "free": "tab + 1",
        "well": "watched > 3",
        "very_well": "CASE WHEN well THEN free END",
        "constant": "1",
    }
    assert with_readers({"watched"}, derived) == {"watched", "well", "very_well"}
    assert with_readers({"free"}, derived) == {"free", "very_well"}
    assert with_readers((), derived) == frozenset()

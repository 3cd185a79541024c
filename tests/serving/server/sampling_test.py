"""Who is drawn: the same request or user again, an even share, others for each seed."""

import hashlib

import numpy as np

from serving.server.sampling import content_of, place_of, pseudonym_of, user_of

REQUEST = {
    "user_id": np.array([7]),
    "title": np.array([b"ab", b"c"], object),
    "x": np.array([[1.0, 2.0]], np.float32),
}


def test_the_content_is_all_that_is_asked_in_any_order():
    found = content_of("m", "rank", REQUEST)
    assert len(found) == 32
    backwards = dict(reversed(REQUEST.items()))
    assert content_of("m", "rank", backwards) == found
    others = [
        content_of("n", "rank", REQUEST),
        content_of("m", "rows", REQUEST),
        content_of("m", "rank", {**REQUEST, "user_id": np.array([8])}),
        content_of("m", "rank", {**REQUEST, "user_id": np.array([7], np.int32)}),
        content_of("m", "rank", {**REQUEST, "title": np.array([b"a", b"bc"], object)}),
        content_of("m", "rank", {**REQUEST, "x": REQUEST["x"].T}),
    ]
    assert len({found, *others}) == 7


def test_the_place_is_a_keyed_hash_over_its_range():
    digest = hashlib.blake2b(b"7", digest_size=8, key=b"canary/3").digest()
    expected = int.from_bytes(digest, "big") / 2**64
    assert abs(place_of("7", 3, "canary") - expected) < 2**-52
    assert place_of("7", 4, "canary") != place_of("7", 3, "shadow") != expected


def test_places_are_even():
    """10,000 users: 0.05 of them are 500, with a standard deviation of 22."""
    drawn = [place_of(str(user), 0, "canary") < 0.05 for user in range(10_000)]
    assert abs(sum(drawn) - 500) < 110  # five of them
    again = [place_of(str(user), 1, "canary") < 0.05 for user in range(10_000)]
    assert sum(map(int.__mul__, map(int, drawn), map(int, again))) < 60  # 25 by chance


def test_a_user_is_one_value():
    assert user_of(REQUEST, "user_id") == "7"
    assert user_of({"u": np.array([b"ann", b"ann"], object)}, "u") == "ann"
    assert user_of({"u": np.array([1, 2])}, "u") is None
    assert user_of({"u": np.array([], np.int64)}, "u") is None
    assert user_of(REQUEST, "u") is None


def test_a_pseudonym_is_the_user_s_under_one_seed():
    assert pseudonym_of("7", 0) == pseudonym_of("7", 0) != pseudonym_of("7", 1)
    assert len(pseudonym_of("7", 0)) == 16

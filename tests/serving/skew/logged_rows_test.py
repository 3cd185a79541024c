"""What a backend's log must hold, and which values a server takes."""

import pytest

from serving.skew.logged_rows import read_logged, refusal


def test_features_are_kept_by_their_rows_keys(tmp_path, spec):
    (tmp_path / "sent").write_text(
        '{"key_user": 1, "key_item": "v", "key_time_ms": 3, "tab": null, "x": 0}\n\n'
        '{"key_user": 2, "key_item": "v", "key_time_ms": 3, "seconds": NaN}\n'
    )
    found = read_logged(tmp_path / "sent", spec)
    assert found.unknown == ("x",)
    assert found.rows[1, "v", 3] == {"tab": None}
    assert str(found.rows[2, "v", 3]) == "{'seconds': nan}"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("user_id", 3, ""),
        ("user_id", None, ""),
        ("user_id", True, "must be a number"),
        ("user_id", 2**63, "must fit in 64 bits"),
        ("seconds", 3, ""),
        ("seconds", "3", "must be a number"),
        ("kind", 3, "must be text"),
        ("history_video_id", 3, "must be a list"),
        ("history_video_id", [3, None], "must have no null in it"),
        ("history_video_id", [3, 1.5], "must be a whole number"),
        ("cover", [1.0, None], ""),
        ("cover", [], ""),
        ("cover", [1.0], "must have 2 numbers"),
    ],
)
def test_what_a_server_refuses(spec, name, value, told):
    assert refusal(spec.feature(name), value) == told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row in it"),
        ("{", "line 1: not JSON"),
        ('{"key_user": 1}', "must be an object with key_user, key_item, key_time_ms"),
        ('{"key_user": 1.5, "key_item": 1, "key_time_ms": 1}', "must be whole numbers"),
        (2 * '{"key_user": 1, "key_item": 1, "key_time_ms": 1}\n', "an earlier line"),
    ],
)
def test_files_that_hold_no_rows(tmp_path, spec, text, message):
    (tmp_path / "sent").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_logged(tmp_path / "sent", spec)

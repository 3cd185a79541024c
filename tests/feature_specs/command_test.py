"""`trailrank spec`."""

import pytest

from feature_specs.command import run


def test_check_says_what_is_right(capsys):
    assert run(["check", "movielens"]) == 0
    assert "10 features" in capsys.readouterr().out


def test_show_lists_features_tables_and_tasks(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["show", "kuairand"]) == 0
    shown = capsys.readouterr().out
    for name in ("history_video_id", "trail_position", "author", "like_after_view"):
        assert name in shown


def test_missing_argument_ends_in_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        run(["check"])
    assert caught.value.code == 2
    assert "usage: trailrank spec check" in capsys.readouterr().err

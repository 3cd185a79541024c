import dataclasses
import json

import pytest

from serving.ranking.lookup import Examples, NoExamplesError
from trailrank import cli


def run(flags: list[str]) -> int:
    return cli.main(["trailrank", "rank", *flags])


@pytest.fixture(scope="module")
def root(write_run, tmp_path_factory):
    """A finished run's directory: its record and its examples."""
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def examples(root, spec):
    return Examples(str(root / "examples"), spec)


def test_user_features_come_from_the_newest_impression(examples):
    # user 1 has three, all on the first day; the third is the newest
    assert examples.user(1) == {
        "user_id": 1,
        "history_video_id": [10, 11],
        "history_cover": [0.5, 1.0],
        "tab": 0,
    }
    assert examples.user(2)["history_video_id"] == [10, 12, 13, 11]  # the second day's
    assert examples.user(99) is None


def test_item_features(examples):
    found = examples.items([10, 14, 99])
    ten = {"video_id": 10, "kind": "a", "seconds": 7.0}
    fourteen = {"video_id": 14, "kind": "", "seconds": 15.0}
    assert found == {
        10: {**ten, "title": "A cat", "cover": [1.0, 0.0]},
        14: {**fourteen, "title": "\u732b a", "cover": [-1.0, 1.0]},
    }


def test_features_of_a_user_and_an_item_are_no_items_features(root, spec):
    features = tuple(
        dataclasses.replace(feature, paired=feature.name == "seconds")
        for feature in spec.features
    )
    examples = Examples(
        str(root / "examples"), dataclasses.replace(spec, features=features)
    )
    assert "seconds" not in examples.items([10])[10]
    assert examples.items([10])[10]["kind"] == "a"


def test_the_items_shown_last(examples):
    # day 2 has 13 (position 2) and 14 (1); then 12 (3), 11 (2), 10 (1) of day 1
    assert list(examples.newest_items(1)) == [13]
    assert set(examples.newest_items(3)) == {13, 14, 12}
    assert set(examples.newest_items(100)) == {10, 11, 12, 13, 14}


def test_the_users_shown_something_last(examples):
    # day 2: user 2 (position 2), then user 3 (position 1); user 1 on day 1 alone
    assert [user["user_id"] for user in examples.newest_users(2)] == [2, 3]
    assert [user["user_id"] for user in examples.newest_users(9)] == [2, 3, 1]
    assert examples.newest_users(1) == [examples.user(2)]


def test_no_examples(tmp_path, spec):
    with pytest.raises(NoExamplesError, match="no Split-day"):
        Examples(str(tmp_path), spec)


def arguments(root, url, *more):
    return ["--root", str(root), "--url", url, *more]


def test_ranks_the_items_shown_last(root, model_url, capsys):
    assert run(arguments(root, model_url, "--user", "2", "--top", "2")) == 0
    out = capsys.readouterr().out
    assert "long_view" in out and "score" in out and "video_id" in out
    assert "5 candidates in" in out
    assert "new user" not in out


def test_ranks_a_file_of_ids_and_objects_for_a_new_user(
    root, model_url, tmp_path, capsys
):
    lines = ["10", "", "99", '{"video_id": 1234, "kind": "b", "seconds": null}']
    path = tmp_path / "candidates.txt"
    path.write_text("\n".join(lines))
    argv = arguments(root, model_url, "--user", "777", "--candidates", str(path))
    assert run(argv) == 0
    out = capsys.readouterr().out
    assert "user 777 is in no example: ranked as a new user" in out
    assert "1 candidates are in no example" in out
    assert "3 candidates in" in out and "1234" in out


def test_weights_change_the_order(root, model_url, capsys):
    def order(weights):
        argv = arguments(root, model_url, "--user", "1", "--weights", weights)
        assert run(argv) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        return [cells[1] for cells in lines if len(cells) == 5 and cells[0].isdigit()]

    upward = order('{"long_view": 30, "watched": 0}')  # the length counts little then
    downward = order('{"long_view": -30, "watched": 0}')
    assert len(upward) == 5
    assert upward == downward[::-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--user", "1", "--weights", '{"watch": 1}'], "Did you mean 'watched'?"),
        (["--user", "me"], "user_id must be a whole number. Got 'me'."),
        (["--user", str(2**63)], "user_id must fit in 64 bits (int64). Got '92233"),
        (
            ["--user", "1", "--candidates", "/none"],
            "--candidates /none: cannot be read",
        ),
        (["--user", "1", "--url", "http://127.0.0.1:1"], "trailrank serve --root RUN"),
    ],
)
def test_mistakes_are_named(root, model_url, capsys, more, message):
    assert run(arguments(root, model_url, *more)) == 1
    assert message in capsys.readouterr().err


def test_a_model_made_with_another_spec_is_told(
    root, spec, model_url, tmp_path, capsys
):
    text = spec.text.replace("name: watched,", "name: share,")
    text = text.replace("watched: -0.5", "share: -0.5")
    record = {"spec_text": text, "examples": str(root / "examples")}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert run(arguments(tmp_path, model_url, "--user", "1")) == 1
    assert "'tiny' has no output share: it was made with" in capsys.readouterr().err


def test_no_run(tmp_path, capsys):
    assert run(["--root", str(tmp_path), "--user", "1"]) == 1
    assert "no finished run here" in capsys.readouterr().err


def test_weights_must_be_json(root, capsys):
    with pytest.raises(SystemExit):
        run(["--root", str(root), "--user", "1", "--weights", "{skip: 1}"])
    assert "--weights must be JSON" in capsys.readouterr().err

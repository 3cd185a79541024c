"""The spec reader as a whole: what it fills in, and how it tells mistakes."""

import copy
import pathlib
import pickle

import pytest

from feature_specs import SpecError, load_spec, read_spec, shipped_specs


@pytest.mark.parametrize("name", shipped_specs())
def test_shipped_specs_are_right(name):
    assert load_spec(name).name == name


def test_a_spec_is_read_once(good):
    assert read_spec(good) is read_spec(good)


def test_a_spec_can_be_sent_to_a_worker(good):
    spec = read_spec(good)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec).outcomes == spec.outcomes


def test_every_scalar_column_has_its_type_in_examples(good):
    assert read_spec(good).column_types == {
        "user_id": "int64",
        "video_id": "string",
        "time_ms": "int64",
        "watched": "int64",
        "duration": "int64",
        "liked": "int64",
        "tab": "int64",
        "age": "int64",
        "tags": "string",
        "author_id": "int64",
        "score": "float32",
        "trail_position": "int64",
        "trail_seconds": "float32",
        "trail_length": "int64",
        "trail_relative": "float32",
        "trail_watched_share": "float32",
        "trail_last_tab": "int64",
        "trail_last_tags": "string",
        "author_seen": "int64",
        "since_like": "float32",
        "tag_likes": "float32",
        "like_rate": "float32",
        "plays": "int64",
        "watch_rank": "float32",
        "user_group": "string",
        "well": "int64",
        "very_well": "int64",
        "ending": "int64",
    }


def test_outcomes_and_future_spread_through_derived_columns(good):
    spec = read_spec(good)
    assert spec.outcomes == {"liked", "watched", "watch_rank", "well", "very_well"}
    assert spec.future == {"trail_length", "trail_relative", "ending"}


def test_four_mistakes_are_told_at_once(good):
    text = good.replace("Asia/Shanghai", "Nowhere")
    text = text.replace("kind: bucket, boundaries: [2, 4]", "kind: bucket")
    text = text.replace("{like: 1.0}", "{love: 1.0}")
    text = text.replace("match: author_id", "match: author_idd")
    with pytest.raises(SpecError) as caught:
        read_spec(text, "mine.yaml")
    assert len(caught.value.problems) == 4
    message = str(caught.value)
    assert message.startswith("mine.yaml: 4 mistakes")
    for part in ("log.timezone", "boundaries", "fusion.weights.love", "author_idd"):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("outcomes: [liked, watched]", "outcomes: liked"),  # the whole log
        ("time_ms: int64", "time_ms: integer"),
        ("trail: {", "trail: {gap_minutes: long, "),
        ("length: 7", "length: long"),
        ("days: 7", "days: soon"),
        ("match: author_id", "match: 7"),
        ('well: "watch_rank > 0.5"', "well: 1"),
        ('well: "watch_rank > 0.5"', 'well: "watch_rank > "'),
        ("step: 500,", ""),
        ("kind: id, table: video", "kind: idd, table: video"),
        ("name: like, kind: binary", "name: like, kind: bin"),
    ],
)
def test_one_mistake_is_told_once(mistakes, old, new):
    assert len(mistakes(old, new)) == 1


def test_an_unknown_section_names_the_closest(mistakes):
    (told,) = [m for m in mistakes("counters:", "countres:") if "section" in m]
    assert told == "countres: is no section. Did you mean 'counters'?"


def test_broken_yaml_names_line_and_column():
    with pytest.raises(SpecError, match=r"line 4, column 2: not YAML"):
        read_spec("name: x\nlog:\n  a: [1, 2\nb: }")


def test_a_key_written_twice_is_refused():
    with pytest.raises(SpecError, match="'name' is written twice"):
        read_spec("name: a\nname: b\n")


def test_unknown_spec_names_the_known_ones():
    with pytest.raises(SpecError, match=r"kuairnd: .*\n.*Did you mean 'kuairand'"):
        load_spec("kuairnd")


def test_a_spec_is_read_from_a_path(good, tmp_path: pathlib.Path):
    path = tmp_path / "mine.yaml"
    path.write_text(good)
    assert load_spec(str(path)).name == "tiny"

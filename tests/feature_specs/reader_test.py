"""The spec reader: what it fills in, and every mistake it names."""

import pathlib

import pytest

from feature_specs import SpecError, load_spec, read_spec, shipped_specs

_GOOD = """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  timezone: Asia/Shanghai
  columns: {user_id: int64, video_id: string, time_ms: int64, liked: int64, age: "int64?"}
  outcomes: [liked]
trail: {scope: [user_id]}
history: {positive: "liked = 1", columns: [video_id], length: 7}
tables: {video: {buckets: 1024}, user: {buckets: 100, dim: 8}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: hour, group: context, kind: category, size: 24, expr: "EXTRACT(hour FROM event_time)"}
  - {name: age, group: query, kind: bucket, boundaries: [18, 30]}
  - {name: age_years, group: query, kind: number, expr: "age / 1"}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4]}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
fusion: {weights: {like: 1.0}}
"""


def _with(old: str, new: str) -> str:
    assert old in _GOOD
    return _GOOD.replace(old, new)


@pytest.mark.parametrize("name", shipped_specs())
def test_shipped_specs_are_right(name):
    assert load_spec(name).name == name


def test_types_come_from_the_expressions():
    types = {f.name: f.dtype for f in read_spec(_GOOD).features}
    assert types == {
        "user_id": "int64",
        "history_video_id": "string",
        "video_id": "string",
        "hour": "int64",
        "age": "float32",
        "age_years": "float32",
        "trail_position": "float32",
    }


def test_a_feature_may_be_called_like_an_sql_word():
    text = _GOOD.replace('age: "int64?"', 'user: "int64?", age: "int64?"')
    text = text.replace("- {name: age,", "- {name: user,", 1)
    assert "user" in [feature.name for feature in read_spec(text).features]


def test_sequence_takes_the_history_length_by_default():
    lengths = {f.name: f.length for f in read_spec(_GOOD).features}
    assert lengths["history_video_id"] == 7
    assert lengths["video_id"] == 0


def test_table_width_follows_the_log_of_its_size_unless_given():
    tables = read_spec(_GOOD).tables
    assert tables["video"].width == 20  # 4 * round(log2(1024) / 2) = 4 * 5
    assert tables["user"].width == 8


def test_rows_count_missing_and_others():
    spec = read_spec(_GOOD)
    rows = {f.name: f.rows(spec.tables) for f in spec.features if not f.is_number}
    assert rows["video_id"] == 1024
    assert rows["hour"] == 26  # missing + 24 + others
    assert rows["age"] == 4  # missing + 3 intervals


def test_trail_features_are_not_served():
    spec = read_spec(_GOOD)
    assert "trail_position" not in [f.name for f in spec.served_features]
    assert [f.name for f in spec.trail_features] == ["trail_position"]


def test_digest_changes_with_the_text():
    assert read_spec(_GOOD).digest != read_spec(_GOOD + "\n").digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("user: user_id", "user: usr_id", r"log\.user: .*Did you mean 'user_id'\?"),
        ("[liked]", "[lked]", r"log\.outcomes\[0\]: must be a declared column"),
        ("time_ms: int64", "time_ms: integer", r"log\.columns\.time_ms: must be int64"),
        ("Asia/Shanghai", "Mars/Base", r"log\.timezone: must be an IANA time zone"),
        ("kind: number", "kind: float", r"features\[5\] \(age_years\)\.kind: must be"),
        ("table: user}", "table: usr}", r"is not in tables\. Did you mean 'user'\?"),
        ('"age / 1"', '"liked / 1"', r"age_years' reads liked, known only after"),
        ('"age / 1"', '"agee / 1"', r"reads 'agee', which is no column.*'age'"),
        ('"age / 1"', '"age / / 1"', r"\.expr: is not an SQL expression"),
        ('"age / 1"', '"video_id"', r"\.expr: must be a number"),
        (
            'label: "liked = 1"',
            'label: ""',
            r"tasks\[0\] \(like\)\.label: is not an SQL",
        ),
        ('"age / 1"', '"AVG(age)"', r"\.expr: mixes rows"),
        ('"age / 1"', '"age / AVG(age)"', r"\.expr: mixes rows"),
        (
            '"age / 1"',
            '"RANK() OVER (PARTITION BY user_id ORDER BY time_ms)"',
            r"mixes rows",
        ),
        (
            '"liked = 1", columns',
            '"trail_position = 1", columns',
            r"positive: may not read",
        ),
        ("[18, 30]", "[30, 18]", r"boundaries: must be increasing"),
        ("buckets: 100,", "buckets: 1,", r"tables\.user\.buckets: must be at least 2"),
        ("dim: 8", "dim: 6", r"tables\.user\.dim: must be a multiple of 4"),
        ("{like: 1.0}", "{lik: 1.0}", r"fusion\.weights\.lik: is no task.*'like'"),
        ("scope: [user_id]", "scope: [video_id]", r"must begin with the user's column"),
        ("name: hour", "name: age", r"features\[4\] \(age\)\.name: is taken already"),
        ("name: hour", "name: label_x", r"name: may not begin with label_"),
        ("length: 7", "lenght: 7", r"history\.lenght: is no key here.*'length'"),
        ("trail: {", "trial: {", r"trial: is no section\. Did you mean 'trail'\?"),
        ("name: like,", "name: score,", r"is the fused score's"),
        ("name: hour,", "name: weights,", r"is the input of `rank`"),
        ("user_id: int64", '"user_id": "int64?"', r"may not be empty in any row"),
        ("[video_id], length", "[video], length", r"history\.columns\[0\]: must be a"),
    ],
)
def test_each_mistake_is_named(old, new, message):
    with pytest.raises(SpecError, match=message):
        read_spec(_with(old, new))


def test_a_label_among_the_features_is_refused_also_through_a_condition():
    text = _with('"age / 1"', '"CASE WHEN liked = 1 THEN age ELSE 0 END"')
    with pytest.raises(SpecError, match="a label among the features"):
        read_spec(text)


def test_three_mistakes_are_told_at_once():
    text = _GOOD.replace("Asia/Shanghai", "Nowhere")
    text = text.replace("kind: bucket, boundaries: [2, 4]", "kind: bucket")
    text = text.replace("{like: 1.0}", "{love: 1.0}")
    with pytest.raises(SpecError) as caught:
        read_spec(text, "mine.yaml")
    assert len(caught.value.problems) == 3
    message = str(caught.value)
    assert message.startswith("mine.yaml: 3 mistakes")
    for part in ("log.timezone", "boundaries", "fusion.weights.love"):
        assert part in message


def test_broken_yaml_names_line_and_column():
    with pytest.raises(SpecError, match=r"line 4, column 2: not YAML"):
        read_spec("name: x\nlog:\n  a: [1, 2\nb: }")


def test_a_key_written_twice_is_refused():
    with pytest.raises(SpecError, match="'name' is written twice"):
        read_spec("name: a\nname: b\n")


def test_on_is_a_key_and_no_boolean():
    joined = (
        "  joins:\n"
        '    users: {files: "u*.csv", on: user_id, '
        "columns: {user_id: int64, city: string}}\n"
    )
    text = _GOOD.replace("  outcomes: [liked]\n", f"  outcomes: [liked]\n{joined}")
    assert read_spec(text).log.joins["users"].on == "user_id"


def test_unknown_spec_names_the_known_ones():
    with pytest.raises(SpecError, match=r"kuairnd: .*\n.*Did you mean 'kuairand'"):
        load_spec("kuairnd")


def test_a_spec_is_read_from_a_path(tmp_path: pathlib.Path):
    path = tmp_path / "mine.yaml"
    path.write_text(_GOOD)
    assert load_spec(str(path)).name == "tiny"

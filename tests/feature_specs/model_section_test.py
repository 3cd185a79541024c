"""Filters, tables, features, tasks, fusion, evaluation: defaults and every mistake."""

import re

import pytest

from feature_specs import SpecError, read_spec


def test_types_come_from_the_expressions(good):
    types = {f.name: f.dtype for f in read_spec(good).features}
    assert types == {
        "user_id": "int64",
        "history_video_id": "string",
        "video_id": "string",
        "hour": "int64",
        "age": "float32",
        "age_years": "float32",
        "trail_position": "float32",
        "ending": "int64",
        "like_rate": "float32",
        "user_group": "string",
        "tag_list": "string",
    }


def test_a_feature_may_be_called_like_an_sql_word(good):
    text = good.replace('age: "int64?"', 'user: "int64?", age: "int64?"')
    text = text.replace("- {name: age,", "- {name: user,", 1)
    assert "user" in [feature.name for feature in read_spec(text).features]


def test_sequence_takes_the_history_length_by_default(good):
    lengths = {f.name: f.length for f in read_spec(good).features}
    assert lengths["history_video_id"] == 7
    assert lengths["tag_list"] == 4
    assert lengths["video_id"] == 0


def test_table_width_follows_the_log_of_its_size_unless_given(good):
    tables = read_spec(good).tables
    assert tables["video"].width == 20  # 4 * round(log2(1024) / 2) = 4 * 5
    assert tables["user"].width == 8


def test_rows_count_missing_and_others(good):
    spec = read_spec(good)
    rows = {f.name: f.rows(spec.tables) for f in spec.features if not f.is_number}
    assert rows["video_id"] == 1024
    assert rows["hour"] == 26  # missing + 24 + others
    assert rows["age"] == 4  # missing + 3 intervals


def test_trail_features_are_not_served(good):
    spec = read_spec(good)
    assert "trail_position" not in [f.name for f in spec.served_features]
    assert [f.name for f in spec.trail_features] == ["trail_position", "ending"]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("liked / 1", "liked"),
        ("CASE WHEN liked = 1 THEN age ELSE 0 END", "liked"),
        ("age + watched", "watched"),
        ("watch_rank", "watch_rank"),
        ("CASE WHEN very_well THEN 1 END", "very_well"),
    ],
)
@pytest.mark.parametrize("group", ["query", "trail"])
def test_a_label_among_the_features_is_refused(mistakes, group, text, outcome):
    old = 'group: query, kind: number, expr: "age / 1"'
    (told,) = mistakes(old, f'group: {group}, kind: number, expr: "{text}"')
    assert f"'age_years' reads {outcome}, known only after the impression" in told
    assert "a label among the features" in told


@pytest.mark.parametrize("pattern", ["COLUMNS('^li.*$')", '\\"^liked$\\"'])
def test_an_outcome_found_by_a_pattern_is_refused(mistakes, pattern):
    (told,) = mistakes('"age / 1"', f'"{pattern}"')
    assert "names columns by a pattern; name each column" in told


@pytest.mark.parametrize("column", ["trail_length", "trail_relative", "ending"])
@pytest.mark.parametrize("group", ["query", "candidate", "context"])
def test_the_end_of_a_trail_is_for_trail_features(mistakes, group, column):
    old = 'group: query, kind: number, expr: "age / 1"'
    (told,) = mistakes(old, f"group: {group}, kind: number, expr: {column}")
    assert f"reads {column}, known only when the trail is over" in told
    assert mistakes(old, f"group: trail, kind: number, expr: {column}") == []


@pytest.mark.parametrize("group", ["query", "context"])
def test_what_differs_from_candidate_to_candidate_is_theirs(mistakes, group):
    old = 'group: query, kind: number, expr: "age / 1"'
    (told,) = mistakes(old, f"group: {group}, kind: number, expr: author_seen")
    assert "reads author_seen, a counter with a `match`" in told
    paired = "group: candidate, paired: true, kind: number, expr: author_seen"
    assert mistakes(old, paired) == []


@pytest.mark.parametrize(
    "label", ["watched", "watch_rank", "very_well", "trail_length", "liked + tab"]
)
def test_a_label_may_read_all_that_is_known_later(mistakes, label):
    assert mistakes('label: "liked = 1"', f'label: "{label}"') == []


@pytest.mark.parametrize(
    "label",
    ["duration > 5000", "like_rate", "trail_last_tab", "user_group = 'new'", "1"],
)
def test_a_label_without_an_outcome_teaches_nothing(mistakes, label):
    (told,) = mistakes('label: "liked = 1"', f'label: "{label}"')
    assert "(like).label: reads no outcome, so there is nothing to learn" in told
    assert "Outcomes: liked, very_well, watch_rank, watched, well." in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "kind: number, e",
            "kind: float, e",
            r"features\[5\] \(age_years\)\.kind: must",
        ),
        ("table: user}", "table: usr}", r"is not in tables\. Did you mean 'user'\?"),
        ('"age / 1"', '"agee / 1"', r"reads 'agee', which is no column.*'age'"),
        ('"age / 1"', '"age / / 1"', r"\.expr: is not an SQL expression"),
        ('"age / 1"', '"video_id"', r"\.expr: must be a number"),
        ('"age / 1"', '"AVG(age)"', r"\.expr: mixes rows"),
        ('"age / 1"', "event_time", r"\.expr: must be a number"),
        ("[18, 30]", "[30, 18]", r"boundaries: must be increasing"),
        ("[18, 30]", "[]", r"boundaries: must be one number at least"),
        ("[18, 30]", "[18, .inf]", r"boundaries\[1\]: must be a finite number"),
        ("size: 24", "size: 0", r"\(hour\)\.size: must be from 1 to"),
        ("buckets: 100,", "buckets: 1,", r"tables\.user\.buckets: must be at least 2"),
        ("dim: 8", "dim: 6", r"tables\.user\.dim: must be a multiple of 4"),
        (
            "name: hour",
            "name: age_years",
            r"features\[5\] \(age_years\)\.name: is taken",
        ),
        ("name: hour", "name: label_x", r"name: may not begin with label_"),
        ("name: hour,", "name: weights,", r"is an input of `rank`"),
        ("name: hour,", "name: top_k,", r"is an input of `rank`"),
        ("long: ", "duplicate: ", r"keep\.duplicate: is a built-in rule's name"),
        ('"duration > 5000"', "tags", r"filters\.keep\.long: must be a condition"),
        (
            "keep: {",
            "min_user_events: -1, keep: {",
            r"min_user_events: must be 0 or mo",
        ),
        (
            'label: "liked = 1"',
            'label: ""',
            r"tasks\[0\] \(like\)\.label: is not an SQL",
        ),
        ('label: "liked = 1"', "label: tags", r"label: must be a number .*type String"),
        ('"duration > 0"', "tags", r"\(like\)\.sample_space: must be a condition"),
        ("name: like,", "name: score,", r"is an output of the served model"),
        ("name: like,", "name: positions,", r"is an output of the served model"),
        ("name: like,", "name: like, loss_weight: .nan,", r"weight: must be a finite"),
        ("name: like,", "name: like, loss: huber,", r"\.loss: belongs to regressions"),
        ("{like: 1.0}", "{lik: 1.0}", r"fusion\.weights\.lik: is no task.*'like'"),
        ("{like: 1.0}", "{like: -.inf}", r"fusion\.weights\.like: must be a finite"),
        (
            "{like: 1.0}}",
            '{like: 1}, transforms: {like: "clip(3, 0)"}}',
            r"transforms\.like: must be clip.* Got 'clip\(3, 0\)'",
        ),
        (
            "{like: 1.0}}",
            "{like: 1}, transforms: {lik: linear}}",
            r"fusion\.transforms\.lik: is no task.*'like'",
        ),
        (
            'binary, label: "well"}\nfusion: {weights: {like: 1.0}}',
            'regression, label: "well"}\n'
            "fusion: {weights: {like: 1}, transforms: {well: identity}}",
            r"fusion\.transforms\.well: is for probabilities",
        ),
        (
            "{like: 1.0}}",
            "{like: 1}, length: {feature: age, scale: 0}}",
            r"fusion\.length\.scale: must be from",
        ),
        (
            "{like: 1.0}}",
            "{like: 1}, length: {feature: age}}",
            r"feature: must be a ser",
        ),
        (
            "[tab, user_group]",
            "[tba]",
            r"slices\[0\]: must be a declared column.*'tab'",
        ),
        ("[tab, user_group]", "[tab, tab]", r"evaluation\.slices\[1\]: is named twice"),
        ("[tab, user_group]", "[tag_list]", r"slices\[0\]: is a list; a slice needs"),
        (
            "{slices",
            "{min_auc: {like: 1.0}, slices",
            r"min_auc\.like: must be at least",
        ),
    ],
)
def test_each_mistake_is_named(mistakes, old, new, message):
    assert any(re.search(message, told) for told in mistakes(old, new))


_TASK = "{name: like, kind: binary,"
_REGRESSION = "{name: like, kind: regression,"


@pytest.mark.parametrize(
    "task",
    [
        f"{_TASK} loss: cross_entropy,",
        f"{_TASK} loss: focal, focal_gamma: 0,",
        f"{_TASK} loss: class_balanced, class_balance_beta: 0,",
        f"{_TASK} loss: focal, negative_rate: 0.05,",
        f"{_TASK} negative_rate: 1,",
        f"{_REGRESSION} loss: squared_error,",
        f"{_REGRESSION} loss: huber,",
        f"{_REGRESSION} loss: log_target,",
        f"{_REGRESSION} loss: quantile, quantile: 0.9,",
        f"{_REGRESSION} loss: ordinal,",
    ],
)
def test_each_kind_of_task_has_its_losses(mistakes, task):
    assert mistakes(_TASK, task) == []


def test_losses_are_plain_by_default(good):
    like = read_spec(good).task("like")
    assert like.loss == "default" and like.negative_rate == 1
    assert (like.focal_gamma, like.class_balance_beta) == (2, 0.9999)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            f"{_TASK} loss: log_target,",
            "loss: belongs to regressions; a binary task may have default, "
            "cross_entropy, focal, class_balanced. Got 'log_target'.",
        ),
        (
            f"{_REGRESSION} loss: focal, focal_gamma: 1,",
            "loss: belongs to binary tasks; a regression task may have default, "
            "squared_error, huber, log_target, quantile, ordinal. Got 'focal'.",
        ),
        (
            f"{_REGRESSION} loss: quantile, quantile: 1,",
            "quantile: must be above 0 and below 1. Got 1.",
        ),
        (
            f"{_TASK} pairwise: 0.5,",
            "pairwise: compares rows of one request, so these must be known and lie "
            "together. Say it in log.request, such as `{column: request_id, together: "
            "true}`, or `{session: user_id, seconds: 600, together: true}` where the log "
            "tells no requests apart; or remove this. Got 0.5.",
        ),
        (
            f"{_TASK} loss: focal, pairwise: 0,",
            "pairwise: has no use without `loss: cross_entropy` or `loss: "
            "class_balanced`; add that, or remove this. Got 0.0.",
        ),
        (
            f"{_TASK} loss: focal, focal_gamma: -1,",
            "focal_gamma: must be from 0 to 100. Got -1.",
        ),
        (
            f"{_TASK} loss: class_balanced, class_balance_beta: 1,",
            "class_balance_beta: must be at least 0 and below 1. Got 1.",
        ),
        (
            f"{_TASK} loss: class_balanced, class_balance_beta: -0.5,",
            "class_balance_beta: must be at least 0 and below 1. Got -0.5.",
        ),
        (
            f"{_TASK} negative_rate: 0,",
            "negative_rate: must be above 0 and at most 1, which keeps every one. "
            "Got 0.",
        ),
        (
            f"{_TASK} negative_rate: 1.5,",
            "negative_rate: must be above 0 and at most 1, which keeps every one. "
            "Got 1.5.",
        ),
        # Its own default, but for a loss that was forgotten
        (
            f"{_TASK} focal_gamma: 2,",
            "focal_gamma: has no use without `loss: focal`; add that, or remove "
            "this. Got 2.0.",
        ),
        (
            f"{_TASK} loss: focal, class_balance_beta: 0.99,",
            "class_balance_beta: has no use without `loss: class_balanced`; add "
            "that, or remove this. Got 0.99.",
        ),
        (
            f"{_REGRESSION} negative_rate: 0.5,",
            "negative_rate: has no use without `kind: binary`; add that, or remove "
            "this. Got 0.5.",
        ),
    ],
)
def test_each_mistake_in_a_loss_is_named(mistakes, task, message):
    assert mistakes(_TASK, task) == [f"tasks[0] (like).{message}"]


@pytest.mark.parametrize(
    ("group", "rule"),
    [
        ("candidate", "features: need one of group query or context."),
        ("query", "features: need one of group candidate at least."),
    ],
)
def test_both_sides_of_a_request_have_features(good, group, rule):
    for other in ("query", "candidate", "context"):
        good = good.replace(f"group: {other}", f"group: {group}")
    with pytest.raises(SpecError) as caught:
        read_spec(good)
    # Beside it, each feature of the other side is told to be on the wrong one.
    assert [p for p in caught.value.problems if p.startswith("features:")] == [rule]


def test_an_empty_list_is_refused(good):
    before, features = good.split("features:\n")
    with pytest.raises(SpecError, match="features: must be a list with one entry"):
        read_spec(before + "features: []\n" + features[features.index("tasks:") :])

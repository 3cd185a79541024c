"""What each view keeps of a spec, and what is one meaning however it is written."""

import dataclasses
import json

import pytest

from feature_specs import load_spec, read_spec, views
from feature_specs.spec import FusionSpec

_ALL = tuple(views.VIEWS)
# From left to right each view holds what the one before it does.
_GROWING = (views.EXAMPLES, views.ENCODING, views.TRAINING, views.SERVING)


def _changed(before: str, now: str) -> set[str]:
    """The views in which two specs differ."""
    one, other = read_spec(before), read_spec(now)
    return {name for name in _ALL if views.text(one, name) != views.text(other, name)}


def _replaced(good: str, old: str, new: str) -> str:
    assert good.count(old) == 1, old
    return good.replace(old, new)


@pytest.fixture(scope="module")
def specs(good):
    """Specs of every kind: the shipped ones, and one with every section."""
    return [load_spec("kuairand"), load_spec("movielens"), read_spec(good)]


# --- what is one meaning --------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tiny", "# A comment.\nname: tiny"),
        # Defaults, written out: of a key, of a rule, of what follows from another key.
        ("trail: {scope", "trail: {gap_minutes: 30, scope"),
        ("video: {buckets: 1024}", "video: {buckets: 1024, dim: 20}"),  # 4 * log2 / 2
        ("kind: id, table: user}", "kind: id, table: user, expr: user_id}"),
        ("history_video_id, group: query, kind: sequence, table: video}",
         "history_video_id, group: query, kind: sequence, table: video, length: 7}"),
        ('label: "well"}', 'label: "well", loss: cross_entropy}'),
        ("kind: number, expr: \"age / 1\"}",
         "kind: number, scale: z, expr: \"age / 1\"}"),
        ("like: 1.0}", "like: 1, well: 0}"),
        # Order, where it means nothing.
        ("outcomes: [liked, watched]", "outcomes: [watched, liked]"),
        ("last: [tab, tags]", "last: [tags, tab]"),
        ("{user_id: int64, video_id: string, ", "{video_id: string, user_id: int64, "),
        # The layout of an expression over lines.
        ("\"CASE WHEN since_like IS NULL THEN 'new' ELSE 'known' END\"",
         "|\n    CASE WHEN since_like IS NULL\n      THEN 'new'\n      ELSE 'known' END"),
    ],
)  # fmt: skip
def test_one_meaning_has_one_text(good, old, new):
    assert _changed(good, _replaced(good, old, new)) == set()


def test_a_size_that_is_left_out_is_32(good):
    plain = _replaced(good, "kind: category, size: 24", "kind: category")
    assert read_spec(plain).feature("hour").size == 32
    said = _replaced(good, "kind: category, size: 24", "kind: category, size: 32")
    assert _changed(plain, said) == set()
    # As earlier releases have it, whose checkpoints would else be another spec's.
    hour = json.loads(views.text(read_spec(said), views.TRAINING))["features"][3]
    assert (hour["name"], "size" in hour) == ("hour", False)


def test_order_counts_where_it_means_something(good):
    features = [line for line in good.splitlines() if line.startswith("  - {name: age")]
    swapped = good.replace("\n".join(features), "\n".join(features[::-1]))
    changed = _changed(good, swapped)
    # The places of inputs in the model, not the columns of examples.
    assert changed == {views.TRAINING, views.SERVING, views.EVERYTHING}
    derived = good.replace('  ending: "trail_relative > 0.8"\n', "").replace(
        "derived:\n", 'derived:\n  ending: "trail_relative > 0.8"\n'
    )
    assert views.EXAMPLES in _changed(good, derived)  # each may read earlier ones


def test_line_breaks_stay_inside_quotes(good):
    one = _replaced(good, "'new' ELSE", r"'n\n w' ELSE")
    other = _replaced(good, "'new' ELSE", r"'n\nw' ELSE")
    assert views.EXAMPLES in _changed(one, other)


# --- what each view holds -------------------------------------------------------------

_FROM_TRAINING = {views.TRAINING, views.SERVING, views.EVERYTHING}
_FROM_ENCODING = {views.ENCODING, *_FROM_TRAINING}
_EVERY = {*views.VIEWS}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        # A label, a sample space, a filter, a column of the past, where a file lies.
        ('label: "liked = 1"', 'label: "liked > 0"', _EVERY),
        ('sample_space: "duration > 0"', 'sample_space: "duration > 1"', _EVERY),
        ("{long: \"duration > 5000\"}", "{long: \"duration > 6000\"}", _EVERY),
        ("value: liked, days: 7", "value: liked, days: 8", _EVERY),
        ('files: "videos.csv"', 'files: "films.csv"', _EVERY),
        ("slices: [tab, user_group]", "slices: [tab]", _EVERY - {views.INFRA}),
        ("  - {name: like_rate, group: candidate, kind: number}\n", "", _EVERY),
        # When a log is too damaged: an example is the same under any limit.
        ("timezone: Asia/Shanghai", "timezone: Asia/Shanghai\n  max_reject_share: 0.1",
         {views.LIMITS, views.EVERYTHING}),
        # How a raw value becomes an id or a number.
        ("kind: bucket, boundaries: [18, 30]", "kind: bucket, boundaries: [18, 40]",
         _FROM_ENCODING),
        ("kind: category, size: 24", "kind: category, size: 12", _FROM_ENCODING),
        ("tag: {buckets: 64}", "tag: {buckets: 32}", _FROM_ENCODING),
        ("table: tag, length: 4", "table: tag, length: 5", _FROM_ENCODING),
        ("kind: number, expr: \"age / 1\"",
         "kind: number, transform: log1p, expr: \"age / 1\"", _FROM_ENCODING),
        ("kind: number, expr: \"age / 1\"",
         "kind: number, scale: minmax, expr: \"age / 1\"", _FROM_ENCODING),
        ("kind: category, size: 24", "kind: category, size: auto", _FROM_ENCODING),
        # What the model makes of it.
        ("table: tag, length: 4", "table: tag, length: 4, pooling: concat",
         _FROM_TRAINING),
        ("table: tag, length: 4", "table: tag, length: 4, pooling: sum",
         _FROM_TRAINING),
        ("user: {buckets: 100, dim: 8}", "user: {buckets: 100, dim: 12}",
         _FROM_TRAINING),
        ('label: "well"}', 'label: "well", loss_weight: 2}', _FROM_TRAINING),
        ('label: "well"}', 'label: "well", loss: focal}', _FROM_TRAINING),
        # The fused score, and the gates.
        ("like: 1.0}", "like: 2.0}",
         {views.SERVING, views.EVALUATION, views.EVERYTHING}),
        ("user_group]}", "user_group], min_auc: {like: 0.6}}",
         {views.EVALUATION, views.EVERYTHING}),
        ("user_group]}", "user_group], infra: {size_mb: 5}}",
         {views.INFRA, views.EVERYTHING}),
        # A word for people only, and a table that no feature reads.
        ('label: "well"}', 'label: "well", sparse: true}', {views.EVERYTHING}),
        ("tag: {buckets: 64}}", "tag: {buckets: 64}, old: {buckets: 8}}",
         {views.EVERYTHING}),
    ],
)  # fmt: skip
def test_a_change_shows_in_the_views_that_read_it(good, old, new, changed):
    assert _changed(good, _replaced(good, old, new)) == changed


_BOTH = """
  - {name: cover, group: candidate, kind: vector, expr: cover}
  - {name: title, group: candidate, kind: text, table: word, expr: words}
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        # A width that the column tells, and a length of words that is left out.
        ("kind: vector,", "kind: vector, size: 3,", set()),
        ("kind: text,", "kind: text, length: 16,", set()),
        ("kind: vector,", "kind: vector, normalize: none,", _FROM_ENCODING),
        ("kind: text,", "kind: text, length: 4,", _FROM_ENCODING),
        ("kind: text, table: word,", "kind: text, size: 9,", _FROM_ENCODING),
        ("kind: text, table: word,", "kind: text, size: auto,", _FROM_ENCODING),
        ("kind: vector,", "kind: vector, dim: 2,", _FROM_TRAINING),
        ("kind: vector,", "kind: vector, projection: looks,", _FROM_TRAINING),
        ("kind: text,", "kind: text, pooling: max,", _FROM_TRAINING),
        ("vector<3>", "vector<4>", _EVERY),
    ],
)
def test_a_change_of_a_vector_or_a_text(good, old, new, changed):
    columns = 'columns: {user_id: int64, cover: "vector<3>?", words: "string?", '
    text = _replaced(good, "columns: {user_id: int64, ", columns)
    text = _replaced(text, "tables: {", "tables: {word: {buckets: 99}, ")
    text = _replaced(text, "\ntasks:", f"{_BOTH}tasks:")
    found = _changed(text, _replaced(text, old, new))
    assert found == changed
    spec = read_spec(text)
    for name in _ALL:
        written = views.text(spec, name)
        assert views.text(read_spec(written), name) == written


def test_a_view_is_a_spec_that_is_its_own_view(specs):
    for spec in specs:
        for name in _ALL:
            written = views.text(spec, name)
            assert views.text(read_spec(written), name) == written


def test_each_view_of_a_view_that_holds_more_is_the_same(specs):
    """A step that is given a view finds in it what an earlier step found in its own."""
    for spec in specs:
        for index, name in enumerate(_GROWING):
            given = read_spec(views.text(spec, name))
            for less in _GROWING[: index + 1]:
                assert views.text(given, less) == views.text(spec, less)


def test_a_view_of_examples_says_nothing_of_model_and_score(good):
    spec = read_spec(good)
    found = json.loads(views.text(spec, views.EXAMPLES))
    assert found["fusion"] == {"weights": {"like": 1.0, "well": 1.0}}
    assert found["tables"] == {"int64s": {"buckets": 2}, "strings": {"buckets": 2}}
    by_name = {feature["name"]: feature for feature in found["features"]}
    assert by_name["hour"]["size"] == 1
    assert by_name["age"]["boundaries"] == [0.0]
    assert list(by_name) == sorted(by_name)
    assert found["evaluation"] == {"slices": ["tab", "user_group"]}


def test_examples_of_a_view_are_those_of_the_spec(good):
    """Same expressions and types: what `pipeline.examples` reads of a feature."""
    spec = read_spec(good)
    given = read_spec(views.text(spec, views.EXAMPLES))
    for feature in spec.features:
        other = given.feature(feature.name)
        for key in ("expr", "dtype", "is_sequence", "missing", "group"):
            got, wanted = getattr(other, key), getattr(feature, key)
            assert repr(got) == repr(wanted), (feature.name, key)  # NaN is NaN
    assert given.column_types == spec.column_types
    assert given.log.columns == spec.log.columns
    assert given.filters == spec.filters
    assert given.derived == spec.derived
    for task in spec.tasks:
        other = given.task(task.name)
        assert (other.label, other.sample_space) == (task.label, task.sample_space)


def test_any_text_of_an_expression_comes_back(good):
    """JSON is read as YAML, which knows other line ends and forbids some letters."""
    odd = "\\u0085\\u2028\\ufeff\\U0001F600\\t1e-3: on"
    text = _replaced(good, "'new' ELSE", f"'{odd}' ELSE")
    spec = read_spec(text)
    assert "\u2028" in spec.derived["user_group"]
    for name in _ALL:
        given = read_spec(views.text(spec, name))
        assert given.derived == spec.derived


def test_a_spec_changed_in_python_is_written_as_it_is_now(good):
    spec = read_spec(good)
    assert views.written(spec) == good
    heavier = dataclasses.replace(spec, fusion=FusionSpec(weights={"like": 3.0}))
    assert read_spec(views.written(heavier)).fusion.weights == {"like": 3.0}


# --- what differs ---------------------------------------------------------------------


def test_differences_name_the_place():
    before = {"tasks": [{"name": "like", "label": "a"}, {"name": "skip", "label": "b"}]}
    now = {
        "tasks": [
            {"name": "skip", "label": "b", "loss_weight": 2.0},
            {"name": "like", "label": "a"},
            {"name": "hate", "label": "c"},
        ]
    }
    assert [str(found) for found in views.differences(before, now)] == [
        "tasks.skip.loss_weight was not set and is 2.0",
        'tasks.hate was not set and is {"label": "c"}',
        'tasks, in order was ["like", "skip"] and is ["skip", "like"]',
    ]
    assert views.differences(now, now) == []


def test_long_values_are_cut_in_messages():
    (found,) = views.differences({"a": "x" * 99}, {"a": "y"})
    assert str(found) == f'a was "{"x" * 56}... and is "y"'


# --- facets by values -----------------------------------------------------------------

_FACET = """
facets:
  market: {feature: user_group, partitions: {fresh: [new], old: [known, very]}, default: old}
"""


def test_where_a_facets_values_lie_is_trained_and_which_there_are_is_encoded(good):
    facet = good + _FACET
    trained = {views.TRAINING, views.SERVING, views.EVERYTHING}
    assert _changed(facet, _replaced(facet, "[known, very]", "[very, known]")) == set()
    moved = _replaced(facet, "[new], old: [known, very]", "[new, very], old: [known]")
    assert _changed(facet, moved) == trained
    by_column = _replaced(facet, "feature: user_group, p", "column: user_group, p")
    assert _changed(facet, by_column) == set()
    fewer = _replaced(facet, "[known, very]", "[known]")
    assert _changed(facet, fewer) == trained | {views.ENCODING}


def test_codes_of_a_facet_are_not_encoded(good):
    codes = "{feature: hour, partitions: {dawn: [5], dusk: [20]}, default: dawn}"
    facet = good.replace("kind: category, size: 24", "kind: code, size: 24")
    now = _changed(facet, f"{facet}facets: {{when: {codes}}}\n")
    assert now == {views.TRAINING, views.SERVING, views.EVERYTHING}

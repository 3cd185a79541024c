"""The schema of raw examples: what only some specs have."""

from feature_specs import read_spec
from pipeline.schema import build_schema, statistics_schema
from tests.tiny_spec import TINY_SPEC


def _features(text):
    return {feature.name: feature for feature in build_schema(read_spec(text)).feature}


def test_examples_have_a_request_where_the_spec_tells_them_apart():
    assert "key_request" not in _features(TINY_SPEC)
    with_requests = TINY_SPEC.replace(
        "  outcomes", "  request: {session: item, seconds: 9}\n  outcomes"
    )
    found = _features(with_requests)["key_request"]
    assert found.type == 2  # INT
    assert found.presence.min_fraction == 1
    assert list(found.not_in_environment) == ["SERVING"]


def _statistics_features(text):
    schema = statistics_schema(read_spec(text))
    return {feature.name: feature for feature in schema.feature}


def test_a_value_may_be_missing_in_statistics_but_not_every_value():
    found = _statistics_features(TINY_SPEC)
    assert found.keys() == _features(TINY_SPEC).keys()
    for name, feature in found.items():
        assert not feature.presence.min_fraction, name
        assert feature.presence.min_count == 1, name
        assert not feature.HasField("shape"), name  # where it is, none may be missing
        assert (feature.value_count.min, feature.value_count.max) == (1, 1), name


_PAST = """
history: {positive: "good = 1", columns: [item], length: 3}
counters: [{name: seen}, {name: pause, measure: seconds_since}]
statistics: [{name: rate, by: item, value: good}]
derived: {twice: "2 * rate", plain: "item + 1"}
tables:"""
_PAST_FEATURES = """
  - {name: rate, group: candidate, kind: number}
  - {name: twice, group: candidate, kind: number}
  - {name: pause, group: query, kind: number, expr: "pause / 60"}
  - {name: history_item, group: query, kind: sequence, table: item}
  - {name: plain, group: candidate, kind: number}
tasks:"""


def test_what_is_of_the_past_may_be_missing_in_all_rows_of_a_day():
    text = TINY_SPEC.replace("\ntables:", _PAST).replace("\ntasks:", _PAST_FEATURES)
    found = _statistics_features(text)
    needed = {name for name, f in found.items() if f.presence.min_count}
    assert found.keys() - needed == {"rate", "twice", "pause", "history_item"}


def test_ids_are_categories_and_times_are_amounts():
    found = _statistics_features(TINY_SPEC)
    categories = {n for n, f in found.items() if f.int_domain.is_categorical}
    assert categories == {"user", "item", "key_user", "key_item"}

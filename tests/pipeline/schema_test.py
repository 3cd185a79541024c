"""The schema of raw examples: what only some specs have."""

from feature_specs import read_spec
from pipeline.schema import build_schema
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

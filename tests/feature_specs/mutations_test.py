"""A spec changed at random is read, or refused in words; it never ends in a trace.

Hypothesis draws the changes, always the same ones, and reduces what fails. `TRIALS`
makes more of them: TRIALS=20000 pytest tests/feature_specs/mutations_test.py
"""

import copy
import os
import random
import string

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_specs import Spec, SpecError, read_preset, read_spec

_TRIALS = int(os.environ.get("TRIALS", "150"))
_CHARACTERS = string.printable + "\0\x1b\x85é\u2028\ufeff\ud800💥"
_VALUES = [
    None,
    True,
    -1,
    0,
    1.5,
    2**31,
    2**63,
    -(2**63) - 1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "a\nb",
    "../x",
    "/etc/passwd",
    "*",
    "{day}",
    "user_id",
    "video_id",
    "event_time",
    "liked",
    "liked = 1",
    "duration / 0",
    "1 / 0",
    "NULL",
    "FALSE",
    "CAST(tags AS BIGINT)",
    "CAST(tags AS DATE)",
    "SELECT 1",
    "a" * 5000,
    "(" * 500,
    "age + " * 200 + "age",
    "SUM(duration)",
    "ARRAY_LENGTH(tags)",
    "EXTRACT(hour FROM tags)",
    "history_video_id",
    [],
    [[]],
    [1, "a", None],
    ["liked", "liked"],
    {},
    {"name": {}},
    {"a": {"b": {"c": []}}},
    {1: 2, None: 3},
    yaml.safe_load("2024-01-31"),
    yaml.safe_load("2024-01-31T00:00:00Z"),
    b"bytes",
    {"set"},
]


def _places(value, place=()):
    """Every place in a tree of lists and mappings."""
    yield place
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from _places(item, (*place, key))


def _with_other_value(tree, draw: random.Random) -> str:
    """Another value, or none, in one to three places."""
    for _ in range(draw.randint(1, 3)):
        place = draw.choice([p for p in _places(tree) if p])
        holder = tree
        for key in place[:-1]:
            holder = holder[key]
        if draw.random() < 0.15:
            del holder[place[-1]]
        elif isinstance(holder, dict) and draw.random() < 0.15:
            key = draw.choice([v for v in _VALUES if getattr(v, "__hash__", None)])
            holder[key] = holder.pop(place[-1])
        else:
            holder[place[-1]] = copy.deepcopy(draw.choice(_VALUES))
    return yaml.dump(tree, allow_unicode=True)


def _with_other_text(text: str, draw: random.Random) -> str:
    """Characters, or pieces of lines, put in, taken out or moved."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text))
        end = min(len(text), start + draw.choice([0, 1, 1, 5, 40]))
        other = draw.randrange(len(text))
        put = draw.choice(
            ["", draw.choice(_CHARACTERS), text[other : other + draw.randint(1, 30)]]
        )
        text = text[:start] + put + text[end:]
    return text


def _changed(text: str, draw: random.Random) -> str:
    if draw.random() < 0.5:
        return _with_other_text(text, draw)
    return _with_other_value(yaml.safe_load(text), draw)


_drawn = given(draw=st.randoms(use_true_random=False))
_trials = settings(
    max_examples=_TRIALS,
    deadline=None,  # one that is read takes ten times as long as one that is not
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_a_changed_spec_is_read_or_refused_in_words(good):
    found = {True: 0, False: 0}

    @_trials
    @_drawn
    def try_one(draw):
        try:
            assert isinstance(read_spec(_changed(good, draw), "changed"), Spec)
            found[True] += 1
        except SpecError as error:
            assert error.problems and len(str(error)) < 120_000
            found[False] += 1

    try_one()
    assert all(found.values())  # some changes are harmless, others are not


_PRESET = """
switcher: {kind: ple, units: [32, 16], levels: 2, experts: 3, options: {}}
structure: {kind: flat, facets: [task], split: [like]}
bottom: [64, 32]
towers: {like: {units: [8], inputs: [tab]}}
chains: [{kind: esmm, tasks: [like, well], calibrator: 0.5}]
trail: {units: [4], dropout: 0.2}
unified: {buckets: 100, tables: 2, dim: 8}
weights: {kind: gradnorm, decay: {like: 0.9}}
optimizer: {kind: adam, learning_rate: 0.001}
"""


@_trials
@_drawn
def test_a_changed_preset_is_read_or_refused_in_words(draw):
    try:
        read_preset(_changed(_PRESET, draw), "changed")
    except SpecError as error:
        assert error.problems

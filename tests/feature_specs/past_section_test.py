"""Trail, history, counters, statistics, quantiles, derived: every mistake named."""

import re

import pytest

from feature_specs import SpecError, read_spec

_LAST_FEATURE = (
    "- {name: tag_list, group: candidate, kind: sequence, table: tag, length: 4}"
)


def test_what_is_left_out_has_its_default(good):
    spec = read_spec(good)
    seen, since, mean = spec.counters
    assert (seen.measure, seen.where, seen.value) == ("count", "TRUE", "")
    assert since.match == ""
    assert (mean.prior, mean.strength) == (0.1, 5.0)
    assert (spec.statistics[1].days, spec.statistics[1].value) == (0, "1")
    assert spec.quantiles[0].boundaries == (7.0, 15.0)
    assert spec.trail.gap_minutes == 30


def test_a_column_of_an_absent_section_says_what_it_needs(good):
    text = good.replace(", length_ms: duration", "").replace(
        _LAST_FEATURE, "- {name: trail_watched_share, group: trail, kind: number}"
    )
    with pytest.raises(SpecError) as caught:
        read_spec(text)
    (told,) = caught.value.problems
    assert (
        "It needs log.time.watched_ms (or _s) and log.time.length_ms (or _s)." in told
    )


@pytest.mark.parametrize(
    "feature",
    [
        "- {name: trail_last_tags, group: context, kind: category}",
        "- {name: trail_watched_share, group: context, kind: number}",
        "- {name: tag_likes, group: candidate, paired: true, kind: number}",
        "- {name: since, group: query, kind: number, expr: since_like}",
        "- {name: plays, group: candidate, kind: number, transform: log1p}",
        "- {name: both, group: candidate, paired: true, kind: number, expr: author_seen + trail_position}",
        "- {name: trail_length, group: trail, kind: number}",
    ],
)
def test_features_may_read_every_column_known_in_time(mistakes, feature):
    assert mistakes(_LAST_FEATURE, feature) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("match: author_id", 'match: "CAST(score AS BIGINT)"'),
        ("match: author_id", 'match: "EXTRACT(hour FROM event_time)"'),
        ("match: author_id", "match: tags"),
        ("value: liked, prior: 0.1, strength: 5}\nst", "value: watched / 1000}\nst"),
        ('where: "liked = 1", m', 'where: "score > 1 OR watched > 3000", m'),
        ("value: liked, days", 'value: "watched > 3000", days'),
        ("value: watched,", 'value: "CASE WHEN liked = 1 THEN watched END",'),
        (', by: "duration / 1000", boundaries: [7, 15]', ""),
        ("derived:\n", 'derived:\n  one: "1"\n'),
        ('well: "watch_rank > 0.5"', 'well: "liked > 0.5 AND event_time IS NOT NULL"'),
    ],
)
def test_these_are_right(mistakes, old, new):
    assert mistakes(old, new) == []


@pytest.mark.parametrize("name", ["tab", "author_id", "event_time", "trail_position"])
@pytest.mark.parametrize("made", ["since_like", "plays", "watch_rank"])
def test_a_new_column_may_not_replace_another(mistakes, made, name):
    told = mistakes(f"name: {made}", f"name: {name}")
    assert any(re.search(rf"\({name}\)\.name: is taken already", t) for t in told)


@pytest.mark.parametrize(
    "name", ["tab", "event_time", "trail_relative", "history_video_id", "author_seen"]
)
def test_a_derived_column_may_not_replace_another(mistakes, name):
    told = mistakes("very_well:", f"{name}:")
    assert any(t.startswith(f"derived.{name}: is taken already") for t in told)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # trail and history
        ("scope: [user_id, tab]", "scope: [tab]", r"trail\.scope: must begin with the"),
        (
            "scope: [user_id, tab]",
            "scope: [user_id, liked]",
            r"scope\[1\]: is an outcom",
        ),
        (
            "last: [tab,",
            "last: [author_id,",
            r"trail\.last\[0\]: must be a declared co",
        ),
        ("last: [tab, tags]", "last: [tab, tab]", r"trail\.last\[1\]: is named twice"),
        ("trail: {", "trail: {gap_minutes: 0, ", r"gap_minutes: must be positive"),
        (
            "trail: {",
            "trail: {gap_minutes: .nan, ",
            r"trail\.gap_minutes: must be a fi",
        ),
        (
            '"liked = 1", c',
            '"trail_position = 1", c',
            r"positive: reads 'trail_position'",
        ),
        ('"liked = 1", c', '"tags", c', r"history\.positive: must be a condition"),
        ("[video_id], length", "[video], length", r"history\.columns\[0\]: must be a"),
        (
            "[video_id], l",
            "[video_id, video_id], l",
            r"history\.columns\[1\]: is named",
        ),
        ("length: 7", "length: 0", r"history\.length: must be from 1 to"),
        ("length: 7", "lenght: 7", r"history\.lenght: is no key here.*'length'"),
        # counters
        ("name: since_like", "name: 9th", r"\(9th\)\.name: must be letters, digits"),
        ("name: since_like", "name: mask_x", r"name: may not begin with label_"),
        (
            "name: since_like",
            "name: author_seen",
            r"counters\[1\] \(author_seen\)\.name: i",
        ),
        ("match: author_id", "match: liked", r"match: reads liked, an outcome"),
        (
            "match: author_id",
            "match: score",
            r"match: must be whole numbers or text, or",
        ),
        ("match: author_id", 'match: "tab = 1"', r"match: must be .*of type Boolean"),
        ("match: author_id", "match: trail_position", r"match: reads 'trail_position'"),
        ('where: "liked = 1", m', "where: tags, m", r"where: must be a condition"),
        (
            'where: "liked = 1", m',
            'where: "well", m',
            r"where: reads 'well', which is no",
        ),
        (
            "value: liked, prior: 0.1, strength: 5}\nst",
            "}\nst",
            r"value: is required for",
        ),
        (
            "value: liked, prior",
            "value: tags, prior",
            r"value: must be a number or true",
        ),
        ("value: liked, prior", 'value: "1", prior', r"value: is required for measure"),
        (
            "match: author_id",
            "value: tab",
            r"\(author_seen\)\.value: has no use for mea",
        ),
        (
            "match: author_id",
            "prior: 0.5",
            r"\(author_seen\)\.prior: has no use for mea",
        ),
        (
            "match: author_id",
            "strength: 2",
            r"\(author_seen\)\.strength: has no use for",
        ),
        (
            "strength: 5}\nst",
            "strength: -5}\nst",
            r"tag_likes\)\.strength: must be 0 or",
        ),
        (
            ", strength: 5}\nst",
            "}\nst",
            r"tag_likes\)\.prior: has no use with strength 0",
        ),
        (
            "measure: seconds_since",
            "measure: since",
            r"measure: must be one of count, s",
        ),
        # statistics
        (
            "by: video_id, value",
            "by: author_id, value",
            r"like_rate\)\.by: must be a dec",
        ),
        ("by: video_id, value", "by: liked, value", r"like_rate\)\.by: is an outcome"),
        (
            "value: liked, days",
            "value: score, days",
            r"value: reads 'score', which is no",
        ),
        ("value: liked, days", "value: tags, days", r"value: must be a number or true"),
        (
            "value: liked, days",
            "days",
            r"like_rate\)\.value: is required for measure me",
        ),
        ("days: 7", "days: -1", r"like_rate\)\.days: must be from 0 to 36,525"),
        ("days: 7, prior: 0.1", "prior: .inf", r"like_rate\)\.prior: must be a finite"),
        (
            "measure: count}",
            "measure: count, prior: 1}",
            r"plays\)\.prior: has no use fo",
        ),
        # quantiles
        (
            "value: watched, by",
            "value: tags, by",
            r"watch_rank\)\.value: must be a numb",
        ),
        (
            "value: watched, by",
            "value: score, by",
            r"value: reads 'score', which is no c",
        ),
        ('by: "duration / 1000"', "by: tags", r"watch_rank\)\.by: must be a number"),
        ('by: "duration / 1000", b', "b", r"watch_rank\)\.by: is required with bou"),
        (
            "boundaries: [7, 15], ",
            "",
            r"watch_rank\)\.boundaries: are required with by",
        ),
        ("[7, 15]", "[15, 7]", r"watch_rank\)\.boundaries: must be increasing"),
        ("[7, 15]", "[7, .nan]", r"boundaries\[1\]: must be a finite number"),
        ("step: 500", "step: 0", r"watch_rank\)\.step: must be positive"),
        ("step: 500", "step: 0.01", r"step: makes more than 1,000,000 bins of max"),
        ("max: 60000", "max: 500", r"watch_rank\)\.max: must be above step, 500"),
        # derived
        (
            'very_well: "well AND',
            'very_well: "welll AND',
            r"very_well: reads 'welll', wh",
        ),
        (
            'well: "watch_rank > 0.5"',
            'well: "very_well"',
            r"derived\.well: reads very_we",
        ),
        (
            'well: "watch_rank > 0.5"',
            'well: "well = 1"',
            r"derived\.well: reads well, bu",
        ),
        ("ending:", "end-ing:", r"derived\.end-ing: must be letters, digits"),
        ("ending:", "slice_end:", r"derived\.slice_end: may not begin with label_"),
        (
            '"trail_relative > 0.8"',
            "event_time",
            r"ending: must be a number, true/false",
        ),
        ('"trail_relative > 0.8"', '"NULL"', r"ending: must be a number, true/false"),
        ('"trail_relative > 0.8"', '"MAX(tab)"', r"derived\.ending: mixes rows"),
        ('"trail_relative > 0.8"', "0.8", r"derived\.ending: must be text"),
    ],
)
def test_each_mistake_is_named(mistakes, old, new, message):
    assert any(re.search(message, told) for told in mistakes(old, new))


def test_columns_may_be_of_any_case_but_not_two_of_one_name(good, mistakes):
    text = good.replace("like_rate", "likeRate").replace("user_group", "userGroup")
    assert read_spec(text).feature("likeRate").column == "likeRate"
    told = mistakes("  ending:", "  Tab: 'liked + 1'\n  ending:")
    assert told[0].startswith("derived.Tab: is taken already but for its case")

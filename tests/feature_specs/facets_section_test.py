"""The section `facets`: what it reads, and every mistake in it."""

import pytest

from feature_specs import SpecError, read_spec, views

_SPEC = """
name: small
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {{column: time_ms}}
  columns: {{user_id: int64, video_id: int64, time_ms: int64, is_click: int64,
            level: int64, minutes: float64, country: "string?"}}
  outcomes: [is_click]
tables: {{video: {{buckets: 50}}}}
features:
  - {{name: level, group: query, kind: code, size: 3}}
  - {{name: minutes, group: query, kind: bucket, boundaries: [0, 60]}}
  - {{name: t_level, group: trail, kind: code, size: 3, expr: level}}
  - {{name: kind, group: context, kind: category, expr: level}}
  - {{name: land, group: query, kind: category, expr: country}}
  - {{name: video_id, group: candidate, kind: id, table: video}}
tasks:
  - {{name: click, kind: binary, label: "is_click = 1"}}
fusion: {{weights: {{click: 1.0}}}}
facets:
  user_group: {facet}
"""


def _read(facet: str):
    return read_spec(_SPEC.format(facet=facet))


def test_partitions_and_who_trains_whom():
    spec = _read(
        "{feature: level, partitions: {new: [0], low: [1], high: [2]},"
        " default: high, train_with: {low: [new, low]}}"
    )
    facet = spec.facets["user_group"]
    assert facet.partitions == {"new": (0,), "low": (1,), "high": (2,)}
    assert facet.trained_by("low") == ("new", "low")
    assert facet.trained_by("new") == ("new",)


def test_a_bucket_has_an_interval_more_than_boundaries():
    _read("{feature: minutes, partitions: {none: [0], some: [1, 2]}, default: none}")
    with pytest.raises(SpecError, match="must be from 0 to 2.*Got 3"):
        _read("{feature: minutes, partitions: {none: [0], some: [3]}, default: none}")


@pytest.mark.parametrize(
    ("facet", "message"),
    [
        ("{feature: level}", r"facets\.user_group\.partitions: is required"),
        (
            "{feature: levl, partitions: {a: [0], b: [1]}, default: a}",
            r"feature: is no feature\. Did you mean 'level'",
        ),
        (
            "{feature: t_level, partitions: {a: [0], b: [1]}, default: a}",
            r"feature: must be a served feature of kind code, bucket,.*'t_level'",
        ),
        (
            "{feature: land, column: level, partitions: {a: [0], b: [1]}, default: a}",
            r"facets\.user_group: must have `feature`, or `column`: one of both",
        ),
        (
            "{partitions: {a: [0], b: [1]}, default: a}",
            r"facets\.user_group: must have `feature`, or `column`: one of both",
        ),
        (
            "{column: is_click, partitions: {a: [0], b: [1]}, default: a}",
            r"column: is no served feature of kind code.*Add one, such as \{name: "
            r"is_click, group: query, kind: category\}\. Got 'is_click'",
        ),
        (
            "{feature: land, partitions: {a: [1], b: [DE]}, default: a}",
            r"partitions\.a: must be text; quote it: feature 'land' is string\. Got 1",
        ),
        (
            "{feature: kind, partitions: {a: [1], b: [x]}, default: a}",
            r"partitions\.b: must be whole numbers: feature 'kind' is int64\. Got 'x'",
        ),
        (
            "{feature: land, partitions: {a: [true], b: [DE]}, default: a}",
            r"partitions\.a\[0\]: must be a whole number or text; quote it if",
        ),
        (
            "{feature: land, partitions: {a: [DE, ''], b: [BR]}, default: a}",
            r"partitions\.a: stands for a missing value, which is in `default`",
        ),
        (
            "{feature: kind, partitions: {a: [3], b: [-1]}, default: a}",
            r"partitions\.b: stands for a missing value, which is in `default`",
        ),
        (
            "{feature: land, partitions: {a: [DE, AT], b: [BR, DE]}, default: a}",
            r"partitions: may be in one partition only\. Got 'DE'",
        ),
        (
            "{feature: land, partitions: {a: [], b: []}, default: a}",
            r"partitions: are all empty; say which values are in one",
        ),
        (
            "{feature: level, partitions: {a: [0, 1, 2]}, default: a}",
            r"partitions: must be two at least",
        ),
        (
            "{feature: level, partitions: {a: [0], b: [0]}, default: a}",
            r"partitions: may be in one partition only\. Got 0",
        ),
        (
            "{feature: level, partitions: {a: [0], b: [3]}, default: a}",
            r"partitions\.b: must be from 0 to 2, what feature 'level' has\. Got 3",
        ),
        (
            "{feature: level, partitions: {aa: [0], b: [1]}, default: aaa}",
            r"default: is no partition of this facet\. Did you mean 'aa'",
        ),
        (
            "{feature: level, partitions: {a: [0], b: [1]}, default: a,"
            " train_with: {b: [a]}}",
            r"train_with\.b: must name the partition itself",
        ),
        (
            "{feature: level, partitions: {click: [0], b: [1]}, default: b}",
            r"partitions\.click: is a task's name too; rename one",
        ),
    ],
)
def test_each_mistake_is_named(facet, message):
    with pytest.raises(SpecError, match=message):
        _read(facet)


def test_the_tasks_own_facet_has_its_name():
    text = _SPEC.format(
        facet="{feature: level, partitions: {a: [0], b: [1]}, default: a}"
    ).replace("user_group:", "task:")
    with pytest.raises(SpecError, match="is the name of the tasks' own facet"):
        read_spec(text)


_BY_VALUE = "{feature: land, partitions: {br: [BR], de: [DE, AT]}, default: br}"


def test_values_of_a_category_are_parted_without_a_feature_of_codes():
    spec = _read(_BY_VALUE)
    (made,) = spec.facet_inputs
    assert (made.name, made.feature.name) == ("facet_user_group", "land")
    assert made.values == ("AT", "BR", "DE")
    assert spec.served_inputs[-1] == "facet_user_group"


def test_a_column_stands_for_the_served_feature_that_it_is():
    by_column = _BY_VALUE.replace("feature: land", "column: country")
    assert _read(by_column).facets == _read(_BY_VALUE).facets


def test_numbers_of_a_category_and_of_an_id_are_values():
    for feature in ("kind", "video_id"):
        facet = (
            f"{{feature: {feature}, partitions: {{a: [7], b: [90, 3]}}, default: a}}"
        )
        (made,) = _read(facet).facet_inputs
        assert made.values == (3, 7, 90)


def test_codes_need_no_look_up():
    facet = "{feature: level, partitions: {a: [0], b: [1]}, default: a}"
    assert _read(facet).facet_inputs == ()


def test_a_features_name_may_not_be_the_looked_up_ones():
    text = _SPEC.replace("name: kind,", "name: facet_user_group,")
    with pytest.raises(SpecError, match="is encoded as facet_user_group, a feature's"):
        read_spec(text.format(facet=_BY_VALUE))


def test_more_values_than_a_graph_should_hold_are_refused():
    many = ", ".join(map(str, range(10_001)))
    facet = f"{{feature: kind, partitions: {{a: [{many}], b: []}}, default: b}}"
    with pytest.raises(SpecError, match="more than 10,000 values in all"):
        _read(facet)


def _fused(facets: str):
    facet = "{feature: level, partitions: {new: [0], old: [1, 2]}, default: old}"
    own = f"fusion: {{weights: {{click: 1.0}}, facets: {facets}}}"
    text = _SPEC.format(facet=facet)
    return read_spec(text.replace("fusion: {weights: {click: 1.0}}", own))


def test_weights_of_a_partition():
    found = _fused("{user_group: {new: {click: 2}, old: {}}}")
    assert found.fusion.facets == {"user_group": {"new": {"click": 2.0}, "old": {}}}
    plain = views.view(found, views.SERVING).fusion
    assert plain.facets == {"user_group": {"new": {"click": 2.0}}}
    assert (
        views.view(_fused("{user_group: {new: {}}}"), views.SERVING).fusion.facets == {}
    )


@pytest.mark.parametrize(
    ("facets", "message"),
    [
        (
            "{user_grop: {new: {click: 2}}}",
            r"facets\.user_grop: is no facet.*'user_group'",
        ),
        (
            "{user_group: {nwe: {click: 2}}}",
            r"user_group\.nwe: is no partition of it.*'new'",
        ),
        ("{user_group: {new: {clik: 2}}}", r"new\.clik: is no task.*'click'"),
        ("{user_group: {new: {click: .inf}}}", r"new\.click: must be a finite"),
        (
            "{user_group: {new: {click: 2}}, x: {a: {click: 1}}}",
            r"x\.a\.click: has weights by facet 'user_group' already",
        ),
    ],
)
def test_mistakes_in_weights_of_partitions(facets, message):
    with pytest.raises(SpecError, match=message):
        _fused(facets)

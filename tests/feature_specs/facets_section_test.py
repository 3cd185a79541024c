"""The section `facets`: what it reads, and every mistake in it."""

import pytest

from feature_specs import SpecError, read_spec

_SPEC = """
name: small
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {{column: time_ms}}
  columns: {{user_id: int64, video_id: int64, time_ms: int64, is_click: int64,
            level: int64, minutes: float64}}
  outcomes: [is_click]
tables: {{video: {{buckets: 50}}}}
features:
  - {{name: level, group: query, kind: code, size: 3}}
  - {{name: minutes, group: query, kind: bucket, boundaries: [0, 60]}}
  - {{name: t_level, group: trail, kind: code, size: 3, expr: level}}
  - {{name: kind, group: context, kind: category, expr: level}}
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
            "{feature: kind, partitions: {a: [0], b: [1]}, default: a}",
            r"feature: must be a served feature of kind code or bucket.*'kind'",
        ),
        (
            "{feature: t_level, partitions: {a: [0], b: [1]}, default: a}",
            r"feature: must be a served feature of kind code or bucket.*'t_level'",
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

"""Reads and checks the section `facets`: by what presets may split the tasks."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from feature_specs.build import build, closest
from feature_specs.model import TASK_FACET
from feature_specs.reading import Reading
from feature_specs.spec import MISSING, FacetSpec, FeatureSpec, facet_key

_MOST_VALUES = 10_000  # of a facet; they are a table in the model's own graph
_KINDS = "kind code, bucket, category or id"


def read_facets(
    reading: Reading, features: Sequence[FeatureSpec]
) -> dict[str, FacetSpec]:
    """The facets by name, each with its feature; broken ones are left out."""
    raw = reading.raw.get("facets", {})
    if not isinstance(raw, dict):
        rule = "must be a mapping of name to feature and partitions."
        reading.problems.add("facets", rule, raw)
        return {}
    facets: dict[str, FacetSpec] = {}
    seen: set[str] = set()
    for name, value in raw.items():
        path = f"facets.{name}"
        reading.name(path, name)
        if isinstance(value, dict):
            value = {"name": str(name), **value}
        facet: FacetSpec | None = build(FacetSpec, value, path, reading.problems)
        if facet is None:
            continue
        if name == TASK_FACET:
            rule = "is the name of the tasks' own facet; rename it."
            reading.problems.add(path, rule)
        repeated = sorted(seen & set(facet.partitions))
        if repeated:
            rule = "is a partition of another facet too; rename one."
            reading.problems.add(f"{path}.partitions", rule, repeated[0])
        seen |= set(facet.partitions)
        _check_partitions(reading, path, facet)
        feature = _feature_of(reading, path, facet, features)
        if feature is not None:
            facet = dataclasses.replace(facet, feature=feature.name, column="")
            _check_values(reading, path, facet, feature, features)
            facets[str(name)] = facet
    return facets


def _check_partitions(reading: Reading, path: str, facet: FacetSpec) -> None:
    problems, names = reading.problems, list(facet.partitions)
    tasks = reading.entry_names("tasks")
    for name in names:
        reading.name(f"{path}.partitions.{name}", name)
        if name in tasks:
            rule = "is a task's name too; rename one."
            problems.add(f"{path}.partitions.{name}", rule)
    for value, count in collections.Counter(facet.values).items():
        if count > 1:
            rule = "may be in one partition only."
            problems.add(f"{path}.partitions", rule, value)
    said = {
        "default": [facet.default],
        "train_with": list(facet.train_with),
        **{f"train_with.{p}": list(o) for p, o in facet.train_with.items()},
    }
    for key, found in said.items():
        for name in found:
            if name not in names:
                rule = f"is no partition of this facet.{closest(name, names)}"
                problems.add(f"{path}.{key}", rule, name)
    for name, others in facet.train_with.items():
        if name in names and name not in others:
            rule = "must name the partition itself: its own rows train it."
            problems.add(f"{path}.train_with.{name}", rule, list(others))


# --- the feature that tells the partition ---------------------------------------------


def _feature_of(
    reading: Reading, path: str, facet: FacetSpec, features: Sequence[FeatureSpec]
) -> FeatureSpec | None:
    """The feature that a facet names, by its name or its column."""
    if bool(facet.feature) == bool(facet.column):
        rule = "must have `feature`, or `column`: one of both."
        reading.problems.add(path, rule)
        return None
    if facet.column:
        return _feature_by_column(reading, path, facet.column, features)
    found = [f for f in features if f.name == facet.feature]
    if not found:
        if facet.feature not in reading.entry_names("features"):
            hint = closest(facet.feature, [f.name for f in features])
            rule = f"is no feature.{hint}"
            reading.problems.add(f"{path}.feature", rule, facet.feature)
        return None
    if _may_part(found[0]):
        return found[0]
    rule = f"must be a served feature of {_KINDS}, which has one value a row."
    reading.problems.add(f"{path}.feature", rule, facet.feature)
    return None


def _feature_by_column(
    reading: Reading, path: str, column: str, features: Sequence[FeatureSpec]
) -> FeatureSpec | None:
    """A column is in requests where a served feature is that column."""
    for feature in features:
        if feature.column == column and _may_part(feature):
            return feature
    if len(features) == len(reading.entry_names("features")):
        rule = (
            f"is no served feature of {_KINDS}, as it stands: what parts the tasks "
            "must be in every request. Add one, such as {name: "
            f"{column}, group: query, kind: category}}."
        )
        reading.problems.add(f"{path}.column", rule, column)
    return None


def _may_part(feature: FeatureSpec) -> bool:
    kind = feature.of_kind
    has_codes = kind.facet_codes(feature) is not None
    return feature.group != "trail" and (kind.facet_by_value or has_codes)


# --- what is in the partitions --------------------------------------------------------


def _check_values(
    reading: Reading,
    path: str,
    facet: FacetSpec,
    feature: FeatureSpec,
    features: Sequence[FeatureSpec],
) -> None:
    if not facet.values:
        rule = "are all empty; say which values are in one."
        reading.problems.add(f"{path}.partitions", rule)
    if len(facet.values) > _MOST_VALUES:
        rule = (
            f"have more than {_MOST_VALUES:,} values in all: they are a table in the "
            "model. Part by a column of a side file (log.joins) instead."
        )
        reading.problems.add(f"{path}.partitions", rule, len(facet.values))
    if not feature.of_kind.facet_by_value:
        _check_codes(reading, path, facet, feature)
        return
    if facet_key(facet.name) in [f.name for f in features]:
        rule = f"is encoded as {facet_key(facet.name)}, a feature's name; rename one."
        reading.problems.add(path, rule)
    wanted = "text; quote it" if feature.dtype == "string" else "whole numbers"
    for name, values in facet.partitions.items():
        for value in values:
            rule = ""
            if isinstance(value, str) != (feature.dtype == "string"):
                rule = f"must be {wanted}: feature {feature.name!r} is {feature.dtype}."
            elif value == MISSING[feature.dtype]:
                rule = "stands for a missing value, which is in `default`; remove it."
            if rule:
                reading.problems.add(f"{path}.partitions.{name}", rule, value)


def _check_codes(
    reading: Reading, path: str, facet: FacetSpec, feature: FeatureSpec
) -> None:
    top = (feature.of_kind.facet_codes(feature) or 0) - 1
    for name, codes in facet.partitions.items():
        for code in codes:
            if isinstance(code, str) or not 0 <= code <= top:
                rule = f"must be from 0 to {top}, what feature {feature.name!r} has."
                reading.problems.add(f"{path}.partitions.{name}", rule, code)

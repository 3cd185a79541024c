"""Reads and checks the section `facets`: by what presets may split the tasks."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs.build import build, closest
from feature_specs.model import TASK_FACET
from feature_specs.reading import Reading
from feature_specs.spec import FacetSpec, FeatureSpec


def read_facets(
    reading: Reading, features: Sequence[FeatureSpec]
) -> dict[str, FacetSpec]:
    """The facets by name; broken ones are left out."""
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
        _check_feature(reading, path, facet, features)
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
    codes = [code for own in facet.partitions.values() for code in own]
    for code in sorted({code for code in codes if codes.count(code) > 1}):
        rule = "may be in one partition only."
        problems.add(f"{path}.partitions", rule, code)
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


def _check_feature(
    reading: Reading, path: str, facet: FacetSpec, features: Sequence[FeatureSpec]
) -> None:
    problems = reading.problems
    found = [f for f in features if f.name == facet.feature]
    if not found:
        if facet.feature not in reading.entry_names("features"):
            hint = closest(facet.feature, [f.name for f in features])
            problems.add(f"{path}.feature", f"is no feature.{hint}", facet.feature)
        return
    feature = found[0]
    count = feature.of_kind.facet_codes(feature)
    if feature.group == "trail" or count is None:
        rule = (
            "must be a served feature of kind code or bucket, whose values are known "
            "without a vocabulary."
        )
        problems.add(f"{path}.feature", rule, facet.feature)
        return
    top = count - 1
    for name, codes in facet.partitions.items():
        for code in codes:
            if not 0 <= code <= top:
                rule = f"must be from 0 to {top}, what feature {feature.name!r} has."
                problems.add(f"{path}.partitions.{name}", rule, code)

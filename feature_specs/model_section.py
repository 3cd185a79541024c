"""Reads and checks what the ranker learns from and predicts: the sections `filters`,
`tables`, `features`, `tasks` and `fusion`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from feature_specs.build import build, closest
from feature_specs.ceilings import check_tables
from feature_specs.constants import constant_of
from feature_specs.imbalance import check_imbalance, check_pairs
from feature_specs.past_section import Past
from feature_specs.reading import Reading, names_of, reads
from feature_specs.seconds_section import check_seconds
from feature_specs.sides import REQUEST_SIDE, Side, Whose
from feature_specs.spec import (
    FacetSpec,
    FeatureSpec,
    FilterSpec,
    FusionSpec,
    LogSpec,
    TableSpec,
    TaskSpec,
)
from feature_specs.transforms import TransformError, parse_transform

_BUILT_IN_FILTERS = ("duplicate", "min_item_impressions", "min_user_events")
_LONGEST_SEQUENCE = 10_000
_WIDEST = 65_536  # columns that one feature may bring to the first dense layer
# Keys of a task that only some kinds, or some losses, have a use for.


def read_filters(reading: Reading, past: Past) -> FilterSpec:
    """Which rows become examples; a rule may read every column."""
    filters: FilterSpec | None = reading.section(FilterSpec, "filters")
    if filters is None:
        return FilterSpec()
    for rule, condition in filters.keep.items():
        path = f"filters.keep.{rule}"
        reading.name(path, rule)
        if rule in _BUILT_IN_FILTERS:
            reading.problems.add(path, "is a built-in rule's name; rename it.")
        reading.condition_that_varies(path, condition, past.scope)
    return filters


# --- tables and features --------------------------------------------------------------


def read_tables(reading: Reading) -> dict[str, TableSpec]:
    """The embedding tables by name; broken ones are left out."""
    raw = reading.raw.get("tables", {})
    if not isinstance(raw, dict):
        reading.problems.add("tables", "must be a mapping of name to size.", raw)
        return {}
    tables = {}
    for name, value in raw.items():
        path = f"tables.{name}"
        reading.name(path, name)
        if isinstance(value, dict):
            value = {"name": str(name), **value}
        before = len(reading.problems.found)
        table = build(TableSpec, value, path, reading.problems)
        if table is not None and len(reading.problems.found) == before:
            tables[str(name)] = table
    if tables:
        check_tables(tables, reading.problems)
    return tables


def read_features(
    reading: Reading, past: Past, tables: dict[str, TableSpec]
) -> list[FeatureSpec]:
    """The model's inputs, their expressions and types filled in."""
    features: list[FeatureSpec] = []
    reading.required_list("features")
    paths, seen, sharing = [], set[str](), dict[str, FeatureSpec]()
    projections: dict[str, FeatureSpec] = {}
    for path, raw in reading.entries(FeatureSpec, "features"):
        reading.unique(f"{path}.name", raw.name, seen)
        seen.add(raw.name)
        feature, whole = _feature(reading, past, path, raw)
        if whole:
            _check_shared(reading, path, feature, sharing)
            _check_projection(reading, path, feature, projections)
            _check_concat(reading, path, feature, tables)
        paths.append(path)
        features.append(feature)
    whose = past.whose(features)
    for path, feature in zip(paths, features, strict=True):
        _check_target(reading, path, feature, features)
        _check_side(reading, past, whose, path, feature)
    groups = {feature.group for feature in features}
    whole = len(features) == len(reading.entry_names("features"))
    if features and whole and "candidate" not in groups:
        reading.problems.add("features", "need one of group candidate at least.")
    if features and whole and not {"query", "context"} & groups:
        reading.problems.add("features", "need one of group query or context.")
    return features


def _feature(
    reading: Reading, past: Past, path: str, feature: FeatureSpec
) -> tuple[FeatureSpec, bool]:
    """The feature, its expression and type filled in, and whether it has a type."""
    reading.free_name(f"{path}.name", feature.name)
    if feature.name in ("weights", "top_k"):
        rule = "is an input of `rank` of its own; rename it."
        reading.problems.add(f"{path}.name", rule)
    text = feature.expr or f'"{feature.name}"'  # quoted: it may be an SQL word
    kind = feature.of_kind
    size = kind.sized(feature, None)
    kind.check(reading, path, dataclasses.replace(feature, size=size))
    reading.between(f"{path}.length", feature.length, 0, _LONGEST_SEQUENCE)
    found = reading.type_of(f"{path}.expr", text, past.scope)
    _check_leak(reading, past, path, feature, text)
    dtype = None if found is None else kind.dtype(reading, path, feature, found)
    filled = dataclasses.replace(
        feature,
        expr=text,
        length=_length(past, feature, text),
        size=kind.sized(feature, found),
        dtype=dtype or "int64",
    )
    return filled, dtype is not None


def _length(past: Past, feature: FeatureSpec, text: str) -> int:
    """The longest list that is kept of a feature; 0 if it is none."""
    kind = feature.of_kind
    if not kind.is_sequence and "length" not in kind.uses:
        return 0
    return feature.length or kind.default_length or past.length_of(text)


def _check_shared(
    reading: Reading, path: str, feature: FeatureSpec, first: dict[str, FeatureSpec]
) -> None:
    """The ids of a table are of one type: 7 and '7' would have two rows."""
    if feature.table is None:
        return
    other = first.setdefault(feature.table, feature)
    if other.dtype != feature.dtype:
        rule = (
            f"is of {other.dtype}s, as feature {other.name!r} has it, and this one's "
            f"values are of type {feature.dtype}: the same id would have two rows. "
            "CAST one of them in expr, or give it a table of its own."
        )
        reading.problems.add(f"{path}.table", rule, feature.table)


def _check_projection(
    reading: Reading, path: str, feature: FeatureSpec, first: dict[str, FeatureSpec]
) -> None:
    """Vectors that share a projection are of one space."""
    if not feature.projection:
        return
    other = first.setdefault(feature.projection, feature)
    kind = feature.of_kind
    mine = (feature.count, kind.projected(feature))
    theirs = (other.count, kind.projected(other))
    if mine != theirs:
        rule = (
            f"is one of {theirs[0]} floats to {theirs[1]}, as feature {other.name!r} "
            f"has it, and this one is of {mine[0]} to {mine[1]}. Say the same size "
            "and dim, or take another projection."
        )
        reading.problems.add(f"{path}.projection", rule, feature.projection)


def _check_concat(
    reading: Reading, path: str, feature: FeatureSpec, tables: dict[str, TableSpec]
) -> None:
    """A list whose embeddings are joined makes a row as wide as all of them."""
    if feature.pooling != "concat" or (feature.table or "") not in {*tables, ""}:
        return
    own = TableSpec(name="own", buckets=feature.rows(tables))
    width = tables.get(feature.table or "", own).width
    if feature.length * width > _WIDEST:
        rule = (
            f"makes {feature.length:,} x {width:,} columns of it; at most "
            f"{_WIDEST:,}. Take a smaller length, or another pooling."
        )
        reading.problems.add(f"{path}.pooling", rule, feature.pooling)


def _check_target(
    reading: Reading, path: str, feature: FeatureSpec, features: list[FeatureSpec]
) -> None:
    """A target is a candidate feature that is compared with this one."""
    if feature.width and feature.target:
        _check_cosine(reading, path, feature, features)
        return
    if feature.pooling != "attention":
        if feature.target:
            rule = "has no use without `pooling: attention`; remove it."
            reading.problems.add(f"{path}.target", rule, feature.target)
        return
    if not feature.is_sequence or feature.group not in ("query", "context"):
        rule = "is for sequences of group query or context."
        reading.problems.add(f"{path}.pooling", rule, feature.pooling)
        return
    fitting = [
        f.name
        for f in features
        if f.group == "candidate" and f.of_kind.is_id and f.table == feature.table
    ]
    if feature.target not in fitting:
        rule = (
            f"must be a candidate feature of kind id and table {feature.table!r}: "
            f"attention compares both.{closest(feature.target, fitting)}"
        )
        reading.problems.add(f"{path}.target", rule, feature.target)


def _check_cosine(
    reading: Reading, path: str, feature: FeatureSpec, features: list[FeatureSpec]
) -> None:
    """The vectors whose cosine is read are the request's and a candidate's."""
    if feature.group not in ("query", "context"):
        rule = "is for vectors of group query or context; name it there."
        reading.problems.add(f"{path}.target", rule, feature.target)
        return
    fitting = [
        f.name
        for f in features
        if f.group == "candidate" and f.width == feature.width and f.of_kind.is_number
    ]
    if feature.target not in fitting:
        rule = (
            f"must be a candidate feature of kind vector with {feature.width} floats: "
            f"their cosine is read.{closest(feature.target, fitting)}"
        )
        reading.problems.add(f"{path}.target", rule, feature.target)


def _check_leak(
    reading: Reading, past: Past, path: str, feature: FeatureSpec, text: str
) -> None:
    """A feature may read nothing that is unknown when it is asked for."""
    leaks = reads(text, past.outcomes)
    if leaks:
        rule = (
            f"feature {feature.name!r} reads {leaks}, known only after the impression "
            "(log.outcomes, log.request, events, quantiles, or derived from them): a "
            "label among the features. Read it of the past, by history, counters or "
            "statistics, or take the column out of log.outcomes if it is known before."
        )
        reading.problems.add(f"{path}.expr", rule, text)
    late = reads(text, past.future)
    if late and feature.group != "trail":
        rule = (
            f"feature {feature.name!r} reads {late}, known only when the trail is "
            "over. Make it a feature of group trail (trained on, never served), or "
            "read trail_position."
        )
        reading.problems.add(f"{path}.expr", rule, text)


def _check_side(
    reading: Reading,
    past: Past,
    whose: Whose | None,
    path: str,
    feature: FeatureSpec,
) -> None:
    """A feature reads its own side only, or says that it pairs both."""
    if feature.paired and feature.group != "candidate":
        rule = "is for features of group candidate; a request is sent once for all."
        reading.problems.add(f"{path}.paired", rule, feature.paired)
    if whose is None:
        return
    text = feature.expr
    videos = _read_of(whose, feature, frozenset({"video"}))
    if videos and feature.group in ("query", "context"):
        what = "a counter with a `match`"
        if not reads(text, past.paired):
            what = "the video's"
        rule = (
            f"feature {feature.name!r} reads {videos}, {what}: it "
            "differs from candidate to candidate, and a request is sent once for all. "
            "Make it a feature of group candidate, and say `paired: true` if it reads "
            "the user or the request, too."
        )
        reading.problems.add(f"{path}.expr", rule, text)
    others = _read_of(whose, feature, REQUEST_SIDE)
    if others and feature.group == "candidate" and not feature.paired:
        rule = (
            f"feature {feature.name!r} reads {others}, the user's or the request's: "
            "it is no value of the video alone, which may be kept from one request to "
            "the next. Say `paired: true`, or make it a feature of group query or "
            "context."
        )
        reading.problems.add(f"{path}.expr", rule, text)


def _read_of(whose: Whose, feature: FeatureSpec, sides: frozenset[Side]) -> str:
    """The columns of some sides that a feature reads, as text; empty for none.

    Where another feature says whose a column is, it is named.
    """
    names = names_of(feature.expr)
    read = sorted(column for column in names if whose.of(column) & sides)
    said = {
        f"feature {other.name!r} of group {other.group}"
        for column in read
        for other in whose.said_by(column)
        if other.name != feature.name
    }
    told = ", ".join(read)
    return f"{told} (as {', '.join(sorted(said))} does)" if said else told


# --- tasks and the fused score --------------------------------------------------------


def read_tasks(
    reading: Reading, log: LogSpec | None, past: Past, features: list[FeatureSpec]
) -> list[TaskSpec]:
    """What the ranker predicts; labels and sample spaces may read every column."""
    tasks: list[TaskSpec] = []
    paths: list[str] = []
    reading.required_list("tasks")
    for path, task in reading.entries(TaskSpec, "tasks"):
        reading.unique(f"{path}.name", task.name, [t.name for t in tasks])
        reading.name(f"{path}.name", task.name)
        if task.name in ("score", "log_score", "positions"):
            rule = "is an output of the served model of its own; rename it."
            reading.problems.add(f"{path}.name", rule)
        _check_label(reading, past, f"{path}.label", task.label)
        if task.sample_space:
            space = f"{path}.sample_space"
            reading.condition_that_varies(space, task.sample_space, past.scope)
        given = _keys_given(reading, task.name)
        check_imbalance(reading.problems, path, task, given)
        if log is not None:
            check_pairs(reading.problems, path, task, log)
        tasks.append(task)
        paths.append(path)
    check_seconds(reading, past, features, list(zip(paths, tasks, strict=True)))
    if tasks and not any(task.loss_weight for task in tasks):
        rule = "need one whose loss_weight is not 0: nothing would be learned."
        reading.problems.add("tasks", rule)
    return tasks


def _keys_given(reading: Reading, task: str) -> set[str]:
    """The keys that the file has for a task."""
    named = [e for e in reading.raw["tasks"] if isinstance(e, dict)]
    return {key for entry in named if entry.get("name") == task for key in entry}


def _check_label(reading: Reading, past: Past, path: str, label: str) -> None:
    """A label is a number, and says what the features cannot know."""
    before = len(reading.problems.found)
    reading.number(path, label, past.scope)
    if len(reading.problems.found) > before or past.scope.unknown:
        return
    if not reads(label, {*past.outcomes, *past.future, *past.scope.broken}):
        rule = (
            "reads no outcome, so there is nothing to learn from it. Read one, or add "
            "the column that it reads to log.outcomes. Outcomes: "
            f"{', '.join(sorted(past.outcomes)) or 'none'}."
        )
        reading.problems.add(path, rule, label)
        return
    value = constant_of(label)
    if value is not None:
        rule = f"is always {value}, so there is nothing to learn from it; mend it."
        reading.problems.add(path, rule, label)


def read_fusion(
    reading: Reading,
    features: list[FeatureSpec],
    tasks: list[TaskSpec],
    facets: dict[str, FacetSpec],
) -> FusionSpec | None:
    """The fused score's formula; None if it is missing or broken."""
    fusion: FusionSpec | None = reading.section(FusionSpec, "fusion", required=True)
    if fusion is None:
        return None
    check_tasks(reading, "fusion.weights", fusion.weights)
    if not any(fusion.weights.values()):
        rule = "must have a task whose weight is not 0: all scores would be alike."
        reading.problems.add("fusion.weights", rule, fusion.weights)
    _check_transforms(reading, fusion.transforms, tasks)
    _check_facet_weights(reading, fusion.facets, facets)
    if fusion.length is not None:
        others = [
            f.name
            for f in features
            if not f.of_kind.may_be_length or f.group == "trail"
        ]
        numbers = sorted(set(reading.entry_names("features")) - set(others))
        if fusion.length.feature not in numbers:
            hint = closest(fusion.length.feature, numbers)
            rule = f"must be a served feature of kind number.{hint}"
            path = "fusion.length.feature"
            reading.problems.add(path, rule, fusion.length.feature)
    return fusion


def _check_transforms(
    reading: Reading, transforms: dict[str, str], tasks: list[TaskSpec]
) -> None:
    """Each is of the list, and gives a factor above 0 of what its task predicts."""
    check_tasks(reading, "fusion.transforms", transforms)
    kinds = {task.name: task.of_kind for task in tasks}
    for name, text in transforms.items():
        path = f"fusion.transforms.{name}"
        try:
            found = parse_transform(text)
        except TransformError as error:
            reading.problems.add(path, str(error), text)
            continue
        is_probability = name not in kinds or kinds[name].is_probability
        if found.name == "identity" and not is_probability:
            rule = (
                "is for probabilities: another task's prediction may be 0, and a "
                "factor of 0 has no logarithm. Take linear, log1p or clip."
            )
            reading.problems.add(path, rule, text)


def _check_facet_weights(
    reading: Reading,
    weights: dict[str, dict[str, dict[str, float]]],
    facets: dict[str, FacetSpec],
) -> None:
    """Facets, partitions and tasks are known, and no task has two facets' weights."""
    facet_of: dict[str, str] = {}
    known = list(reading.raw.get("facets") or {})
    for name, by_partition in weights.items():
        path = f"fusion.facets.{name}"
        if name not in known:
            reading.problems.add(path, f"is no facet.{closest(name, known)}")
        partitions = list(facets[name].partitions) if name in facets else None
        for partition, own in by_partition.items():
            inside = f"{path}.{partition}"
            if partitions is not None and partition not in partitions:
                hint = closest(partition, partitions)
                reading.problems.add(inside, f"is no partition of it.{hint}")
            check_tasks(reading, inside, own)
            for task in own:
                other = facet_of.setdefault(task, name)
                if other != name:
                    rule = f"has weights by facet {other!r} already; keep one of both."
                    reading.problems.add(f"{inside}.{task}", rule)


def check_tasks(reading: Reading, path: str, weights: Mapping[str, object]) -> None:
    """That the keys of the mapping at `path` are tasks."""
    names = reading.entry_names("tasks")
    for name in weights:
        if name not in names:
            hint = closest(name, names)
            reading.problems.add(f"{path}.{name}", f"is no task.{hint}")

"""What a spec means, and what each step of a pipeline depends on of it.

    views.text(spec, views.EXAMPLES)     # YAML, what example generation depends on
    views.digest(spec, views.TRAINING)   # changes when training would go otherwise

A *view* is the spec itself, in which everything is left at its plainest that a step
does not read. As text it is a spec like any other: steps are given their view's text
and read it with `read_spec`, so that none can depend on what its cache key does not
hold. One meaning has one text: comments, layout, defaults written out and order where
it means nothing leave no trace.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from feature_specs.durations import text_of
from feature_specs.events import EventsSpec
from feature_specs.gates import DataGatesSpec
from feature_specs.reader import read_spec
from feature_specs.spec import (
    EvaluationSpec,
    FacetSpec,
    FeatureSpec,
    FusionSpec,
    InfraSpec,
    LogHistorySpec,
    LogSpec,
    Spec,
    TableSpec,
    TaskSpec,
)
from feature_specs.transforms import default_transform, parse_transform

EXAMPLES = "examples"
LIMITS = "limits"
DATA_GATES = "data_gates"
ENCODING = "encoding"
TRAINING = "training"
SERVING = "serving"
EVALUATION = "evaluation"
INFRA = "infra"
EVERYTHING = "everything"

_LONGEST = 60  # characters of a value in a message
_FILLED_IN = ("column_types", "text", "dtype")  # by the reader


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Named)


# --- the views ------------------------------------------------------------------------


def view(spec: Spec, name: str) -> Spec:
    """The spec with everything at its plainest that the view `name` leaves out."""
    return VIEWS[name](_canonical(spec))


def text(spec: Spec, name: str) -> str:
    """A view as YAML that `read_spec` reads back, one text for one meaning."""
    return _as_yaml(values(spec, name))


def digest(spec: Spec, name: str = EVERYTHING) -> str:
    """Twelve hex digits that change with what a view means; by default everything."""
    return hashlib.sha256(text(spec, name).encode()).hexdigest()[:12]


def written(spec: Spec) -> str:
    """The spec as YAML: as it was read, or anew if it was changed in Python since."""
    if spec.text and digest(read_spec(spec.text)) == digest(spec):
        return spec.text
    return text(spec, EVERYTHING)


def values(spec: Spec, name: str) -> dict[str, Any]:
    """A view as mappings, lists and numbers, without what has its default."""
    found: dict[str, Any] = _plain(view(spec, name))
    return found


def _examples(spec: Spec) -> Spec:
    """What decides the rows of raw examples, and their columns."""
    features = [_unencoded(feature) for feature in spec.features]
    return dataclasses.replace(
        spec,
        log=_without_limits(spec.log),
        tables=_used_tables(features, {}),
        features=_by_name(features),
        tasks=_by_name(_bare(task) for task in spec.tasks),
        facets={},
        fusion=_even(spec),
        evaluation=EvaluationSpec(slices=tuple(sorted(spec.evaluation.slices))),
        data_gates=DataGatesSpec(),
    )


def _limits(spec: Spec) -> Spec:
    """The same, and when the log is too damaged to make examples of it."""
    return dataclasses.replace(_examples(spec), log=spec.log)


def _data_gates(spec: Spec) -> Spec:
    """The same, and when a day is too unlike the days before it to be trained on."""
    return dataclasses.replace(_examples(spec), data_gates=spec.data_gates)


def _encoding(spec: Spec) -> Spec:
    """What decides encoded examples, too: sizes, cut points, tables' rows, facets."""
    features = [f.of_kind.untrained(f) for f in spec.features]
    return dataclasses.replace(
        _examples(spec),
        tables=_used_tables(features, spec.tables),
        features=_by_name(features),
        facets=_looked_up(spec),
    )


def _training(spec: Spec) -> Spec:
    """What decides the weights, too: losses, facets, widths of tables, orders."""
    return dataclasses.replace(
        _examples(spec),
        tables={name: spec.tables[name] for name in _used(spec.features)},
        features=spec.features,
        tasks=tuple(
            dataclasses.replace(t, sparse=False, seconds=None) for t in spec.tasks
        ),
        facets=spec.facets,
    )


def _serving(spec: Spec) -> Spec:
    """What decides the exported model, too: the fused score, ranks as seconds."""
    tasks = tuple(dataclasses.replace(t, sparse=False) for t in spec.tasks)
    return dataclasses.replace(_training(spec), tasks=tasks, fusion=spec.fusion)


def _evaluation(spec: Spec) -> Spec:
    """What decides whether a model is blessed, of whatever training.

    The fused score's weights are the gains of its NDCG, too.
    """
    slices = tuple(sorted(spec.evaluation.slices))
    return dataclasses.replace(
        _examples(spec),
        fusion=FusionSpec(weights=spec.fusion.weights),
        evaluation=dataclasses.replace(
            spec.evaluation, slices=slices, infra=InfraSpec()
        ),
    )


def _infra(spec: Spec) -> Spec:
    """What decides whether an exported model works by itself."""
    return dataclasses.replace(
        _examples(spec), evaluation=EvaluationSpec(infra=spec.evaluation.infra)
    )


def _everything(spec: Spec) -> Spec:
    """What people read of it, too."""
    return spec


VIEWS: dict[str, Callable[[Spec], Spec]] = {
    EXAMPLES: _examples,
    LIMITS: _limits,
    DATA_GATES: _data_gates,
    ENCODING: _encoding,
    TRAINING: _training,
    SERVING: _serving,
    EVALUATION: _evaluation,
    INFRA: _infra,
    EVERYTHING: _everything,
}


def _unencoded(feature: FeatureSpec) -> FeatureSpec:
    """As raw examples know it, where what stands for a missing value stays the same."""
    plain = feature.of_kind.unencoded(feature)
    return plain if repr(plain.missing) == repr(feature.missing) else feature


def _without_limits(log: LogSpec) -> LogSpec:
    return dataclasses.replace(
        log,
        max_reject_share=LogSpec.max_reject_share,
        min_day_share=LogSpec.min_day_share,
    )


def _bare(task: TaskSpec) -> TaskSpec:
    """A task as its examples know it."""
    return TaskSpec(
        name=task.name,
        kind=task.kind,
        label=task.label,
        sample_space=task.sample_space,
    )


def _even(spec: Spec) -> FusionSpec:
    """A fused score that says nothing, as a spec must have one."""
    return FusionSpec(weights=dict.fromkeys(sorted(t.name for t in spec.tasks), 1.0))


def _used(features: Iterable[FeatureSpec]) -> list[str]:
    """Names of the tables that features read, sorted."""
    return sorted({f.table for f in features if f.table is not None})


def _used_tables(
    features: list[FeatureSpec], sizes: dict[str, TableSpec]
) -> dict[str, TableSpec]:
    """The tables of `features`, with the rows of `sizes` or the fewest there may be."""
    found = {}
    for name in _used(features):
        rows = sizes[name].buckets if name in sizes else 2
        found[name] = TableSpec(name=name, buckets=rows)
    return found


def _looked_up(spec: Spec) -> dict[str, FacetSpec]:
    """The facets by values: which values they have, all in one partition."""
    by_value = {made.feature.name for made in spec.facet_inputs}
    found = {}
    for name, facet in sorted(spec.facets.items()):
        if facet.feature in by_value:
            first, *others = sorted(facet.partitions)
            parts = {first: facet.values, **dict.fromkeys(others, ())}
            found[name] = dataclasses.replace(
                facet, partitions=parts, default=first, train_with={}
            )
    return found


def _by_name(entries: Iterable[_Entry]) -> tuple[_Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.name))


# --- steps ----------------------------------------------------------------------------


class Step(NamedTuple):
    """A step of the pipeline, as `pipeline.dag` makes it.

    Attributes:
        name: Of the step.
        view: The view that it is given; none if it knows no spec.
        reads: Steps whose outputs it reads: made anew, they make it run again.
    """

    name: str
    view: str | None
    reads: tuple[str, ...] = ()


STEPS = (
    Step("DayExampleGen", LIMITS),
    Step("SpecSchema", EXAMPLES),
    Step("StatisticsGen", None, ("DayExampleGen", "SpecSchema")),
    Step("ExampleValidator", None, ("StatisticsGen", "SpecSchema")),
    Step("DataGate", DATA_GATES, ("DayExampleGen",)),
    Step("EncodingGen", ENCODING, ("DayExampleGen",)),
    Step("Trainer", SERVING, ("DayExampleGen", "EncodingGen")),
    Step("Evaluator", EVALUATION, ("DayExampleGen", "Trainer")),
    Step("InfraValidator", INFRA, ("Trainer",)),
    Step("Pusher", None, ("Trainer", "Evaluator", "InfraValidator")),
)


def step_text(spec: Spec, step: str) -> str:
    """What the step called `step` is given of a spec; SpecSchema the schema's view."""
    (name,) = (s.view for s in STEPS if s.name == step and s.view)
    return text(spec, name)


# --- what differs ---------------------------------------------------------------------


class Difference(NamedTuple):
    """One place where two specs mean something else.

    Attributes:
        path: `tasks.like.loss_weight`, or `features, in order`.
        before: None where it is not set.
        now: Likewise.
    """

    path: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.path} was {told(self.before)} and is {told(self.now)}"


def differences(before: Any, now: Any, path: str = "") -> list[Difference]:
    """Where the `values` of two specs differ; entries of a list go by their names."""
    before, now = _named(before), _named(now)
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [Difference(path, before, now)]
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        where = f"{path}.{key}" if path else key
        found += differences(before.get(key), now.get(key), where)
    orders = [[k for k in one if k in other] for one, other in _both(before, now)]
    if orders[0] != orders[1]:
        found.append(Difference(f"{path}, in order", *orders))
    return found


def _both(one: Any, other: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (one, other), (other, one)


def _named(value: Any) -> Any:
    """A list of named entries as a mapping."""
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(v, dict) and "name" in v for v in value):
        return value
    return {v["name"]: {k: x for k, x in v.items() if k != "name"} for v in value}


def told(value: Any) -> str:
    """A value for people, shortened."""
    if value is None:
        return "not set"
    told = json.dumps(value, ensure_ascii=False)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 3] + "..."


# --- one form for one meaning ---------------------------------------------------------


def _canonical(spec: Spec) -> Spec:
    """The spec as it would be written if every meaning had one way to be written.

    Sets are sorted, what follows from something else is filled in or left out. Order
    stays where it means something: filters (a row counts for the first that drops it),
    derived columns (each reads earlier ones), features and tasks (the weights' places
    in the model).
    """
    trail, history = spec.trail, spec.history
    if trail:
        scope = (trail.scope[0], *sorted(trail.scope[1:]))
        last = tuple(sorted(trail.last))
        trail = dataclasses.replace(trail, scope=scope, last=last)
    if history:
        columns = tuple(sorted(history.columns))
        history = dataclasses.replace(history, columns=columns)
    return dataclasses.replace(
        spec,
        log=_log(spec.log),
        events={
            name: _events(entry, spec.log)
            for name, entry in sorted(spec.events.items())
        },
        trail=trail,
        history=history,
        histories=_histories(spec),
        counters=_by_name(spec.counters),
        statistics=_by_name(spec.statistics),
        quantiles=_by_name(spec.quantiles),
        tables={name: _sized(spec.tables[name]) for name in sorted(spec.tables)},
        features=tuple(_feature(feature) for feature in spec.features),
        tasks=tuple(_task(task) for task in spec.tasks),
        facets={name: _facet(facet) for name, facet in spec.facets.items()},
        fusion=_fusion(spec.fusion, spec.tasks),
        evaluation=_limits_in_order(spec.evaluation),
        data_gates=_gates(spec.data_gates),
    )


def _limits_in_order(evaluation: EvaluationSpec) -> EvaluationSpec:
    """A mapping of tasks to limits has no order."""
    found = {
        f.name: getattr(evaluation, f.name) for f in dataclasses.fields(evaluation)
    }
    mappings: dict[str, Any] = {
        key: dict(sorted(value.items()))
        for key, value in found.items()
        if isinstance(value, dict)
    }
    return dataclasses.replace(evaluation, **mappings)


def _log(log: LogSpec) -> LogSpec:
    joins = {
        name: dataclasses.replace(
            join,
            format=join.format or _files_format(log),
            columns=dict(sorted(join.columns.items())),
        )
        for name, join in sorted(log.joins.items())
    }
    own = not log.folder_timezone or log.folder_timezone == log.timezone
    return dataclasses.replace(
        log,
        files="" if log.tfds else log.files,
        folder_timezone="" if own else log.folder_timezone,
        columns=dict(sorted(log.columns.items())),
        outcomes=_sorted(log.outcomes),
        joins=joins,
    )


def _files_format(log: LogSpec) -> Literal["", "csv", "jsonl", "parquet", "tfrecord"]:
    """What other files have where they do not say it; a data set of TFDS is no file."""
    return "" if log.format == "tfds" else log.format


def _histories(spec: Spec) -> dict[str, LogHistorySpec]:
    """What is the log's own if nothing is said is left out."""
    log = spec.log
    zones = {"", log.folder_timezone or log.timezone}
    return {
        name: dataclasses.replace(
            history,
            format=history.format or _files_format(log),
            folder_timezone=(
                "" if history.folder_timezone in zones else history.folder_timezone
            ),
            types=dict(sorted(history.types.items())),
            columns=dict(sorted(history.columns.items())),
        )
        for name, history in sorted(spec.histories.items())
    }


def _events(entry: EventsSpec, log: LogSpec) -> EventsSpec:
    """Zones and formats that are the log's are left out; a window is in its
    largest unit."""
    time, folders = entry.time, entry.folder_timezone
    return dataclasses.replace(
        entry,
        types=dict(sorted(entry.types.items())),
        key=_sorted(entry.key),
        time=dataclasses.replace(
            time, timezone="" if time.timezone == log.time.timezone else time.timezone
        ),
        window=text_of(entry.window_ms // 1_000),
        columns=dict(sorted(entry.columns.items())),
        format=entry.format or _files_format(log),
        folder_timezone="" if folders == log.folder_timezone else folders,
    )


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _sized(table: TableSpec) -> TableSpec:
    return dataclasses.replace(table, dim=table.width)


def _feature(feature: FeatureSpec) -> FeatureSpec:
    """Without what is so if nothing else is said: its own column, its kind's size."""
    own = feature.column == feature.name
    size = None if feature.size == feature.of_kind.default_size else feature.size
    return dataclasses.replace(feature, expr="" if own else feature.expr, size=size)


def _task(task: TaskSpec) -> TaskSpec:
    own = task.loss_kind == task.of_kind.default_loss
    return dataclasses.replace(task, loss="default" if own else task.loss)


def _facet(facet: FacetSpec) -> FacetSpec:
    """Partitions are sets of codes, and trained by their own rows unless it is said."""
    partitions = {n: tuple(sorted(c)) for n, c in facet.partitions.items()}
    train_with = {n: _sorted(set(o)) for n, o in sorted(facet.train_with.items())}
    others = {n: o for n, o in train_with.items() if o != (n,)}
    return dataclasses.replace(facet, partitions=partitions, train_with=others)


def _fusion(fusion: FusionSpec, tasks: Iterable[TaskSpec]) -> FusionSpec:
    """A task that weighs 0 is one that is left out, and so is a default transform."""
    weights = {
        name: weight for name, weight in sorted(fusion.weights.items()) if weight
    }
    own = {task.name: default_transform(task.of_kind).text for task in tasks}
    stated = {
        name: parse_transform(text).text
        for name, text in sorted(fusion.transforms.items())
    }
    return dataclasses.replace(
        fusion,
        weights=weights or fusion.weights,
        transforms={n: text for n, text in stated.items() if text != own.get(n)},
        facets=_facet_weights(fusion),
    )


def _facet_weights(fusion: FusionSpec) -> dict[str, dict[str, dict[str, float]]]:
    """In order, without what names no task."""
    found = {
        facet: {name: dict(sorted(own.items())) for name, own in sorted(parts.items())}
        for facet, parts in sorted(fusion.facets.items())
    }
    return {
        facet: {name: own for name, own in parts.items() if own}
        for facet, parts in found.items()
        if any(parts.values())
    }


def _gates(gates: DataGatesSpec) -> DataGatesSpec:
    columns = dict(sorted(gates.columns.items()))
    return dataclasses.replace(
        gates, columns=columns, not_judged=_sorted(set(gates.not_judged))
    )


def _plain(value: Any) -> Any:
    """Mappings, lists and numbers; of a dataclass what differs from its defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.name not in _FILLED_IN]
        found = {f.name: getattr(value, f.name) for f in fields}
        return {
            f.name: _plain(found[f.name])
            for f in fields
            if found[f.name] != _default(f)
        }
    if isinstance(value, dict):
        return {key: _entry(_plain(item), key) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _one_line(value) if isinstance(value, str) else value


def _entry(value: Any, key: str) -> Any:
    """A named entry of a mapping: its key is its name."""
    if isinstance(value, dict) and value.get("name") == key:
        return {k: v for k, v in value.items() if k != "name"}
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")


def _one_line(sql: str) -> str:
    """An expression without the layout of its lines; text in quotes as it is."""
    if "\n" not in sql or "--" in sql or "/*" in sql:
        return sql
    parts = _QUOTED.split(sql)
    parts[::2] = [re.sub(r"\s+", " ", part) for part in parts[::2]]
    return "".join(parts).strip()


# What JSON leaves as it is and YAML does not take, or takes for the end of a line.
_NO_YAML = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def _as_yaml(found: dict[str, Any]) -> str:
    """JSON that is YAML too."""
    made = json.dumps(found, ensure_ascii=False)
    return _NO_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", made)

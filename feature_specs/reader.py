"""Reads a spec, and checks what its sections say together.

spec = load_spec("kuairand")            # shipped with the package
spec = load_spec("my_logs.yaml")        # your own
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import zoneinfo
from typing import Any

import polars as pl

from feature_specs import expressions
from feature_specs.build import (
    Problems,
    SpecError,
    build,
    closest,
    parse_yaml,
    shipped_names,
    shipped_text,
)
from feature_specs.spec import (
    RESERVED_PREFIXES,
    Dtype,
    EvaluationSpec,
    FeatureSpec,
    FilterSpec,
    FusionSpec,
    HistorySpec,
    LogSpec,
    Spec,
    TableSpec,
    TaskSpec,
    TrailSpec,
)

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_TOP_KEYS = [f.name for f in dataclasses.fields(Spec) if f.name != "text"]
_SPECS = pathlib.Path(__file__).parent / "specs"
_BUILT_IN_FILTERS = ("duplicate", "min_item_impressions", "min_user_events")
_TABLE_KINDS = ("id", "sequence")


def shipped_specs() -> list[str]:
    """Names of the specs that come with the package."""
    return shipped_names(_SPECS)


def load_spec(name_or_path: str) -> Spec:
    """The checked spec of a shipped name or of a file.

    Raises:
        SpecError: No such spec, or all mistakes in the file at once.
    """
    return read_spec(shipped_text(_SPECS, name_or_path, "spec"), name_or_path)


@functools.lru_cache(maxsize=8)  # every step of a pipeline reads it anew
def read_spec(text: str, source: str = "spec") -> Spec:
    """The checked spec that a YAML text holds; `source` names it in errors."""
    raw = parse_yaml(text, source)
    problems = Problems()
    for key in raw:
        if key not in _TOP_KEYS:
            problems.add(str(key), f"is no section.{closest(str(key), _TOP_KEYS)}")
    spec = _Reader(raw, problems).spec(text)
    if spec is None or problems.found:
        raise SpecError(source, problems.found)
    return spec


class _Reader:
    """One reading: each section is checked as far as the others allow."""

    def __init__(self, raw: dict[str, Any], problems: Problems):
        self.raw, self.problems = raw, problems
        self.log: LogSpec | None = self._section(LogSpec, "log")
        self.trail: TrailSpec | None = self._section(TrailSpec, "trail")
        self.history: HistorySpec | None = self._section(HistorySpec, "history")
        self.columns = self._columns()
        self.schema = self._schema()
        self.rows = expressions.sample_rows(self.schema)

    def spec(self, text: str) -> Spec | None:
        """The whole spec; None if a section is broken."""
        name = self._name()
        self._check_log()
        self._check_trail_and_history()
        filters = self._filters()
        tables = self._tables()
        features = self._features(tables)
        tasks = self._tasks()
        fusion = self._fusion(features, tasks)
        evaluation = self._evaluation(tasks)
        if self.problems.found or self.log is None or fusion is None:
            return None
        return Spec(
            name=name,
            log=self.log,
            filters=filters or FilterSpec(),
            trail=self.trail,
            history=self.history,
            tables=tables,
            features=tuple(features),
            tasks=tuple(tasks),
            fusion=fusion,
            evaluation=evaluation or EvaluationSpec(),
            text=text,
        )

    # --- sections -----------------------------------------------------------------

    def _section(self, cls: type, key: str, required: bool = False) -> Any:
        if key in self.raw:
            return build(cls, self.raw[key], key, self.problems)
        if required or key == "log":
            self.problems.add(key, "is required; add this section.")
        return None

    def _name(self) -> str:
        name = self.raw.get("name")
        self._check_name("name", name)
        return str(name)

    def _columns(self) -> dict[str, str]:
        """Every column of the log and its joins -> declared type."""
        if self.log is None:
            return {}
        columns = dict(self.log.columns)
        for name, join in self.log.joins.items():
            for column, declared in join.columns.items():
                path = f"log.joins.{name}.columns.{column}"
                if column != join.on and column in columns:
                    self.problems.add(path, "is a column already; name it once.")
                columns.setdefault(column, declared)
        return columns

    def _schema(self) -> dict[str, pl.DataType]:
        """Every column that an expression may use, the derived ones included."""
        if self.log is None:
            return {}
        schema = {
            column: expressions.polars_type(declared) or pl.String()
            for column, declared in self.columns.items()
        }
        zone = self.log.timezone if self._is_zone(self.log.timezone) else "UTC"
        schema["event_time"] = pl.Datetime("ms", zone)
        if self.trail:
            schema["trail_position"] = pl.Int64()
            schema["trail_seconds"] = pl.Float64()
        if self.history:
            for column in self.history.columns:
                inner = schema.get(column, pl.Int64())
                schema[f"history_{column}"] = pl.List(inner)
        return schema

    def _check_log(self) -> None:
        log = self.log
        if log is None:
            return
        for path, columns in self._declared_columns(log):
            for column, declared in columns.items():
                if expressions.polars_type(declared) is None:
                    rule = (
                        "must be int64, float64 or string, with ? if it may be empty."
                    )
                    self.problems.add(f"{path}.{column}", rule, declared)
        named = {"user": log.user, "item": log.item, "time.column": log.time.column}
        if log.time.watched_ms:
            named["time.watched_ms"] = log.time.watched_ms
        for key, column in named.items():
            self._check_column(f"log.{key}", column, log.columns)
            if log.columns.get(column, "").endswith("?"):
                rule = "may not be empty in any row; drop the ? of its type."
                self.problems.add(f"log.columns.{column}", rule)
        if log.columns.get(log.time.column, "int64").rstrip("?") == "string":
            self.problems.add(f"log.columns.{log.time.column}", "must be a number.")
        for index, column in enumerate(log.outcomes):
            self._check_column(f"log.outcomes[{index}]", column, log.columns)
        if log.time.watched_ms and log.time.watched_ms not in log.outcomes:
            rule = f"must name {log.time.watched_ms!r} too: it is log.time.watched_ms."
            self.problems.add("log.outcomes", rule, list(log.outcomes))
        for name, join in log.joins.items():
            self._check_column(f"log.joins.{name}.on", join.on, log.columns)
            self._check_column(f"log.joins.{name}.on", join.on, join.columns)
            types = [
                c.get(join.on, "").rstrip("?") for c in (log.columns, join.columns)
            ]
            if all(types) and types[0] != types[1]:
                rule = f"must have one type in the log and the side file, not {types}."
                self.problems.add(f"log.joins.{name}.columns.{join.on}", rule)
        self._check_log_values(log)

    def _check_log_values(self, log: LogSpec) -> None:
        if not self._is_zone(log.timezone):
            rule = "must be an IANA time zone such as Asia/Shanghai."
            self.problems.add("log.timezone", rule, log.timezone)
        if len(log.separator) != 1:
            self.problems.add("log.separator", "must be one character.", log.separator)
        if log.days_per_split < 1:
            rule = "must be at least 1."
            self.problems.add("log.days_per_split", rule, log.days_per_split)
        if not 0 <= log.max_reject_share <= 1:
            rule = "must be a share between 0 and 1."
            self.problems.add("log.max_reject_share", rule, log.max_reject_share)

    def _declared_columns(self, log: LogSpec) -> list[tuple[str, dict[str, str]]]:
        joins = [(f"log.joins.{n}.columns", j.columns) for n, j in log.joins.items()]
        return [("log.columns", log.columns), *joins]

    def _check_trail_and_history(self) -> None:
        if self.log and self.trail:
            for index, column in enumerate(self.trail.scope):
                path = f"trail.scope[{index}]"
                self._check_column(path, column, self.log.columns)
                if column in self.log.outcomes:
                    self.problems.add(path, "is an outcome; a trail may not use one.")
            if not self.trail.scope or self.trail.scope[0] != self.log.user:
                rule = f"must begin with the user's column {self.log.user!r}."
                self.problems.add("trail.scope", rule, list(self.trail.scope))
            if self.trail.gap_minutes <= 0:
                rule = "must be positive."
                self.problems.add("trail.gap_minutes", rule, self.trail.gap_minutes)
        if self.log and self.history:
            for index, column in enumerate(self.history.columns):
                self._check_column(f"history.columns[{index}]", column, self.columns)
            derived = sorted(
                name
                for name in self._names(self.history.positive)
                if name not in self.columns and name != "event_time"
            )
            if derived:
                rule = (
                    f"may not read {derived[0]!r}; only columns of the log and joins."
                )
                self.problems.add("history.positive", rule, self.history.positive)
            else:
                self._type("history.positive", self.history.positive)
            if self.history.length < 1:
                self.problems.add(
                    "history.length", "must be at least 1.", self.history.length
                )

    def _filters(self) -> FilterSpec | None:
        filters: FilterSpec | None = self._section(FilterSpec, "filters")
        if filters is None:
            return None
        for rule, condition in filters.keep.items():
            self._check_name(f"filters.keep.{rule}", rule)
            if rule in _BUILT_IN_FILTERS:
                self.problems.add(f"filters.keep.{rule}", "is a built-in rule's name.")
            self._type(f"filters.keep.{rule}", condition)
        for key in ("min_user_events", "min_item_impressions"):
            if getattr(filters, key) < 0:
                rule = "must be 0 or more."
                self.problems.add(f"filters.{key}", rule, getattr(filters, key))
        return filters

    def _tables(self) -> dict[str, TableSpec]:
        raw = self.raw.get("tables", {})
        if not isinstance(raw, dict):
            self.problems.add("tables", "must be a mapping of name to size.", raw)
            return {}
        tables = {}
        for name, value in raw.items():
            path = f"tables.{name}"
            self._check_name(path, name)
            if isinstance(value, dict):
                value = {"name": str(name), **value}
            table = build(TableSpec, value, path, self.problems)
            if table is not None and self._check_table(path, table):
                tables[str(name)] = table
        return tables

    def _check_table(self, path: str, table: TableSpec) -> bool:
        before = len(self.problems.found)
        if not 2 <= table.buckets < 2**31:
            rule = "must be at least 2 and below 2^31 (ids are int32 on a TPU)."
            self.problems.add(f"{path}.buckets", rule, table.buckets)
        if table.dim < 0 or table.dim % 4:
            rule = "must be a multiple of 4; leave it out for the default rule."
            self.problems.add(f"{path}.dim", rule, table.dim)
        return len(self.problems.found) == before

    def _features(self, tables: dict[str, TableSpec]) -> list[FeatureSpec]:
        features: list[FeatureSpec] = []
        for path, feature in self._list(FeatureSpec, "features"):
            self._check_unique(path, feature.name, [f.name for f in features])
            features.append(self._feature(path, feature, tables))
        if not any(f.group == "candidate" for f in features) and features:
            self.problems.add("features", "need one of group candidate at least.")
        if not any(f.group in ("query", "context") for f in features) and features:
            self.problems.add("features", "need one of group query or context.")
        return features

    def _feature(
        self, path: str, feature: FeatureSpec, tables: dict[str, TableSpec]
    ) -> FeatureSpec:
        self._check_name(f"{path}.name", feature.name)
        if feature.name.startswith(RESERVED_PREFIXES):
            rule = f"may not begin with {', '.join(RESERVED_PREFIXES)}."
            self.problems.add(f"{path}.name", rule, feature.name)
        if feature.name == "weights":
            rule = "is the input of `rank` with the fusion weights; rename it."
            self.problems.add(f"{path}.name", rule)
        text = feature.expr or f'"{feature.name}"'  # quoted: it may be an SQL word
        length = feature.length or (self.history.length if self.history else 50)
        self._check_kind(path, feature, tables)
        found = self._type(f"{path}.expr", text, what=feature.name)
        self._check_leak(path, feature, text)
        dtype = self._dtype(path, feature, found) if found is not None else None
        return dataclasses.replace(
            feature,
            expr=text,
            length=length if feature.is_sequence else 0,
            dtype=dtype or "int64",
        )

    def _check_kind(
        self, path: str, feature: FeatureSpec, tables: dict[str, TableSpec]
    ) -> None:
        if feature.kind in _TABLE_KINDS:
            if feature.table is None:
                rule = f"is required for kind {feature.kind}."
                self.problems.add(f"{path}.table", rule)
            elif feature.table not in self.raw.get("tables", {}):
                hint = closest(feature.table, list(tables))
                rule = f"is not in tables.{hint}"
                self.problems.add(f"{path}.table", rule, feature.table)
        elif feature.table is not None:
            rule = f"has no use for kind {feature.kind}; remove it."
            self.problems.add(f"{path}.table", rule, feature.table)
        if feature.kind == "bucket":
            cuts = feature.boundaries
            if not cuts or list(cuts) != sorted(set(cuts)):
                rule = "must be increasing numbers, one at least."
                self.problems.add(f"{path}.boundaries", rule, list(cuts))
        elif feature.boundaries:
            self.problems.add(f"{path}.boundaries", "belong to kind bucket only.")
        if feature.kind in ("code", "category") and feature.size < 1:
            self.problems.add(f"{path}.size", "must be at least 1.", feature.size)
        if feature.length < 0:
            self.problems.add(f"{path}.length", "must be positive.", feature.length)

    def _check_leak(self, path: str, feature: FeatureSpec, text: str) -> None:
        if self.log is None:
            return
        leaks = sorted(self._names(text) & set(self.log.outcomes))
        if leaks:
            rule = (
                f"feature {feature.name!r} reads {', '.join(leaks)}, known only after "
                "the impression (log.outcomes): a label among the features. Use the "
                "history, or take the column out of log.outcomes if it is known before."
            )
            self.problems.add(f"{path}.expr", rule, text)

    def _dtype(
        self, path: str, feature: FeatureSpec, found: pl.DataType
    ) -> Dtype | None:
        if feature.is_sequence != isinstance(found, pl.List):
            rule = "must be a list for kind sequence, one value for any other."
            self.problems.add(f"{path}.expr", rule, str(found))
            return None
        inner = found.inner if isinstance(found, pl.List) else found
        if feature.kind in ("number", "bucket"):
            if inner.is_numeric() or inner == pl.Boolean:
                return "float32"
            self.problems.add(f"{path}.expr", "must be a number.", str(found))
            return None
        if inner.is_integer() or inner == pl.Boolean:
            return "int64"
        if inner == pl.String and feature.kind != "code":
            return "string"
        text = "" if feature.kind == "code" else " or text"
        rule = f"must be whole numbers{text} for kind {feature.kind}."
        self.problems.add(f"{path}.expr", rule, str(found))
        return None

    def _tasks(self) -> list[TaskSpec]:
        tasks: list[TaskSpec] = []
        for path, task in self._list(TaskSpec, "tasks"):
            self._check_unique(path, task.name, [t.name for t in tasks])
            self._check_name(f"{path}.name", task.name)
            if task.name == "score":
                self.problems.add(f"{path}.name", "is the fused score's; rename it.")
            self._type(f"{path}.label", task.label)
            if task.sample_space:
                self._type(f"{path}.sample_space", task.sample_space)
            if task.loss_weight < 0:
                rule = "must be 0 or more."
                self.problems.add(f"{path}.loss_weight", rule, task.loss_weight)
            if task.kind == "binary" and task.loss != "default":
                self.problems.add(f"{path}.loss", "belongs to regressions.", task.loss)
            tasks.append(task)
        return tasks

    def _fusion(
        self, features: list[FeatureSpec], tasks: list[TaskSpec]
    ) -> FusionSpec | None:
        fusion: FusionSpec | None = self._section(FusionSpec, "fusion", required=True)
        if fusion is None:
            return None
        self._check_tasks("fusion.weights", fusion.weights, tasks)
        if fusion.length is not None:
            numbers = [
                f.name for f in features if f.kind == "number" and f.group != "trail"
            ]
            if fusion.length.feature not in numbers:
                hint = closest(fusion.length.feature, numbers)
                rule = f"must be a served feature of kind number.{hint}"
                path = "fusion.length.feature"
                self.problems.add(path, rule, fusion.length.feature)
        return fusion

    def _evaluation(self, tasks: list[TaskSpec]) -> EvaluationSpec | None:
        evaluation: EvaluationSpec | None = self._section(EvaluationSpec, "evaluation")
        if evaluation is None:
            return None
        for index, column in enumerate(evaluation.slices):
            self._check_column(f"evaluation.slices[{index}]", column, self.columns)
        self._check_tasks("evaluation.min_auc", evaluation.min_auc, tasks)
        kinds = {task.name: task.kind for task in tasks}
        for name, value in evaluation.min_auc.items():
            path = f"evaluation.min_auc.{name}"
            if kinds.get(name) == "regression":
                self.problems.add(path, "is a regression; AUC is for binary tasks.")
            if not 0 <= value < 1:
                self.problems.add(path, "must be at least 0 and below 1.", value)
        return evaluation

    # --- single checks ------------------------------------------------------------

    def _list(self, cls: type, key: str) -> list[tuple[str, Any]]:
        raw = self.raw.get(key)
        if not isinstance(raw, list) or not raw:
            self.problems.add(key, "must be a list with one entry at least.", raw)
            return []
        found = []
        for index, value in enumerate(raw):
            name = value.get("name") if isinstance(value, dict) else None
            path = f"{key}[{index}]" + (f" ({name})" if name else "")
            item = build(cls, value, path, self.problems)
            if item is not None:
                found.append((path, item))
        return found

    def _names(self, text: str) -> set[str]:
        try:
            return expressions.columns_of(text)
        except ValueError:
            return set()  # reported where its type is asked for

    def _type(self, path: str, text: str, what: str = "") -> pl.DataType | None:
        """The type of an expression; a noted problem if it has none."""
        if not self.schema:
            return None
        try:
            missing = sorted(expressions.columns_of(text) - set(self.schema))
            if missing:
                hint = closest(missing[0], list(self.schema))
                about = f"feature {what!r} " if what else ""
                rule = f"{about}reads {missing[0]!r}, which is no column.{hint}"
                self.problems.add(path, rule, text)
                return None
            return expressions.type_of(text, self.rows)
        except ValueError as error:
            self.problems.add(path, f"{error}.", text)
            return None

    def _check_name(self, path: str, name: Any) -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            rule = "must be lower-case letters, digits and _, a letter first."
            self.problems.add(path, rule, name)

    def _check_unique(self, path: str, name: str, seen: list[str]) -> None:
        if name in seen:
            self.problems.add(f"{path}.name", "is taken already; rename it.", name)

    def _check_column(self, path: str, column: str, known: dict[str, str]) -> None:
        if column not in known:
            hint = closest(column, list(known))
            self.problems.add(path, f"must be a declared column.{hint}", column)

    def _check_tasks(
        self, path: str, weights: dict[str, float], tasks: list[TaskSpec]
    ) -> None:
        names = [task.name for task in tasks]
        for name in weights:
            if name not in names:
                hint = closest(name, names)
                self.problems.add(f"{path}.{name}", f"is no task.{hint}")

    def _is_zone(self, name: str) -> bool:
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
            return False
        return True

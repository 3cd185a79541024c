"""A spec as readable tables: features, embedding tables, tasks."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.table import Table

from feature_specs.spec import FeatureSpec, Spec


def spec_tables(spec: Spec) -> list[Table]:
    """The tables that `trailrank spec show` prints."""
    return [_features(spec), _embedding_tables(spec), _tasks(spec)]


def _features(spec: Spec) -> Table:
    table = Table(title=f"{spec.name}: features", title_justify="left", box=SIMPLE)
    table.add_column("feature", no_wrap=True)
    for head in ("group", "kind", "type", "input of the model", "from"):
        table.add_column(head, overflow="fold")
    for feature in spec.features:
        table.add_row(
            feature.name,
            feature.group,
            feature.kind,
            feature.dtype,
            _model_input(spec, feature),
            "" if feature.column == feature.name else feature.expr,
        )
    return table


def _model_input(spec: Spec, feature: FeatureSpec) -> str:
    if feature.is_number:
        return "log1p, z-score" if feature.transform == "log1p" else "z-score"
    rows = feature.rows(spec.tables)
    if feature.is_sequence:
        return f"{feature.pooling} of {feature.length} from {feature.table} ({rows:,})"
    where = f"{feature.table} " if feature.table else ""
    return f"{where}({rows:,} rows)"


def _embedding_tables(spec: Spec) -> Table:
    table = Table(
        title=f"{spec.name}: embedding tables", title_justify="left", box=SIMPLE
    )
    for head in ("table", "rows", "width", "parameters", "shared by"):
        table.add_column(
            head, justify="left" if head in ("table", "shared by") else "right"
        )
    for name, entry in spec.tables.items():
        users = [feature.name for feature in spec.features if feature.table == name]
        size = entry.buckets * entry.width
        table.add_row(
            name, f"{entry.buckets:,}", str(entry.width), f"{size:,}", ", ".join(users)
        )
    return table


def _tasks(spec: Spec) -> Table:
    table = Table(title=f"{spec.name}: tasks", title_justify="left", box=SIMPLE)
    table.add_column("task", no_wrap=True)
    for head in ("kind", "label", "sample space", "loss weight", "fusion weight"):
        table.add_column(head, overflow="fold")
    for task in spec.tasks:
        fusion = spec.fusion.weights.get(task.name, 0.0)
        table.add_row(
            task.name,
            task.kind + (" (sparse)" if task.sparse else ""),
            task.label,
            task.sample_space or "all",
            f"{task.loss_weight:g}",
            f"{fusion:g}",
        )
    return table

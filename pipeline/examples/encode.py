"""Spec expressions -> the columns of raw examples: features, labels, masks and keys.

A missing value is written as `spec.MISSING` of its type, the same that a request sends,
so that training and serving see one kind of absence.
"""

from __future__ import annotations

import polars as pl

from feature_specs import FeatureSpec, Spec, TaskSpec, label_key, mask_key
from feature_specs.missing import evaluate_all
from feature_specs.spec import (
    KEY_ITEM,
    KEY_REQUEST,
    KEY_TIME,
    KEY_USER,
    MISSING,
    slice_key,
)
from pipeline.examples.columns.requests import REQUEST
from pipeline.examples.columns.timeline import TIME_MS

_TYPES = {"int64": pl.Int64(), "float32": pl.Float32(), "string": pl.String()}


def encode(frame: pl.DataFrame, spec: Spec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(one column a key of the example, where a task's label is missing).

    The examples are of Int64, Float32, String, or List of these; no value is null but
    an empty list, which its example leaves out. Of the rest there is a column a task,
    bool: whether a row of its sample space has no label.
    """
    texts = {feature.name: feature.expr for feature in spec.features}
    for task in spec.tasks:
        texts[label_key(task.name)] = task.label
        texts[mask_key(task.name)] = task.sample_space or "TRUE"
    columns = [_feature(feature) for feature in spec.features]
    for task in spec.tasks:
        columns += _label_and_mask(task)
    plain = [
        _plain(frame, spec.log.user, KEY_USER),
        _plain(frame, spec.log.item, KEY_ITEM),
        pl.col(TIME_MS).alias(KEY_TIME),
    ]
    if spec.log.request:
        plain.append(pl.col(REQUEST).alias(KEY_REQUEST))
    plain += [_plain(frame, c, slice_key(c)) for c in spec.evaluation.slices]
    values = evaluate_all(frame, texts)
    unlabelled = values.select(_is_unlabelled(task) for task in spec.tasks)
    return values.select(columns).hstack(frame.select(plain)), unlabelled


def _feature(feature: FeatureSpec) -> pl.Expr:
    """The feature's values in its dtype."""
    value = pl.col(feature.name)
    wanted = _TYPES[feature.dtype]
    if feature.is_sequence:
        filled = value.list.eval(_filled(pl.element(), wanted, feature.missing))
        value = pl.when(filled.list.len() > 0).then(filled)
    else:
        value = _filled(value, wanted, feature.missing)
    return value.alias(feature.name)


def _filled(value: pl.Expr, wanted: pl.DataType, missing: int | float | str) -> pl.Expr:
    """Values in a type; also what is too large for it counts as missing."""
    value = value.cast(wanted, strict=False)
    if wanted.is_float():
        value = pl.when(value.is_finite()).then(value)
    return value.fill_null(missing)


def _label_and_mask(task: TaskSpec) -> list[pl.Expr]:
    """The label, and 1 where it trains and judges the task (PLE eq. 9)."""
    label = pl.col(label_key(task.name)).cast(pl.Float32)
    known, space = _is_known(task), _is_inside(task)
    return [
        pl.when(known)
        .then(label)
        .otherwise(0.0)
        .cast(pl.Float32)
        .alias(label_key(task.name)),
        (known & space).cast(pl.Float32).alias(mask_key(task.name)),
    ]


def _is_known(task: TaskSpec) -> pl.Expr:
    label = pl.col(label_key(task.name)).cast(pl.Float32)
    return label.is_finite().fill_null(False)


def _is_inside(task: TaskSpec) -> pl.Expr:
    """Whether a row is in the task's sample space."""
    return pl.col(mask_key(task.name)).cast(pl.Boolean).fill_null(False)


def _is_unlabelled(task: TaskSpec) -> pl.Expr:
    return (_is_inside(task) & ~_is_known(task)).alias(task.name)


def _plain(frame: pl.DataFrame, column: str, key: str) -> pl.Expr:
    """A log or join column as it is, in the type of the example."""
    found = frame.schema[column]
    dtype = "string" if found == pl.String else "int64"
    if found.is_float():
        dtype = "float32"
    return pl.col(column).cast(_TYPES[dtype]).fill_null(MISSING[dtype]).alias(key)

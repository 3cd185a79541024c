"""The truth of simulated logs, in the form the evaluation table compares with.

A truth is a directory of Parquet files, a row an impression, with the log's columns for
user, item and time, and with columns of probabilities. Its `oracles.json` says whose
they are: `{"is_click = 1": "u_is_click", ...}`, a column for the SQL of a label. A
task has an oracle if its label is one of these expressions, whatever it is called, and
if it has no sample space: there the probability would be another.

Only studies, tests and `trailrank evaluate --truth` read it; the pipeline never does.
"""

from __future__ import annotations

import json
import pathlib

import polars as pl

from feature_specs import Spec, TrailrankError, expressions
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER
from pipeline.examples.reading.readers import begin_of
from pipeline.simulator.oracles import ORACLES_FILE

_TYPES = {"int64": pl.Int64(), "float32": pl.Float32(), "string": pl.String()}


class NoTruthError(TrailrankError, RuntimeError):
    """A directory holds no truth of simulated logs, or that of other logs."""


def read_truth(folder: str, spec: Spec) -> pl.DataFrame:
    """The keys and `oracle_<task>` of every impression the simulator wrote.

    Raises:
        NoTruthError: The directory has no truth, or not that of this spec's logs.
    """
    files = sorted(pathlib.Path(folder).glob("*.parquet"))
    if not files:
        raise NoTruthError(
            f"{folder}: no *.parquet here. Give the truth/ directory that "
            "`trailrank simulate` wrote beside its data/."
        )
    oracles = _oracles(folder, spec)
    truth = pl.concat([pl.read_parquet(path) for path in files])
    log = spec.log
    needed = [log.user, log.item, *log.time.columns, *oracles.values()]
    missing = [column for column in needed if column not in truth.columns]
    if missing:
        raise NoTruthError(
            f"{folder}: must have the columns of log.user, log.item and log.time of "
            f"spec {spec.name!r}, and those that {ORACLES_FILE} names. Missing: "
            f"{', '.join(missing)}. Give the truth/ of the logs that the run read."
        )
    return truth.select(
        _key(spec, log.user).alias(KEY_USER),
        _key(spec, log.item).alias(KEY_ITEM),
        begin_of(spec).ms(truth).alias(KEY_TIME),
        **oracles,
    )


def _key(spec: Spec, column: str) -> pl.Expr:
    """A key column in the type that examples have it in."""
    return pl.col(column).cast(_TYPES[spec.column_types[column]])


def _oracles(folder: str, spec: Spec) -> dict[str, str]:
    """`oracle_<task>` -> the truth's column, of every task that has an oracle."""
    columns = _columns_by_label(pathlib.Path(folder))
    found = {
        f"oracle_{task.name}": column
        for task in spec.tasks
        for label, column in columns.items()
        if not task.sample_space and _is_same(task.label, label)
    }
    if not found:
        raise NoTruthError(
            f"{folder}: no task of spec {spec.name!r} has a label that {ORACLES_FILE} "
            f"knows, which are: {'; '.join(columns)}. Leave --truth out."
        )
    return found


def _columns_by_label(folder: pathlib.Path) -> dict[str, str]:
    path = folder / ORACLES_FILE
    try:
        columns: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoTruthError(
            f"{folder}: there is no {ORACLES_FILE}, which says what the columns are "
            "the probabilities of. An older `trailrank simulate` wrote this; run it "
            "again with the same arguments, which gives the same logs."
        ) from None
    return columns


def _is_same(label: str, other: str) -> bool:
    """Whether two SQL texts are one expression, however they are spaced."""
    return expressions.parse(label).meta.eq(expressions.parse(other))

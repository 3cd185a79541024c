"""Rows that tell of one impression (same user, begin and item) -> the one that stays.

A logger writes an impression when it begins and again when its outcome is known; a job
that is repeated writes it twice. Copies always meet: all rows of a user do. What
becomes of them is said by `log.duplicates`, see `feature_specs.spec.DuplicatesSpec`.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.arrays import Bools, Ints
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import DAY

_KNOWN = "_known_outcomes"


@dataclasses.dataclass(frozen=True)
class Copies:
    """What was found where an impression has more than one row.

    Attributes:
        rows: The rows that did not stay.
        impressions: Those with more than one row.
        identical: Of these, those whose rows are equal.
        outcomes_differ: Those whose rows differ in an outcome.
        others_differ: Those whose rows differ in another column; some of them differ in
            an outcome too.
        texts_differ: Those with two known texts in one outcome, of which the rule did
            not choose a row: the larger text stays.
    """

    rows: int = 0
    impressions: int = 0
    identical: int = 0
    outcomes_differ: int = 0
    others_differ: int = 0
    texts_differ: int = 0


def identity(spec: Spec) -> list[str]:
    """The columns that say which impression a row is."""
    return [spec.log.user, TIME_MS, spec.log.item]


def merge_copies(
    rows: pl.DataFrame, spec: Spec, first_day: datetime.date
) -> tuple[pl.DataFrame, Copies]:
    """(impressions sorted by user, begin and item, what was found from `first_day` on).

    The result does not depend on the order of the rows.

    Args:
        rows: Log columns, `TIME_MS` and `DAY`.
        spec: See `feature_specs`.
        first_day: Of the examples; copies of earlier days are not counted.
    """
    key = identity(spec)
    rows = rows.sort(key)
    is_repeated = repeated(rows, key)
    if not is_repeated.any():
        return rows, Copies()
    copies = plain_floats(rows.filter(is_repeated))
    chosen = _chosen(copies, spec)
    merged = _merged(chosen, spec).select(rows.columns)
    found = _found(copies, chosen, spec, first_day)
    return pl.concat([rows.filter(~is_repeated), merged]).sort(key), found


def repeated(rows: pl.DataFrame, key: list[str]) -> pl.Series:
    """Where a row, among rows sorted by `key`, shares it with another; bool [B]."""
    like_previous = _like_previous(rows, key)
    return like_previous | like_previous.shift(-1, fill_value=False)


def _like_previous(rows: pl.DataFrame, key: list[str]) -> pl.Series:
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in key)
    return rows.select(same.fill_null(False)).to_series()


def plain_floats(copies: pl.DataFrame) -> pl.DataFrame:
    """The rows with one missing value, null, and one zero: -0 and NaN have orders."""
    value = pl.selectors.float()
    return copies.with_columns(
        pl.when(value != 0).then(value.fill_nan(None)).otherwise(value.abs())
    )


def _chosen(copies: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """The rows of each impression that `log.duplicates` prefers; all without a rule."""
    rule, key = spec.log.duplicates, identity(spec)
    if rule is None:
        return copies
    if rule.keep == "most":
        known = pl.sum_horizontal(
            pl.col(name).is_not_null() for name in spec.log.outcomes
        )
        copies = copies.with_columns(known.alias(_KNOWN))
        copies = _largest(copies, _KNOWN, key).drop(_KNOWN)
    return _largest(copies, rule.by, key) if rule.by else copies


def _largest(copies: pl.DataFrame, column: str, key: list[str]) -> pl.DataFrame:
    """Each impression's rows with its largest value; a missing one is the smallest."""
    value = pl.col(column)
    return copies.filter(value.eq_missing(value.max().over(key)))


def _merged(chosen: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """One row an impression: its outcomes combined, the rest of its smallest row."""
    key, outcomes = identity(spec), list(spec.log.outcomes)
    others = _others(chosen, spec)
    rest = chosen.sort([*key, *others], nulls_last=True).unique(
        key, keep="first", maintain_order=True
    )
    known = chosen.group_by(key).agg(pl.col(outcomes).max())  # nulls are left out
    return rest.drop(outcomes).join(known, on=key, how="left")


def _others(copies: pl.DataFrame, spec: Spec) -> list[str]:
    """The columns that are neither identity nor outcome, by name."""
    return sorted({*copies.columns} - {*identity(spec), *spec.log.outcomes})


def _found(
    copies: pl.DataFrame, chosen: pl.DataFrame, spec: Spec, first_day: datetime.date
) -> Copies:
    """What is told of the copies of the days from `first_day` on."""
    copies, chosen = (f.filter(pl.col(DAY) >= first_day) for f in (copies, chosen))
    outcomes = list(spec.log.outcomes)
    numbers, again = _numbers(copies, spec)
    other_outcomes = np.unique(numbers[again & _changes(copies, outcomes)])
    other_values = np.unique(numbers[again & _changes(copies, _others(copies, spec))])
    impressions = int(numbers.max(initial=-1)) + 1
    return Copies(
        rows=len(numbers) - impressions,
        impressions=impressions,
        identical=impressions - len(np.union1d(other_outcomes, other_values)),
        outcomes_differ=len(other_outcomes),
        others_differ=len(other_values),
        texts_differ=_texts_differ(chosen, spec),
    )


def _numbers(copies: pl.DataFrame, spec: Spec) -> tuple[Ints, Bools]:
    """(number of each sorted row's impression, whether it is the one before's) [B]."""
    again = _like_previous(copies, identity(spec)).to_numpy()
    return np.cumsum(~again) - 1, again


def _changes(copies: pl.DataFrame, columns: list[str]) -> Bools:
    """Where one of the columns is not what it is in the row before, bool [B]."""
    values = [pl.col(name).ne_missing(pl.col(name).shift()) for name in columns]
    return (
        copies.select(pl.any_horizontal(pl.lit(False), *values)).to_series().to_numpy()
    )


def _texts_differ(chosen: pl.DataFrame, spec: Spec) -> int:
    """Impressions of which the larger of two known texts stays."""
    texts = [pl.col(c) for c in spec.log.outcomes if chosen.schema[c] == pl.String]
    if not texts:
        return 0
    differ = pl.any_horizontal(text.min() != text.max() for text in texts)
    found = chosen.group_by(identity(spec)).agg(differ.alias("differ"))
    return int(found["differ"].sum())

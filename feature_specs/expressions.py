"""SQL expressions over columns, evaluated column-wise by Polars; never `eval`."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import polars as pl

from feature_specs import missing

# What Polars calls the parts of an expression whose value depends on other rows.
_MIXES_ROWS = {"Agg", "Over", "Len", "Explode", "Quantile", "Correlation"}


_LONGEST = 10_000  # characters of one expression
# Polars takes time and memory by the square of the length of a chain, such as
# a + b + c, and overflows its stack on thousands.
_MOST_STEPS = 256
_STEP = re.compile(r"[-+*/%|&^<>=(]|\b(?:AND|OR|NOT|WHEN|LIKE|BETWEEN|IS)\b", re.I)


def parse(text: str) -> pl.Expr:
    """The Polars expression of an SQL text; ValueError says what is wrong with it."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST:,} characters; derive it in steps")
    if len(_STEP.findall(text)) > _MOST_STEPS:
        rule = "derive it in parts; a list of values is one step: tab IN (1, 2, 3)"
        raise ValueError(f"has more than {_MOST_STEPS} steps; {rule}")
    try:
        return missing.sql(text)
    except Exception as error:  # Polars raises several types for a bad text
        raise ValueError(f"is not an SQL expression: {_first_line(error)}") from None


def columns_of(text: str) -> set[str]:
    """The columns that an expression reads."""
    return set(parse(text).meta.root_names())


def sample_rows(schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A row of nulls and one of values with these columns, for `type_of`."""
    rows = {name: [None, _sample_value(found)] for name, found in schema.items()}
    return pl.DataFrame(rows, schema=dict(schema))


def type_of(text: str, rows: pl.DataFrame) -> pl.DataType:
    """The type an expression gives on the columns of `rows`, two sample rows.

    Raises:
        ValueError: It does not fit the columns; it names columns by a pattern; it mixes
            rows (AVG, COUNT...): its value would depend on which rows happen to lie
            together; or it may make a text that no memory holds.
    """
    expression = parse(text)
    if expression.meta.has_multiple_outputs():
        raise ValueError("names columns by a pattern; name each column")
    try:
        tree = missing.tree_of(expression)
        missing.check_lengths(tree)
        values = missing.compute(rows, {"value": text})
        nodes = set(_nodes(tree))
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"does not fit the columns: {_first_line(error)}") from None
    except RecursionError:
        raise ValueError("is nested too deeply; put parts into derived") from None
    if _MIXES_ROWS & nodes:
        raise ValueError("mixes rows; an expression may only look at its own row")
    return values.schema["value"]


def _sample_value(found: pl.DataType) -> Any:
    """A value that any function for the type takes, and any cast that there is."""
    if isinstance(found, pl.List):
        return [_sample_value(cast(pl.DataType, found.inner))]
    if isinstance(found, pl.Array):
        return [_sample_value(cast(pl.DataType, found.inner))] * found.size
    if found == pl.Date:
        return datetime.date(2024, 1, 1)
    if found.is_temporal():
        return datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    if found == pl.String:
        return "1"
    return found == pl.Boolean or 1


def _nodes(tree: Any) -> Iterator[str]:
    """The names of an expression's parts; not those of its columns and literals.

    What is done inside the lists of a row (`evaluation`) mixes no rows.
    """
    if isinstance(tree, str):
        yield tree
    for child in tree if isinstance(tree, list) else ():
        yield from _nodes(child)
    for key, child in tree.items() if isinstance(tree, dict) else ():
        yield key
        if key not in ("Column", "Literal", "evaluation"):
            yield from _nodes(child)


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:200]}..."

"""SQL on the rows of a frame, where NULL and NaN are one thing: missing.

Polars follows IEEE 754 and its own habits: NaN > 3 is true, 5 / 0 is infinite,
LEAST(NULL, 3) is 3, CONCAT(NULL, 'x') is 'x', a CAST that fails ends the run. Here

- a number that is not finite is missing, wherever it arises: in a column, in 0 / 0, in
  x / 0, in LN(0), in SQRT(-1), in 1e308 * 10;
- an operator or a function of something missing is missing. SQL's own exceptions stay:
  COALESCE and IS NULL look at it, AND and OR may know without it, CASE and IF go on to
  the next branch, IS DISTINCT FROM compares it, and the ARRAY functions that add up or
  choose leave missing elements out;
- text that is no number, no date and no time is missing once it is cast.

An expression is cut into steps where its parts are floats, and each step's result is
mended before the next one reads it.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from feature_specs.errors import TrailrankError

LONGEST_PAD = 1_000  # characters that LPAD and RPAD may fill up to
_STEP = "_step_"
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
_PATH = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)+(?![\w.(])")  # of names

_Tree = Any  # of an expression as Polars serializes it: dicts, lists and their leaves
# Where a part of an expression has its own parts.
_PARTS = {
    "BinaryExpr": ("left", "right"),
    "Cast": ("expr",),
    "Eval": ("expr",),
    "Function": ("input",),
    "Ternary": ("predicate", "truthy", "falsy"),
}
_SKIPS_MISSING = ("MinHorizontal", "MaxHorizontal")
_NOT_STRICT = "NonStrict"  # a cast that fails gives null


class ExpressionError(TrailrankError, ValueError):
    """An expression that fails on the values of a log; the message says which one."""


def evaluate_all(frame: pl.DataFrame, texts: Mapping[str, str]) -> pl.DataFrame:
    """The values of expressions in each row [B].

    Args:
        frame: Rows [B] with the columns that the expressions read.
        texts: Name -> expression.

    Returns:
        A column for each name; no float in it is NaN or infinite.

    Raises:
        ExpressionError: An expression fails on these values.
    """
    try:
        return compute(frame, texts)
    except pl.exceptions.PolarsError as error:
        raise ExpressionError(_told(frame, texts, error)) from error


def evaluate(frame: pl.DataFrame, text: str) -> pl.Series:
    """The value of one expression in each row [B]; see `evaluate_all`."""
    return evaluate_all(frame, {"_value": text})["_value"]


def compute(frame: pl.DataFrame, texts: Mapping[str, str]) -> pl.DataFrame:
    """`evaluate_all` that leaves the errors of Polars as they are."""
    program = _program(tuple(frame.schema.items()), tuple(texts.values()))
    return program.run(frame, list(texts))


def sql(text: str) -> pl.Expr:
    """The Polars expression of an SQL text; `author.id` is the column of that name."""
    parts = _QUOTED.split(text)
    parts[::2] = [_PATH.sub(r'"\g<0>"', part) for part in parts[::2]]
    return pl.sql_expr("".join(parts))


def tree_of(expression: pl.Expr) -> _Tree:
    """An expression's parts, as Polars serializes them."""
    return json.loads(expression.meta.serialize(format="json"))


def check_lengths(tree: _Tree) -> None:
    """ValueError if LPAD or RPAD may fill a text up to more than `LONGEST_PAD`."""
    for function, inputs in _functions(tree):
        if not isinstance(function, dict) or "StringExpr" not in function:
            continue
        if {"PadStart", "PadEnd"} & set(function["StringExpr"]):
            length = _whole_number(inputs[1])
            if length is None or length > LONGEST_PAD:
                raise ValueError(
                    f"pads a text; the length must be a number, {LONGEST_PAD} at most"
                )


def _told(frame: pl.DataFrame, texts: Mapping[str, str], error: Exception) -> str:
    """The message about the first expression that fails by itself."""
    alone = (text for text in texts.values() if _fails(frame, text))
    failed = next(alone, "; ".join(texts.values()))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return (
        f"The spec's expression {failed!r} fails on the values of the log: {reason}. "
        "Mend the expression, or the rows that it cannot read."
    )


def _fails(frame: pl.DataFrame, text: str) -> bool:
    try:
        compute(frame, {"_value": text})
    except pl.exceptions.PolarsError:
        return True
    return False


@dataclasses.dataclass(frozen=True)
class _Program:
    """Expressions as steps that are taken together, level by level.

    Attributes:
        levels: Step -> its expression over columns and steps of earlier levels.
        results: Each expression over columns and steps.
    """

    levels: list[dict[str, pl.Expr]]
    results: list[pl.Expr]

    def run(self, frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
        """The results in each row [B] as columns of these names."""
        for level in self.levels:
            frame = frame.with_columns(e.alias(name) for name, e in level.items())
            frame = frame.with_columns(_mended(frame[name]) for name in level)
        # As columns beside the others: a literal (TRUE) then holds for every row.
        frame = frame.with_columns(
            e.alias(f"_result_{n}") for n, e in enumerate(self.results)
        )
        return frame.select(
            pl.col(f"_result_{number}").alias(name) for number, name in enumerate(names)
        )


@functools.lru_cache(maxsize=256)
def _program(
    schema: tuple[tuple[str, pl.DataType], ...], texts: tuple[str, ...]
) -> _Program:
    builder = _Builder(pl.DataFrame(schema=dict(schema)))
    results = [_expression(builder.add(tree_of(sql(t)))[0]) for t in texts]
    return _Program(builder.levels, results)


class _Builder:
    """Cuts expressions into steps; a part that several share is one step."""

    def __init__(self, rows: pl.DataFrame) -> None:
        """`rows` are none, but have the columns."""
        self.levels: list[dict[str, pl.Expr]] = []
        self._rows = rows
        self._known: dict[str, tuple[_Tree, int]] = {}

    def add(self, tree: _Tree) -> tuple[_Tree, int]:
        """(a part over columns and steps, how many levels of steps it needs)."""
        if isinstance(tree, dict) and "Alias" in tree:  # ARRAY[...] has one
            tree = tree["Alias"][0]
        if not isinstance(tree, dict) or "Literal" in tree:
            return tree, 0
        text = json.dumps(tree, sort_keys=True)
        if text not in self._known:
            self._known[text] = self._add(tree)
        return self._known[text]

    def _add(self, tree: dict[str, _Tree]) -> tuple[_Tree, int]:
        ((kind, body),) = tree.items()
        level = 0
        if kind in _PARTS:
            body = dict(body)
            for part in _PARTS[kind]:
                body[part], levels = self._add_part(body[part])
                level = max(level, levels)
        expression = _expression(_strict({kind: body}))
        operands = _operands(tree, {kind: body})
        if operands:
            known = [_expression(operand).is_not_null() for operand in operands]
            expression = pl.when(pl.all_horizontal(known)).then(expression)
        elif not _holds_floats(self._rows.select(expression.alias("value"))["value"]):
            return _strict({kind: body}), level
        return self._as_step(expression, level), level + 1

    def _add_part(self, part: _Tree) -> tuple[_Tree, int]:
        """The same of a part, or of a list of them."""
        if not isinstance(part, list):
            return self.add(part)
        added = [self.add(one) for one in part]
        return [tree for tree, _ in added], max((n for _, n in added), default=0)

    def _as_step(self, expression: pl.Expr, level: int) -> _Tree:
        name = f"{_STEP}{sum(map(len, self.levels))}"
        while len(self.levels) <= level:
            self.levels.append({})
        self.levels[level][name] = expression
        self._rows = self._rows.with_columns(expression.alias(name))
        return {"Column": name}


def _strict(tree: dict[str, _Tree]) -> dict[str, _Tree]:
    """A part that neither skips what is missing nor ends the run."""
    ((kind, body),) = tree.items()
    if kind == "Cast":
        return {kind: {**body, "options": _NOT_STRICT}}
    if kind != "Function" or not isinstance(body["function"], dict):
        return tree
    if "Pow" in body["function"]:  # of whole numbers it wraps, and fails below zero
        return {kind: {**body, "input": [_as_double(part) for part in body["input"]]}}
    return {kind: {**body, "function": _strict_text(body["function"])}}


def _as_double(tree: _Tree) -> _Tree:
    """CAST(tree AS DOUBLE)"""
    return {
        "Cast": {"expr": tree, "dtype": {"Literal": "Float64"}, "options": _NOT_STRICT}
    }


def _strict_text(function: dict[str, _Tree]) -> dict[str, _Tree]:
    """The same of a function of texts; any other comes back as it is."""
    text = function.get("StringExpr")
    if not isinstance(text, dict):
        return function
    if "ConcatHorizontal" in text:
        concat = {**text["ConcatHorizontal"], "ignore_nulls": False}
        return {"StringExpr": {"ConcatHorizontal": concat}}
    if "Find" in text:  # STRPOS looks for a text, not for a pattern such as "("
        return {"StringExpr": {"Find": {**text["Find"], "literal": True}}}
    if "Strptime" in text:
        wanted, options = text["Strptime"]
        return {"StringExpr": {"Strptime": [wanted, {**options, "strict": False}]}}
    return function


def _operands(tree: _Tree, added: _Tree) -> list[_Tree]:
    """What must be known for a part that Polars knows without it; none for others.

    Args:
        tree: The part as it was written.
        added: The same over columns and steps.
    """
    if "Function" not in tree:
        return []
    function = tree["Function"]["function"]
    has = isinstance(function, dict) and "Contains" in str(function.get("ListExpr"))
    if has or function in _SKIPS_MISSING:
        return list(added["Function"]["input"])
    if function == "FillNull":  # STRPOS and POSITION: 0 for what is not in the text
        return [
            operand
            for inner, inputs in _functions(added)
            if isinstance(inner, dict) and "Find" in str(inner.get("StringExpr"))
            for operand in inputs
        ]
    return []


def _functions(tree: _Tree) -> Iterator[tuple[_Tree, list[_Tree]]]:
    """(function, its inputs) of all parts of an expression."""
    if isinstance(tree, list):
        for part in tree:
            yield from _functions(part)
    if not isinstance(tree, dict) or "Literal" in tree:
        return
    if "Function" in tree:
        yield tree["Function"]["function"], tree["Function"]["input"]
    for part in tree.values():
        yield from _functions(part)


def _whole_number(tree: _Tree) -> int | None:
    """The number that a literal is; None if the part is something else."""
    try:
        return int(tree["Literal"]["Dyn"]["Int"])
    except (KeyError, TypeError, ValueError):
        return None


def _expression(tree: _Tree) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")


def _holds_floats(values: pl.Series) -> bool:
    """Whether values are floats, or lists of them."""
    found = values.dtype
    return (found.inner if isinstance(found, pl.List) else found).is_float()


def _mended(values: pl.Series) -> pl.Expr:
    """A column by its name, without what is NaN or infinite in it."""
    value, element = pl.col(values.name), pl.element()
    if not _holds_floats(values):
        return value
    if isinstance(values.dtype, pl.List):
        return value.list.eval(pl.when(element.is_finite()).then(element))
    return pl.when(value.is_finite()).then(value).alias(values.name)

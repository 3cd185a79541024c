"""What an expression always gives, if its text alone says so: `liked = 1 AND FALSE`.

Only what is certain is found. That a column is 0 in every row the rows have to tell.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any

from feature_specs import expressions, missing

_COMPARES: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtEq": operator.le,
    "Gt": operator.gt,
    "GtEq": operator.ge,
}
_PRODUCTS = ("Multiply", "Mul")
# Which value of one side decides, whatever the other one is (NULL stays NULL).
_DECIDES: dict[str, bool] = {"And": False, "Or": True}
_DECIDES |= {f"Logical{name}": value for name, value in _DECIDES.items()}


def constant_of(text: str) -> Any:
    """The one value that an expression has wherever it has any; None if it may vary."""
    try:
        return _fold(missing.tree_of(expressions.parse(text)))
    except (ValueError, RecursionError):  # no expression: `Reading.type_of` tells
        return None


def _fold(tree: Any) -> Any:
    """The constant value of a part of an expression, None if there is none."""
    (kind, part), *others = tree.items() if isinstance(tree, dict) else [("", None)]
    if others or not isinstance(part, dict):
        return None
    if kind == "Literal":
        return _literal(part)
    if kind == "Cast":
        return _fold(part.get("expr"))
    if kind == "Ternary":
        return _choice(part)
    if kind == "BinaryExpr":
        return _binary(part.get("op"), part.get("left"), part.get("right"))
    if kind == "Function":
        return _function(part.get("function"), part.get("input"))
    return None


def _literal(part: dict[str, Any]) -> Any:
    """Of `{"Dyn": {"Int": 0}}` or `{"Scalar": {"Boolean": false}}` the value."""
    for typed in part.values():
        values = list(typed.values()) if isinstance(typed, dict) else []
        if len(values) == 1 and isinstance(values[0], (bool, int, float, str)):
            return values[0]
    return None


def _choice(part: dict[str, Any]) -> Any:
    chosen = _fold(part.get("predicate"))
    yes, no = part.get("truthy"), part.get("falsy")
    if chosen is not None:
        return _fold(yes if chosen else no)
    if _is_null(no):
        return _fold(yes)
    if _is_null(yes):
        return _fold(no)
    left, right = _fold(yes), _fold(no)
    return left if left is not None and left == right else None


def _is_null(tree: Any) -> bool:
    return '"Null"' in json.dumps(tree) and "Column" not in json.dumps(tree)


def _binary(op: Any, left: Any, right: Any) -> Any:
    a, b = _fold(left), _fold(right)
    if op in _DECIDES:
        decides = _DECIDES[op]
        known = [bool(value) for value in (a, b) if value is not None]
        if decides in known:
            return decides
        return not decides if len(known) == 2 else None
    if op in _PRODUCTS and 0 in (a, b):
        return 0
    if op in _COMPARES and a is not None and b is not None and type(a) is type(b):
        return _COMPARES[op](a, b)
    return None


def _function(function: Any, inputs: Any) -> Any:
    if not isinstance(inputs, list):
        return None
    if function == {"Boolean": "Not"} and len(inputs) == 1:
        value = _fold(inputs[0])
        return None if value is None else not value
    if isinstance(function, dict) and "Sql" in function and len(inputs) == 2:
        sql = function["Sql"]
        return _binary(sql.get("Binary") if isinstance(sql, dict) else None, *inputs)
    return None

"""JSON `examples` of classify and regress -> serialized `tf.train.Example`s.

Rules: REST contract sec. 4. A feature's kind is told by its tokens, as no signature
says what an example holds.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from serving.options import Limits
from serving.wire.json_tensors import BadRequest

_INT64 = range(-(2**63), 2**63)
_MOST_CONTEXT_BYTES = 64 * 2**20  # in all examples together


def serialized_examples(
    body: Mapping[str, Any], verb: str, limits: Limits
) -> list[bytes]:
    """The examples of a request, each with the features of `context` added.

    Args:
        body: A parsed request.
        verb: `classify` or `regress`, for messages.
        limits: Of rows, and of values in all examples together.

    Raises:
        BadRequest: By the rules, or beyond the limits.
    """
    rows = body.get("examples")
    if not isinstance(rows, list) or not rows:
        raise BadRequest(
            f"When method is {verb}, key 'examples' is expected and must be a list "
            "that is not empty"
        )
    if len(rows) > limits.max_rows:
        raise BadRequest(
            f"'examples' has {len(rows)} items; at most {limits.max_rows} are allowed"
        )
    counter = _Counter(limits.max_elements)
    context = _context(body["context"], len(rows), limits) if "context" in body else b""
    # Messages one behind the other are one message: of a feature in both the latter,
    # that of the example, holds.
    return [
        context + _example(row, f"example {index}", counter)
        for index, row in enumerate(rows)
    ]


def _context(features: Any, rows: int, limits: Limits) -> bytes:
    """Features of every example: a small request must not become a huge batch."""
    counter = _Counter(limits.max_elements // rows)
    context = _example(features, "context", counter)
    if len(context) * rows > _MOST_CONTEXT_BYTES:
        raise BadRequest(
            f"'context' takes {len(context)} bytes for each of {rows} examples; at "
            f"most {_MOST_CONTEXT_BYTES} are allowed"
        )
    return context


class _Counter:
    """Values read so far, and how many there may be."""

    def __init__(self, most: int):
        self._left = self._most = most

    def take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise BadRequest(
                f"more than {self._most} values in 'examples', or in 'context' for "
                "each of them"
            )


def _example(features: Any, where: str, counter: _Counter) -> bytes:
    if not isinstance(features, dict):
        raise BadRequest(f"{where}: expected an object of features")
    example = tf.train.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        counter.take(max(len(values), 1))
        try:
            key = name.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeError:
            raise BadRequest(f"{where}: a feature's name is no UTF-8") from None
        _fill(example.features.feature[key], values, f"{where}, feature {name!r}")
    return example.SerializeToString()


def _fill(feature: tf.train.Feature, values: list[Any], where: str) -> None:
    kinds = {_kind(value, where) for value in values}
    if len(kinds) > 1:
        raise BadRequest(f"{where}: values of one kind are expected. Got a mix")
    if kinds == {"float"}:
        feature.float_list.value.extend(values)
    elif kinds == {"int64"}:
        feature.int64_list.value.extend(map(int, values))
    elif kinds == {"bytes"}:
        feature.bytes_list.value.extend(_to_bytes(value, where) for value in values)


def _kind(value: Any, where: str) -> str:
    if isinstance(value, float):
        return "float"
    if isinstance(value, int):  # bools are ints
        if value not in _INT64:
            raise BadRequest(f"{where}: {value} does not fit into int64")
        return "int64"
    if isinstance(value, str) or _is_base64(value):
        return "bytes"
    raise BadRequest(
        f"{where}: a value must be a number, a bool, a string or base64 data"
    )


def _is_base64(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return value.keys() == {"b64"} and isinstance(value["b64"], str)


def _to_bytes(value: str | dict[str, str], where: str) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        encoded = value["b64"]
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except UnicodeEncodeError:
        raise BadRequest(
            f"{where}: JSON Parse error: The surrogate pair in string is invalid."
        ) from None
    except (binascii.Error, ValueError):
        raise BadRequest(f"{where}: Unable to base64 decode") from None

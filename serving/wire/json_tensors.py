"""JSON bodies <-> arrays, by TensorFlow Serving's rules (REST contract sec. 2 and 3).

Well-formed requests are read by parsers in C; whatever these refuse, or might read in
another way, by `serving.wire.json_parser`. Values are checked and converted a whole
tensor at a time: a Python call per value would cost more than the model.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import json
import math
import re
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from feature_specs.errors import TrailrankError
from serving.options import Limits
from serving.wire import json_parser
from serving.wire.json_floats import float_lists, float_tokens

Arrays = dict[str, npt.NDArray[Any]]

_INT32 = (-(2**31), 2**31 - 1)
_INT_RANGES = {  # DType name -> smallest and largest token
    "int8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "uint8": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS = ("float32", "float64")
_KINDS: dict[str, set[type]] = {  # DType name -> what JSON may hold for it
    **{name: {int, float} for name in _FLOATS},
    **{name: {int} for name in _INT_RANGES},
    "bool": {bool},
    "string": {str, dict},
}
_BYTES_SUFFIX = "_bytes"  # string outputs named so are sent as base64
_LIMITS = Limits()
_LONGEST_QUOTE = 200  # characters of a value in a message

_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_LEVELS_OF_ROWS = 3  # the body, the list of rows, and each row


class BadRequest(TrailrankError, ValueError):
    """A request that TensorFlow Serving would refuse.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


# --- requests -------------------------------------------------------------------------


def parse_body(body: bytes, limits: Limits = _LIMITS) -> dict[str, Any]:
    """The JSON object at the beginning of `body`; what follows it is ignored."""
    try:
        value = _read_fast(body, limits)
    except _Unsure:
        try:
            value = json_parser.parse(bytes(body), limits.max_elements)
        except json_parser.ParseError as error:
            raise BadRequest(str(error)) from None
    if not isinstance(value, dict):
        raise BadRequest(f"JSON Value: {_short(value)} Is not object")
    return value


class _Unsure(Exception):
    """A fast parser may read another value than the exact one, or refuse a good one."""


def _read_fast(body: bytes, limits: Limits) -> Any:
    """The value of a body that fast parsers are sure to read as the exact one would."""
    containers = body.count(b"[") + body.count(b"{")
    if body.count(b",") >= limits.max_elements:
        raise _Unsure  # the exact parser stops where the limit is passed
    if containers > json_parser.most_containers(limits.max_elements):
        raise _Unsure
    value = _read_with_null(body)
    if value is None:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = _read_with_infinity(body)
    if not _has_distinct_keys(value, body):
        raise _Unsure
    return value


def _read_with_null(body: bytes) -> Any:
    """The value of a body that is strict JSON but for `NaN`; None if it may be another.

    A strict parser reads it with `null` for `NaN`. Each of them is found again as a
    value, unless it stood in a string or has gone with a key that is there twice.
    """
    count = body.count(b"NaN")
    if not count or b"null" in body:
        return None
    try:
        value = orjson.loads(body.replace(b"NaN", b"null"))
    except orjson.JSONDecodeError:
        return None
    return value if _put_nan(value, count) else None


def _put_nan(value: Any, count: int) -> bool:
    """Makes each None in lists and objects a NaN; whether these are so many."""
    level: list[Any] = [value]
    while count and level:
        lists = [v for v in level if type(v) is list]
        objects = [v for v in level if type(v) is dict]
        for values in lists:
            if None in values:
                count -= values.count(None)
                values[:] = [math.nan if v is None else v for v in values]
        for members in objects:
            if None in members.values():
                absent = [key for key, v in members.items() if v is None]
                count -= len(absent)
                members.update(dict.fromkeys(absent, math.nan))
        inner: list[Iterable[Any]] = [*lists, *(v.values() for v in objects)]
        level = list(itertools.chain.from_iterable(inner)) if count else []
    return count == 0


def _read_with_infinity(body: bytes) -> Any:
    """The value of a body that is strict JSON but for `NaN` and `Infinity`."""
    is_strict = b"NaN" not in body and b"Infinity" not in body
    # Python takes half a surrogate pair, and numbers of any size.
    if is_strict or b"\\ud" in body or b"\\uD" in body:
        raise _Unsure
    if json_parser.has_huge_number(body):
        raise _Unsure
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        raise _Unsure from None


def _has_distinct_keys(value: Any, body: bytes) -> bool:
    """Whether no object of `body` surely has a key twice.

    Of duplicates the first counts, but C parsers keep the last. Each member of an
    object takes a colon, so no key was lost where the members are as many as colons.
    """
    colons = body.count(b":")
    if _count_members(value, colons, levels=_LEVELS_OF_ROWS) == colons:
        return True
    # There are colons in strings, or objects farther inside.
    colons = body.count(b'":') + len(_SPACED_COLON.findall(body))
    return _count_members(value, colons) == colons


def _count_members(value: Any, enough: int, levels: int = sys.maxsize) -> int:
    """Members of the objects in `value`; the count ends at `enough` or after levels."""
    found = 0
    level: list[Any] = [value]
    while level and levels:
        objects = [v for v in level if type(v) is dict]
        found += sum(map(len, objects))
        if found >= enough:
            break
        inner: list[Iterable[Any]] = [v for v in level if type(v) is list]
        inner.extend(v.values() for v in objects)
        level = list(itertools.chain.from_iterable(inner))
        levels -= 1
    return found


def signature_name(body: Mapping[str, Any]) -> str:
    """The signature that a request asks for."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise BadRequest(
            f"JSON Value: {_short(dict(body))} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name or "serving_default"


def is_row_format(body: Mapping[str, Any]) -> bool:
    """Whether a request lists `instances`; if not, it has `inputs` by column."""
    if "instances" in body and "inputs" in body:
        raise BadRequest(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist"
        )
    if "instances" not in body and "inputs" not in body:
        raise BadRequest("Missing 'inputs' or 'instances' key")
    return "instances" in body


def request_arrays(
    body: Mapping[str, Any],
    dtypes: Mapping[str, str],
    limits: Limits = _LIMITS,
    optional: Container[str] = (),
) -> Arrays:
    """The tensors of a request.

    Args:
        body: A parsed request.
        dtypes: The signature's input -> `DType.name`.
        limits: Of rows and of nesting; that of elements held while parsing.
        optional: Inputs that may be left out where they stand by column.
    """
    if is_row_format(body):
        return _from_rows(body["instances"], dtypes, limits)
    return _from_columns(body["inputs"], dtypes, limits, optional)


def _from_rows(rows: Any, dtypes: Mapping[str, str], limits: Limits) -> Arrays:
    if not isinstance(rows, list):
        raise BadRequest("Expecting 'instances' to be an list/array")
    if not rows:
        raise BadRequest("No values in 'instances' array")
    if len(rows) > limits.max_rows:
        raise BadRequest(
            f"'instances' must have at most {limits.max_rows} entries (max_rows). Got "
            f"{len(rows)}. Send fewer at a time."
        )
    columns = _columns(rows, list(dtypes))
    return {
        name: _stack(column, dtypes[name], name, limits)
        for name, column in columns.items()
    }


def _columns(rows: list[Any], names: list[str]) -> Mapping[str, Sequence[Any]]:
    """Rows -> input -> its slices, one a row."""
    # {"b64": "..."} is an object or a value; an input of that name takes care.
    is_plain = bool(names) and "b64" not in names and set(map(type, rows)) == {dict}
    if is_plain and set(map(len, rows)) == {len(names)}:
        with contextlib.suppress(KeyError):
            return {name: [row[name] for row in rows] for name in names}
    return _checked_columns(rows, names)


def _checked_columns(rows: list[Any], names: list[str]) -> Mapping[str, Sequence[Any]]:
    """The same, with a message for what does not fit."""
    named = _is_object(rows[0])
    if not named and len(names) > 1:
        raise BadRequest(
            "instances is a plain list, but expecting list of objects as multiple "
            f"input tensors required: {', '.join(sorted(names))}"
        )
    for index, row in enumerate(rows):
        if _is_object(row) != named:
            wanted = "object but got list" if named else "value/list but got object"
            raise BadRequest(f"Expecting {wanted} at item {index} of input list")
        if named and row.keys() != set(names):
            raise BadRequest(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"must only have keys: {','.join(sorted(names))}. Missing or unknown: "
                f"{_short(sorted(row.keys() ^ set(names)))}"
            )
    if named:
        return {name: [row[name] for row in rows] for name in names}
    return dict.fromkeys(names, rows)


def _stack(
    slices: Sequence[Any], dtype: str, name: str, limits: Limits
) -> npt.NDArray[Any]:
    """Slices of one input, one a row -> [rows, ...]."""
    try:
        return _to_array(slices, [len(slices)], dtype, limits)
    except _Ragged:
        pass  # find the first row that differs, to name it
    except BadRequest as error:
        # Upstream wraps every error of a row, whatever its code, in a 400.
        raise BadRequest(
            f"Failed to process 'instances' list, key: {name}. Error: {error}"
        ) from None
    first = _to_array(slices[:1], [], dtype, limits)
    for index, value in enumerate(slices):
        array = _to_array([value], [], dtype, limits)
        where = f"Failed to process element: {index} key: {name} of 'instances' list. "
        if array.size != first.size:
            what = f"Expecting tensor size: {first.size} but got: {array.size}"
            raise BadRequest(f"{where}Error: {what}")
        if array.shape != first.shape:
            shapes = f"{list(first.shape)} but got: {list(array.shape)}"
            raise BadRequest(f"{where}Error: Expecting shape {shapes}")
    raise AssertionError("slices of one shape were taken for ragged")


def _from_columns(
    inputs: Any, dtypes: Mapping[str, str], limits: Limits, optional: Container[str]
) -> Arrays:
    if not _is_object(inputs):
        if len(dtypes) != 1:
            raise BadRequest(
                "inputs is a plain value/list, but expecting an object as multiple "
                f"input tensors required: {', '.join(sorted(dtypes))}"
            )
        inputs = dict.fromkeys(dtypes, inputs)
    for name in dtypes:
        if name not in inputs and name not in optional:
            raise BadRequest(f"Missing named input: {name} in 'inputs' object.")
    return {
        name: _to_array([inputs[name]], [], dtype, limits)
        for name, dtype in dtypes.items()
        if name in inputs
    }


class _Ragged(BadRequest):
    """Lists of one level differ in length or depth."""


def _to_array(
    level: Sequence[Any], shape: list[int], dtype: str, limits: Limits
) -> npt.NDArray[Any]:
    """Nested lists of equal lengths -> array.

    Args:
        level: Values, each a list or what a tensor holds.
        shape: In which they stand: [n], or [] for one value.
        dtype: `DType.name`.
        limits: Of nesting.
    """
    while list in (kinds := set(map(type, level))):
        if len(kinds) > 1:
            raise _Ragged(
                f"Encountered list at unexpected level: {len(shape)} next to a value"
            )
        if len(shape) == limits.max_nesting:
            raise BadRequest(
                f"Lists of a tensor may be nested {limits.max_nesting} deep "
                "(max_nesting), not deeper."
            )
        sizes = set(map(len, level))
        if len(sizes) > 1:
            found = _short(sorted(sizes))
            raise _Ragged(
                f"Encountered list at unexpected size: {found} at level: {len(shape)}"
            )
        shape = [*shape, sizes.pop()]
        level = list(itertools.chain.from_iterable(level))
    return _convert(level, kinds, dtype).reshape(shape)


def _convert(leaves: Sequence[Any], kinds: set[type], dtype: str) -> npt.NDArray[Any]:
    """JSON values [n], of `kinds` of types -> array [n] of the DType called `dtype`."""
    if dtype not in _KINDS:
        raise BadRequest(f"Conversion of JSON Value to type: {dtype}", status=501)
    if not kinds <= _KINDS[dtype]:
        _refuse(next(v for v in leaves if type(v) not in _KINDS[dtype]), dtype)
    if dtype in _FLOATS:
        wide = np.fromiter(leaves, np.float64, len(leaves))
        with np.errstate(over="ignore"):  # beyond float's range is infinity
            return wide.astype(dtype)
    if dtype in _INT_RANGES:
        return _to_integers(leaves, dtype)
    if dtype == "bool":
        return np.array(leaves, bool)
    array = np.empty(len(leaves), object)
    array[:] = _to_bytes_list(leaves)
    return array


def _to_integers(leaves: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    low, high = _INT_RANGES[dtype]
    wide_type = "uint64" if dtype == "uint64" else "int64"
    try:
        if dtype == "uint64" and leaves and min(leaves) < 0:
            raise OverflowError
        wide = np.fromiter(leaves, wide_type, len(leaves))
        # NumPy itself refuses what is beyond 64 bits.
        if leaves and dtype != wide_type and (wide.min() < low or wide.max() > high):
            raise OverflowError
    except OverflowError:
        _refuse(next(v for v in leaves if not low <= v <= high), dtype)
    # int32 tokens for 8 and 16 bits are narrowed by dropping the upper bits.
    return wide.astype(dtype)


def _refuse(value: Any, dtype: str) -> NoReturn:
    raise BadRequest(
        f"JSON Value: {_short(value)} Type: {_json_type(value)} is not of expected "
        f"type: {dtype}"
    )


def _to_bytes_list(leaves: Sequence[Any]) -> list[bytes]:
    with contextlib.suppress(TypeError):  # no object is among them
        joined = "\0".join(leaves).encode("utf-8", "surrogateescape")
        found = joined.split(b"\0")
        if len(found) == len(leaves):  # no text has such a byte itself
            return found
    return [
        value.encode("utf-8", "surrogateescape")
        if type(value) is str
        else _from_base64(value)
        for value in leaves
    ]


def _from_base64(value: dict[str, Any]) -> bytes:
    if _is_object(value):
        raise BadRequest(
            f"JSON Value: {_short(value)} not formatted correctly for base64 data"
        )
    encoded = value["b64"]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("Unable to base64 decode") from None


def _is_object(value: Any) -> bool:
    """Whether a value names tensors; `{"b64": "..."}` is a string and does not."""
    if not isinstance(value, dict):
        return False
    return not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _json_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    names = {dict: "Object", list: "Array", str: "String", int: "Number"}
    return names.get(type(value), "Number")


def _short(value: Any) -> str:
    """The JSON of a value, however large or deep, as far as a message has room."""
    text = ""
    for part in json.JSONEncoder().iterencode(value):
        text += part
        if len(text) > _LONGEST_QUOTE:
            return text[: _LONGEST_QUOTE - 3] + "..."
    return text


# --- responses ------------------------------------------------------------------------


def response_body(outputs: Mapping[str, Any], row_format: bool) -> bytes:
    """The JSON answer of a predict call.

    Args:
        outputs: Output -> array, or NumPy scalar, or bytes.
        row_format: Whether the request was.
    """
    arrays = {name: _as_array(output) for name, output in outputs.items()}
    if not arrays:
        raise BadRequest("Cannot convert empty tensor map to JSON")
    if row_format:
        _check_rows(arrays)
        rows = ",\n".join(_row_texts(arrays))
        text = f'{{"predictions": [\n{rows}\n]}}'
    else:
        text = f'{{"outputs": {_columns_text(arrays)}}}'
    return text.encode("utf-8", "surrogateescape")


def _as_array(output: Any) -> npt.NDArray[Any]:
    """NumPy gives one string as bytes, and would cut zeros off their end."""
    return np.asarray(output, object if isinstance(output, bytes) else None)


def _columns_text(arrays: Arrays) -> str:
    texts: dict[str, str] = {}
    for dtype in _FLOATS:
        lists = {n: a for n, a in arrays.items() if a.dtype == dtype and a.ndim == 1}
        if lists:
            texts |= zip(lists, float_lists(list(lists.values())), strict=True)
    others = {name: a for name, a in arrays.items() if name not in texts}
    for name, parts in _texts(others).items():
        texts[name] = f"[{', '.join(parts)}]" if arrays[name].ndim else parts[0]
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = [f"{_quoted(name)}: {texts[name]}" for name in arrays]
    return "{\n" + ",\n".join(members) + "\n}"


def _check_rows(arrays: Arrays) -> None:
    expected = -1
    for name, array in arrays.items():
        if array.ndim == 0:
            raise BadRequest(f"Tensor name: {name} has no shape information")
        if expected not in (-1, len(array)):
            raise BadRequest(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} "
                f"expecting: {expected}"
            )
        expected = len(array)


def _row_texts(arrays: Arrays) -> list[str]:
    columns = _texts(arrays)
    if len(columns) == 1:
        return next(iter(columns.values()))
    members = [_quoted(name).replace("%", "%%") + ": %s" for name in columns]
    template = "{" + ", ".join(members) + "}"
    return [template % row for row in zip(*columns.values(), strict=True)]


def _texts(arrays: Arrays) -> dict[str, list[str]]:
    """Output -> the JSON of each entry of its first axis, or of its one value."""
    tokens = {}
    for dtype in _FLOATS:  # at once: half of the time is a fixed price a call
        floats = {n: a.reshape(-1) for n, a in arrays.items() if a.dtype == dtype}
        if floats:
            every = iter(float_tokens(np.concatenate(list(floats.values()))))
            for name, flat in floats.items():
                tokens[name] = list(itertools.islice(every, len(flat)))
    for name, array in arrays.items():
        if name not in tokens:
            tokens[name] = _tokens(array, name)
    return {name: _nested(tokens[name], a.shape) for name, a in arrays.items()}


def _nested(tokens: list[str], shape: tuple[int, ...]) -> list[str]:
    """The JSON of each value in row-major order -> of each entry of the first axis."""
    for axis in reversed(range(1, len(shape))):
        size, count = shape[axis], math.prod(shape[:axis])
        starts = range(0, size * count, size) if size else [0] * count
        tokens = [f"[{', '.join(tokens[i : i + size])}]" for i in starts]
    return tokens


def _tokens(array: npt.NDArray[Any], name: str) -> list[str]:
    """The JSON of each value that is no float, in row-major order."""
    flat = array.reshape(-1)
    if array.dtype == object:
        return _string_tokens(flat.tolist(), name)
    if array.dtype.name in _INT_RANGES or array.dtype == bool:
        text = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        return text[1:-1].split(",") if len(flat) else []
    raise BadRequest(
        f"Failed to write JSON value for tensor {name} of type: {array.dtype.name}"
    )


def _string_tokens(values: list[bytes], name: str) -> list[str]:
    if name.endswith(_BYTES_SUFFIX):
        return [f'{{"b64": "{base64.b64encode(v).decode()}"}}' for v in values]
    return [_quoted(value.decode("utf-8", "surrogateescape")) for value in values]


_quoted = json.JSONEncoder(ensure_ascii=False).encode

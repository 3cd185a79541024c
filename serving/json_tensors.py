"""JSON bodies <-> arrays, by TensorFlow Serving's rules (REST contract sec. 2 and 3).

Numbers are checked and converted a whole tensor at a time: a Python call per value
would cost more than the model.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from feature_specs import TrailrankError

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
_REQUEST_KEYS = ("signature_name", "instances", "inputs")
_BYTES_SUFFIX = "_bytes"  # string outputs named so are sent as base64

_INF_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Inf(?:inity)?')
# A number beyond float64 has three digits in its exponent, or some 200 before it. For
# the latter a search in translated bytes is 20 times as fast as a pattern.
_HUGE_EXPONENT = re.compile(rb"[eE]\+?\d{3}")
_ZEROS = b"0" * 200
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)


class BadRequest(TrailrankError, ValueError):
    """A request that TensorFlow Serving would refuse.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


# --- requests -------------------------------------------------------------------------


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object at the beginning of `body`; what follows it is ignored."""
    if not body:
        raise BadRequest("JSON Parse error: The document is empty")
    # surrogateescape: strings are bytes, and pass as they came.
    text = body.decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    if not text:
        raise BadRequest("JSON Parse error: The document is empty")
    value = _decode(text, _decoder(body))
    if not isinstance(value, dict):
        raise BadRequest(f"JSON Value: {_short(value)} Is not object")
    return value


def _decoder(body: bytes) -> json.JSONDecoder:
    """The plain decoder, or one with costlier checks where the body asks for them."""
    options: dict[str, Any] = {}
    if any(body.count(b'"%s"' % key.encode()) > 1 for key in _REQUEST_KEYS):
        options["object_pairs_hook"] = _first_wins
    if _HUGE_EXPONENT.search(body) or _ZEROS in body.translate(_DIGITS_TO_ZERO):
        options["parse_float"] = _finite_float
    return json.JSONDecoder(**options) if options else _DECODER


_DECODER = json.JSONDecoder()


def _decode(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.raw_decode(text)[0]
    except json.JSONDecodeError as error:
        if "Inf" in text:
            longer = _INF_TOKEN.sub(_spell_infinity, text)
            if longer != text:
                return _decode(longer, decoder)
        raise BadRequest(
            f"JSON Parse error: Invalid value. at offset: {error.pos} ({error.msg})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON Parse error: Invalid value. ({error})") from None


def _spell_infinity(match: re.Match[str]) -> str:
    token: str = match.group()
    return token + "inity" if token in ("Inf", "-Inf") else token


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _finite_float(token: str) -> float:
    value = float(token)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {token} too big to be stored in double")
    return value


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


def request_arrays(body: Mapping[str, Any], dtypes: Mapping[str, str]) -> Arrays:
    """The tensors of a request.

    Args:
        body: A parsed request.
        dtypes: The signature's input -> `DType.name`.
    """
    if is_row_format(body):
        return _from_rows(body["instances"], dtypes)
    return _from_columns(body["inputs"], dtypes)


def _from_rows(rows: Any, dtypes: Mapping[str, str]) -> Arrays:
    if not isinstance(rows, list):
        raise BadRequest("Expecting 'instances' to be an list/array")
    if not rows:
        raise BadRequest("No values in 'instances' array")
    named = _is_object(rows[0])
    if not named and len(dtypes) > 1:
        raise BadRequest(
            "instances is a plain list, but expecting list of objects as multiple "
            f"input tensors required: {', '.join(sorted(dtypes))}"
        )
    for index, row in enumerate(rows):
        if _is_object(row) != named:
            wanted = "object but got list" if named else "value/list but got object"
            raise BadRequest(f"Expecting {wanted} at item {index} of input list")
    if not named:
        (name,) = dtypes
        return {name: _stack(rows, dtypes[name], name)}
    _check_keys(rows, dtypes)
    return {
        name: _stack([row[name] for row in rows], dtype, name)
        for name, dtype in dtypes.items()
    }


def _check_keys(rows: list[dict[str, Any]], dtypes: Mapping[str, str]) -> None:
    names = dtypes.keys()
    for index, row in enumerate(rows):
        if row.keys() != names:
            wrong = sorted(row.keys() ^ names)
            raise BadRequest(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"must only have keys: {','.join(sorted(names))}. Missing or unknown: "
                f"{', '.join(wrong)}"
            )


def _stack(slices: list[Any], dtype: str, name: str) -> npt.NDArray[Any]:
    """Slices of one input, one a row -> [rows, ...]."""
    try:
        return _to_array(slices, dtype)
    except _Ragged:
        pass  # find the first row that differs, to name it
    except BadRequest as error:
        # Upstream wraps every error of a row, whatever its code, in a 400.
        raise BadRequest(
            f"Failed to process 'instances' list, key: {name}. Error: {error}"
        ) from None
    first = _to_array(slices[0], dtype)
    for index, value in enumerate(slices):
        array = _to_array(value, dtype)
        where = f"Failed to process element: {index} key: {name} of 'instances' list. "
        if array.size != first.size:
            what = f"Expecting tensor size: {first.size} but got: {array.size}"
            raise BadRequest(f"{where}Error: {what}")
        if array.shape != first.shape:
            shapes = f"{list(first.shape)} but got: {list(array.shape)}"
            raise BadRequest(f"{where}Error: Expecting shape {shapes}")
    raise AssertionError("slices of one shape were taken for ragged")


def _from_columns(inputs: Any, dtypes: Mapping[str, str]) -> Arrays:
    if not _is_object(inputs):
        if len(dtypes) != 1:
            raise BadRequest(
                "inputs is a plain value/list, but expecting an object as multiple "
                f"input tensors required: {', '.join(sorted(dtypes))}"
            )
        (name,) = dtypes
        return {name: _to_array(inputs, dtypes[name])}
    for name in dtypes:
        if name not in inputs:
            raise BadRequest(f"Missing named input: {name} in 'inputs' object.")
    return {name: _to_array(inputs[name], dtype) for name, dtype in dtypes.items()}


class _Ragged(BadRequest):
    """Lists of one level differ in length or depth."""


def _to_array(value: Any, dtype: str) -> npt.NDArray[Any]:
    leaves, shape = _flatten(value)
    return _convert(leaves, dtype).reshape(shape)


def _flatten(value: Any) -> tuple[list[Any], list[int]]:
    """Nested lists of equal lengths -> their leaves in order, and the shape."""
    level: list[Any] = [value]
    shape: list[int] = []
    while True:
        kinds = set(map(type, level))
        if list not in kinds:
            return level, shape
        if len(kinds) > 1:
            raise _Ragged(
                f"Encountered list at unexpected level: {len(shape)} next to a value"
            )
        sizes = set(map(len, level))
        if len(sizes) > 1:
            found = ", ".join(map(str, sorted(sizes)))
            raise _Ragged(
                f"Encountered list at unexpected size: {found} at level: {len(shape)}"
            )
        shape.append(sizes.pop())
        level = list(itertools.chain.from_iterable(level))


def _convert(leaves: list[Any], dtype: str) -> npt.NDArray[Any]:
    """JSON values -> array [n] of the DType called `dtype`."""
    if dtype in _FLOATS:
        _check_types(leaves, {int, float}, dtype)
        try:
            wide = np.array(leaves, np.float64)
        except OverflowError:
            raise BadRequest(
                "JSON Parse error: Number too big to be stored in double."
            ) from None
        with np.errstate(over="ignore"):  # beyond float's range is infinity
            return wide.astype(dtype)
    if dtype in _INT_RANGES:
        _check_types(leaves, {int}, dtype)
        low, high = _INT_RANGES[dtype]
        if leaves and not (low <= min(leaves) and max(leaves) <= high):
            _refuse(next(v for v in leaves if not low <= v <= high), dtype)
        # int32 tokens for 8 and 16 bits are narrowed by dropping the upper bits.
        return np.array(leaves, "int64" if low < 0 else dtype).astype(dtype)
    if dtype == "bool":
        _check_types(leaves, {bool}, dtype)
        return np.array(leaves, bool)
    if dtype == "string":
        _check_types(leaves, {str, dict}, dtype)
        array = np.empty(len(leaves), object)
        array[:] = _to_bytes_list(leaves)
        return array
    raise BadRequest(f"Conversion of JSON Value to type: {dtype}", status=501)


def _check_types(leaves: list[Any], allowed: set[type], dtype: str) -> None:
    if not set(map(type, leaves)) <= allowed:
        _refuse(next(v for v in leaves if type(v) not in allowed), dtype)


def _refuse(value: Any, dtype: str) -> None:
    raise BadRequest(
        f"JSON Value: {_short(value)} Type: {_json_type(value)} is not of expected "
        f"type: {dtype}"
    )


def _to_bytes_list(leaves: list[Any]) -> list[bytes]:
    try:
        return [
            value.encode("utf-8", "surrogateescape")
            if type(value) is str
            else _from_base64(value)
            for value in leaves
        ]
    except UnicodeEncodeError:
        raise BadRequest(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from None


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
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


# --- responses ------------------------------------------------------------------------


def response_body(outputs: Arrays, row_format: bool) -> bytes:
    """The JSON answer of a predict call."""
    if not row_format:
        return b'{"outputs": %s}' % _columns_text(outputs)
    return b'{"predictions": [\n%s\n]}' % b",\n".join(_rows_text(outputs))


def _columns_text(outputs: Arrays) -> bytes:
    texts = {name: _array_text(array, name) for name, array in outputs.items()}
    if len(texts) == 1:
        return next(iter(texts.values()))
    members = [b"%s: %s" % (orjson.dumps(name), text) for name, text in texts.items()]
    return b"{\n" + b",\n".join(members) + b"\n}"


def _rows_text(outputs: Arrays) -> list[bytes]:
    for name, array in outputs.items():
        if np.ndim(array) == 0:  # NumPy gives one string as bytes, which have no ndim
            raise BadRequest(f"Tensor name: {name} has no shape information")
    sizes = {name: len(array) for name, array in outputs.items()}
    if len(set(sizes.values())) > 1:
        raise BadRequest(f"Tensors have inconsistent batch size: {sizes}")
    columns = [_row_texts(array, name) for name, array in outputs.items()]
    if len(columns) == 1:
        return columns[0]
    members = b", ".join(
        orjson.dumps(name).replace(b"%", b"%%") + b": %s" for name in outputs
    )
    template = b"{" + members + b"}"
    return [template % row for row in zip(*columns, strict=True)]


def _row_texts(array: npt.NDArray[Any], name: str) -> list[bytes]:
    """[rows, ...] -> the JSON of each row."""
    if array.ndim > 1 or array.dtype == object:
        return [_array_text(row, name) for row in array]
    inside = _array_text(array, name)[1:-1]
    return inside.split(b",") if inside else []


def _array_text(array: Any, name: str) -> bytes:
    """The JSON of a tensor of any rank; floats in the fewest digits that read back."""
    if isinstance(array, bytes):  # how NumPy gives one string
        return _strings_text(array, name)
    array = np.asarray(array)
    if array.dtype == object:
        return _strings_text(array.tolist(), name)
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise BadRequest(f"Output {name} of type {array.dtype} has no JSON form")
    if array.dtype.kind == "f":
        return _floats_text(array)
    return orjson.dumps(array.tolist())


def _strings_text(nested: Any, name: str) -> bytes:
    text = json.dumps(_from_bytes(nested, name), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def _from_bytes(nested: Any, name: str) -> Any:
    """Nested lists of bytes -> what JSON holds for them."""
    if isinstance(nested, list):
        return [_from_bytes(item, name) for item in nested]
    if name.endswith(_BYTES_SUFFIX):
        return {"b64": base64.b64encode(nested).decode()}
    return nested.decode("utf-8", "surrogateescape")


def _floats_text(array: npt.NDArray[Any]) -> bytes:
    if array.ndim and np.isfinite(array).all():
        contiguous = np.ascontiguousarray(array)
        return orjson.dumps(contiguous, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(_float_tokens(array)).replace('"', "").encode()


def _float_tokens(array: npt.NDArray[Any]) -> Any:
    """Nested lists of tokens; JSON has none for what is not finite."""
    if array.ndim:
        return [_float_tokens(np.asarray(item)) for item in array]
    value = array[()]
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return str(value)

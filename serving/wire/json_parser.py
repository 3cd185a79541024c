"""JSON as rapidjson reads it for TensorFlow Serving: exact, linear, without recursion.

Not as strict as JSON: `NaN`, `Infinity`, `-Infinity`, `Inf` and `-Inf` are numbers,
strings are bytes of any encoding, the first of duplicate keys wins, a byte order mark
before the value and anything behind it are ignored. Whole numbers that fit into 64 bits
are ints, all others floats.

`serving.wire.json_tensors` reads what it can with a parser in C and comes here for the
rest.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from feature_specs.errors import TrailrankError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# None of these patterns can match one piece of text in two ways, so none goes back.
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN_STRING = re.compile(rb'"([^"\\\x00-\x1f]*)"')
_PLAIN_KEY = re.compile(rb'[ \t\r\n]*"([^"\\\x00-\x1f]*)"[ \t\r\n]*:')
_FLAT_LIST = re.compile(rb'\[[^\[\]{}"]*\]')
_CONTROL = re.compile(rb"[\x00-\x1f]")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(rb"-?[A-Za-z]{1,8}")
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u[0-9a-fA-F]{4}|\\.",
    re.DOTALL,
)
_PAIR_BYTES = len(r"\ud83d\ude00")  # two surrogates are one code point
_ESCAPED = {
    b'\\"': b'"',
    b"\\\\": b"\\",
    b"\\/": b"/",
    b"\\b": b"\b",
    b"\\f": b"\f",
    b"\\n": b"\n",
    b"\\r": b"\r",
    b"\\t": b"\t",
}
_WORDS: dict[bytes, Any] = {
    b"true": True,
    b"false": False,
    b"null": None,
    b"NaN": float("nan"),
    b"-NaN": float("nan"),
    b"Inf": float("inf"),
    b"-Inf": float("-inf"),
    b"Infinity": float("inf"),
    b"-Infinity": float("-inf"),
}
_LONGEST_INT = 20  # digits of the largest 64-bit number, or a sign and 19
_HUGE_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_DIGITS_OF_INT64 = 19
_MANY_DIGITS = re.compile(rb"0000000000000000000+")
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class ParseError(TrailrankError, ValueError):
    """Text that is no JSON, or holds more values than it may."""


def parse(text: bytes, max_elements: int) -> Any:
    """The value at the beginning of `text`.

    Bytes of a string that are no UTF-8 become lone surrogates, as `surrogateescape`
    makes them, so that encoding the same way brings every string's bytes back.

    Args:
        text: What a client sent.
        max_elements: The most numbers, strings and words that are read.
    """
    return _Reader(text, max_elements).read()


def most_containers(max_elements: int) -> int:
    """The most lists and objects that may stand around `max_elements` values."""
    return 2 * max_elements + 64


def _read_flat(text: bytes) -> list[Any] | None:
    """A list without strings, lists and objects inside; None if unsure."""
    try:
        values: list[Any] = orjson.loads(text)
        return values
    except orjson.JSONDecodeError:
        pass
    if (b"N" not in text and b"I" not in text) or has_huge_number(text):
        return None
    # Python knows NaN and Infinity.
    spelled = text.replace(b"Infinity", b"Inf").replace(b"Inf", b"Infinity")
    try:
        values = json.loads(spelled.decode("ascii"))
        return values
    except ValueError:
        return None


def has_huge_number(text: bytes) -> bool:
    """Whether a number may be beyond float64, or whole and beyond 64 bits."""
    if _HUGE_EXPONENT.search(text):
        return True
    # Of digits in a row only those count that are not behind a point.
    zeros = text.translate(_DIGITS_TO_ZERO)
    for run in _MANY_DIGITS.finditer(zeros):
        before = zeros[run.start() - 1 : run.start()]
        is_long = before == b"-" or len(run.group()) > _DIGITS_OF_INT64
        if is_long and before != b".":
            return True
    return False


class _Reader:
    """The text, and how much of it has been read."""

    def __init__(self, text: bytes, max_elements: int):
        self._text = text
        self._at = len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0
        self._elements_left = max_elements
        self._containers_left = most_containers(max_elements)
        self._max_elements = max_elements

    def read(self) -> Any:
        root, is_fresh = self._value(empty="The document is empty.")
        is_open = [root] if is_fresh else []
        while is_open:
            inner = is_open[-1]
            is_object = type(inner) is dict
            if self._ends(is_object, is_fresh):
                is_open.pop()
                is_fresh = False
                continue
            key = self._key() if is_object else None
            # Nothing has been read yet of a fresh list or object.
            value, is_fresh = self._value()
            if is_object:
                inner.setdefault(key, value)
            else:
                inner.append(value)
            if is_fresh:
                is_open.append(value)
        return root

    def _next(self) -> bytes:
        """The next byte that is no space, or nothing at the end."""
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # it matches nothing as well
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _ends(self, is_object: bool, is_fresh: bool) -> bool:
        """Whether the innermost list or object ends here; goes past what it reads."""
        byte = self._next()
        if byte == (b"}" if is_object else b"]"):
            self._at += 1
            return True
        if not is_fresh:
            if byte != b",":
                what = (
                    "} after an object member"
                    if is_object
                    else "] after an array element"
                )
                raise self._error(f"Missing a comma or {what}.")
            self._at += 1
        return False

    def _key(self) -> str:
        plain = _PLAIN_KEY.match(self._text, self._at)
        if plain:
            self._at = plain.end()
            return plain.group(1).decode("utf-8", "surrogateescape")
        if self._next() != b'"':
            raise self._error("Missing a name for object member.")
        key = self._string()
        if self._next() != b":":
            raise self._error("Missing a colon after a name of object member.")
        self._at += 1
        return key

    def _value(self, empty: str = "Invalid value.") -> tuple[Any, bool]:
        """A value, and whether it is a list or object that is still to be filled."""
        byte = self._next()
        if byte == b"[" or byte == b"{":
            self._containers_left -= 1
            if self._containers_left < 0:
                raise self._too_many("lists and objects")
            if byte == b"[" and (flat := self._flat_list()) is not None:
                return flat, False
            self._at += 1
            return ([] if byte == b"[" else {}), True
        self._elements_left -= 1
        if self._elements_left < 0:
            raise self._too_many("values")
        if byte == b'"':
            return self._string(), False
        number = _NUMBER.match(self._text, self._at)
        if number:
            return self._number(number), False
        word = _WORD.match(self._text, self._at)
        if word is None or word.group() not in _WORDS:
            raise self._error("Invalid value." if byte else empty)
        self._at = word.end()
        return _WORDS[word.group()], False

    def _flat_list(self) -> list[Any] | None:
        """A list of numbers and words, if it is one that a parser in C may read."""
        match = _FLAT_LIST.match(self._text, self._at)
        if match is None or match.group().count(b",") >= self._elements_left:
            return None
        values = _read_flat(match.group())
        if values is not None:
            self._elements_left -= len(values)
            self._at = match.end()
        return values

    def _number(self, match: re.Match[bytes]) -> int | float:
        token = match.group()
        is_whole = match.group(1) is None and match.group(2) is None
        if is_whole and len(token) <= _LONGEST_INT:
            whole = int(token)
            if _SMALLEST <= whole <= _LARGEST:
                self._at = match.end()
                return whole
        number = float(token)
        if number in (float("inf"), float("-inf")):
            raise self._error("Number too big to be stored in double.")
        self._at = match.end()
        return number

    def _string(self) -> str:
        plain = _PLAIN_STRING.match(self._text, self._at)
        if plain:
            self._at = plain.end()
            raw = plain.group(1)
        else:
            raw = self._unescape(self._at + 1, self._closing_quote())
        return raw.decode("utf-8", "surrogateescape")

    def _closing_quote(self) -> int:
        """Where the string that begins here ends."""
        begin = self._at + 1
        while True:
            quote = self._text.find(b'"', begin)
            if quote < 0:
                raise self._error("Missing a closing quotation mark in string.")
            before = self._text[begin:quote]
            backslashes = len(before) - len(before.rstrip(b"\\"))
            if backslashes % 2 == 0:
                return quote
            begin = quote + 1

    def _unescape(self, begin: int, end: int) -> bytes:
        raw = self._text[begin:end]
        control = _CONTROL.search(raw)
        if control:
            raise self._error(
                "Invalid escape character in string.", begin + control.start()
            )

        unescaped = _ESCAPE.sub(lambda match: self._escaped(match, begin), raw)
        self._at = end + 1
        return unescaped

    def _escaped(self, match: re.Match[bytes], begin: int) -> bytes:
        """What an escape stands for, in a string whose first byte is at `begin`."""
        token = match.group()
        if token in _ESCAPED:
            return _ESCAPED[token]
        what = "Invalid escape character in string."
        if len(token) == _PAIR_BYTES:
            pair: str = json.loads(b'"%s"' % token)
            return pair.encode()
        if token == b"\\u":
            what = "Incorrect hex digit after \\u escape in string."
        elif token.startswith(b"\\u"):
            code = int(token[2:], 16)
            if not 0xD800 <= code <= 0xDBFF:
                return chr(code).encode("utf-8", "surrogatepass")
            what = "The surrogate pair in string is invalid."
        raise self._error(what, begin + match.start())

    def _error(self, what: str, at: int | None = None) -> ParseError:
        where = self._at if at is None else at
        return ParseError(f"JSON Parse error: {what} at offset: {where}")

    def _too_many(self, what: str) -> ParseError:
        return ParseError(
            f"The body holds too many {what} for max_elements {self._max_elements}. "
            "Send fewer at a time, or start the server with a larger max_elements."
        )

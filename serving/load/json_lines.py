"""A file with a JSON value on each line."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from feature_specs.errors import TrailrankError
from feature_specs.places import Place
from serving.client.rest_client import parsed

_SHOWN_BYTES = 60


class JsonLine(NamedTuple):
    """One line.

    Attributes:
        where: File and number, for messages.
        value: What it holds; NaN, infinities and strings as base64 included.
        begin: Of its text, for messages.
    """

    where: str
    value: Any
    begin: str


def read_json_lines(file: Place, error: type[TrailrankError]) -> Iterator[JsonLine]:
    """The lines of a file that `--requests` names; blank ones are passed over.

    Raises:
        error: The file cannot be read, or a line is no JSON.
    """
    try:
        content = pathlib.Path(file).read_bytes()
    except OSError as problem:
        raise error(
            f"--requests {file}: cannot be read ({problem.strerror})."
        ) from None
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"--requests {file}, line {number}"
        try:
            value = parsed(line)
        except ValueError as problem:
            raise error(f"{where}: not JSON: {problem}") from None
        yield JsonLine(where, value, line[:_SHOWN_BYTES].decode("utf-8", "replace"))

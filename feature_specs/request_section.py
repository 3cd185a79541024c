"""Reads and checks `log.request`: which impressions answered one request."""

from __future__ import annotations

from collections.abc import Collection

from feature_specs.column_types import parse_type
from feature_specs.past import REQUEST_COLUMNS
from feature_specs.reading import Reading
from feature_specs.spec import LogSpec


def write_out_request(reading: Reading) -> None:
    """`request: id` is short for `request: {column: id}`."""
    log = reading.raw.get("log")
    if isinstance(log, dict) and isinstance(log.get("request"), str):
        reading.raw["log"] = {**log, "request": {"column": log["request"]}}


def check_request(reading: Reading, log: LogSpec, columns: Collection[str]) -> None:
    """Checks `log.request`.

    Args:
        reading: The file.
        log: Its section.
        columns: Of the log and its joins.
    """
    request, path = log.request, "log.request"
    if request is None:
        return
    if bool(request.column) == bool(request.session):
        told = "must have one of column and session."
        reading.problems.add(path, told)
        return
    if bool(request.session) != bool(request.seconds):
        told = "go together: a session, and the seconds that a pause in it may last."
        reading.problems.add(f"{path}.session, seconds", told)
    key = f"{path}.{'column' if request.column else 'session'}"
    reading.column(key, request.key, log.columns)
    if request.key in log.outcomes:
        told = "is an outcome (log.outcomes); a request is known before it."
        reading.problems.add(key, told, request.key)
    if request.key in (log.user, log.item) and request.column:
        told = "is the user's or the video's; name the column with the request's id."
        reading.problems.add(key, told, request.key)
    found = parse_type(log.columns.get(request.key, ""))
    if found is not None and not found.is_key:
        told = "must be whole numbers or text: it tells requests apart."
        reading.problems.add(key, told, log.columns[request.key])
    for made in REQUEST_COLUMNS:
        if made in columns:
            told = f"is made by {path}; rename it in the files, or leave it out."
            reading.problems.add(f"log.columns.{made}", told)

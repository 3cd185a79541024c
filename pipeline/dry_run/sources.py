"""Which files a spec names, and which rows of them belong to a user or a video."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from feature_specs import Spec


@dataclasses.dataclass(frozen=True)
class Files:
    """Files that a spec names.

    Attributes:
        name: Of the section, for people.
        pattern: Glob inside the log directory.
        format: How they are written.
        key: Their columns by whose values rows are chosen: the log's have the same.
        may_be_whole: Whether a file that is small is taken as it is.
    """

    name: str
    pattern: str
    format: str
    key: tuple[str, ...]
    may_be_whole: bool = False


def log_files(spec: Spec) -> Files:
    """The log's own."""
    return Files("log", spec.log.files, spec.log.format, (spec.log.user,))


def other_files(spec: Spec) -> Iterator[Files]:
    """Those that are read beside the log."""
    log = spec.log
    for name, join in log.joins.items():
        form = join.format or log.format
        yield Files(f"log.joins.{name}", join.files, form, (join.key,), True)
    for name, events in getattr(spec, "events", {}).items():
        key = (events.user,) if events.user else tuple(events.key)
        form = events.format or log.format
        yield Files(f"events.{name}", events.files, form, key)
    for name, history in getattr(spec, "histories", {}).items():
        form = history.format or log.format
        yield Files(f"histories.{name}", history.files, form, (history.user,))

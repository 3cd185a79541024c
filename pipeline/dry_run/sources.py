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
        key: Their columns by whose values rows are chosen.
        log_key: The log's columns with the same values.
        may_be_whole: Whether a file that is small is taken as it is.
    """

    name: str
    pattern: str
    format: str
    key: tuple[str, ...]
    log_key: tuple[str, ...]
    may_be_whole: bool = False


def log_files(spec: Spec) -> Files:
    """The log's own."""
    user = (spec.log.user,)
    return Files("log", spec.log.files, spec.log.format, user, user)


def other_files(spec: Spec) -> Iterator[Files]:
    """Those that are read beside the log."""
    log, user = spec.log, (spec.log.user,)
    for name, join in log.joins.items():
        form, key = join.format or log.format, (join.key,)
        yield Files(f"log.joins.{name}", join.files, form, key, key, True)
    for name, events in spec.events.items():
        form, keys = events.format or log.format, events.key
        if events.user:
            yield Files(f"events.{name}", events.files, form, (events.user,), user)
        else:
            yield Files(f"events.{name}", events.files, form, keys, keys)
    for name, history in spec.histories.items():
        form = history.format or log.format
        yield Files(f"histories.{name}", history.files, form, (history.user,), user)

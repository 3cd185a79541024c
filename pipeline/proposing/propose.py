"""`propose_spec`: a directory of logs -> the text of a spec for it."""

from __future__ import annotations

import dataclasses
import os
import re

from feature_specs.places import Place, absolute, check_directory, is_bucket
from pipeline.quiet import load_beam

_NESTED = "data"


@dataclasses.dataclass(frozen=True)
class ProposedSpec:
    """A spec as it is proposed for some logs.

    Attributes:
        text: YAML with comments, for a file; `read_spec` reads it.
        unknown: What it says that nothing in the files tells, a line each.
    """

    text: str
    unknown: tuple[str, ...]


def propose_spec(logs: Place, name: str | None = None) -> ProposedSpec:
    """A spec for logs that none is written for yet, guessed from samples of the files.

    >>> proposed = trailrank.propose_spec("logs/data")
    >>> trailrank.read_spec(proposed.text).log.user
    'user_id'

    Args:
        logs: Directory with the log and its side files; may lie in a bucket.
        name: Of the spec; by default the directory's.

    Raises:
        PlaceError: There is no such directory.
        ProposalError: Nothing in it looks like impressions, or like an outcome.
    """
    if not is_bucket(logs):
        check_directory("logs", os.fspath(logs), "Give the directory of the raw logs.")
    load_beam()
    from pipeline.proposing.guesses import guess
    from pipeline.proposing.sampling import sample_table
    from pipeline.proposing.tables import find_tables
    from pipeline.proposing.write_yaml import as_yaml, unknown_lines

    directory = _inside(absolute(logs))
    guesses = guess([sample_table(table) for table in find_tables(directory)])
    text = as_yaml(guesses, name or _name(absolute(logs)), str(logs))
    return ProposedSpec(text, tuple(unknown_lines(text)))


def _inside(directory: str) -> str:
    """The directory, or `data/` in it: data sets unpack to that."""
    nested = os.path.join(directory, _NESTED)
    return nested if os.path.isdir(nested) else directory


def _name(directory: str) -> str:
    """The directory's own name, as a spec may be called."""
    parts = [part for part in re.split(r"[/\\]", directory) if part]
    last = parts[-1] if parts[-1:] != [_NESTED] or len(parts) == 1 else parts[-2]
    name = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")[:60]
    return name if name and name[0].isalpha() else f"logs_{name}".rstrip("_")

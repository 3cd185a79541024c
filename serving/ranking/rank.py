"""Ranking candidates for a user through a running server, as `trailrank rank` does.

The user's features are those of the newest example; a user without one is ranked as
new. Examples stand in for a feature store: a backend has these values itself, and calls
`Client.rank` with them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feature_specs import Spec
from feature_specs.errors import TrailrankError
from feature_specs.places import Place
from serving.export.requests import candidate_features, paired_features
from serving.ranking.served_run import read_run

if TYPE_CHECKING:
    from serving.ranking.lookup import Examples, Key

DEFAULT_URL = "http://127.0.0.1:8501"
DEFAULT_SAMPLE = 100

Item = int | str | Mapping[str, Any]  # an id, or features


class RankError(TrailrankError, RuntimeError):
    """The request cannot be made; the message says why."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One line of the table.

    Attributes:
        label: The item's id, as shown.
        values: Candidate feature -> value.
        known: Whether an example or the file gave its features.
    """

    label: str
    values: dict[str, Any]
    known: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates with their predictions, the best first.

    Attributes:
        spec: The run's.
        user: The user's id.
        candidates: In order of their `log_score`.
        outputs: `score`, `log_score` and every task -> a value a candidate, in the same
            order.
        notes: What a reader should know, a sentence each.
    """

    spec: Spec
    user: str
    candidates: tuple[Candidate, ...]
    outputs: dict[str, list[float]]
    notes: tuple[str, ...]


def rank(
    root: Place,
    user: int | str,
    candidates: Place | Sequence[Item] | None = None,
    *,
    sample: int = DEFAULT_SAMPLE,
    weights: Mapping[str, float] | None = None,
    url: str = DEFAULT_URL,
) -> Ranking:
    """Ranks candidates for a user, with the features of the newest examples.

    >>> found = trailrank.rank("run", 2, [10, 11, 14], url=url)
    >>> sorted(candidate.label for candidate in found.candidates)
    ['10', '11', '14']
    >>> found.outputs["log_score"] == sorted(found.outputs["log_score"], reverse=True)
    True

    Args:
        root: Directory of a finished run, whose model the server has.
        user: The user's id.
        candidates: Ids or mappings of features, or a file with an id or a JSON object
            of features on each line; by default the items shown last.
        sample: How many of those.
        weights: Task -> exponent in the fused score; tasks left out keep the spec's.
        url: The server's.

    Raises:
        RunError: There is no run, or its examples are gone.
        RankError: There is no such file, or the server has another model.
        ClientError: The server refused the request or could not be reached.
        ValueError: A name or an id that cannot be.
    """
    run = read_run(root)
    run.check_examples()
    spec = run.spec
    lines = None if candidates is None else _lines(candidates)
    from serving.client.client import Client
    from serving.ranking.lookup import Examples, as_key

    examples = Examples(run.examples, spec)
    request = examples.user(as_key(str(user), spec, spec.log.user))
    found = _candidates(lines, sample, spec, examples)
    with Client(url, spec) as client:
        # The first answer also opens the connection; the second one is timed.
        client.status()
        begin = time.perf_counter()
        outputs = client.rank(request or {}, [c.values for c in found], weights)
        latency_ms = 1000 * (time.perf_counter() - begin)
    _check_tasks(outputs, spec, url, root)
    notes = [f"{len(found)} candidates in {latency_ms:.1f} ms, from {url}"]
    if request is None:
        notes.append(f"user {user} is in no example: ranked as a new user")
    notes += _notes(spec, found)
    return _ordered(spec, str(user), found, outputs, notes)


def _ordered(
    spec: Spec,
    user: str,
    candidates: Sequence[Candidate],
    outputs: Mapping[str, Sequence[float]],
    notes: Sequence[str],
) -> Ranking:
    """The best first, by `log_score`: many a `score` is 0 where weights are large.

    A model of an earlier release has the score only.
    """
    scores = outputs.get("log_score") or outputs["score"]
    order = sorted(range(len(scores)), key=lambda n: scores[n], reverse=True)
    return Ranking(
        spec=spec,
        user=user,
        candidates=tuple(candidates[n] for n in order),
        outputs={name: [values[n] for n in order] for name, values in outputs.items()},
        notes=tuple(notes),
    )


def _check_tasks(outputs: Mapping[str, Any], spec: Spec, url: str, root: Place) -> None:
    """Refuses an answer without a task of the run's spec."""
    absent = [task.name for task in spec.tasks if task.name not in outputs]
    if absent:
        raise RankError(
            f"{url}: model {spec.name!r} has no output {', '.join(absent)}: it "
            f"was made with another spec than {root}. Serve this run's model: "
            f"`trailrank serve --root {root}`."
        )


def _notes(spec: Spec, candidates: Sequence[Candidate]) -> list[str]:
    notes = []
    paired = [f.name for f in paired_features(spec)]
    absent = [n for n in paired if any(n not in c.values for c in candidates)]
    if absent:
        notes.append(
            f"{', '.join(absent)}: of this user and each candidate together; no "
            "example has it, so it was sent as missing. Your backend knows it"
        )
    unknown = sum(not c.known for c in candidates)
    if unknown:
        notes.append(
            f"{unknown} candidates are in no example: ranked by their id alone"
        )
    return notes


# --- candidates -----------------------------------------------------------------------

_Line = tuple[str, Item]  # (where it stands, for messages; an id or features)


def _lines(candidates: Place | Sequence[Item]) -> list[_Line]:
    """Where each candidate stands, and what it is.

    Raises:
        RankError: There is none, or a file cannot be read.
    """
    if not isinstance(candidates, str | os.PathLike):
        found = [(f"candidate {n}", item) for n, item in enumerate(candidates)]
        if not found:
            raise RankError("candidates: must be one at least. Got none.")
        return found
    try:
        text = pathlib.Path(candidates).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RankError(f"--candidates {candidates}: cannot be read: {error}") from None
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
    read = [_read_line(f"--candidates, line {n}", line) for n, line in lines if line]
    if not read:
        raise RankError(f"--candidates {candidates}: no candidate in it; one a line.")
    return read


def _read_line(where: str, line: str) -> _Line:
    if line[0] != "{":
        return where, line
    try:
        values: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError as error:
        raise RankError(f"{where}: not JSON: {error}") from None
    return where, values


def _candidates(
    lines: Sequence[_Line] | None, sample: int, spec: Spec, examples: Examples
) -> list[Candidate]:
    if lines is None:
        newest = examples.newest_items(sample)
        return [Candidate(str(item), values) for item, values in newest.items()]
    ids = {
        where: _parse_id(where, item, spec)
        for where, item in lines
        if not isinstance(item, Mapping)
    }
    known = examples.items(set(ids.values()))
    return [
        _from_values(where, item, spec)
        if isinstance(item, Mapping)
        else _from_id(ids[where], known, spec)
        for where, item in lines
    ]


def _parse_id(where: str, item: int | str, spec: Spec) -> Key:
    from serving.ranking.lookup import as_key

    try:
        return as_key(str(item), spec, spec.log.item)
    except ValueError as error:
        raise RankError(f"{where}: {error}") from None


def _from_values(where: str, given: Mapping[str, Any], spec: Spec) -> Candidate:
    values = dict(given)
    known = [f.name for f in candidate_features(spec)]
    label = values.get(_item_feature(spec), values.get(spec.log.item))
    if spec.log.item not in known:
        values.pop(spec.log.item, None)  # shown, not read by the model
    short = where.removeprefix("--candidates, ")
    return Candidate(short if label is None else str(label), values)


def _from_id(item: Key, known: Mapping[Key, dict[str, Any]], spec: Spec) -> Candidate:
    if item in known:
        return Candidate(str(item), known[item])
    feature = _item_feature(spec)
    return Candidate(str(item), {feature: item} if feature else {}, known=False)


def _item_feature(spec: Spec) -> str:
    """The candidate feature that is the item's id; empty if the model has none."""
    own = [f.name for f in candidate_features(spec) if f.column == spec.log.item]
    return own[0] if own else ""

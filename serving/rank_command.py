"""`trailrank rank`: ranks candidates for a user through a running server.

    trailrank serve --root RUN &
    trailrank rank --root RUN --user 42 --sample 500 --top 10
    trailrank rank --root RUN --user 42 --candidates ids.txt --weights '{"skip": -1}'

The user's features are those of the newest example; a user without one is ranked as
new. `--candidates` names a file with an item id, or a JSON object of item features, on
each line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl.flags import argparse_flags

from feature_specs import Spec, TrailrankError, read_spec
from serving.requests import candidate_features, paired_features

if TYPE_CHECKING:
    import rich.table

    from serving.lookup import Examples

_DEFAULT_URL = "http://127.0.0.1:8501"
_DEFAULT_SAMPLE = 100


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


def run(argv: Sequence[str] | None = None) -> int:
    """Ranks and prints; the exit status."""
    args = _parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from serving.client import ClientError
    from serving.lookup import NoExamplesError

    try:
        _rank(args)
    except (RankError, ClientError, NoExamplesError, ValueError) as error:
        print(f"trailrank rank: {error}", file=sys.stderr)
        return 1
    return 0


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank rank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, help="the run's directory")
    parser.add_argument("--url", default=_DEFAULT_URL, help=f"default {_DEFAULT_URL}")
    parser.add_argument("--user", required=True, help="the user's id")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--candidates", help="file: ids or JSON objects, one a line")
    which.add_argument(
        "--sample",
        type=int,
        default=_DEFAULT_SAMPLE,
        help=f"rank the items shown last, this many (default {_DEFAULT_SAMPLE})",
    )
    parser.add_argument("--top", type=int, default=10, help="lines to show")
    parser.add_argument(
        "--weights", default="{}", help="JSON: task -> exponent in the fused score"
    )
    args = parser.parse_args(argv)
    for name in ("sample", "top"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1. Got {getattr(args, name)}.")
    try:
        args.weights = _read_weights(args.weights)
    except ValueError as error:
        parser.error(f"--weights {error}")
    return args


def _read_weights(text: str) -> dict[str, float]:
    rule = 'must be JSON like {"skip": -1}.'
    try:
        weights = json.loads(text)
    except json.JSONDecodeError:
        raise ValueError(f"{rule} Got {text!r}.") from None
    if not isinstance(weights, dict):
        raise ValueError(f"{rule} Got {text!r}.")
    for task, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError(f"{rule} {task!r} must be a number. Got {weight!r}.")
    return weights


def _rank(args: argparse.Namespace) -> None:
    from serving.client import Client
    from serving.lookup import Examples, as_key

    spec, examples_dir = read_run(args.root)
    examples = Examples(examples_dir, spec)
    request = examples.user(as_key(args.user, spec, spec.log.user))
    candidates = _candidates(args, spec, examples)
    with Client(args.url, spec.name) as client:
        # The first answer also opens the connection; the second one is timed.
        client.status()
        begin = time.perf_counter()
        outputs = client.rank(
            spec, request or {}, [c.values for c in candidates], args.weights
        )
        latency_ms = 1000 * (time.perf_counter() - begin)
    _check_tasks(outputs, spec, args)
    _show(args, spec, candidates, outputs)
    _note(f"{len(candidates)} candidates in {latency_ms:.1f} ms, from {args.url}")
    if request is None:
        _note(f"user {args.user} is in no example: ranked as a new user")
    paired = [f.name for f in paired_features(spec)]
    absent = [n for n in paired if any(n not in c.values for c in candidates)]
    if absent:
        _note(
            f"{', '.join(absent)}: of this user and each candidate together; no "
            "example has it, so it was sent as missing. Your backend knows it"
        )
    unknown = sum(not c.known for c in candidates)
    if unknown:
        _note(f"{unknown} candidates are in no example: ranked by their id alone")


def _check_tasks(outputs: dict, spec: Spec, args: argparse.Namespace) -> None:
    """Refuses an answer without a task of the run's spec."""
    absent = [task.name for task in spec.tasks if task.name not in outputs]
    if absent:
        raise RankError(
            f"{args.url}: model {spec.name!r} has no output {', '.join(absent)}: it "
            f"was made with another spec than {args.root}. Serve this run's model: "
            f"`trailrank serve --root {args.root}`."
        )


def read_run(root: str) -> tuple[Spec, str]:
    """The spec of a run and the directory of its raw examples, from `run.json`."""
    path = pathlib.Path(root) / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return read_spec(record["spec_text"], str(path)), record["examples"]
    except FileNotFoundError:
        raise RankError(
            f"{path} is missing: no finished run here. Run `trailrank pipeline run "
            f"--root {root}` first, or name another --root."
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RankError(f"{path} is no run's record: {error!r}.") from None


# --- candidates -----------------------------------------------------------------------


def _candidates(
    args: argparse.Namespace, spec: Spec, examples: Examples
) -> list[Candidate]:
    if args.candidates is None:
        found = examples.newest_items(args.sample)
        return [Candidate(str(item), values) for item, values in found.items()]
    lines = _read_lines(args.candidates)
    given = {n: _parse_object(n, line, spec) for n, line in lines if line[0] == "{"}
    ids = {n: _parse_id(n, line, spec) for n, line in lines if n not in given}
    known = examples.items(set(ids.values()))
    return [given[n] if n in given else _from_id(ids[n], known, spec) for n, _ in lines]


def _read_lines(path: str) -> list[tuple[int, str]]:
    """Line number and text of the lines that are not empty."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RankError(f"--candidates {path}: cannot be read: {error}") from None
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
    lines = [(n, line) for n, line in lines if line]
    if not lines:
        raise RankError(f"--candidates {path}: no candidate in it; one a line.")
    return lines


def _parse_id(number: int, line: str, spec: Spec) -> int | str:
    from serving.lookup import as_key

    try:
        return as_key(line, spec, spec.log.item)
    except ValueError as error:
        raise RankError(f"--candidates, line {number}: {error}") from None


def _parse_object(number: int, line: str, spec: Spec) -> Candidate:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise RankError(f"--candidates, line {number}: not JSON: {error}") from None
    known = [f.name for f in candidate_features(spec)]
    label = values.get(_item_feature(spec), values.get(spec.log.item))
    if spec.log.item not in known:
        values.pop(spec.log.item, None)  # shown, not read by the model
    return Candidate(f"line {number}" if label is None else str(label), values)


def _from_id(item: int | str, known: dict, spec: Spec) -> Candidate:
    if item in known:
        return Candidate(str(item), known[item])
    feature = _item_feature(spec)
    return Candidate(str(item), {feature: item} if feature else {}, known=False)


def _item_feature(spec: Spec) -> str:
    """The candidate feature that is the item's id; empty if the model has none."""
    own = [f.name for f in candidate_features(spec) if f.column == spec.log.item]
    return own[0] if own else ""


# --- the table ------------------------------------------------------------------------


def _show(
    args: argparse.Namespace,
    spec: Spec,
    candidates: list[Candidate],
    outputs: dict[str, list[float]],
) -> None:
    """Prints the best candidates: a line each, or a column each on a narrow screen."""
    import rich.console

    console = rich.console.Console()
    names = ["score", *(task.name for task in spec.tasks)]
    scores = outputs["score"]
    order = sorted(range(len(candidates)), key=lambda n: scores[n], reverse=True)
    lines = [
        [str(rank), candidates[index].label]
        + [f"{outputs[name][index]:.3g}" for name in names]
        for rank, index in enumerate(order[: args.top], start=1)
    ]
    heads = ["rank", spec.log.item, *names]
    print(f"{spec.name}: the best of {len(candidates)} candidates for user {args.user}")
    if sum(map(len, heads)) + 3 * len(heads) <= console.width:
        console.print(_table(heads, lines))
        return
    width = max(len(cell) for line in lines for cell in line) + 1
    per_table = max(1, (console.width - max(map(len, heads)) - 2) // width)
    for start in range(0, len(lines), per_table):
        columns = [heads, *lines[start : start + per_table]]
        rows = list(zip(*columns, strict=True))
        console.print(_table(rows[0], rows[1:]))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> rich.table.Table:
    import rich.box
    import rich.table

    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=0)
    for number, head in enumerate(heads):
        justify = "right" if number else "left"
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    return table


def _note(text: str) -> None:
    print(text)

"""`trailrank rank`: ranks candidates for a user through a running server.

    trailrank serve --root RUN &
    trailrank rank --root RUN --user 42 --sample 500 --top 10
    trailrank rank --root RUN --user 42 --candidates ids.txt --weights '{"skip": -1}'

The user's features are those of the newest example; a user without one is ranked as
new. `--candidates` names a file with an item id, or a JSON object of item features, on
each line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import rich.box
import rich.console
import rich.table

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from serving.ranking.rank import DEFAULT_SAMPLE, DEFAULT_URL, Ranking, rank


def run(argv: Sequence[str] | None = None) -> int:
    """Ranks and prints; the exit status."""
    found = parser()
    args = found.parse_args(argv)
    for name in ("sample", "top"):
        if getattr(args, name) < 1:
            found.error(f"--{name} must be at least 1. Got {getattr(args, name)}.")
    try:
        weights = _read_weights(args.weights)
    except ValueError as error:
        found.error(f"--weights {error}")
    ranking = rank(
        args.root,
        args.user,
        args.candidates,
        sample=args.sample,
        weights=weights,
        url=args.url,
    )
    _show(ranking, args.top)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank rank", description=__doc__)
    add = found.add_argument
    flags.add_root(add)
    add("--url", default=DEFAULT_URL, help=f"default {DEFAULT_URL}")
    add("--user", required=True, help="the user's id")
    which = found.add_mutually_exclusive_group()
    which.add_argument("--candidates", help="file: ids or JSON objects, one a line")
    which.add_argument(
        "--sample",
        type=int,
        default=DEFAULT_SAMPLE,
        help=f"rank the items shown last, this many (default {DEFAULT_SAMPLE})",
    )
    add("--top", type=int, default=10, help="lines to show")
    add("--weights", default="{}", help="JSON: task -> exponent in the fused score")
    return found


def _read_weights(text: str) -> dict[str, float]:
    rule = 'must be JSON like {"skip": -1}.'
    try:
        weights: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        raise ValueError(f"{rule} Got {text!r}.") from None
    if not isinstance(weights, dict):
        raise ValueError(f"{rule} Got {text!r}.")
    for task, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError(f"{rule} {task!r} must be a number. Got {weight!r}.")
    return weights


def _show(ranking: Ranking, top: int) -> None:
    """Prints the best candidates: a line each, or a column each on a narrow screen."""
    console = rich.console.Console()
    spec, count = ranking.spec, len(ranking.candidates)
    known = (output for task in spec.tasks for output in task.outputs)
    # A model of an earlier release has no seconds.
    names = ["score", *(name for name in known if name in ranking.outputs)]
    lines = [
        [str(index + 1), candidate.label]
        + [f"{ranking.outputs[name][index]:.3g}" for name in names]
        for index, candidate in enumerate(ranking.candidates[:top])
    ]
    heads = ["rank", spec.log.item, *names]
    print(f"{spec.name}: the best of {count} candidates for user {ranking.user}")
    for table in _tables(heads, lines, console.width):
        console.print(table)
    for note in ranking.notes:
        print(note)


def _tables(
    heads: list[str], lines: list[list[str]], screen: int
) -> list[rich.table.Table]:
    if sum(map(len, heads)) + 3 * len(heads) <= screen:
        return [_table(heads, lines)]
    width = max(len(cell) for line in lines for cell in line) + 1
    per_table = max(1, (screen - max(map(len, heads)) - 2) // width)
    tables = []
    for start in range(0, len(lines), per_table):
        columns = [heads, *lines[start : start + per_table]]
        rows = list(zip(*columns, strict=True))
        tables.append(_table(rows[0], rows[1:]))
    return tables


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=0)
    for number, head in enumerate(heads):
        justify = "right" if number else "left"
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    return table

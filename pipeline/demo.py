"""The command `trailrank demo`: a week of logs becomes a served ranked answer.

    trailrank demo --root demo

Writes `demo/logs` (simulated) and `demo/run` (the pipeline's run); a second demo in the
same place reuses both.
"""

from __future__ import annotations

import argparse
import pathlib
import random
from collections.abc import Sequence

import polars as pl
import rich.console
from rich.markup import escape

from feature_specs.flags import ArgumentParser
from pipeline.simulator.oracles import ORACLES_FILE

_CANDIDATES = 100
_OFTEN = 10  # impressions of a candidate: what the filters keep


def run(argv: Sequence[str]) -> int:
    """`trailrank demo ...`; returns the exit status."""
    args = parser().parse_args(argv)
    console = rich.console.Console()
    logs, root = pathlib.Path(args.root) / "logs", pathlib.Path(args.root) / "run"
    for step in (
        lambda: _simulate(args, logs, console),
        lambda: _train(logs, root, console),
        lambda: _rank(logs, root, console),
    ):
        status = step()
        if status:
            return status
    _say_what_next(args.root, console)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(
        prog="trailrank demo",
        description="Simulates logs, trains, serves and ranks: the whole way once.",
    )
    found.add_argument("--root", default="demo", help="directory to write")
    found.add_argument("--users", type=int, default=60)
    found.add_argument("--days", type=int, default=7)
    found.add_argument("--seed", type=int, default=0)
    return found


def _simulate(
    args: argparse.Namespace, logs: pathlib.Path, console: rich.console.Console
) -> int:
    """Exit status of the step, as of the next two."""
    console.rule("1. A week of impression logs, simulated")
    if (logs / "truth" / ORACLES_FILE).exists():  # a whole simulation has it
        console.print(f"{escape(str(logs))} is there already: reused.")
        return 0
    from pipeline.simulator import command

    flags = ["--out", str(logs), "--users", str(args.users)]
    return command.run([*flags, "--days", str(args.days), "--seed", str(args.seed)])


def _train(
    logs: pathlib.Path, root: pathlib.Path, console: rich.console.Console
) -> int:
    console.rule("2. Logs -> examples -> trained, evaluated, pushed ranker")
    from pipeline import command

    flags = ["--spec", "kuairand", "--logs", str(logs / "data"), "--root", str(root)]
    return command.run(["run", *flags, "--truth", str(logs / "truth")])


def _rank(logs: pathlib.Path, root: pathlib.Path, console: rich.console.Console) -> int:
    console.rule("3. The pushed model, served over REST, ranks 100 candidates")
    from serving.ranking import rank_command
    from serving.server.serve import serve

    user, videos = _pick(logs)
    candidates = root / "candidates.txt"
    candidates.write_text("\n".join(map(str, videos)) + "\n", encoding="utf-8")
    with serve(root) as server:
        flags = ["--root", str(root), "--url", server.url, "--user", str(user)]
        return rank_command.run([*flags, "--candidates", str(candidates)])


def _pick(logs: pathlib.Path) -> tuple[int, list[int]]:
    """The first user, and a seeded sample of the videos that were shown often."""
    file = next((logs / "data").glob("log_standard_*.csv"))
    seen = pl.read_csv(file, columns=["user_id", "video_id"])
    often = seen.group_by("video_id").len().filter(pl.col("len") >= _OFTEN)
    videos = often["video_id"].sort().to_list()
    user = int(seen["user_id"].min())  # type: ignore[arg-type]
    return user, random.Random(0).sample(videos, min(_CANDIDATES, len(videos)))


def _say_what_next(root: str, console: rich.console.Console) -> None:
    console.rule("Where things are, and what to try next")
    console.print(
        f"""{root}/run/run.json          what the run read, made and measured
{root}/run/models/kuairand   the pushed SavedModel, in TF Serving's layout
{root}/run/artifacts         every step's output (examples, statistics, transform, ...)
{root}/run/report            what each expert and gate does, which tasks conflict
{root}/run/rejects           the log lines that could not be read, and why

  . .venv/bin/activate
  trailrank serve --root {root}/run
  trailrank rank --root {root}/run --user 3 --candidates {root}/run/candidates.txt
  trailrank pipeline run --spec kuairand --logs {root}/logs/data --root {root}/run \\
      --preset shared_bottom        another model; the examples are reused
  trailrank spec show kuairand      the one file that knows every column""",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )

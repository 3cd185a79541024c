"""Does a pre-trained embedding of the video help? Logs whose truth depends on it.

    python benchmarks/study_vectors.py
    python benchmarks/study_vectors.py --quick

The logs of docs/own_logs.md: members like videos whose content, 16 numbers, fits their
taste, and `videos.embedding` is the content with some noise. The tutorial's spec is
proposed by `trailrank.propose_spec`, and edited as there; against it stands the same
spec without the vector, its history and their cosine. Both are trained with the same
seeds on the same rows, and judged on the last day.

The interval is Student's t of the paired differences over seeds.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import rich.console
import rich.table
from measured import commit, machine

import trailrank
from pipeline.reporting.files import rounded
from pipeline.reporting.intervals import Gain, paired_gain, summarise

_TASKS = ("like", "finish")
_LOGS = pathlib.Path(__file__).parents[1] / "examples" / "feed_logs.py"


def main() -> None:
    args = _arguments()
    console = rich.console.Console()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        command = [sys.executable, str(_LOGS), str(root / "logs")]
        command += ["--impressions", str(args.impressions)]
        subprocess.run(command, check=True)
        found = {
            name: _areas(spec, root, name, args.seeds)
            for name, spec in _specs(root).items()
        }
    gains = {
        task: paired_gain(found["with"][task], found["without"][task], 1)
        for task in _TASKS
    }
    _show(console, found, gains)
    told = {"impressions": args.impressions, "seeds": args.seeds}
    for task, gain in gains.items():
        told[f"{task}_gain"] = rounded(gain.mean, 4)
        told[f"{task}_interval"] = [rounded(gain.low, 4), rounded(gain.high, 4)]
    print(json.dumps({**told, "machine": machine(), "commit": commit()}))


def _specs(root: pathlib.Path) -> dict[str, str]:
    """The tutorial's spec, and the one without anything of the vector."""
    proposed = trailrank.propose_spec(root / "logs", "feed").text
    lines = proposed.replace("Etc/GMT-1", "Europe/Berlin").splitlines()
    without = [line for line in lines if "name: embedding" not in line]
    history = "  columns: [video, embedding]"
    mean = "  - {name: liked, group: query, kind: vector, target: embedding, "
    mean += "expr: history_embedding}"
    edited = [history if line == "  columns: [video]" else line for line in lines]
    place = edited.index("features:") + 1
    return {
        "without": "\n".join(without),
        "with": "\n".join([*edited[:place], mean, *edited[place:]]),
    }


def _areas(
    spec: str, root: pathlib.Path, name: str, seeds: int
) -> dict[str, dict[int, float]]:
    """Task -> seed -> AUC on the last day, of rankers trained by a spec."""
    path = root / f"{name}.yaml"
    path.write_text(spec)
    report = trailrank.make_examples(path, root / "logs", root / name)
    encoding = root / f"{name}-encoding"
    trailrank.make_encoding(path, report.out, encoding)
    trailrank.compare(
        ["mmoe"],
        root / f"{name}-trained",
        spec=path,
        examples=report.out,
        encoding=encoding,
        options=trailrank.CompareOptions(seeds=seeds, match=False),
        slice="cpu",
    )
    lines = (root / f"{name}-trained" / "results.jsonl").read_text().splitlines()
    results = [json.loads(line) for line in lines]
    return {
        task: {found["seed"]: found["scores"][task]["auc"] for found in results}
        for task in _TASKS
    }


def _show(
    console: rich.console.Console,
    found: dict[str, dict[str, dict[int, float]]],
    gains: dict[str, Gain],
) -> None:
    table = rich.table.Table(title="AUC on the last day, and what the vector adds")
    for head in ("task", "without", "with", "gain", "95 % interval"):
        table.add_column(head, justify="left" if head == "task" else "right")
    for task, gain in gains.items():
        means = [
            summarise(list(found[name][task].values())).mean
            for name in ("without", "with")
        ]
        interval = f"{gain.low:+.4f} to {gain.high:+.4f}"
        table.add_row(
            task, *(f"{mean:.4f}" for mean in means), f"{gain.mean:+.4f}", interval
        )
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--impressions", type=int, default=200_000, help="of the logs (200,000)")
    add("--seeds", type=int, default=5, help="at least 2 (5)")
    add("--quick", action="store_true", help="20,000 impressions, two seeds")
    args = parser.parse_args()
    if args.quick:
        args.impressions, args.seeds = 20_000, 2
    return args


if __name__ == "__main__":
    main()

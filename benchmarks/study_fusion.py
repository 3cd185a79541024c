"""Are the weights that `fusion search` finds better on users and days not seen?

    python benchmarks/study_fusion.py [--quick] [--work DIR] [--logs N]

Simulated logs; each goes through the whole pipeline, with the last two days kept for
evaluation. Weights are searched on the first of them with half of the users, and judged
on the second with the other half: once for all users alike, once by user group. Beside
it stands what random exposure says of the found weights, on the rows that judge.

Every log is one value; intervals are 95 % of Student's t over logs, paired. Prints a
table, and as the last line one JSON object; `--work` keeps what each log came to.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import measured
import numpy as np
import rich.console
import simulated  # first of all that imports TensorFlow: it silences its log
from rich.table import Table

import trailrank
from pipeline.fusion_search.estimate import VALUE
from pipeline.fusion_search.result import FusionSearch
from pipeline.reporting.intervals import Gain, paired_gain
from pipeline.reporting.tables import gain_text, new_table, number

_UTILITY = "watch_seconds + 20 * like + 60 * share - 30 * hate"
_FACET = "user_group"
_MEASURES = {
    "NDCG@10, searched rows": "searched",
    "NDCG@10, users and day not seen": "judged",
    "... by user group, more than alike": "by facet",
    "utility of a random impression": "random",
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large all is.

    Attributes:
        logs: Simulated, each a run.
        users: Of a log.
        rows: A user and day.
        days: Of which the last two are kept for evaluation.
        evaluations: Weights that are tried.
    """

    logs: int
    users: int
    rows: float
    days: int
    evaluations: int


FULL = Sizes(logs=6, users=160, rows=60.0, days=4, evaluations=300)
QUICK = Sizes(logs=2, users=60, rows=60.0, days=4, evaluations=60)


def main() -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small logs")
    parser.add_argument("--work", help="folder that keeps what each log came to")
    parser.add_argument("--logs", type=int, help=f"how many ({FULL.logs})")
    args = parser.parse_args()
    sizes, began = QUICK if args.quick else FULL, time.process_time()
    if args.logs:
        sizes = dataclasses.replace(sizes, logs=args.logs)
    console = rich.console.Console(width=measured.COLUMNS)
    found = []
    with simulated.work_folder(args.work) as work:
        for seed in range(sizes.logs):
            one = dataclasses.asdict(dataclasses.replace(sizes, logs=1))
            decides = {"study": "fusion", "seed": seed, **one}
            found.append(
                simulated.keep(work, decides, lambda: one_log(work, seed, sizes))  # noqa: B023
            )
            console.print(f"log {seed}: {found[-1]}", highlight=False, soft_wrap=True)
    console.print(table(found, sizes))
    print(json.dumps(summary(found, sizes, time.process_time() - began)))


def one_log(work: pathlib.Path, seed: int, sizes: Sizes) -> dict[str, float]:
    """A log, a run, and the searches."""
    folder = work / f"fusion-{seed}-{sizes.users}"
    logs, root = folder / "logs", folder / "run"
    trailrank.simulate(
        logs,
        users=sizes.users,
        days=sizes.days,
        seed=seed,
        rows_per_user_day=sizes.rows,
        random_share=0.3,
    )
    config = trailrank.RunConfig(
        spec="kuairand", logs=str(logs / "data"), root=str(root), eval_days=2
    )
    with contextlib.redirect_stdout(io.StringIO()):
        trailrank.run_pipeline(config)
    return searched(root, folder, seed, sizes.evaluations)


def searched(
    root: pathlib.Path, out: pathlib.Path, seed: int, evaluations: int
) -> dict[str, float]:
    """What both searches of one run came to; NaN where there is no such thing."""
    found, parted = (
        trailrank.fusion_search(
            root,
            out / f"found-{by}",
            utility=_UTILITY,
            evaluations=evaluations,
            seed=seed,
            by=by,
        )
        for by in ("", _FACET)
    )
    return {**measures(found), "by facet": _of_facet(parted)}


def measures(found: FusionSearch) -> dict[str, float]:
    """Default and found of each measure, and whether the log alone calls it better."""
    told = {"called better": float(found.verdict == "better")}
    for name, judged in (("searched", found.searched), ("judged", found.judged)):
        told[name] = judged.value.change.mean
        told[f"{name} default"] = judged.value.default
    estimate = found.estimate
    told["random"] = estimate.change[VALUE].mean if estimate else np.nan
    told["random default"] = estimate.against.snips[VALUE].mean if estimate else np.nan
    return told


def _of_facet(found: FusionSearch) -> float:
    """Own weights less common ones; 0 where no partition has own ones."""
    assert found.parted is not None
    return found.parted.change.mean


# --- all of them ----------------------------------------------------------------------


def gain(found: Sequence[Mapping[str, float]], measure: str) -> Gain:
    """Of a change, over logs that have it."""
    known = {
        log: one[measure]
        for log, one in enumerate(found)
        if one[measure] is not None and np.isfinite(one[measure])
    }
    return paired_gain(known, dict.fromkeys(known, 0.0), 1)


def table(found: Sequence[Mapping[str, float]], sizes: Sizes) -> Table:
    """For people."""
    made = new_table(
        f"Found less default weights, {sizes.logs} logs", ("of", "default", "gain")
    )
    for text, measure in _MEASURES.items():
        default = [one.get(f"{measure} default", np.nan) for one in found]
        made.add_row(
            text,
            number(float(np.mean(default)), missing="-"),
            gain_text(gain(found, measure)),
        )
    return made


def summary(
    found: Sequence[Mapping[str, float]], sizes: Sizes, seconds: float
) -> dict[str, Any]:
    """For programs."""
    return {
        "study": "fusion",
        **dataclasses.asdict(sizes),
        "gains": {m: simulated.as_json(gain(found, m)) for m in _MEASURES.values()},
        "called_better": sum(one["called better"] for one in found),
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


if __name__ == "__main__":
    main()

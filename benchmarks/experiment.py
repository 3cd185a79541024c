"""Simulated live experiments: speed, A/A tests, and whether known winners win.

    python benchmarks/experiment.py [--quick] [--parts speed same known]

- speed: impressions served a second by one process on one core, and by two on two, in
  turns; a reference ranker each, and a model if --root and --logs name one. By the
  clock, and by processor time, which other programs disturb less: that of the process
  that leads and half of what its two workers took, their start included.
- same: A/A tests of many seeds: how many show a change of overall enjoyment on the last
  day, and how many do on any day by the intervals for daily looks. 5 % is the level.
- known: 1,000 users, 7 days: a treatment that is better by construction (the truth as
  its score) and one that is worse (by chance), with many seeds.

Prints tables, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from measured import commit, machine, spread

from pipeline.experiment.measures import ENJOYMENT
from pipeline.experiment.result import Experiment
from pipeline.experiment.run import experiment

_SPEED = """
import os, sys, json, tempfile
from pipeline.experiment.run import experiment
if __name__ == "__main__":
    workers, arms, settings = json.loads(sys.argv[1])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    own = []  # processor seconds of this process, after each task
    def tell(progress):
        own.append(sum(os.times()[:2]))
    with tempfile.TemporaryDirectory() as out:
        found = experiment(
            out, arms[0], arms[1:], workers=workers, report=tell, **settings
        )
    served = (own[-1] - own[0]) * len(own) / (len(own) - 1)
    others = sum(os.times()[2:4])
    print(json.dumps([found.impressions, found.seconds, served, others]))
"""


def main() -> None:
    """Measures what is asked for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer users, days and seeds")
    add("--parts", nargs="+", default=["speed", "same", "known"])
    add("--seeds", type=int, default=40, help="of `same` and `known`")
    add("--root", help="a run, for the speed of a model")
    add("--logs", help="the simulation that it was trained on")
    args = parser.parse_args()
    seeds = 2 if args.quick else args.seeds
    result: dict[str, Any] = {"benchmark": "experiment"}
    if "speed" in args.parts:
        result["speed"] = speed(args.quick, args.root, args.logs)
    if "same" in args.parts:
        result["same"] = same(seeds, args.quick)
    if "known" in args.parts:
        result["known"] = known(seeds, args.quick)
    print(json.dumps({**result, "machine": machine(), "commit": commit()}))


def speed(quick: bool, root: str | None, logs: str | None) -> dict[str, Any]:
    """Impressions a second with one core and with two, in turns."""
    settings: dict[str, Any] = {"days": 7, "pre_days": 7, "users": 1_000}
    cases = {"reference": (["feed", "oracle"], settings)}
    if root and logs:
        of_model = {"days": 1, "pre_days": 1, "logs": logs}
        cases["model"] = (["feed", root], of_model)
    found = {}
    for name, (arms, chosen) in cases.items():
        if quick and name == "reference":
            chosen = {**chosen, "users": 250, "days": 2, "pre_days": 2}
        runs: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(1 if quick else 3):
            for workers, done in runs.items():
                done.append(_rates(workers, arms, chosen))
        found[name] = {}
        for place, by in enumerate(("clock", "processor")):
            one, two = ([rates[place] for rates in runs[n]] for n in (1, 2))
            gains = [b / a for a, b in zip(one, two, strict=True)]
            print(f"{name}, by the {by}: {spread(one, ',.0f')} impressions/s on one")
            print(f"  core, {spread(two, ',.0f')} on two: {spread(gains, '.2f')} times")
            found[name][by] = {"one": one, "two": two, "times": gains}
    return found


def _rates(
    workers: int, arms: list[str], settings: dict[str, Any]
) -> tuple[float, float]:
    """Impressions a second by the clock, and by processor time."""
    with tempfile.TemporaryDirectory() as folder:
        # A script of its own: processes that are started import what started them.
        script = os.path.join(folder, "measure.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(_SPEED)
        line = [sys.executable, script, json.dumps([workers, arms, settings])]
        done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    impressions, seconds, own, others = json.loads(done.stdout.splitlines()[-1])
    return impressions / seconds, impressions / (own + others / workers)


def same(seeds: int, quick: bool) -> dict[str, Any]:
    """A/A tests of the simulator's feed."""
    users = 80 if quick else 400
    once, ever, tasks = 0, 0, []
    for seed in range(seeds):
        found = _tried("feed", ["feed"], users, 7, seed)
        (name,) = found.treatments
        curve = found.curve(name)
        once += curve[-1].is_significant
        ever += any(one.is_always_significant for one in curve)
        tasks += [found.effect(name, m).is_significant for m in found.measures.names]
    print(f"A/A, {users} users, 7 days: {once} of {seeds} differ on the last day,")
    print(f"  {ever} on any day by the intervals for daily looks;")
    print(f"  of all measures {statistics.mean(tasks):.1%} on the last day")
    return {
        "users": users,
        "seeds": seeds,
        "once": once,
        "ever": ever,
        "of_all_measures": statistics.mean(tasks),
    }


def known(seeds: int, quick: bool) -> dict[str, Any]:
    """What is better, and what is worse, by construction."""
    users, seeds = (150 if quick else 1_000), max(1, seeds // 4)
    told: dict[str, Any] = {"users": users, "seeds": seeds}
    changes: dict[str, list[float]] = {"oracle": [], "random": []}
    wins = dict.fromkeys(changes, 0)
    days: dict[str, list[int]] = {name: [] for name in changes}
    for seed in range(seeds):
        found = _tried("feed", list(changes), users, 7, seed)
        for name in changes:
            one = found.effect(name, ENJOYMENT)
            way = 1 if name == "oracle" else -1
            wins[name] += one.is_significant and one.change * way > 0
            changes[name].append(100 * one.change)
            shown = [e.is_always_significant for e in found.curve(name)]
            if any(shown):
                days[name].append(1 + shown.index(True))
    for name, values in changes.items():
        print(f"{name}: {spread(values, '+.1f')} %, significant in {wins[name]} of")
        print(f"  {seeds} seeds; daily looks show it on day {days[name]}")
        told[name] = {"changes": values, "wins": wins[name], "days": days[name]}
    return told


def _tried(
    control: str, treatments: list[str], users: int, days: int, seed: int
) -> Experiment:
    with tempfile.TemporaryDirectory() as out:
        return experiment(
            out,
            control,
            treatments,
            users=users,
            days=days,
            pre_days=7,
            rows_per_user_day=30.0,
            candidates=100,
            seed=seed,
        )


if __name__ == "__main__":
    main()

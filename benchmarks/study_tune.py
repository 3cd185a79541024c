"""Does `trailrank tune` find a preset that is better, also on logs it has not seen?

    python benchmarks/study_tune.py [--quick] [--preset mmoe] [--work DIR] [--out DIR]

A simulated log is searched as the command does it, from a shipped preset and with all
defaults: 30 trials on its first six days, the last two kept from the search. The best
trial and the preset are judged on these, and on the last two days of a log of another
seed of the simulator, with other users, videos and rows: trained on its first six days
with five seeds each, in pairs. Intervals are 95 % of Student's t over the pairs.

Prints the report, and as the last line one JSON object. `--work` keeps the logs, and
`--out` the search for another run, which goes on with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import pathlib
import time

import measured
import simulated
from simulated import Log, Shape

import trailrank
from feature_specs import load_spec
from pipeline.compare.examples import examples_of_folder
from pipeline.reporting.tables import gain_text
from pipeline.tune import holdout, report
from pipeline.tune.tuned import Tuned

_LOG, _OTHER = 101, 102  # seeds of the simulator that no other study has
_SPEC = "kuairand"
_FULL = Shape(users=200, days=8, rows_per_user_day=160, eval_days=2)
_QUICK = Shape(users=20, days=4, rows_per_user_day=100, eval_days=1)


def main() -> None:
    """Searches on one log, judges on it and on another one."""
    args = _arguments()
    logging.getLogger("tensorflow").setLevel("ERROR")  # no advice on tracing rankers
    began = time.process_time()
    shape = _QUICK if args.quick else _FULL
    trials, seeds = (2, 2) if args.quick else (30, 5)
    with simulated.work_folder(args.work) as work:
        log, other = (_log(work, shape, seed) for seed in (_LOG, _OTHER))
        out = pathlib.Path(args.out) if args.out else work / "tuned"
        options = trailrank.TuneOptions(
            trials=trials, holdout_days=shape.eval_days, seeds=seeds
        )
        tuned = trailrank.tune(
            args.preset,
            out,
            spec=_SPEC,
            examples=log.examples,
            encoding=log.graph,
            options=options,
            slice="cpu",
        )
        print(report.markdown(tuned))
        elsewhere = _elsewhere(tuned, other, out, shape, seeds)
    print(f"On the log of another seed: {gain_text(elsewhere.gain)}.")
    found = {
        "machine": measured.machine(),
        "commit": measured.commit(),
        "seconds": round(time.process_time() - began),
        "search": report.summary(tuned),
        "other log": report.judged(elsewhere),
    }
    print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small logs, 2 trials")
    parser.add_argument("--preset", default="mmoe", help="where the search begins")
    parser.add_argument("--work", help="folder that keeps the logs")
    parser.add_argument("--out", help="folder that keeps the search")
    return parser.parse_args()


def _log(work: pathlib.Path, shape: Shape, seed: int) -> Log:
    return simulated.make_log(work, load_spec(_SPEC), shape, seed)


def _elsewhere(
    tuned: Tuned, log: Log, out: pathlib.Path, shape: Shape, seeds: int
) -> holdout.Holdout:
    """The best trial and the preset on another log's last days."""
    examples = examples_of_folder(
        load_spec(_SPEC), log.examples, eval_days=shape.eval_days, encoding=log.graph
    )
    plan = dataclasses.replace(tuned.plan, examples=examples)
    return holdout.judge(
        plan,
        tuned.preset,
        out / "other",
        seeds,
        lambda number, total, trial, left: None,
    )


if __name__ == "__main__":
    main()

"""The days that were kept from the search: is the best trial better there, too?

The preset and the best trial's are trained anew on all search days, with seeds that the
search has not seen, in pairs, and judged on the days after them by what `compare` has:
its trainings (resumed), its scores, its interval.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from feature_specs import ModelConfig
from pipeline.compare.comparison import Comparison, plan_entrants
from pipeline.compare.findings import Findings, find
from pipeline.compare.trials import Result, Trial, plan_trials, run_trials
from pipeline.reporting.intervals import Gain, paired_gain
from pipeline.tune.errors import TuneError
from pipeline.tune.objective import Objective
from pipeline.tune.plan import Plan
from trainer.days.encoding import counted, read_encoding

FOLDER = "holdout"
BEST = "best"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdout:
    """What the days kept from the search say.

    Attributes:
        gain: Of the best over the preset, in the search's own metric.
        values: Name -> seed -> that metric.
        findings: Every metric of every task.
    """

    gain: Gain
    values: Mapping[str, Mapping[int, float]]
    findings: Findings

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "not shown to be better"


def judge(
    plan: Plan,
    best: ModelConfig,
    out: pathlib.Path,
    seeds: int,
    report: Callable[[int, int, Trial, float | None], None],
    workers: int = 1,
) -> Holdout:
    """Trains both with so many seeds, those that `out/holdout` does not have.

    Raises:
        TuneError: The days do not have the metric.
    """
    examples = plan.examples
    graph = examples.encoding
    known = counted(examples.spec, read_encoding(graph) if graph else None)
    comparison = Comparison(
        examples=examples,
        entrants=plan_entrants({plan.name: plan.preset, BEST: best}, known, None),
        seeds=plan.holdout_seeds(seeds),
        slice=plan.slice,
        baseline=plan.name,
        reference=None,
        seesaw=(),
    )
    trials = plan_trials(comparison)
    results = run_trials(
        comparison, trials, out / FOLDER, report=report, workers=workers
    )
    values = {
        entrant.name: _values(plan.objective, trials, results, entrant.name)
        for entrant in comparison.entrants
    }
    return Holdout(
        gain=paired_gain(values[BEST], values[plan.name], 1),
        values=values,
        findings=find(comparison, trials, results),
    )


def _values(
    objective: Objective,
    trials: list[Trial],
    results: Mapping[str, Result],
    name: str,
) -> dict[int, float]:
    """Seed -> the search's metric; seeds that diverged are left out."""
    found = {}
    for trial in trials:
        result = results[trial.key]
        if trial.entrant.name != name or result.diverged:
            continue
        value = objective.of_scores(result.scores, result.positives)
        if value is None:
            raise TuneError(
                f"--holdout_days: have too few rows for {objective}. Keep more days."
            )
        found[trial.seed] = value
    return found

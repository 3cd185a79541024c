"""Results of all trainings -> mean, spread and gain of every preset on every task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pipeline.compare.comparison import Comparison, is_single
from pipeline.compare.metrics import DIRECTIONS, FEW, headline, metrics_of
from pipeline.compare.scores import Scores
from pipeline.compare.trials import Result, Trial
from pipeline.reporting.intervals import Gain, Summary, paired_gain, summarise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One metric of one task, with one preset.

    Attributes:
        value: Over the seeds that did not diverge.
        gain: Over the baseline; None for the baseline itself, or without one.
    """

    value: Summary
    gain: Gain | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """What a comparison found.

    Attributes:
        comparison: What was compared.
        cells: Preset -> task -> metric -> its cell.
        diverged: Preset -> seed -> why its training broke off.
        positives: Binary task -> evaluation rows with label 1.
        yardsticks: Name -> task -> metric -> value, of what takes no network.
    """

    comparison: Comparison
    cells: Mapping[str, Mapping[str, Mapping[str, Cell]]]
    diverged: Mapping[str, Mapping[int, str]]
    positives: Mapping[str, int]
    yardsticks: Mapping[str, Scores] = dataclasses.field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the spec's order."""
        return [task.name for task in self.comparison.examples.spec.tasks]

    def headline(self, task: str) -> str:
        """The metric of a task that tables and figures show."""
        return headline(self.comparison.examples.spec.task(task))

    def cell(self, preset: str, task: str) -> Cell:
        """The cell of a task's headline metric."""
        return self.cells[preset][task][self.headline(task)]

    @property
    def rivals(self) -> list[str]:
        """Presets with a gain over the baseline; none without one."""
        if self.comparison.baseline is None:
            return []
        names = [entrant.name for entrant in self.comparison.entrants]
        return [name for name in names if name != self.comparison.baseline]

    @property
    def notes(self) -> list[str]:
        """What a reader should know besides the figures."""
        return [
            *_baseline_notes(self.comparison),
            *_interval_notes(self),
            *_rarity_notes(self),
            *_yardstick_notes(self),
            *self.comparison.poor_matches(),
            *self.comparison.examples.notes,
            *(
                f"{preset}, seed {seed}, diverged and does not count. {why}"
                for preset, seeds in self.diverged.items()
                for seed, why in seeds.items()
            ),
        ]


def find(
    comparison: Comparison,
    trials: Sequence[Trial],
    results: Mapping[str, Result],
    yardsticks: Mapping[str, Scores] | None = None,
) -> Findings:
    """The findings of a comparison whose trials all have a result."""
    found: dict[str, dict[int, Result]] = {e.name: {} for e in comparison.entrants}
    for trial in trials:
        found[trial.entrant.name][trial.seed] = results[trial.key]
    return Findings(
        comparison=comparison,
        cells={name: _cells(comparison, found, name) for name in found},
        diverged={
            name: {s: r.diverged for s, r in seeds.items() if r.diverged}
            for name, seeds in found.items()
            if any(result.diverged for result in seeds.values())
        },
        positives=next(
            (result.positives for result in results.values() if result.positives), {}
        ),
        yardsticks=yardsticks or {},
    )


def _cells(
    comparison: Comparison, found: Mapping[str, Mapping[int, Result]], name: str
) -> dict[str, dict[str, Cell]]:
    """Task -> metric -> cell of one preset."""
    spec, baseline = comparison.examples.spec, comparison.baseline

    def cell(task: str, metric: str) -> Cell:
        values = _values(found[name], task, metric)
        gain = None
        if baseline and name != baseline:
            others = _values(found[baseline], task, metric)
            gain = paired_gain(values, others, DIRECTIONS[metric])
        return Cell(value=summarise(list(values.values())), gain=gain)

    return {
        task.name: {
            metric: cell(task.name, metric) for metric in metrics_of(task, spec)
        }
        for task in spec.tasks
    }


def _values(results: Mapping[int, Result], task: str, metric: str) -> dict[int, float]:
    """Seed -> value of a metric; seeds without one are left out."""
    # A result of an earlier release may lack a metric that was not there yet.
    scores = {s: r.scores[task] for s, r in results.items() if not r.diverged}
    found = {seed: known.get(metric, math.nan) for seed, known in scores.items()}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def _baseline_notes(comparison: Comparison) -> list[str]:
    if comparison.baseline is None:
        return [
            "No gains and no figures: no preset has structure.kind single. Add one, or "
            "name the preset to compare with by --baseline."
        ]
    if not is_single(comparison.entrant(comparison.baseline).config):
        return [
            f"Gains are over {comparison.baseline}, which shares; PLE's MTL gain is "
            "over a single-task model."
        ]
    return []


def _interval_notes(findings: Findings) -> list[str]:
    if findings.rivals and len(findings.comparison.seeds) < 2:
        return ["No intervals: one seed cannot tell a gain from chance. Add --seeds 5."]
    return []


def _yardstick_notes(findings: Findings) -> list[str]:
    """Where no network beats the best of them."""
    if not findings.yardsticks:
        return []
    lost = []
    for task in findings.tasks:
        metric = findings.headline(task)
        sign = DIRECTIONS[metric]
        reached = [sign * c[task][metric].value.mean for c in findings.cells.values()]
        known = {n: sign * y[task][metric] for n, y in findings.yardsticks.items()}
        known = {name: value for name, value in known.items() if math.isfinite(value)}
        best = max(known, key=known.__getitem__, default="")
        if best and not any(value > known[best] for value in reached):
            lost.append(f"{task} ({best})")
    if not lost:
        return []
    return [
        f"No preset beats what takes no network in {', '.join(lost)}: more rows, other "
        "rates or another loss may, or there is no more to learn."
    ]


def _rarity_notes(findings: Findings) -> list[str]:
    few = {task: count for task, count in findings.positives.items() if count < FEW}
    if not few:
        return []
    named = ", ".join(f"{task} ({count})" for task, count in few.items())
    return [
        f"Few rows with label 1 on the evaluation days: {named}. What seeds agree on "
        "here may be these rows' chance; judge on more days."
    ]

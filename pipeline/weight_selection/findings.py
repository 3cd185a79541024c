"""What a selection found: the weight, and what else would have come of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from feature_specs import ModelConfig, Spec
from feature_specs.preset import with_loss_weights
from pipeline.compare.examples import Examples
from pipeline.reporting.intervals import Gain, Summary, paired_gain, summarise
from pipeline.weight_selection.features import WEIGHT
from pipeline.weight_selection.labels import Labels
from pipeline.weight_selection.learning import Learned, Trained
from pipeline.weight_selection.metric import CombinedMetric
from pipeline.weight_selection.options import LEAST, WeightOptions
from pipeline.weight_selection.plan import Plan

META = "meta learner"
_FEW = 100  # positives: an AUC's own standard error is 0.03 or so


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """One way to a weight, trained on all rows (a line of SFV table 3).

    Attributes:
        name: `meta learner`, `grid`, `uniform`, `uncertainty` or `gradnorm`.
        weight: Of the new task; None where it is learned while it trains.
        share: Of the rows that selecting read; None where nothing is trained for it.
        selecting_s: Processor seconds for that; NaN if results do not tell.
        training_s: Processor seconds of one training on all rows, with scoring.
        auc_new: Of the new task, over seeds.
        auc_existing: Mean AUC of the existing binary tasks, over seeds.
        combined: M, over seeds.
        gain: Of M over the way that others are compared with; None for that one.
    """

    name: str
    weight: float | None
    share: float | None
    selecting_s: float
    training_s: float
    auc_new: Summary
    auc_existing: Summary
    combined: Summary
    gain: Gain | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """What a selection of a weight found.

    Attributes:
        new_task: The task.
        weight: What was chosen for it.
        preset: The preset with this weight.
        name: Of the preset.
        plan: What was trained.
        options: How.
        examples: The rows.
        metric: M.
        seen: Seed -> labels of the rows that G's trainings read.
        judging: Labels of the evaluation rows.
        learned: What G has learned, with the votes.
        selecting_s: Processor seconds of counting labels, of G's trainings and of
            learning it.
        ways: This one and the rivals, on all rows; none without rivals.
        grid: Candidate -> seed -> gain of M over weight 1, on all rows; none without
            the rival `grid`.
        diverged: What broke off, with its reason.
    """

    new_task: str
    weight: float
    preset: ModelConfig
    name: str
    plan: Plan
    options: WeightOptions
    examples: Examples
    metric: CombinedMetric
    seen: Mapping[int, Labels]
    judging: Labels
    learned: Learned
    selecting_s: float
    ways: tuple[Way, ...]
    grid: Mapping[float, Mapping[int, float]]
    diverged: Mapping[str, str]

    @property
    def baseline(self) -> str:
        """The way that the others are compared with."""
        return next((way.name for way in self.ways if way.gain is None), "")

    @property
    def notes(self) -> list[str]:
        """What a reader should know besides the figures."""
        return [
            *_few_notes(self),
            *_layer_notes(self),
            *_outside_notes(self),
            *_range_notes(self),
            *_grid_notes(self),
            *(
                f"{task} has no metric on the evaluation days, and no part in M."
                for task in self.metric.left_out
            ),
            *self.examples.notes,
            *(
                f"{name}, diverged and does not count. {why}"
                for name, why in self.diverged.items()
            ),
        ]


def selecting_seconds(trained: Trained, own_s: float) -> float:
    """Processor seconds of trainings and what is added; NaN if one does not tell."""
    known = [result.processor_s for result in trained.values()]
    return own_s + math.fsum(math.nan if s is None else s for s in known)


def best_of_grid(
    plan: Plan, trained: Trained, metric: CombinedMetric, seeds: Sequence[int]
) -> float:
    """The candidate with the largest mean M over seeds; of equal ones the smallest."""
    means = {
        weight: summarise([metric.of(trained[name, s].scores) for s in seeds]).mean
        for weight, (name, _) in plan.grid.items()
    }
    known = {weight: mean for weight, mean in means.items() if math.isfinite(mean)}
    return max(known, key=known.__getitem__, default=next(iter(means)))


def grid_gains(
    plan: Plan, trained: Trained, metric: CombinedMetric, seeds: Sequence[int]
) -> dict[float, dict[int, float]]:
    """Candidate -> seed -> M, more than with weight 1."""
    level, _ = plan.grid[LEAST]
    found: dict[float, dict[int, float]] = {}
    for weight, (name, _) in plan.grid.items():
        gains = {
            seed: metric.of(trained[name, seed].scores)
            - metric.of(trained[level, seed].scores)
            for seed in seeds
        }
        found[weight] = {s: gain for s, gain in gains.items() if math.isfinite(gain)}
    return found


def make_way(
    name: str,
    preset: str,
    trained: Trained,
    metric: CombinedMetric,
    spec: Spec,
    new_task: str,
    baseline: str | None,
    *,
    weight: float | None,
    share: float | None,
    selecting_s: float,
) -> Way:
    """A way from its trainings on all rows.

    Args:
        name: Of the way.
        preset: That was trained.
        trained: All trainings on all rows.
        metric: M.
        spec: Its tasks.
        new_task: The task.
        baseline: Preset of the way that it is compared with; None for that one.
        weight: See `Way`.
        share: See `Way`.
        selecting_s: See `Way`.
    """
    own = {s: result for (n, s), result in trained.items() if n == preset}
    whole = {seed: result for seed, result in own.items() if not result.diverged}
    combined = {seed: metric.of(result.scores) for seed, result in whole.items()}
    chances = [
        task.name
        for task in spec.tasks
        if task.of_kind.is_probability and task.name not in metric.left_out
    ]
    existing = [task for task in chances if task != new_task]
    gain = None
    if baseline is not None:
        others = {
            seed: metric.of(result.scores)
            for (n, seed), result in trained.items()
            if n == baseline and not result.diverged
        }
        gain = paired_gain(combined, others, 1)
    seconds = [r.processor_s for r in own.values() if r.processor_s is not None]
    return Way(
        name=name,
        weight=weight,
        share=share,
        selecting_s=selecting_s,
        training_s=summarise(seconds).mean,
        auc_new=summarise([r.scores[new_task]["auc"] for r in whole.values()]),
        auc_existing=summarise(
            [
                math.fsum(r.scores[t]["auc"] for t in existing) / max(len(existing), 1)
                for r in whole.values()
            ]
        ),
        combined=summarise(list(combined.values())),
        gain=gain,
    )


def chosen_preset(plan: Plan, weight: float) -> ModelConfig:
    """The preset with the weight of the new task."""
    return with_loss_weights(plan.config, {plan.new_task: weight})


def _few_notes(found: Selection) -> list[str]:
    tasks = (*found.plan.roles, found.new_task)
    judged = {task: found.judging[task].total for task in tasks}
    few = {task: count for task, count in judged.items() if count < _FEW}
    if not few:
        return []
    named = ", ".join(f"{task} ({count:.0f})" for task, count in few.items())
    return [
        f"Few rows with label 1 on the evaluation days: {named}. What M says of a "
        "weight may be these rows' chance; judge on more days."
    ]


def _layer_notes(found: Selection) -> list[str]:
    if any(name.startswith("log norm") for name in found.learned.names):
        return []
    return [
        "No gradients: no two tasks move the same dense weight of one network, so that "
        "G knows label means and weights alone."
    ]


def _outside_notes(found: Selection) -> list[str]:
    outside = found.learned.outside
    if not outside:
        return []
    own = found.learned.names.index(WEIGHT)
    return [
        f"{len(outside)} of the {own} features of {found.new_task} lie outside those "
        f"of the existing tasks, so that G extrapolates (weights.json names them)."
    ]


def _range_notes(found: Selection) -> list[str]:
    largest = found.options.trained_weights[-1]
    if found.weight <= largest:
        return []
    return [
        f"A weight of {found.weight:g} is more than any that was trained "
        f"({largest:g}): G extrapolates. Add it to --weights."
    ]


def _grid_notes(found: Selection) -> list[str]:
    if not found.grid:
        return []
    return [
        f"The grid's weight is the best of {len(found.grid)} on the evaluation days "
        "that judge it: by luck, too. With more seeds that part shrinks."
    ]

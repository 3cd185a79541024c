"""Trainings of the existing tasks -> examples of G -> what G predicts for the new one.

R = runs, W = candidates, S = seeds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs import Spec
from feature_specs.preset import weighted
from pipeline.compare.trials import Result
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.features import WEIGHT, task_features, with_weight
from pipeline.weight_selection.labels import Labels
from pipeline.weight_selection.learner import learn
from pipeline.weight_selection.metric import CombinedMetric
from pipeline.weight_selection.options import LEAST
from pipeline.weight_selection.plan import Plan
from pipeline.weight_selection.votes import majority, votes_of

Trained = Mapping[tuple[str, int], Result]  # (name of a preset, seed) -> its training

_LEAST_ROLES = 3  # one is held out, and two are left to learn from


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One example of G: a training of a task that played the new one.

    Attributes:
        role: The task.
        seed: Of the training.
        weight: w of its loss.
        features: Name -> value of f, without the weight.
        gain: M(w) - M(1), of two trainings with one seed. M itself has a level of its
            own for each task and seed, which no weight changes: it has no part in the
            largest, and G need not learn it.
    """

    role: str
    seed: int
    weight: float
    features: Mapping[str, float]
    gain: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What G, learned from the other tasks, would have chosen for one of them.

    Attributes:
        choice: Of the weights that it was trained with.
        gain: Mean over seeds of M there, more than with weight 1.
        best: The weight with the largest mean.
        best_gain: The same there.
    """

    choice: float
    gain: float
    best: float
    best_gain: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learned:
    """What G has learned.

    Attributes:
        examples: What from.
        names: Of its features.
        outside: Those of the new task that are beyond all examples of G.
        predicted: [R, W], gain of M over weight 1 for the new task, mean over seeds.
        level: M of the new task's own training with weight 1, mean over seeds.
        votes: R weights.
        choice: The majority's.
        held_out: Existing task -> see `HeldOut`; none of fewer than three.
    """

    examples: tuple[Example, ...]
    names: tuple[str, ...]
    outside: tuple[str, ...]
    predicted: npt.NDArray[Any]
    level: float
    votes: tuple[float, ...]
    choice: float
    held_out: Mapping[str, HeldOut]

    def measured(self, role: str) -> dict[float, list[float]]:
        """Weight -> gains of an existing task, one a seed."""
        found: dict[float, list[float]] = {}
        for example in self.examples:
            if example.role == role:
                found.setdefault(example.weight, []).append(example.gain)
        return found


def learn_weight(
    plan: Plan,
    spec: Spec,
    trained: Trained,
    seen: Mapping[int, Labels],
    metric: CombinedMetric,
    *,
    runs: int,
    candidates: Sequence[float],
) -> Learned:
    """Learns G in some runs and lets them vote.

    Args:
        plan: See `Plan`.
        spec: Its tasks.
        trained: All trainings of `plan.trained`.
        seen: Seed -> labels of the rows that a training reads.
        metric: M.
        runs: R; a run's number is its seed.
        candidates: W weights, from the smallest.

    Raises:
        WeightSelectionError: Too many of the trainings diverged.
    """
    facts = _facts(plan, spec, trained, seen)
    examples = _examples(plan, trained, metric, facts)
    new = [own for (role, _), own in facts.items() if role == plan.new_task]
    levels = [
        metric.of(trained[plan.trained[plan.new_task][LEAST][0], seed].scores)
        for role, seed in facts
        if role == plan.new_task
    ]
    _check_enough(plan, examples, new)
    table = np.stack([with_weight(e.features, e.weight)[1] for e in examples])
    predicted = predict(examples, new, candidates, range(runs))
    votes = votes_of(predicted, candidates)
    names, _ = with_weight(examples[0].features, LEAST)
    own = np.stack([with_weight(features, LEAST)[1] for features in new]).mean(axis=0)
    of_tasks = names.index(WEIGHT)
    beyond = ((own < table.min(axis=0)) | (own > table.max(axis=0)))[:of_tasks]
    return Learned(
        examples=tuple(examples),
        names=tuple(names),
        outside=tuple(n for n, out in zip(names, beyond, strict=False) if out),
        predicted=predicted,
        level=float(np.mean(levels)),
        votes=tuple(votes),
        choice=majority(votes, predicted, candidates),
        held_out=_held_out(plan, examples, runs),
    )


def predict(
    examples: Sequence[Example],
    new: Sequence[Mapping[str, float]],
    weights: Sequence[float],
    seeds: Collection[int],
) -> npt.NDArray[Any]:
    """What a G a seed, learned from examples, predicts: [seeds, weights].

    Args:
        examples: Of other tasks.
        new: f of the task that is predicted for, of one training or several, over whose
            predictions the mean is taken.
        weights: At which.
        seeds: Of G's first weights.
    """
    features = np.stack([with_weight(e.features, e.weight)[1] for e in examples])
    gains = np.array([example.gain for example in examples])
    asked = np.stack([with_weight(own, w)[1] for own in new for w in weights])
    found = [learn(features, gains, seed)(asked) for seed in seeds]
    return np.stack(found).reshape(len(found), len(new), len(weights)).mean(axis=1)


def _facts(
    plan: Plan, spec: Spec, trained: Trained, seen: Mapping[int, Labels]
) -> dict[tuple[str, int], dict[str, float]]:
    """(task that plays the new one, seed) -> f, where its training came to an end."""
    tasks = [task.name for task in spec.tasks]
    chances = [t.name for t in spec.tasks if t.of_kind.is_probability]
    weights = {t.name: t.loss_weight for t in weighted(spec, plan.config).tasks}
    found = {}
    for role, by_weight in plan.trained.items():
        for seed, labels in seen.items():
            result = trained[by_weight[LEAST][0], seed]
            if result.diverged:
                continue
            means = {name: labels[name].mean for name in chances if labels[name].rows}
            found[role, seed] = task_features(
                role, plan.others(role, spec), tasks, result.layers, means, weights
            )
    return found


def _examples(
    plan: Plan,
    trained: Trained,
    metric: CombinedMetric,
    facts: Mapping[tuple[str, int], Mapping[str, float]],
) -> list[Example]:
    """Those whose trainings came to an end, with the one of weight 1 and their seed."""
    found = []
    for (role, seed), features in facts.items():
        if role == plan.new_task:
            continue
        by_weight = plan.trained[role]
        apart = {plan.new_task}
        level = metric.of(trained[by_weight[LEAST][0], seed].scores, apart)
        for weight, (name, _) in by_weight.items():
            gain = metric.of(trained[name, seed].scores, apart) - level
            if math.isfinite(gain):
                example = Example(
                    role=role, seed=seed, weight=weight, features=features, gain=gain
                )
                found.append(example)
    return found


def _check_enough(
    plan: Plan, examples: Sequence[Example], new: Sequence[object]
) -> None:
    learned = {e.role for e in examples if e.weight > LEAST}
    if len(learned) > 1 and new:
        return
    lost = [*(role for role in plan.roles if role not in learned)]
    lost += [] if new else [plan.new_task]
    raise WeightSelectionError(
        f"Nothing can be learned: the trainings with a weight of {', '.join(lost)} "
        "diverged (see results.jsonl). Lower the preset's optimizer.learning_rate, or "
        "the largest of --weights."
    )


def _held_out(plan: Plan, examples: Sequence[Example], runs: int) -> dict[str, HeldOut]:
    if len(plan.roles) < _LEAST_ROLES:
        return {}
    found = {}
    for role in plan.roles:
        own = [e for e in examples if e.role == role]
        others = [e for e in examples if e.role != role]
        gains: dict[float, list[float]] = {}
        for example in own:
            gains.setdefault(example.weight, []).append(example.gain)
        if len(gains) < 2 or len({e.role for e in others}) < 2:
            continue
        means = {weight: float(np.mean(gains[weight])) for weight in sorted(gains)}
        weights = list(means)
        facts = list({e.seed: e.features for e in own}.values())
        predicted = predict(others, facts, weights, range(runs))
        choice = majority(votes_of(predicted, weights), predicted, weights)
        best = max(means, key=means.__getitem__)
        found[role] = HeldOut(
            choice=choice, gain=means[choice], best=best, best_gain=means[best]
        )
    return found

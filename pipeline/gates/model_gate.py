"""The gates of a model: may it replace the one that serves?

    verdict = judge(spec, evaluate_models(spec, [new, *last_blessed], days, out))
    verdict.check()

*Limits on a value* that the spec writes for a task are held to the value itself: one
that is not there, as of a day whose labels are all 0, fails them. *Limits on a change*
hold for all tasks: the model is compared with the best of the last blessed models, on
the same rows, and refused if it lost more than is allowed and the interval of the loss
leaves 0 out. As the best one counts and not the last one, a loss that is allowed once
is not allowed every day.

The intervals hold together (`draws.bound`): those of all metrics of all rows, and those
of slices, have half of the risk each. A task with few rows has wide ones; with fewer
than `evaluation.min_positives` it is not judged.

What an interval covers is the luck of the evaluation's users. Another seed makes
another model; that difference is real, and what the limits have to allow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from feature_specs import Spec
from feature_specs.spec import EvaluationSpec
from pipeline.evaluation.model_evaluation import ModelEvaluation
from pipeline.gates.draws import Floats, bound
from pipeline.gates.measures import MISCALIBRATION, Measured, measure_all
from pipeline.gates.verdict import Gate, Outcome, Verdict

USUAL_FACTOR = 2.0  # largest miscalibration of a task without a limit, if significant


def judge(
    spec: Spec, models: Sequence[ModelEvaluation], names: Sequence[str] = ()
) -> Verdict:
    """All gates of the first of the models.

    Args:
        spec: Its `evaluation` has the limits.
        models: The one to be judged, and those that it is compared with, the latest
            first; all of the same rows, and with sums by user in their folders.
        names: Of the models, for people; by default the last parts of their paths.
    """
    evaluation = spec.evaluation
    told = tuple(names) or tuple(m.model.rstrip("/").split("/")[-1] for m in models)
    families = [family for family in measure_all(spec, models) if family]
    confidence = 1 - (1 - evaluation.confidence) / max(len(families), 1)
    return Verdict(
        model=told[0],
        against=told[1:],
        gates=tuple(
            gate
            for family in families
            for gate in _Family(family, told, evaluation, confidence).gates()
        ),
        gate=evaluation.gate,
        confidence=evaluation.confidence,
    )


class _Change(NamedTuple):
    """A loss that is judged by its interval.

    Attributes:
        loss: As it was found.
        drawn: [D].
        low: Lower end of the interval.
        high: Upper end.
    """

    loss: float
    drawn: Floats
    low: float = math.nan
    high: float = math.nan

    def refused(self, allowed: float) -> bool:
        """Whether the loss is too large, and no luck."""
        return self.loss > allowed and self.low > 0


class _Family:
    """Metrics whose intervals hold together.

    Args:
        found: The metrics.
        models: Names, the one to be judged first.
        evaluation: The limits.
        confidence: Of all intervals together.
    """

    def __init__(
        self,
        found: list[Measured],
        models: tuple[str, ...],
        evaluation: EvaluationSpec,
        confidence: float,
    ):
        self._found, self._models, self._evaluation = found, models, evaluation
        changes = [_changes(one) for one in found]
        flat = [change for own in changes for change in own.values()]
        low, high, _ = bound(
            np.array([change.loss for change in flat]),
            np.array([change.drawn for change in flat]).T,
            confidence,
        )
        ends = zip(low.tolist(), high.tolist(), strict=True)
        self._changes = [
            {place: _Change(c.loss, c.drawn, *next(ends)) for place, c in own.items()}
            for own in changes
        ]

    def gates(self) -> Iterator[Gate]:
        """Of each metric first its value's, then its change's."""
        for found, changes in zip(self._found, self._changes, strict=True):
            if not math.isnan(found.limit):
                yield _of_value(found)
            if 0 in changes:
                yield _of_usual(found, changes.pop(0))
            if len(self._models) > 1:
                yield self._of_change(found, changes)

    def _of_change(self, found: Measured, changes: dict[int, _Change]) -> Gate:
        """The loss against the best of the other models."""
        allowed = float(getattr(self._evaluation, found.measure.change))
        gate = _gate(found, found.measure.change, allowed)
        if not changes:
            why = found.lacks or "the other models have no such number of these rows"
            return gate(outcome="not judged", against=self._models[1], why=why)
        # The best one is the one that most was lost against; the latest of equals.
        place = max(changes, key=lambda p: (changes[p].loss, -p))
        best = changes[place]
        return gate(
            outcome=_outcome(best.refused(allowed)),
            against=self._models[place],
            best=found.estimates[place].value,
            loss=best.loss,
            low=best.low,
            high=best.high,
        )


def _changes(found: Measured) -> dict[int, _Change]:
    """The comparisons of a metric with rows enough, by the place of the other model; 0
    is the usual limit on the value itself."""
    if found.lacks:
        return {}
    changes = {}
    new = found.estimates[0]
    if found.measure is MISCALIBRATION and math.isnan(found.limit):
        over = (new.value / USUAL_FACTOR - 1, new.drawn / USUAL_FACTOR - 1)
        changes[0] = _Change(*over)
    for place, other in enumerate(found.estimates[1:], start=1):
        if not math.isnan(other.value):
            loss = float(found.measure.loss(new.value, other.value))
            changes[place] = _Change(loss, found.measure.loss(new.drawn, other.drawn))
    return changes


def _of_value(found: Measured) -> Gate:
    """A limit that the spec writes: held to the value itself."""
    value, measure = found.estimates[0].value, found.measure
    gate = _gate(found, measure.limits, found.limit)
    if found.slice and found.lacks:  # written for the task, and not for this slice
        return gate(outcome="not judged", why=found.lacks)
    kept = measure.worse * (value - found.limit) <= 0  # False for NaN
    return gate(outcome=_outcome(not kept), why=found.lacks)


def _of_usual(found: Measured, over: _Change) -> Gate:
    """Predictions far off, of a task without a limit of its own."""
    return _gate(found, found.measure.limits, USUAL_FACTOR)(
        outcome=_outcome(over.refused(0)),
        loss=over.loss,
        low=over.low,
        high=over.high,
    )


def _outcome(refused: bool) -> Outcome:
    return "refused" if refused else "passed"


def _gate(found: Measured, key: str, limit: float) -> Callable[..., Gate]:
    """Makes gates of a metric."""
    return functools.partial(
        Gate,
        measure=found.measure.name,
        of=found.of,
        slice=found.slice,
        key=f"evaluation.{key}",
        value=found.estimates[0].value,
        limit=limit,
    )

"""What the labels of the rows are: how many positives there are, and label means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from feature_specs import Spec
from pipeline.compare.examples import Examples
from pipeline.weight_selection.errors import WeightSelectionError
from trainer.days.input import BatchReader, match_files
from trainer.days.layout import Layout
from trainer.days.loop import Day

LEAST_POSITIVES = 10  # with fewer an AUC's own standard error is 0.1 and more

_ROWS = 4096  # read at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskLabels:
    """The labels of one task.

    Attributes:
        rows: In its sample space.
        total: Sum of the labels: the positives of a binary task.
        squares: Sum of their squares.
    """

    rows: float
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """NaN without a row."""
        return self.total / self.rows if self.rows else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation; NaN without a row."""
        if not self.rows:
            return math.nan
        return math.sqrt(max(self.squares / self.rows - self.mean**2, 0.0))


Labels = Mapping[str, TaskLabels]  # by task


def count_labels(
    spec: Spec,
    days: Sequence[Day],
    *,
    evaluation: bool,
    sample: float = 1.0,
    seed: int = 0,
) -> dict[str, TaskLabels]:
    """The labels that a training on a share of days' rows sees, or that judge it.

    Args:
        spec: What they hold.
        days: Training days, or evaluation days.
        evaluation: Which of both.
        sample: See `LoopOptions`; the rows are those of a training with it.
        seed: Of the training.
    """
    layout = Layout(spec)
    reader = BatchReader(layout, _ROWS, sample=sample, seed=seed)
    sums = np.zeros([3, len(spec.tasks)])
    for name, patterns in days:
        files = match_files(name, patterns, evaluation=evaluation)
        for serialized in reader.serialized(files, seed=0):
            labels, masks = (x.numpy() for x in layout.parse_labels(serialized))
            known = np.where(masks > 0, labels, 0.0).astype(np.float64)
            sums += [masks.sum(axis=0), known.sum(axis=0), (known**2).sum(axis=0)]
    return {
        task.name: TaskLabels(rows=rows, total=total, squares=squares)
        for task, rows, total, squares in zip(spec.tasks, *sums, strict=True)
    }


def check_positives(
    tasks: Sequence[str],
    examples: Examples,
    sample: float,
    seen: Mapping[int, Labels],
    judging: Labels,
) -> None:
    """WeightSelectionError for a task with too few positives, before any training.

    Args:
        tasks: The new one and those that play it.
        examples: For the message.
        sample: Likewise.
        seen: Seed -> labels of the rows that a training reads.
        judging: Labels of the evaluation rows.
    """
    for task in tasks:
        least = min(seen, key=lambda seed: seen[seed][task].total)
        trained, judged = seen[least][task].total, judging[task].total
        if min(trained, judged) >= LEAST_POSITIVES:
            continue
        if judged < LEAST_POSITIVES:
            remedy = "Take more --eval_days, or leave the task out."
        else:
            share = sample * LEAST_POSITIVES / trained if trained else math.inf
            remedy = (
                "Take more --days, or leave the task out."
                if share > 1
                else f"Take --sample {min(1.0, math.ceil(share * 20) / 20):g}, more "
                "--days, or leave the task out."
            )
        raise WeightSelectionError(
            f"Task {task!r}: must have {LEAST_POSITIVES} rows with label 1 at least, "
            f"to train on and to judge by. Got {trained:.0f} in the sample of "
            f"{100 * sample:g} % (seed {least}) and {judged:.0f} on "
            f"{', '.join(examples.evaluation_days)}. {remedy}"
        )

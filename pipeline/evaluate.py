"""How good a finished run's model is, as served: the evaluation days scored with it."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING, Any

from feature_specs import read_spec
from feature_specs.locks import owned
from feature_specs.places import Place, check_directory
from pipeline.quiet import quiet_imports
from pipeline.run_record import RunRecord, read_record, write_record

if TYPE_CHECKING:
    from pipeline.evaluation.quality import TaskQuality


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation table of a run.

    Attributes:
        tasks: The quality of every task, in the spec's order.
        slices: `column=value` of each of the spec's slices -> the same on its rows.
    """

    tasks: tuple[TaskQuality, ...]
    slices: dict[str, tuple[TaskQuality, ...]]

    def task(self, name: str) -> TaskQuality:
        """The quality of one task; KeyError if there is none."""
        for quality in self.tasks:
            if quality.task == name:
                return quality
        raise KeyError(name)


def evaluate(root: Place, truth: Place | None = None) -> Evaluation:
    """Scores the evaluation days with the run's model, and keeps the table in run.json.

    >>> found = trailrank.evaluate("run", truth="logs/truth")
    >>> long_view = found.task("long_view")
    >>> 0.5 < long_view.auc < long_view.oracle_auc
    True

    Args:
        root: Directory of a finished run.
        truth: The log simulator's `truth/`, for the oracle.

    Raises:
        NoRunError: There is no finished run.
        LockedError: Another command writes to it.
        PlaceError: The run's model or examples are gone, or there is no truth.
    """
    record = read_record(os.fspath(root))
    check_truth(truth)
    remedy = "It was moved or cleaned: run `trailrank pipeline run` again."
    check_directory("model of the run", record.model, remedy)
    check_directory("examples of the run", record.examples, remedy, "Split-*")
    with owned(root):
        record = read_record(os.fspath(root))  # as whoever held it left it
        found = _score(record, truth)
        write_record(os.fspath(root), with_evaluation(record, found))
    return found


def check_truth(truth: Place | None) -> None:
    """That a directory holds the log simulator's truth; PlaceError if it does not."""
    if truth is not None:
        remedy = "Give the truth/ directory that `trailrank simulate` wrote beside "
        check_directory("--truth", truth, f"{remedy}its data/.", "*.parquet")


def with_evaluation(record: RunRecord, found: Evaluation) -> RunRecord:
    """The record with another evaluation table."""
    return dataclasses.replace(
        record,
        metrics=[dataclasses.asdict(quality) for quality in found.tasks],
        slices={
            name: [dataclasses.asdict(quality) for quality in qualities]
            for name, qualities in found.slices.items()
        },
    )


def evaluation_of(record: RunRecord) -> Evaluation:
    """The evaluation table that a record holds."""
    from pipeline.evaluation.quality import TaskQuality

    def read(values: dict[str, Any]) -> TaskQuality:
        known: dict[str, Any]
        # JSON has no NaN: a metric that the rows do not have is null there.
        known = {key: math.nan if v is None else v for key, v in values.items()}
        return TaskQuality(**known)

    return Evaluation(
        tasks=tuple(map(read, record.metrics)),
        slices={name: tuple(map(read, rows)) for name, rows in record.slices.items()},
    )


def _score(record: RunRecord, truth: Place | None) -> Evaluation:
    with quiet_imports():
        from pipeline.evaluation import quality, truth_join
    spec = read_spec(record.spec_text)
    predictions = quality.score(spec, record.model, record.examples, record.eval_splits)
    known = None if truth is None else truth_join.read_truth(os.fspath(truth), spec)
    slices = quality.measure_slices(spec, predictions)
    return Evaluation(
        tasks=tuple(quality.measure(spec, predictions, known)),
        slices={name: tuple(found) for name, found in slices.items()},
    )

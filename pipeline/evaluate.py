"""How good a finished run's model is, as served: the evaluation days scored with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from feature_specs import Spec, read_spec
from feature_specs.locks import owned
from feature_specs.places import Place, check_directory
from pipeline.quiet import quiet_imports
from pipeline.run_record import RunRecord, read_record, write_record

if TYPE_CHECKING:
    from pipeline.evaluation.fused import Ranking
    from pipeline.evaluation.model_evaluation import ModelEvaluation
    from pipeline.evaluation.quality import TaskQuality


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation table of a run.

    Attributes:
        tasks: The quality of every task, in the spec's order.
        slices: `column=value` of each of the spec's slices -> the same on its rows.
        ranking: How good the fused score orders requests, or users' days; None if it
            was not measured.
    """

    tasks: tuple[TaskQuality, ...]
    slices: dict[str, tuple[TaskQuality, ...]]
    ranking: Ranking | None = None

    @classmethod
    def of(cls, model: ModelEvaluation, spec: Spec) -> Evaluation:
        """The table of a model that was measured, tasks in the spec's order."""
        places = {task.name: place for place, task in enumerate(spec.tasks)}

        def in_order(tasks: Iterable[TaskQuality]) -> tuple[TaskQuality, ...]:
            return tuple(sorted(tasks, key=lambda found: places[found.task]))

        return cls(
            tasks=in_order(model.tasks),
            slices={name: in_order(tasks) for name, tasks in model.slices.items()},
            ranking=model.ranking and model.ranking.in_order(list(places)),
        )

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
    >>> order = found.ranking.order()  # by the fused score
    >>> found.ranking.order("(random)").ndcg["10"] < order.ndcg["10"] < 1
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
    for split in record.eval_splits:
        place = record.examples_of(split)
        check_directory("examples of the run", place, remedy, f"Split-{split}")
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
        ranking=dataclasses.asdict(found.ranking) if found.ranking else {},
    )


def evaluation_of(record: RunRecord) -> Evaluation:
    """The evaluation table that a record holds."""
    from pipeline.evaluation.model_evaluation import read_quality, read_ranking

    return Evaluation(
        tasks=tuple(map(read_quality, record.metrics)),
        slices={
            name: tuple(map(read_quality, rows)) for name, rows in record.slices.items()
        },
        ranking=read_ranking(record.ranking),
    )


def _score(record: RunRecord, truth: Place | None) -> Evaluation:
    with quiet_imports():
        from pipeline.evaluation.model_evaluation import evaluate_models
    days = [(split, record.examples_of(split)) for split in record.eval_splits]
    spec = read_spec(record.spec_text)
    (found,) = evaluate_models(
        spec,
        [record.model],
        days,
        truth=None if truth is None else os.fspath(truth),
    )
    return Evaluation.of(found, spec)

"""Where a run's model and days lie, and which days are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs.places import check_directory
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.run_record import RunRecord


def splits(record: RunRecord, days: Sequence[str]) -> list[str]:
    """The splits of the days asked for, by default the evaluation's, in order.

    Raises:
        FusionSearchError: There are no such days.
    """
    if not days:
        found = sorted(record.eval_splits)
        if not found:
            raise FusionSearchError(
                "The run keeps no day for evaluation, and a model's own training days "
                "judge it too well. Run it with --eval_days, or name --days."
            )
        return found
    found = sorted({f"day-{day}" for day in days})
    known = sorted({*record.example_dirs, *record.eval_splits})
    if unknown := [split for split in found if split not in known]:
        raise FusionSearchError(
            f"--days: the run has no {', '.join(unknown)}. It has {', '.join(known)}."
        )
    return found


def check_inputs(record: RunRecord, splits: Sequence[str]) -> None:
    """PlaceError if the model or a day is gone."""
    remedy = "It was moved or cleaned: run `trailrank pipeline run` again."
    check_directory("model of the run", record.model, remedy)
    for split in splits:
        place = record.examples_of(split)
        check_directory("examples of the run", place, remedy, f"Split-{split}")

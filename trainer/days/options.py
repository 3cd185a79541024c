"""How days are gone through."""

from __future__ import annotations

import dataclasses

from feature_specs.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How days are gone through.

    >>> trailrank.LoopOptions(validate_rows=200_000).checkpoint_steps
    5000

    Attributes:
        checkpoint_steps: Steps between two checkpoints inside a day; what a killed
            machine loses at most. 0 writes them between days only.
        validate_rows: Rows of each day that are predicted before it is trained on; 0
            leaves that out, or is 100,000 where a task has `balance_by_auc`.
        sample: Share of the rows that is read, always the same ones.
        cache: Directory of a local disk that keeps parsed days for the next pass or
            training (`trainer.days.packed`); nothing else changes.
        warm_start: Directory of another training's checkpoints, whose newest weights
            are the first ones here.
        warm_start_partial: Takes the weights that are equal in name and shape, if spec
            or preset changed.
        map_encoding: Goes on from, or warm-starts with, a checkpoint on another
            encoding: each value's row goes to its new id (`trainer.days.mapping`).
        tables_of_a_tpu: Reads and moves large tables as a TPU's step does, on other
            devices too, where it takes longer: to see what that does to the model.
    """

    checkpoint_steps: int = 5_000
    validate_rows: int = 0
    sample: float = 1.0
    cache: str | None = None
    warm_start: str | None = None
    warm_start_partial: bool = False
    map_encoding: bool = False
    tables_of_a_tpu: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise UsageError(
                f"sample: must be above 0 and at most 1. Got {self.sample}."
            )
        for key in ("checkpoint_steps", "validate_rows"):
            if getattr(self, key) < 0:
                raise UsageError(f"{key}: must be 0 or more. Got {getattr(self, key)}.")

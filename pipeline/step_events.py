"""What a run tells of its steps, wherever it runs: here, or on Vertex AI."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from feature_specs.errors import Status, TrailrankError


@dataclasses.dataclass(frozen=True)
class StepEvent:
    """A step of a run begins or has ended.

    Attributes:
        step: Its name, like `Trainer`.
        state: `running` as it begins; then `done`, or `cached` if an earlier run's
            result was taken, or `failed`.
        seconds: Since it began.
    """

    step: str
    state: Literal["running", "done", "cached", "failed"]
    seconds: float = 0.0


OnStep = Callable[[StepEvent], None]


class StepFailedError(TrailrankError, RuntimeError):
    """A step of the pipeline stopped; says which, why, and where the log lies.

    Attributes:
        exit_status: Of the error that stopped it, if that was one of ours.
    """

    def __init__(self, message: str, exit_status: Status = Status.FAILED):
        super().__init__(message)
        self.exit_status = exit_status

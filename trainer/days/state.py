"""What a checkpoint knows beside the weights: the run it belongs to, its days, and the
place in a day where it was written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from feature_specs import ModelConfig, Spec
from feature_specs.model import plain_values
from trainer.errors import TrainingError

_VARIABLE = "state/.ATTRIBUTES/VARIABLE_VALUE"


@dataclasses.dataclass
class Position:
    """A place inside a day: between two steps.

    Attributes:
        day: Name of the unfinished day.
        epoch: Number of the pass over it, from 0.
        batch: Global batches of this pass that are trained.
        sums: See `means.DayMeans`.
        validation: See `validation.Validator`; empty without one.
    """

    day: str
    epoch: int = 0
    batch: int = 0
    sums: dict[str, Any] = dataclasses.field(default_factory=dict)
    validation: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"batch {self.batch:,} of pass {self.epoch + 1} over {self.day}"


@dataclasses.dataclass
class TrainingState:
    """Saved in every checkpoint as JSON.

    Attributes:
        run: What must stay the same for a restart to continue: see `run_identity`.
        days: One record a finished day, in order: see `loop.train`.
        position: Inside the day that is being trained; None between days.
    """

    run: dict[str, Any]
    days: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    position: Position | None = None

    @property
    def finished(self) -> list[str]:
        """Names of the finished days, in order."""
        return [record["day"] for record in self.days]

    def to_json(self) -> str:
        """The state as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def run_identity(
    spec: Spec,
    config: ModelConfig,
    batch_size: int,
    precision: str,
    seed: int,
    sample: float = 1.0,
    embedding: str = "dense",
) -> dict[str, Any]:
    """What decides the weights, beside the days: flat, to name what differs.

    Tables elsewhere than in dense variables have other names in a checkpoint.
    """
    model = json.loads(json.dumps(_flat(plain_values(config), "preset")))
    return {
        "spec": f"{spec.name} {spec.digest}",
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
        "sample": sample,
        **({} if embedding == "dense" else {"embedding": embedding}),
        **model,
    }


def check_run(state: TrainingState, run: dict[str, Any], checkpoint: str) -> None:
    """That a checkpoint may be gone on from.

    Raises:
        ValueError: It belongs to a run with another spec, preset, batch size or seed.
    """
    differing = differences(state.run, run)
    if differing:
        raise TrainingError(
            f"Checkpoint {checkpoint}: must come from the same run. "
            f"{'; '.join(differing)}. Take back the change, or train into an empty "
            f"directory (--checkpoints), with --warm_start to begin from this one."
        )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two runs, in words."""
    return [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(now.keys() | before.keys())
        if before.get(key) != now.get(key)
    ]


def days_to_train(days: Sequence[str], state: TrainingState) -> list[str]:
    """The days of `days` that are not finished.

    Raises:
        ValueError: One of them comes before a finished one: days are trained in order.
            Or a finished one comes after all of them: the model has seen the future.
    """
    finished = set(state.finished)
    later = [day for day in state.finished if day > max(days)]
    if later:
        raise TrainingError(
            f"Day {max(days)!r}: must not be the last one, as the checkpoint has "
            f"trained later days. Got a checkpoint with {', '.join(later)}. Add them "
            f"to the days, or train into another directory (--checkpoints)."
        )
    todo = [day for day in days if day not in finished]
    if todo and finished and todo[0] < max(finished):
        raise TrainingError(
            f"Day {todo[0]!r}: must come after the days that the checkpoint has "
            f"trained, the last of which is {state.finished[-1]!r}. Leave it out, or "
            f"train into an empty checkpoint directory."
        )
    begun = state.position.day if state.position else None
    if begun and (not todo or todo[0] != begun):
        raise TrainingError(
            f"Day {begun!r}: is half trained in the checkpoint, and must be the next "
            f"one. Got {todo[0] if todo else 'no day'}. Add it to the days."
        )
    return todo


def load_state(checkpoint: str) -> TrainingState:
    """The state in `checkpoint`, of whatever run."""
    text = tf.train.load_variable(checkpoint, _VARIABLE).decode()
    found = json.loads(text)
    position = found.pop("position", None)
    return TrainingState(**found, position=Position(**position) if position else None)


def _flat(value: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}"
        found.update(_flat(item, where) if isinstance(item, dict) else {where: item})
    return found

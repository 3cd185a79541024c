"""What a checkpoint knows beside the weights: the run it belongs to, its days."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs import ModelConfig, Spec

_VARIABLE = "state/.ATTRIBUTES/VARIABLE_VALUE"


@dataclasses.dataclass
class TrainingState:
    """Saved in every checkpoint as JSON.

    Attributes:
        run: What must stay the same for a restart to continue: see `run_identity`.
        days: One record a finished day, in order: see `loop.train`.
    """

    run: dict[str, Any]
    days: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def finished(self) -> list[str]:
        """Names of the finished days, in order."""
        return [record["day"] for record in self.days]

    def to_json(self) -> str:
        """The state as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def run_identity(
    spec: Spec, config: ModelConfig, batch_size: int, precision: str, seed: int
) -> dict[str, Any]:
    """What decides the weights, beside the days: flat, to name what differs."""
    model = json.loads(json.dumps(_flat(dataclasses.asdict(config), "preset")))
    return {
        "spec": f"{spec.name} {spec.digest}",
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
        **model,
    }


def read_state(checkpoint: str, run: dict[str, Any]) -> TrainingState:
    """The state in `checkpoint`, which must be one of `run`.

    Raises:
        ValueError: It belongs to a run with another spec, preset, batch size or seed.
    """
    state = load_state(checkpoint)
    differing = [
        f"{key} was {state.run.get(key)!r} and is {run.get(key)!r}"
        for key in sorted(run.keys() | state.run.keys())
        if state.run.get(key) != run.get(key)
    ]
    if differing:
        raise ValueError(
            f"Checkpoint {checkpoint}: must come from the same run. "
            f"{'; '.join(differing)}. Take back the change, or train into an empty "
            f"checkpoint directory."
        )
    return state


def finished_days(checkpoint_dir: str) -> list[str]:
    """Names of the days that the latest checkpoint has trained; none without one."""
    latest = tf.train.latest_checkpoint(checkpoint_dir)
    return load_state(latest).finished if latest else []


def days_to_train(days: Sequence[str], state: TrainingState) -> list[str]:
    """The days of `days` that are not finished.

    Raises:
        ValueError: One of them comes before a finished one: days are trained in order.
            Or a finished one comes after all of them: the model has seen the future.
    """
    finished = set(state.finished)
    later = [day for day in state.finished if day > max(days)]
    if later:
        raise ValueError(
            f"Day {max(days)!r}: must not be the last one, as the checkpoint has "
            f"trained later days. Got a checkpoint with {', '.join(later)}. Add them "
            f"to the days, or train into another directory (--checkpoints)."
        )
    todo = [day for day in days if day not in finished]
    if todo and finished and todo[0] < max(finished):
        raise ValueError(
            f"Day {todo[0]!r}: must come after the days that the checkpoint has "
            f"trained, the last of which is {state.finished[-1]!r}. Leave it out, or "
            f"train into an empty checkpoint directory."
        )
    return todo


def load_state(checkpoint: str) -> TrainingState:
    """The state in `checkpoint`, of whatever run."""
    text = tf.train.load_variable(checkpoint, _VARIABLE).decode()
    return TrainingState(**json.loads(text))


def _flat(value: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}"
        found.update(_flat(item, where) if isinstance(item, dict) else {where: item})
    return found

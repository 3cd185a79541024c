"""What a checkpoint knows beside the weights: the run it belongs to, its days, and the
place in a day where it was written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from feature_specs import ModelConfig, Spec, views
from feature_specs.model import plain_values
from trainer.days.encoding import Encoding
from trainer.errors import TrainingError

_NAMED = 8  # differences in a message
_VARIABLE = "state/.ATTRIBUTES/VARIABLE_VALUE"


class ResumeError(TrainingError):
    """A checkpoint may not be gone on from as it was asked; says why and what to do."""


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
        encoding: Of the examples, as `Encoding.to_values`; None if it is not known.
        files: Day -> digest of its files' names and sizes, of each day begun.
        passes: How far passes over all days are, see `passes.Search`; None without.
    """

    run: dict[str, Any]
    days: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    position: Position | None = None
    encoding: dict[str, Any] | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    passes: dict[str, Any] | None = None

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`: of passes that are over, then `days`."""
        return [*(self.passes or {}).get("earlier", ()), *self.days]

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

    Of the spec it is the training view: a comment, a fusion weight or a threshold is no
    other run. Tables elsewhere than in dense variables have other names in a
    checkpoint.
    """
    model = json.loads(json.dumps(_flat(plain_values(config), "preset")))
    return {
        "spec": views.text(spec, views.TRAINING),
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
        ResumeError: It belongs to a run with another spec, preset, batch size or seed.
    """
    differing = differences(state.run, run)
    if differing:
        raise ResumeError(
            f"Checkpoint {checkpoint}: must come from the same run. "
            f"{listed(differing)}. Take back the change, or train into an empty "
            f"directory (--checkpoints), with --warm_start to begin from this one."
        )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two runs, in words."""
    others = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted((now.keys() | before.keys()) - {"spec"})
        if before.get(key) != now.get(key)
    ]
    return _spec_differences(before.get("spec"), now.get("spec")) + others


def _spec_differences(before: str | None, now: str | None) -> list[str]:
    """Of two training views, where in them; an older release wrote no view."""
    if before == now or before is None or now is None:
        return []
    try:
        was, is_now = json.loads(before), json.loads(now)
    except ValueError:
        return [f"spec was {before!r}, as an earlier release noted it"]
    return [f"spec.{found}" for found in views.differences(was, is_now)]


def check_encoding(
    state: TrainingState, encoding: Encoding | None, checkpoint: str
) -> None:
    """That ids and scales mean in the examples what they mean in a checkpoint.

    The same encoding, or one that extends it: values that came since have rows of their
    own, which nothing has trained.

    Raises:
        ResumeError: It is another one, or nothing tells.
    """
    differing = encoding_differences(state, encoding)
    if differing:
        raise ResumeError(
            f"Checkpoint {checkpoint}: must be of the same encoding as the examples, "
            f"or of an earlier state of it, or its weights would be read as what they "
            f"are not. {listed(list(differing.values()))}. Name the encoding that it "
            f"was trained on, or go on with --map_encoding, which takes each value's "
            f"row along, or train into an empty directory (--checkpoints)."
        )


def encoding_differences(
    state: TrainingState, encoding: Encoding | None
) -> dict[str, str]:
    """What of the encoding of a checkpoint means something else now, by name.

    Nothing if it is not known there, or is extended here.
    """
    if state.encoding is None:
        return {}
    if encoding is None:
        return {
            "": "It is not known here: the examples are read as encoded already "
            "(--encoding names what encodes them)"
        }
    before = encoding_of(state)
    if before is None:
        return {"": "It is of an earlier release, which hashed ids otherwise"}
    if encoding.extends(before):
        return {}
    return before.differences(encoding)


def encoding_of(state: TrainingState) -> Encoding | None:
    """What a checkpoint was trained on; None if this release cannot read it."""
    try:
        return Encoding.of_values(state.encoding or {})
    except (KeyError, TypeError, ValueError):
        return None


def check_files(state: TrainingState, files: dict[str, list[str]]) -> None:
    """That a half-trained day has the files that its first half was trained on.

    A finished day may have none any more. One with others is told, and stays as it was
    trained: the same rows written again may take other bytes.

    Raises:
        ResumeError: The half-trained one has others, whose rows lie elsewhere.
    """
    begun = state.position.day if state.position else None
    for day, paths in files.items():
        if not paths or day not in state.files:
            continue
        if state.files[day] == files_digest(paths):
            continue
        if day == begun:
            raise ResumeError(
                f"Day {day!r}: must have the files that the checkpoint was trained on, "
                f"as it is half trained. Got others by name or size, as of examples "
                f"that were made again. Bring those back, or train all into an empty "
                f"directory (--checkpoints)."
            )
        logging.warning(
            "Day %r: its files are others, by name or size, than it was trained on. It "
            "is not trained again; to do that, train all into an empty directory "
            "(--checkpoints).",
            day,
        )


def files_digest(paths: Sequence[str]) -> str:
    """Twelve hex digits of names and sizes, not of the place where they lie."""
    found = sorted(
        (path.rsplit("/", 1)[-1], tf.io.gfile.stat(path).length) for path in paths
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def listed(differing: Sequence[str]) -> str:
    """The first differences of many, for a message."""
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    return "; ".join(differing[:_NAMED]) + more


def days_to_train(days: Sequence[str], state: TrainingState) -> list[str]:
    """The days of `days` that are not finished.

    Raises:
        ResumeError: One of them comes before a finished one: days are trained in order.
            Or a finished one comes after all of them: the model has seen the future.
    """
    finished = set(state.finished)
    later = [day for day in state.finished if day > max(days)]
    if later:
        raise ResumeError(
            f"Day {max(days)!r}: must not be the last one, as the checkpoint has "
            f"trained later days. Got a checkpoint with {', '.join(later)}. Add them "
            f"to the days, or train into another directory (--checkpoints)."
        )
    todo = [day for day in days if day not in finished]
    if todo and finished and todo[0] < max(finished):
        raise ResumeError(
            f"Day {todo[0]!r}: must come after the days that the checkpoint has "
            f"trained, the last of which is {state.finished[-1]!r}. Leave it out, or "
            f"train into an empty checkpoint directory."
        )
    begun = state.position.day if state.position else None
    if begun and (not todo or todo[0] != begun):
        raise ResumeError(
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

"""A run's training as texts: what the step Trainer is given, done here or elsewhere.

A machine elsewhere (`pipeline.cloud.remote_training`) finds the request as JSON in a
bucket, and says beside it how the training ended: a job's state tells neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from feature_specs import read_preset, read_spec
from feature_specs.errors import Status, TrailrankError
from pipeline.training import RunTraining, train_and_export
from tpu_configs import read_slice
from trainer.cluster import is_chief

_OUTCOME = ".outcome"  # beside a request: how its training ended


class RequestError(TrailrankError, ValueError):
    """A training's request that cannot be read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """One training and the export after it; every place may lie in a bucket.

    Attributes:
        spec: The spec's training view, YAML text.
        preset: The model preset's YAML text.
        slice: The accelerator slice's YAML text.
        days: Split and examples directory of all days in the weights in the end.
        graph: Directory of the `TransformGraph`.
        checkpoints: Begin of their directory's path; the encoding's base ends it.
        seed: Of weights, order of rows and dropout.
        map_encoding: Whether weights on another encoding are mapped by value.
        examples: Directory of the newest examples.
        model: Gets the model to serve.
        logs: Gets TensorBoard summaries and `inspection/`.
    """

    spec: str
    preset: str
    slice: str
    days: tuple[tuple[str, str], ...]
    graph: str
    checkpoints: str
    seed: int
    map_encoding: bool
    examples: str
    model: str
    logs: str

    def run(self) -> None:
        """Trains and exports; see `pipeline.training.train_and_export`."""
        training = RunTraining(
            spec=read_spec(self.spec),
            preset=read_preset(self.preset),
            slice=read_slice(self.slice),
            days=self.days,
            graph=self.graph,
            checkpoints=self.checkpoints,
            seed=self.seed,
            map_encoding=self.map_encoding,
            examples=self.examples,
        )
        train_and_export(training, self.model, self.logs)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training elsewhere ended.

    Attributes:
        status: Its exit status.
        error: What it said; empty if it went well.
    """

    status: int
    error: str = ""


def write_request(request: TrainingRequest, path: str) -> None:
    """Puts a request where another machine finds it."""
    _write(path, dataclasses.asdict(request))


def read_request(path: str) -> TrainingRequest:
    """The request that `write_request` put there.

    Raises:
        RequestError: There is none, or one of another release.
    """
    try:
        values = _read(path)
        values["days"] = tuple((split, place) for split, place in values["days"])
        return TrainingRequest(**values)
    except tf.errors.NotFoundError:
        why = "there is no such file"
    except (KeyError, TypeError, ValueError) as error:
        why = str(error)
    raise RequestError(
        f"--request {path}: is no request of this release's Trainer ({why}). The image "
        "of the pipeline and that of the training must have the same Trailrank."
    )


@contextlib.contextmanager
def outcome_told(path: str) -> Iterator[None]:
    """Says beside a request how what is done inside it ended.

    An outcome of an earlier try is taken away first. A machine that is switched off
    says nothing.
    """
    forget_outcome(path)
    try:
        yield
    except BaseException as error:
        _tell(path, Outcome(_status(error), str(error) or type(error).__name__))
        raise
    _tell(path, Outcome(Status.DONE))


def read_outcome(path: str) -> Outcome | None:
    """How the training of a request ended; None if it did not say so."""
    try:
        return Outcome(**_read(path + _OUTCOME))
    except tf.errors.NotFoundError:
        return None


def forget_outcome(path: str) -> None:
    """Takes away what an earlier try said; only the chief of several workers does."""
    if is_chief() and tf.io.gfile.exists(path + _OUTCOME):
        tf.io.gfile.remove(path + _OUTCOME)


def _status(error: BaseException) -> int:
    if isinstance(error, TrailrankError):
        return int(error.exit_status)
    stopped = isinstance(error, KeyboardInterrupt | SystemExit)
    return int(Status.PREEMPTED if stopped else Status.FAILED)


def _tell(path: str, outcome: Outcome) -> None:
    if is_chief():
        _write(path + _OUTCOME, dataclasses.asdict(outcome))


def _write(path: str, values: dict[str, Any]) -> None:
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(values))


def _read(path: str) -> dict[str, Any]:
    with tf.io.gfile.GFile(path) as file:
        values: dict[str, Any] = json.loads(file.read())
        return values

"""One training for each preset and seed; what is finished is kept and not made again.

`OUT/results.jsonl` has a line for each finished training. Its key tells everything that
decides the weights: spec, examples, days, preset, seed and slice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import json
import math
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

from feature_specs import ModelConfig, views
from feature_specs.model import plain_values
from pipeline.compare.comparison import Comparison, Entrant
from pipeline.compare.scores import Scores, score
from pipeline.reporting.files import to_json
from pipeline.reporting.metrics import NotFiniteError
from trainer.days import loop
from trainer.days.encoding import read_encoding

RESULTS_FILE = "results.jsonl"
_CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One training that a comparison asks for.

    Attributes:
        entrant: The preset.
        seed: Of weights, row order and dropout.
        key: Sixteen hex digits of everything that decides the outcome.
    """

    entrant: Entrant
    seed: int
    key: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """A finished training, one line of `results.jsonl`.

    Attributes:
        key: See `Trial`.
        preset: Name of the preset, for people.
        seed: See `Trial`.
        weights: Trainable weights outside the embedding tables.
        days: Training days.
        evaluation: Evaluation days.
        seconds: For training and scoring.
        scores: Task -> metric -> value; empty if the training diverged.
        positives: Binary task -> evaluation rows with label 1; empty likewise.
        diverged: Why it broke off; empty if it did not.
        config: The preset as it was trained.
    """

    key: str
    preset: str
    seed: int
    weights: int
    days: list[str]
    evaluation: list[str]
    seconds: float
    scores: Scores
    positives: dict[str, int]
    diverged: str
    config: dict[str, Any]


class ResultsFile:
    """`results.jsonl`: finished trainings, each written at once and for good."""

    def __init__(self, out: pathlib.Path):
        self.path = out / RESULTS_FILE

    def read(self) -> dict[str, Result]:
        """Key -> result. Half a line, left by a kill, counts as not there."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        results = [result for line in lines if (result := _parse(line))]
        return {result.key: result for result in results}

    def append(self, result: Result) -> None:
        """Adds a line, after half a line on a new one."""
        text = to_json(dataclasses.asdict(result), indent=None).decode()
        if self.path.exists() and self.path.read_bytes()[-1:] not in (b"\n", b""):
            text = "\n" + text
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


# (number of this training among all, their number, the training, seconds to go or None)
Report = Callable[[int, int, Trial, float | None], None]


def plan_trials(comparison: Comparison) -> list[Trial]:
    """All trainings, seed by seed, so that presets are soon comparable."""
    fingerprint = comparison.examples.fingerprint
    return [
        Trial(
            entrant=entrant, seed=seed, key=_key(comparison, fingerprint, entrant, seed)
        )
        for seed in comparison.seeds
        for entrant in comparison.entrants
    ]


def run_trials(
    comparison: Comparison,
    trials: Sequence[Trial],
    out: pathlib.Path,
    *,
    keep: bool = False,
    report: Report = lambda number, total, trial, seconds: None,
) -> dict[str, Result]:
    """Key -> result of every trial; trains those that `out` does not have.

    A training that was killed goes on after its last finished day.

    Args:
        comparison: What is compared.
        trials: See `plan_trials`.
        out: Directory of the results; it may be missing.
        keep: Whether checkpoints stay in `out/checkpoints`.
        report: Is called before each training.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = ResultsFile(out)
    done = file.read()
    for number, trial in enumerate(trials, start=1):
        if trial.key in done:
            continue
        left = [other for other in trials if other.key not in done]
        report(number, len(trials), trial, _seconds_to_go(left, done))
        with graphs_let_go():
            result = _run(comparison, trial, out / _CHECKPOINTS / trial.key)
        file.append(result)
        done[trial.key] = result
        if not keep:
            shutil.rmtree(out / _CHECKPOINTS / trial.key, ignore_errors=True)
            with contextlib.suppress(OSError):  # others are in it
                (out / _CHECKPOINTS).rmdir()
    return {trial.key: done[trial.key] for trial in trials}


def _run(comparison: Comparison, trial: Trial, checkpoints: pathlib.Path) -> Result:
    examples, started = comparison.examples, time.perf_counter()
    scores: Scores = {}
    positives: dict[str, int] = {}
    diverged = ""
    try:
        ranker = loop.train(
            examples.spec,
            trial.entrant.config,
            examples.train,
            checkpoint_dir=str(checkpoints),
            slice=comparison.slice,
            seed=trial.seed,
            graph=examples.encoding,
        )
        scores, positives = score(
            ranker, examples.spec, examples.evaluation, examples.encoding
        )
    except (loop.DivergedError, NotFiniteError) as error:
        diverged = str(error)
    return Result(
        key=trial.key,
        preset=trial.entrant.name,
        seed=trial.seed,
        weights=trial.entrant.weights,
        days=examples.train_days,
        evaluation=examples.evaluation_days,
        seconds=round(time.perf_counter() - started, 1),
        scores=scores,
        positives=positives,
        diverged=diverged,
        config=_plain(trial.entrant.config),
    )


@contextlib.contextmanager
def graphs_let_go() -> Iterator[None]:
    """Frees the graphs that were traced inside, 300 MB for a large ranker.

    `tf.custom_gradient` puts its gradient into a registry for good, and with it the
    whole graph; TensorFlow has no public way to take it out.
    """
    registry = getattr(ops.gradient_registry, "_registry", {})
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-"):
                del registry[name]
        tf.keras.backend.clear_session()
        gc.collect()  # a ranker and its functions hold each other


def _seconds_to_go(left: Sequence[Trial], done: dict[str, Result]) -> float | None:
    """By the mean of what the same preset took, or all did; None before the first."""
    if not done:
        return None
    overall = _mean([result.seconds for result in done.values()])
    return sum(
        _mean([r.seconds for r in done.values() if r.preset == trial.entrant.name])
        or overall
        for trial in left
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _key(comparison: Comparison, fingerprint: str, entrant: Entrant, seed: int) -> str:
    examples, slice = comparison.examples, comparison.slice
    graph = examples.encoding
    decides = {
        "spec": views.digest(examples.spec, views.TRAINING),
        "examples": fingerprint,
        "encoding": read_encoding(graph).digest if graph else None,
        "days": examples.train_days,
        "evaluation": examples.evaluation_days,
        "preset": preset_digest(entrant.config),
        "seed": seed,
        "slice": [slice.accelerator, slice.batch_size, slice.precision],
    }
    return _digest(decides)


def preset_digest(config: ModelConfig) -> str:
    """Sixteen hex digits that change with any setting of the preset."""
    return _digest(_plain(config))


def _plain(config: ModelConfig) -> dict[str, Any]:
    """As it reads back from JSON: lists for tuples."""
    return json.loads(json.dumps(plain_values(config)))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(line: str) -> Result | None:
    try:
        values = json.loads(line)
        scores = {
            task: {name: _number(value) for name, value in metrics.items()}
            for task, metrics in values.pop("scores").items()
        }
        return Result(**values, scores=scores)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

"""One training for each preset and seed; what is finished is kept and not made again.

`OUT/results.jsonl` has a line for each finished training. Its key tells everything that
decides the weights: spec, examples, days, preset, seed and slice, and the share of the
rows where it is not all of them.
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
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

from feature_specs import ModelConfig, views
from feature_specs.errors import Status, TrailrankError
from feature_specs.model import plain_values
from pipeline.compare.comparison import Comparison, Entrant
from pipeline.compare.errors import TrialsFailedError
from pipeline.compare.scores import Scores, score
from pipeline.compare.workers import side_by_side
from pipeline.reporting.files import plain, to_json
from pipeline.reporting.metrics import NotFiniteError
from trainer.days import loop
from trainer.days.encoding import read_encoding
from trainer.days.input import BatchReader, match_files
from trainer.days.layout import Layout
from trainer.inspection import Inspector
from trainer.model.ranker import Ranker

RESULTS_FILE = "results.jsonl"
_CHECKPOINTS = "checkpoints"
_SEEN_ORDER = 0  # of the rows that gradients are seen on
_LAYER_FIGURES = 9  # significant ones of a gradient
_MOST_TOLD = 3  # failed trainings in one message


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One training that a comparison asks for.

    Attributes:
        entrant: The preset.
        seed: Of weights, row order and dropout.
        key: Sixteen hex digits of everything that decides the outcome.
        sample: Share of the training rows that is read; which ones, the seed decides.
        gradient_batches: Batches of the last training day on which the tasks' gradients
            are seen when it is trained; 0 leaves that out.
    """

    entrant: Entrant
    seed: int
    key: str
    sample: float = 1.0
    gradient_batches: int = 0


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
        processor_s: Seconds of all cores for the same, since it was last started; None
            in what an earlier release wrote.
        layers: Of a trial with `gradient_batches`: each layer's `name`, `norms` [T] and
            `cosines` [T, T], see `trainer.inspection.LayerGradients`; None for NaN.
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
    processor_s: float | None = None
    layers: list[dict[str, Any]] = dataclasses.field(default_factory=list)


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


def plan_trials(
    comparison: Comparison, *, sample: float = 1.0, gradient_batches: int = 0
) -> list[Trial]:
    """All trainings, seed by seed, so that presets are soon comparable.

    Args:
        comparison: What is compared.
        sample: See `Trial`.
        gradient_batches: See `Trial`.
    """
    decides = _decides(comparison)
    if sample < 1:
        decides["sample"] = sample
    if gradient_batches:
        decides["gradient_batches"] = gradient_batches
    return [
        Trial(
            entrant=entrant,
            seed=seed,
            key=_digest(decides | {"preset": digest, "seed": seed}),
            sample=sample,
            gradient_batches=gradient_batches,
        )
        for seed in comparison.seeds
        for entrant in comparison.entrants
        for digest in [preset_digest(entrant.config)]
    ]


def run_trials(
    comparison: Comparison,
    trials: Sequence[Trial],
    out: pathlib.Path,
    *,
    keep: bool = False,
    report: Report = lambda number, total, trial, seconds: None,
    workers: int = 1,
) -> dict[str, Result]:
    """Key -> result of every trial; trains those that `out` does not have.

    A training that was killed goes on after its last finished day. One that fails does
    not keep the others from being trained.

    Args:
        comparison: What is compared.
        trials: See `plan_trials`.
        out: Directory of the results; it may be missing.
        keep: Whether checkpoints stay in `out/checkpoints`.
        report: Is called before each training.
        workers: So many at once, each in a process of its own; 1 trains here. The
            results are the same.

    Raises:
        TrialsFailedError: Trainings failed; told when all others are finished.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = ResultsFile(out)
    done = file.read()
    numbers = {trial.key: number for number, trial in enumerate(trials, start=1)}
    # Two presets of other names may be one training.
    waiting = {trial.key: trial for trial in trials if trial.key not in done}
    failed: list[tuple[Trial, str]] = []

    def begin(trial: Trial) -> None:
        left = [other for other in trials if other.key not in done]
        seconds = _seconds_to_go(left, done, workers)
        report(numbers[trial.key], len(trials), trial, seconds)

    ways = one_by_one if workers == 1 else side_by_side
    outcomes = ways(comparison, list(waiting.values()), out, begin, workers)
    with contextlib.closing(outcomes):
        for trial, outcome in outcomes:
            if isinstance(outcome, str):
                failed.append((trial, outcome))
                continue
            file.append(outcome)
            done[trial.key] = outcome
            if not keep:
                _remove_checkpoints(out, trial)
    if failed:
        raise _failure(failed, len(trials), file.path)
    return {trial.key: done[trial.key] for trial in trials}


def one_by_one(
    comparison: Comparison,
    trials: Sequence[Trial],
    out: pathlib.Path,
    begin: Callable[[Trial], None],
    workers: int,
) -> Generator[tuple[Trial, Result | str], None, None]:
    """As `workers.side_by_side`, in this process: what `workers` is 1 of."""
    for trial in trials:
        begin(trial)
        with graphs_let_go():
            outcome = attempt(comparison, trial, out)
        yield trial, outcome


def attempt(comparison: Comparison, trial: Trial, out: pathlib.Path) -> Result | str:
    """A training's result, or why it failed: of a fault, with its trace.

    Raises:
        InterruptedTraining: A signal stopped it after a checkpoint.
    """
    try:
        return _run(comparison, trial, out / _CHECKPOINTS / trial.key)
    except TrailrankError as error:
        if error.exit_status in (Status.STOPPED, Status.PREEMPTED):
            raise
        return str(error)
    except Exception:
        return traceback.format_exc()


def _failure(
    failed: Sequence[tuple[Trial, str]], total: int, file: pathlib.Path
) -> TrialsFailedError:
    told = "\n".join(
        f"{trial.entrant.name}, seed {trial.seed}: {why}"
        for trial, why in failed[:_MOST_TOLD]
    )
    return TrialsFailedError(
        f"{len(failed)} of {total} trainings failed:\n{told}\nOthers are in {file}. "
        "Give the same command again."
    )


def _remove_checkpoints(out: pathlib.Path, trial: Trial) -> None:
    shutil.rmtree(out / _CHECKPOINTS / trial.key, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are in it
        (out / _CHECKPOINTS).rmdir()


def _run(comparison: Comparison, trial: Trial, checkpoints: pathlib.Path) -> Result:
    examples, started = comparison.examples, time.perf_counter()
    processor = time.process_time()
    scores: Scores = {}
    positives: dict[str, int] = {}
    layers: list[dict[str, Any]] = []
    diverged = ""
    try:
        ranker = loop.train(
            examples.spec,
            trial.entrant.config,
            examples.train,
            checkpoint_dir=str(checkpoints),
            slice=comparison.slice,
            seed=trial.seed,
            options=loop.LoopOptions(sample=trial.sample),
            graph=examples.encoding,
        )
        scores, positives = score(
            ranker, examples.spec, examples.evaluation, examples.encoding
        )
        if trial.gradient_batches:
            layers = _layers(comparison, trial, ranker)
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
        processor_s=round(time.process_time() - processor, 1),
        layers=layers,
    )


def _layers(
    comparison: Comparison, trial: Trial, ranker: Ranker
) -> list[dict[str, Any]]:
    """The tasks' gradients on rows of its sample, of the last training day."""
    examples = comparison.examples
    reader = BatchReader(
        Layout(examples.spec, examples.encoding),
        comparison.slice.batch_size,
        sample=trial.sample,
        seed=trial.seed,
    )
    files = match_files(*examples.train[-1])
    batches = reader.batches(files, seed=_SEEN_ORDER).take(trial.gradient_batches)
    inspector = Inspector(ranker, ranker.distribute_strategy)
    found = [dataclasses.asdict(own) for own in inspector.gradients(batches)]
    return [plain(own, _LAYER_FIGURES) for own in found]


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


def _seconds_to_go(
    left: Sequence[Trial], done: dict[str, Result], workers: int
) -> float | None:
    """By the mean of what the same preset took, or all did; None before the first."""
    if not done:
        return None
    overall = _mean([result.seconds for result in done.values()])
    seconds = sum(
        _mean([r.seconds for r in done.values() if r.preset == trial.entrant.name])
        or overall
        for trial in left
    )
    return seconds / min(workers, len(left))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _decides(comparison: Comparison) -> dict[str, Any]:
    """What decides the outcome of all its trainings alike."""
    examples, slice = comparison.examples, comparison.slice
    graph = examples.encoding
    return {
        "spec": views.digest(examples.spec, views.TRAINING),
        "examples": examples.fingerprint,
        "encoding": read_encoding(graph).digest if graph else None,
        "days": examples.train_days,
        "evaluation": examples.evaluation_days,
        "slice": [slice.accelerator, slice.batch_size, slice.precision],
    }


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

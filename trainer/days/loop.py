"""The day loop: each day in order, judged before it is trained, with checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import rich.console
from absl import logging

from feature_specs import ModelConfig, Spec
from tpu_configs import SliceConfig
from trainer import strategy as strategies
from trainer.days import divergence, passes, warm_start
from trainer.days import input as examples
from trainer.days.checkpoints import (
    METRICS_FILE,
    CheckpointError,
    Checkpoints,
    first_readable,
    newest_state,
)
from trainer.days.divergence import DivergedError
from trainer.days.encoding import Encoding, counted, read_encoding
from trainer.days.interruption import InterruptedTraining, Interruption
from trainer.days.mapping import RowMap, check_mappable
from trainer.days.means import DayMeans
from trainer.days.options import LoopOptions
from trainer.days.progress import Progress
from trainer.days.state import (
    Position,
    TrainingState,
    check_encoding,
    check_files,
    check_run,
    days_to_train,
    encoding_differences,
    encoding_of,
    files_digest,
    load_state,
    run_identity,
)
from trainer.days.summaries import INSPECTION, Summaries
from trainer.days.training import Training
from trainer.days.validation import Validator
from trainer.errors import TrainingError
from trainer.inspection import Inspector
from trainer.model.ranker import Batch, Ranker
from trainer.ownership import sole_training

__all__ = [
    "INSPECTION",
    "METRICS_FILE",
    "CheckpointError",
    "Day",
    "DivergedError",
    "InterruptedTraining",
    "LoopOptions",
    "Trained",
    "load",
    "train",
]

Day = tuple[str, list[str]]  # split name, file paths or globs
_STEERING_ROWS = 100_000  # of each day, where its metrics steer the training
Judged = Callable[[str, dict[str, Any]], None]  # a day, and what its rows say


def train(
    spec: Spec,
    config: ModelConfig,
    days: Sequence[Day],
    *,
    checkpoint_dir: str,
    slice: SliceConfig,
    seed: int = 0,
    log_dir: str | None = None,
    options: LoopOptions | None = None,
    console: rich.console.Console | None = None,
    graph: str | None = None,
    encoding: Encoding | None = None,
    judged: Judged | None = None,
) -> Ranker:
    """Trains a ranker on `days`, in order, and returns it.

    The examples are raw, as `pipeline.examples` writes them, and `graph` encodes them;
    without one they must be encoded already. Days that are finished in the checkpoint
    need no files any more.

    Its weights are the average over the last steps (`averaging`); training itself goes
    on from the last ones. Checkpoints are written after each day and inside long ones.
    Started again with the same arguments, it goes on from the newest and ends with the
    same weights; with later days added, it trains those. `metrics.jsonl` there has one
    line a finished day: `day`, `rows`, `steps`, `loss`, `disentangle`, `task_losses`
    (means over the rows of their sample spaces), `seconds`, `rows_per_s`, and
    `validation` if asked for (see `validation.Validator`). A preset with `passes` goes
    over the days several times (`trainer.days.passes`); lines then say which pass.

    Args:
        spec: What the examples hold.
        config: The ranker.
        days: Name and files (or globs) of each day, oldest first.
        checkpoint_dir: Where checkpoints and metrics go; may be a bucket.
        slice: Accelerator, batch size, steps per call and precision.
        seed: Of initial weights, order of rows and dropout.
        log_dir: Where TensorBoard summaries go, if anywhere: each day's losses, a look
            inside (`trainer.inspection`) after every 200,000 rows or more, and at the
            end `inspection/`: figures and JSON of the ranker on rows of the last day.
        options: How days are gone through.
        console: Shows a bar, if it is a terminal; without one there is none.
        graph: Directory of the `TransformGraph` that encodes raw examples.
        encoding: Kept with the weights, which belong to it; by default the graph's.
        judged: Is told what `Validator` finds of each day before it is trained on, with
            `validate_rows`; and of the day that judges a preset's `passes`, after each
            that is the best so far. What it raises ends the training.

    Raises:
        ValueError: No days, a day to train without files, days out of order, or a
            checkpoint of another run or encoding, of later days or of other files.
        LockedError: Another training writes to `checkpoint_dir`.
        DivergedError: The loss became NaN or infinite; names day and step, and where
            the batch was saved. Or a weight did in a step before a checkpoint.
        InterruptedTraining: SIGTERM or Ctrl-C; a checkpoint holds everything.
        CheckpointError: None can be written, or those that are there are all broken.
    """
    options = options or LoopOptions()
    if graph is not None:
        encoding = encoding or read_encoding(graph)
    _check_order(days)
    with sole_training(checkpoint_dir):
        begun = _begin(
            spec, config, days, checkpoint_dir, slice, seed, options, graph, encoding
        )
        files = begun.files
        summaries = Summaries(begun.training, log_dir) if log_dir else None
        _train_days(begun, options, summaries, console, judged)
    begun.training.average.apply()
    if summaries and (last := list(files.values())[-1]):
        summaries.finish(last)
    if begun.training.tables_on_chips:  # which only a checkpoint brings to the host
        host = dataclasses.replace(slice, accelerator="cpu")
        return load(spec, config, checkpoint_dir, host).ranker
    return begun.training.ranker


def _train_days(
    begun: _Begun,
    options: LoopOptions,
    summaries: Summaries | None,
    console: rich.console.Console | None,
    judged: Judged | None,
) -> None:
    training, state, checkpoints, todo, files = begun
    planned = passes.planned(training.config, state, list(files), todo)
    with (
        Progress(files, planned, console) as progress,
        Interruption(training.strategy) as stop,
    ):
        loop = _Loop(training, state, checkpoints, options, progress, stop, judged)

        def train_day(day: str) -> None:
            record = loop.train_day(day, files[day])
            if summaries:
                summaries.add_day(record, files[day])

        if training.config.passes.most > 1:
            todo = passes.search(training, state, checkpoints, files, train_day, judged)
        for day in todo:
            train_day(day)


class _Begun(NamedTuple):
    """Where a training starts: at its first day, or where a checkpoint left off.

    Attributes:
        training: With its first weights, a checkpoint's or another training's.
        state: Days done, and how far the one begun.
        checkpoints: Of both.
        todo: Days that are left.
        files: Day -> its files, of all days; none of a finished day that lost its own.
    """

    training: Training
    state: TrainingState
    checkpoints: Checkpoints
    todo: list[str]
    files: dict[str, list[str]]


def _begin(
    spec: Spec,
    config: ModelConfig,
    days: Sequence[Day],
    checkpoint_dir: str,
    slice: SliceConfig,
    seed: int,
    options: LoopOptions,
    graph: str | None,
    encoding: Encoding | None,
) -> _Begun:
    strategy = strategies.create(slice.accelerator)
    what = (slice.batch_size, slice.precision, seed, options.sample, slice.embedding)
    run = run_identity(spec, config, *what)
    found = newest_state(checkpoint_dir)
    state = TrainingState(run)
    if found:
        path, state = found
        check_run(state, run, path)
        _row_maps(state, encoding, path, options)  # told before a ranker is built
    # Passes over all days read the finished ones again.
    finished = state.finished if config.passes.most == 1 else []
    files = _files(days, finished)
    if found:
        check_files(state, files)
        if encoding and state.encoding is None:
            logging.warning("%s knows no encoding; it is taken for this one.", path)
    if encoding:
        state.encoding = encoding.to_values()
    todo = days_to_train(list(files), state)
    training = Training(
        counted(spec, encoding or _known(state)),
        config,
        slice,
        strategy,
        seed=seed,
        sample=options.sample,
        cache=options.cache,
        first_files=None if found else next(iter(files.values())),
        graph=graph,
        tables_of_a_tpu=options.tables_of_a_tpu,
    )
    checkpoints = Checkpoints(training, state, checkpoint_dir)
    if found:
        restore = _Restore(training, checkpoints, encoding, options)
        todo = restore.newest(state, files)
        if len(state.finished) < len(finished):  # an older one was restored
            files = _files(days, state.finished)
    elif options.warm_start:
        warm_start.start(
            training,
            run,
            options.warm_start,
            partial=options.warm_start_partial,
            encoding=encoding,
            map_encoding=options.map_encoding,
        )
    return _Begun(training, state, checkpoints, todo, files)


class Trained(NamedTuple):
    """A ranker from a checkpoint, with the weights that `train` returned.

    Attributes:
        ranker: In its strategy.
        inspector: Looks inside.
        sample: Takes files and a number of batches; gives the batches.
    """

    ranker: Ranker
    inspector: Inspector
    sample: Callable[[Sequence[str], int], Iterator[Batch]]


def load(
    spec: Spec,
    config: ModelConfig,
    checkpoint_dir: str,
    slice: SliceConfig,
    graph: str | None = None,
) -> Trained:
    """The ranker of the newest checkpoint.

    Args:
        spec: What it was trained on.
        config: Its preset.
        checkpoint_dir: As in `train`.
        slice: Where it will run; batch size, precision and place of the tables are
            those of the training.
        graph: For `sample`: encodes raw examples; see `train`.

    Raises:
        ValueError: There is no checkpoint, or it is of another spec or preset.
        CheckpointError: All of them are broken.
    """
    found = newest_state(checkpoint_dir)
    if not found:
        raise TrainingError(
            f"Checkpoints {checkpoint_dir}: must hold one at least. Got none. Name the "
            f"directory that was given to `train`."
        )
    path, state = found
    seed, size, precision, sample = (
        state.run[k] for k in ("seed", "batch_size", "precision", "sample")
    )
    embedding = state.run.get("embedding", "dense")
    run = run_identity(spec, config, size, precision, seed, sample, embedding)
    check_run(state, run, path)
    slice = dataclasses.replace(
        slice, batch_size=size, precision=precision, embedding=embedding
    )
    strategy = strategies.create(slice.accelerator)
    if graph is not None:
        check_encoding(state, read_encoding(graph), path)
    known = counted(spec, _known(state))
    training = Training(known, config, slice, strategy, seed=seed, graph=graph)
    checkpoints = Checkpoints(training, state, checkpoint_dir)

    def read(older: str) -> None:
        check_encoding(load_state(older), _known(state), older)
        checkpoints.restore(older)

    # The state lies in the index, and may be readable where a weight is not.
    first_readable(checkpoint_dir, read)
    training.average.apply()
    inspector = Inspector(training.ranker, training.strategy)
    return Trained(training.ranker, inspector, training.sample)


def _row_maps(
    state: TrainingState, encoding: Encoding | None, path: str, options: LoopOptions
) -> dict[str, RowMap]:
    """Where rows go if another encoding is asked to be mapped; nothing if none is."""
    if options.map_encoding and encoding_differences(state, encoding):
        return check_mappable(state, encoding, path)
    check_encoding(state, encoding, path)
    return {}


def _known(state: TrainingState) -> Encoding | None:
    return encoding_of(state) if state.encoding is not None else None


def _check_order(days: Sequence[Day]) -> None:
    names = [name for name, _ in days]
    if not names:
        raise TrainingError("days: must be one day at least. Got none. Name its files.")
    if names != sorted(set(names)):
        raise TrainingError(
            f"days: must be in order and named once each. Got {', '.join(names)}. "
            f"Sort them, oldest first."
        )


def _files(days: Sequence[Day], finished: Collection[str]) -> dict[str, list[str]]:
    """Day -> its files; a finished day may have none any more."""
    return {
        name: examples.match_files(name, patterns, required=name not in finished)
        for name, patterns in days
    }


class _Restore(NamedTuple):
    """How a training gets the weights of a checkpoint, of whichever encoding.

    Attributes:
        training: Gets them.
        checkpoints: Its own.
        encoding: Of its examples, if it is known.
        options: Whether another encoding is mapped.
    """

    training: Training
    checkpoints: Checkpoints
    encoding: Encoding | None
    options: LoopOptions

    def newest(self, state: TrainingState, files: dict[str, list[str]]) -> list[str]:
        """The newest checkpoint that can be read whole, into `state`; days to train.

        The state lies in the index and may be readable where a weight is not: then an
        earlier one is read, maybe of an earlier encoding.
        """

        def read(path: str) -> tuple[str, bool]:
            own = load_state(path)
            maps = _row_maps(own, self.encoding, path, self.options)
            if maps:
                warm_start.restore_mapped(self.training, path, maps)
                self.checkpoints.go_on_after(path)
            else:
                self.checkpoints.restore(path)
            state.days, state.position = own.days, own.position
            state.files, state.passes = own.files, own.passes
            return path, bool(maps)

        found = first_readable(self.checkpoints.directory, read)
        assert found is not None  # the caller has read the state of one
        path, is_mapped = found
        if is_mapped:  # also if no day is left to train, whose end would write one
            self.checkpoints.save()
        done = len(state.days)
        where = f", at {state.position}" if state.position else ""
        logging.info("Goes on from %s: %d days are done%s.", path, done, where)
        return days_to_train(list(files), state)


@dataclasses.dataclass
class _Loop:
    """Goes through days; the state follows, so that each checkpoint can be resumed."""

    training: Training
    state: TrainingState
    checkpoints: Checkpoints
    options: LoopOptions
    progress: Progress
    interruption: Interruption
    judged: Judged | None = None

    def __post_init__(self) -> None:
        rows = self.options.validate_rows
        if self.training.ranker.is_steered:
            rows = rows or _STEERING_ROWS
        self._validator = Validator(self.training, rows) if rows else None
        self._unsaved = 0

    def train_day(self, day: str, files: list[str]) -> dict[str, Any]:
        """All passes over one day; the record that `train` describes."""
        position = self.state.position or self._begin(day, files)
        self.state.position = position
        means = DayMeans(len(self.training.spec.tasks), position.sums)
        first = passes.first_epoch(self.training.config, self.state)
        for epoch in range(position.epoch, self.training.config.epochs_per_day):
            if epoch > position.epoch:
                position.epoch, position.batch = epoch, 0
            order = first + epoch  # each pass over all days has orders of its own
            for table in self.training.epoch(day, files, order, position.batch):
                divergence.check_losses(
                    self.training, table, position, files, self.checkpoints.directory
                )
                means.add(table)
                position.batch += len(table)
                self.progress.report(day, means)
                self._pause(position, means, len(table))
        return self._finish(day, means, position)

    def _begin(self, day: str, files: list[str]) -> Position:
        self.state.files[day] = files_digest(files)
        self.progress.begin(day)
        # In a later pass over all days it is no new day any more.
        is_new = not passes.first_epoch(self.training.config, self.state)
        judges = self._validator if is_new else None
        found = judges.validate(files) if judges else {}
        if found and (rates := self.training.ranker.steer(found["auc"])):
            found["negative_rates"] = rates
        if found and self.judged:
            self.judged(day, found)
        return Position(day, validation=found)

    def _pause(self, position: Position, means: DayMeans, steps: int) -> None:
        """A checkpoint if it is time for one, and the end if a signal came."""
        self._unsaved += steps
        every = self.options.checkpoint_steps
        signal = self.interruption.signal()
        if signal or (every and self._unsaved >= every):
            position.sums = means.to_json()
            self._save(str(position))
        if signal:
            raise InterruptedTraining(signal, str(position))

    def _finish(self, day: str, means: DayMeans, position: Position) -> dict[str, Any]:
        record = means.record(self.training.spec, day)
        if position.validation:
            record["validation"] = position.validation
        record |= passes.told(self.state)
        self.state.days.append(record)
        self.state.position = None
        self._save(f"the end of day {day!r}")
        self.progress.finish(day, record)
        return record

    def _save(self, where: str) -> None:
        divergence.check_weights(self.training.ranker, where)
        self.checkpoints.save()
        self._unsaved = 0

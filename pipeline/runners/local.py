"""Runs the DAG on this machine, with SQLite metadata and a line of progress a step."""

from __future__ import annotations

import logging
import os
import pathlib
import re
import time

import rich.console
import rich.status
from absl import logging as absl_logging
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from feature_specs import TrailrankError
from pipeline.components import EarlierBlessedModel
from pipeline.dag import RunConfig, create_pipeline

Outputs = dict[str, dict[str, str]]


class StepFailedError(TrailrankError, RuntimeError):
    """A step of the pipeline stopped; says which, why, and where the log lies."""


def run(config: RunConfig, console: rich.console.Console) -> Outputs:
    """Runs every step that has no cached result.

    Returns:
        Step -> output name -> URI, of this run, cached steps included.

    Raises:
        StepFailedError: A step failed; steps before it are kept and will be reused.
    """
    root = pathlib.Path(config.root)
    root.mkdir(parents=True, exist_ok=True)
    database = root / "metadata.sqlite"
    metadata_config = metadata.sqlite_metadata_connection_config(str(database))
    progress = _Progress(console)
    log_path = _log_to_file(root / "logs", progress)
    pipeline = create_pipeline(config, metadata_config, EarlierBlessedModel)
    try:
        LocalDagRunner().run(pipeline)
    except Exception as error:
        progress.fail()
        logging.getLogger().exception("step %s failed", progress.step)
        raise StepFailedError(
            f"{progress.step or 'pipeline'} failed: {_cause(error)}\n"
            f"Full log: {log_path}. Finished steps are kept; run again to go on."
        ) from error
    finally:
        progress.stop()
    return last_outputs(database)


def last_outputs(database: pathlib.Path) -> Outputs:
    """Step -> output name -> URI of the newest run in a metadata database."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(database)
    config.sqlite.connection_mode = (
        metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
    )
    store = metadata_store.MetadataStore(config)
    runs = store.get_contexts_by_type("pipeline_run")
    newest = max(runs, key=lambda context: context.create_time_since_epoch)
    types = {kind.id: kind.name for kind in store.get_execution_types()}
    found: Outputs = {}
    for execution in store.get_executions_by_context(newest.id):
        step = types[execution.type_id].rsplit(".", 1)[-1]
        events = store.get_events_by_execution_ids([execution.id])
        outputs = [e for e in events if e.type == metadata_store_pb2.Event.OUTPUT]
        for event in outputs:
            (artifact,) = store.get_artifacts_by_id([event.artifact_id])
            found.setdefault(step, {})[event.path.steps[0].key] = artifact.uri
    return found


class _Progress(logging.Handler):
    """Turns the runner's log lines into one line a step on the console."""

    _STARTED = re.compile(r"^Component (\S+) is running\.$")
    _CACHED = re.compile(r"^A cached execution \d+ is used\.$")
    _FINISHED = re.compile(r"^Component (\S+) is finished\.$")

    def __init__(self, console: rich.console.Console):
        super().__init__(logging.INFO)
        self._console = console
        self._status: rich.status.Status | None = None
        self._cached = False
        self._began = 0.0
        self.step = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if match := self._STARTED.match(message):
            self._start(match.group(1))
        elif self._CACHED.match(message):
            self._cached = True
        elif self._FINISHED.match(message):
            self._line("[green]done[/]" if not self._cached else "[cyan]cached[/]")

    def fail(self) -> None:
        """Marks the running step as failed."""
        if self.step:
            self._line("[red]failed[/]")

    def stop(self) -> None:
        """Takes the spinner away."""
        if self._status:
            self._status.stop()
            self._status = None

    def _start(self, step: str) -> None:
        self.step, self._cached, self._began = step, False, time.monotonic()
        self._status = self._console.status(f"{step} ...")
        self._status.start()

    def _line(self, state: str) -> None:
        self.stop()
        seconds = time.monotonic() - self._began
        self._console.print(f"  {self.step:<20} {seconds:6.1f} s  {state}")


def _log_to_file(folder: pathlib.Path, progress: _Progress) -> pathlib.Path:
    """Sends every log record of this process to one file of this run."""
    folder.mkdir(exist_ok=True)
    path = folder / time.strftime("pipeline-%Y%m%d-%H%M%S.log")
    handler = logging.FileHandler(path)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    root = logging.getLogger()
    for other in [*root.handlers, *logging.getLogger("absl").handlers]:
        root.removeHandler(other)
        logging.getLogger("absl").removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("absl").addHandler(progress)
    logging.captureWarnings(True)
    return path


def _cause(error: BaseException) -> str:
    """The message of the first error of a chain, without Beam's repetition of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or type(error).__name__
    return re.sub(r"\s*\[while running .*?\]", "", text.split(os.linesep * 2)[0])

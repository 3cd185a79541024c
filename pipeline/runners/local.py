"""Runs the DAG on this machine, with SQLite metadata, and tells of every step."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator

from absl import logging as absl_logging
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import runtime_parameter_utils, tfx_runner
from tfx.proto.orchestration import pipeline_pb2

from feature_specs.errors import Status, chain, own_error
from pipeline.dag import DagConfig, create_pipeline
from pipeline.run_config import METADATA
from pipeline.run_metadata import end_dead_executions
from pipeline.runners.node_launcher import NodeLauncher
from pipeline.step_events import OnStep, StepEvent, StepFailedError

ARTIFACTS = "artifacts"  # in a run's directory

Outputs = dict[str, dict[str, str]]

_TRACE = "Traceback (most recent call last)"
_RAISED = re.compile(r"^(?:\w+\.)*(\w+: .+)$", re.MULTILINE)  # as a trace ends
_MOST_LINES = 20  # of a step's error
_FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")
_READ_ONLY = ("Read-only file system", "attempt to write a readonly database")


class ReportingDagRunner(tfx_runner.IrBasedRunner):
    """Launches the nodes of a compiled pipeline one after the other, as TFX's own
    `LocalDagRunner` does, and reports each as it begins and ends.

    Steps read what earlier steps of the same run give; see `node_launcher`.

    Args:
        on_step: Is called with every event.

    Attributes:
        step: The node that was launched last; empty before the first.
    """

    def __init__(self, on_step: OnStep):
        self._on_step = on_step
        self.step = ""

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
    ) -> None:
        """Runs all nodes of a pipeline, which come in topological order.

        Raises:
            ValueError: There are `run_options`; no part of a pipeline is run alone.
            Exception: Whatever a node raised.
        """
        if run_options is not None:
            raise ValueError("run_options: a run here is always a whole one.")
        now = datetime.datetime.now().isoformat()
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: now}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = deployment.metadata_connection_config
        connection = getattr(connection, connection.WhichOneof("connection_config"))
        launcher = NodeLauncher(pipeline, deployment, connection)
        for node in pipeline.nodes:
            self._launch(node.pipeline_node, launcher)

    def _launch(self, node: pipeline_pb2.PipelineNode, launcher: NodeLauncher) -> None:
        self.step = node.node_info.id
        began = time.monotonic()
        self._on_step(StepEvent(self.step, "running"))
        try:
            cached = launcher.launch(node)
        except BaseException:
            seconds = time.monotonic() - began
            self._on_step(StepEvent(self.step, "failed", seconds))
            raise
        seconds = time.monotonic() - began
        self._on_step(StepEvent(self.step, "cached" if cached else "done", seconds))


def run(config: DagConfig, on_step: OnStep = lambda event: None) -> Outputs:
    """Runs every step that has no cached result.

    Args:
        config: What to run.
        on_step: Is called as each step begins and ends.

    Returns:
        Step -> output name -> URI, of this run, cached steps included.

    Raises:
        StepFailedError: A step failed; steps before it are kept and will be reused.
        InterruptedTraining: A signal stopped the Trainer, after a checkpoint.
    """
    root = pathlib.Path(config.root)
    root.mkdir(parents=True, exist_ok=True)
    database = root / METADATA
    metadata_config = metadata.sqlite_metadata_connection_config(str(database))
    runner = ReportingDagRunner(on_step)
    with _log_to_file(root / "logs") as log_path, _no_dead_executions(root):
        try:
            runner.run(create_pipeline(config, metadata_config))
        except Exception as error:
            ours = own_error(error)
            if ours and ours.exit_status in (Status.STOPPED, Status.PREEMPTED):
                raise ours from None  # the Trainer was asked to stop; nothing failed
            logging.getLogger().exception("step %s failed", runner.step)
            raise StepFailedError(
                f"{runner.step or 'pipeline'} failed: "
                f"{disk_trouble(error, root) or _cause(error)}\n"
                f"Full log: {log_path}. Finished steps are kept; run again to go on.",
                ours.exit_status if ours else Status.FAILED,
            ) from error
    return last_outputs(database)


@contextlib.contextmanager
def _no_dead_executions(root: pathlib.Path) -> Iterator[None]:
    """Ends what a killed run has left in the metadata, and what this one does."""
    database, artifacts = str(root / METADATA), str(root / ARTIFACTS)
    for number in end_dead_executions(database, artifacts):
        logging.getLogger().info("execution %d was killed; its outputs go", number)
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # on a full disk; the next run does it
            end_dead_executions(database, artifacts)
        raise


def last_outputs(database: pathlib.Path, since: str = "") -> Outputs:
    """Step -> output name -> URI of the newest run in a metadata database.

    Args:
        database: May not be there yet.
        since: ISO time, UTC: nothing of a run that began before.
    """
    if not database.exists():
        return {}
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(database)
    config.sqlite.connection_mode = (
        metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
    )
    store = metadata_store.MetadataStore(config)
    first_ms = _milliseconds(since) if since else 0
    runs = [
        context
        for context in store.get_contexts_by_type("pipeline_run")
        if context.create_time_since_epoch >= first_ms
    ]
    if not runs:
        return {}
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


def _milliseconds(time: str) -> int:
    """Of an ISO time, since 1970."""
    found = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
    return round(found.timestamp() * 1000)


@contextlib.contextmanager
def _log_to_file(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Sends every log record of this process to one file of this run; gives its path.

    Afterwards logging is as it was.
    """
    folder.mkdir(exist_ok=True)
    path = folder / time.strftime("pipeline-%Y%m%d-%H%M%S.log")
    handler = PatientFileHandler(path)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    loggers = [logging.getLogger(), logging.getLogger("absl")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    verbosity = absl_logging.get_verbosity()
    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    for logger in loggers:
        logger.handlers = []
    loggers[0].addHandler(handler)
    loggers[0].setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield path
    finally:
        logging.captureWarnings(False)
        absl_logging.set_verbosity(verbosity)
        for logger, handlers, level in before:
            logger.handlers = handlers
            logger.setLevel(level)
        handler.close()


class PatientFileHandler(logging.FileHandler):
    """Loses what cannot be written, as on a full disk; whoever runs is told of that."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Says nothing; logging would print a trace for every record."""

    def close(self) -> None:
        """Closes the file, whether or not its last words can be written."""
        with contextlib.suppress(OSError):
            super().close()


def disk_trouble(error: BaseException, root: pathlib.Path) -> str | None:
    """What is wrong with the disk, if an error comes from there; else None.

    Libraries wrap what the system said in errors of their own: its words stay.
    """
    text = "\n".join(str(link) for link in chain(error))
    if any(words in text for words in _FULL):
        free = shutil.disk_usage(root).free
        return (
            f"{root}: no room is left on its disk ({free / 1e6:,.1f} MB free). Make "
            f"room: `trailrank pipeline prune --root {root} --keep 3` tells what "
            "nothing needs."
        )
    if any(words in text for words in _READ_ONLY):
        return f"{root}: its disk can only be read. Mount it for writing."
    return None


def _cause(error: BaseException) -> str:
    """Our error's whole message in a chain, or type and message of its first one.

    Beam repeats a message with the step that ran, and its workers elsewhere answer with
    a whole trace as text, whose last line has the message. The log has all of it.
    """
    *_, first = chain(error)
    ours = own_error(error)
    text = str(ours) if ours else f"{type(first).__name__}: {first}"
    if _TRACE in text:
        text = ([*_RAISED.findall(text)] or [text])[-1]
    text = re.sub(r"\s*\[while running .*?\]", "", text)
    if ours:  # written to be read to its end, as a table of what moved is
        return text
    lines = text.split(os.linesep * 2)[0].splitlines()
    return "\n".join(lines[:_MOST_LINES] + ["..."] * (len(lines) > _MOST_LINES))

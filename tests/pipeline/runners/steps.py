"""Two steps for a tiny pipeline. No postponed annotations: TFX reads them."""

import errno
import os
import pathlib
import signal

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from pipeline.schema import AnomaliesError
from trainer.days.interruption import InterruptedTraining


@component
def WriteText(text: OutputArtifact[standard_artifacts.String], says: Parameter[str]):
    """Writes what it is told."""
    text.value = says


@component
def ReadText(text: InputArtifact[standard_artifacts.String], refuse: Parameter[str]):
    """Fails where a file named `refuse` exists, in the way that it says."""
    if not pathlib.Path(refuse).exists():
        return
    way = pathlib.Path(refuse).read_text()
    if way == "a limit":
        raise AnomaliesError("too many")
    if way == "a table":
        raise AnomaliesError("moved:\n\n a   b\n\nAccept it, or mend it.")
    if way == "a signal":
        raise InterruptedTraining(signal.SIGINT, "the end of day 1")
    if way == "a worker elsewhere":
        trace = "Traceback (most recent call last):\n  File x, line 1, in run\n"
        raise RuntimeError(f"Worker 3: {trace}    y\nbeam.base.OddError: no more\n")
    if way == "a kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "Ctrl-C":
        raise KeyboardInterrupt
    if way == "a full disk":
        pathlib.Path("/dev/full").write_bytes(bytes(100_000))
    if way == "a disk to read":
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "model/saved_model.pb")
    raise ValueError(f"refused: {text.value}")


@component
def CopyText(
    text: InputArtifact[standard_artifacts.String],
    copy: OutputArtifact[standard_artifacts.Examples],
    refuse: Parameter[str],
):
    """Writes into its output, then ends as `ReadText` does."""
    path = pathlib.Path(copy.uri, "copy.txt")
    path.write_text(text.value)
    if pathlib.Path(refuse).exists() and pathlib.Path(refuse).read_text() == "a kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if pathlib.Path(refuse).exists():
        raise KeyboardInterrupt

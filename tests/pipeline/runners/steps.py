"""Two steps for a tiny pipeline. No postponed annotations: TFX reads them."""

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
    if way == "a signal":
        raise InterruptedTraining(signal.SIGINT, "the end of day 1")
    if way == "a worker elsewhere":
        trace = "Traceback (most recent call last):\n  File x, line 1, in run\n"
        raise RuntimeError(f"Worker 3: {trace}    y\nbeam.base.OddError: no more\n")
    raise ValueError(f"refused: {text.value}")

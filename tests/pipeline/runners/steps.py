"""Two steps for a tiny pipeline. No postponed annotations: TFX reads them."""

import pathlib

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts


@component
def WriteText(text: OutputArtifact[standard_artifacts.String], says: Parameter[str]):
    """Writes what it is told."""
    text.value = says


@component
def ReadText(text: InputArtifact[standard_artifacts.String], refuse: Parameter[str]):
    """Fails where a file named `refuse` exists."""
    if pathlib.Path(refuse).exists():
        raise ValueError(f"refused: {text.value}")

"""Steps before a Pusher. No postponed annotations: TFX reads them."""

import pathlib

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils


@component
def Trained(model: OutputArtifact[standard_artifacts.Model], says: Parameter[str]):
    """A SavedModel's file, where a Trainer puts it."""
    folder = pathlib.Path(path_utils.serving_model_dir(model.uri))
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(says)


@component
def Blessed(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    blessed: Parameter[int],
    infra: Parameter[int],
):
    """Both blessings of a model, as they are told."""
    blessing.set_int_custom_property("blessed", blessed)
    infra_blessing.set_int_custom_property("blessed", infra)

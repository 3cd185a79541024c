"""The step that pushes a model. No postponed annotations: TFX reads them."""

import contextlib
import os

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from pipeline.evaluation import buckets
from pipeline.pushing import JUDGED_FILES, push, write_push

_PUSHED, _DESTINATION, _VERSION = "pushed", "pushed_destination", "pushed_version"


@component
def Pusher(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    pushed_model: OutputArtifact[standard_artifacts.PushedModel],
    destination: Parameter[str],
    needs_blessing: Parameter[int] = 1,
) -> None:
    """A blessed model -> `destination/<version>/`, which a server follows.

    What it was blessed for, `verdict.json` and `infra.json`, goes along.

    The artifact has TFX's properties (`pushed`, `pushed_destination`,
    `pushed_version`), and `pushed.json` for `pipeline.pushing.read_push`.

    Args:
        model: The Trainer's.
        model_blessing: The Evaluator's.
        infra_blessing: The InfraValidator's.
        pushed_model: Where the version lies; no second copy of the model.
        destination: `RUN/models/<spec>`.
        needs_blessing: 0 if the spec says that its models are not judged
            (`evaluation.gate: none`). That it can be served is asked of every model.
    """
    missing = []
    if needs_blessing and not model_blessing.get_int_custom_property("blessed"):
        missing.append("the Evaluator")
    if not infra_blessing.get_int_custom_property("blessed"):
        missing.append("the InfraValidator")
    if missing:
        why = f"not blessed by {' and '.join(missing)}"
        write_push(pushed_model.uri, None, why)
        pushed_model.set_int_custom_property(_PUSHED, 0)
        return
    judged = {}
    blessings = (model_blessing.uri, infra_blessing.uri)
    for name, folder in zip(JUDGED_FILES, blessings, strict=True):
        with contextlib.suppress(FileNotFoundError):
            judged[name] = buckets.read_bytes(os.path.join(folder, name))
    pushed = push(path_utils.serving_model_path(model.uri), destination, judged)
    write_push(pushed_model.uri, pushed)
    pushed_model.set_int_custom_property(_PUSHED, 1)
    pushed_model.set_string_custom_property(_DESTINATION, pushed.path)
    pushed_model.set_string_custom_property(_VERSION, pushed.version)

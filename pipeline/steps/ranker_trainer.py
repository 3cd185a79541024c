"""The step Trainer: days of raw examples, and the graph that encodes them, -> a model.

No postponed annotations here: TFX reads those of its function components.
"""

import json
import os

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelRun, TransformGraph
from tfx.utils import path_utils

from pipeline.training_request import TrainingRequest


@component
def Trainer(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    model: OutputArtifact[Model],
    model_run: OutputArtifact[ModelRun],
    spec: Parameter[str],
    preset: Parameter[str],
    slice: Parameter[str],
    days: Parameter[str],
    checkpoints: Parameter[str],
    seed: Parameter[int],
    map_encoding: Parameter[int],
) -> None:
    """Trains the days that the checkpoint lacks, and exports the three signatures.

    Args:
        examples: Those that this run has made.
        transform_graph: Encodes them; the model carries it too.
        model: Gets the model to serve, in `Format-Serving/`.
        model_run: Gets `logs/`: TensorBoard summaries, and `inspection/`.
        spec: The spec's training view.
        preset: The model preset's YAML text.
        slice: The accelerator slice's YAML text.
        days: JSON `[[split, directory], ...]`, in order: all days that are in the
            weights in the end. An empty directory stands for `examples`. Days that are
            trained already need none that is there.
        checkpoints: Begin of their directory's path; the encoding's base ends it.
        seed: Of weights, order of rows and dropout.
        map_encoding: 1 lets a training on a new encoding begin with the weights of the
            one before, each value's row at its new id.
    """
    request_of(
        examples=examples.uri,
        graph=transform_graph.uri,
        model=model.uri,
        model_run=model_run.uri,
        spec=spec,
        preset=preset,
        slice=slice,
        days=days,
        checkpoints=checkpoints,
        seed=seed,
        map_encoding=map_encoding,
    ).run()


def request_of(
    *,
    examples: str,
    graph: str,
    model: str,
    model_run: str,
    spec: str,
    preset: str,
    slice: str,
    days: str,
    checkpoints: str,
    seed: int,
    map_encoding: int,
) -> TrainingRequest:
    """What a Trainer is to do, from its artifacts' places and its parameters."""
    return TrainingRequest(
        spec=spec,
        preset=preset,
        slice=slice,
        days=tuple((split, place or examples) for split, place in json.loads(days)),
        graph=graph,
        checkpoints=checkpoints,
        seed=seed,
        map_encoding=bool(map_encoding),
        examples=examples,
        model=path_utils.serving_model_dir(model),
        logs=os.path.join(model_run, "logs"),
    )

"""The step Trainer on Vertex AI where it trains on machines of its own.

No postponed annotations here: TFX reads those of its function components.
"""

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelRun, TransformGraph

from feature_specs import read_spec
from pipeline.cloud.remote_training import train_remotely
from pipeline.cloud.training_place import TrainingPlace
from pipeline.steps.ranker_trainer import request_of


@component
def RemoteTrainer(
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
    place: Parameter[str],
) -> None:
    """Does what `Trainer` does, in a custom job that it sends and follows.

    Args:
        examples: See `pipeline.steps.ranker_trainer.Trainer`, as for all but the last.
        transform_graph: See there.
        model: See there.
        model_run: See there; it gets the job's request, too.
        spec: See there.
        preset: See there.
        slice: See there; which machines the job has follows from it.
        days: See there.
        checkpoints: See there.
        seed: See there.
        map_encoding: See there.
        place: JSON of a `TrainingPlace`.
    """
    request = request_of(
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
    )
    train_remotely(
        request,
        TrainingPlace.from_json(place),
        spec_name=read_spec(spec).name,
        work=model_run.uri,
    )

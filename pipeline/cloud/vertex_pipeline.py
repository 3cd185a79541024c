"""Compiles the DAG into a Vertex AI pipeline spec, checked against KFP's protobuf."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from pipeline.cloud.pipeline_place import PipelinePlace
from pipeline.cloud.remote_trainer import RemoteTrainer
from pipeline.dag import DagConfig, create_pipeline
from pipeline.steps.ranker_trainer import Trainer
from tpu_configs import SliceConfig, read_slice

_TRAINER = "Trainer"
_Spec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec


def compile_spec(config: DagConfig, place: PipelinePlace, out: pathlib.Path) -> int:
    """Writes the pipeline job of `config` as JSON.

    Args:
        config: What to run.
        place: Where; it has passed `pipeline_place.check`.
        out: File to write.

    Returns:
        The number of steps.

    Raises:
        ValueError: The result is no valid pipeline spec.
    """
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=place.image
        ),
        output_dir=str(out.parent),
        output_filename=out.name,
    )
    slice = read_slice(config.slice)
    pipeline = create_pipeline(config, trainer=_trainer(place, slice))
    for node in pipeline.components:
        resources = place.resources_of(node.id, slice)
        node.with_platform_config(
            _Spec.ResourceSpec(
                cpu_limit=resources.cpu, memory_limit=resources.memory_gb
            )
        )
    runner.run(pipeline)
    return check_spec(out)


def _trainer(place: PipelinePlace, slice: SliceConfig) -> Callable[..., BaseNode]:
    """Makes the step that trains: in its own container, or on other machines."""
    training = place.training_place(slice)
    if training is None:
        return Trainer
    text = training.to_json()

    def remote(**settings: Any) -> BaseNode:
        return RemoteTrainer(**settings, place=text).with_id(_TRAINER)

    return remote


def check_spec(path: pathlib.Path) -> int:
    """Parses a compiled job strictly; returns the number of its steps."""
    job = json.loads(path.read_text(encoding="utf-8"))
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(job["pipelineSpec"], spec)
    except (KeyError, json_format.ParseError) as error:
        raise ValueError(f"{path}: not a valid pipeline spec: {error}") from None
    return len(spec.root.dag.tasks)

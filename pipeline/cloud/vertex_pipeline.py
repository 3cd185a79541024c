"""Compiles the DAG into a Vertex AI pipeline spec, checked against KFP's protobuf."""

from __future__ import annotations

import json
import pathlib

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from pipeline.cloud import run_step
from pipeline.dag import DagConfig, create_pipeline


def compile_spec(config: DagConfig, image: str, out: pathlib.Path) -> int:
    """Writes the pipeline job of `config` as JSON; every step runs in `image`.

    Returns:
        The number of steps.

    Raises:
        ValueError: The result is no valid pipeline spec.
    """
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image, default_commands=[*run_step.COMMAND]
        ),
        output_dir=str(out.parent),
        output_filename=out.name,
    )
    runner.run(create_pipeline(config))
    return check_spec(out)


def check_spec(path: pathlib.Path) -> int:
    """Parses a compiled job strictly; returns the number of its steps."""
    job = json.loads(path.read_text(encoding="utf-8"))
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(job["pipelineSpec"], spec)
    except (KeyError, json_format.ParseError) as error:
        raise ValueError(f"{path}: not a valid pipeline spec: {error}") from None
    return len(spec.root.dag.tasks)

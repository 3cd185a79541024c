"""Our own TFX components: example generation, the schema, the validation gate.

No postponed annotations here: TFX reads those of its function components.
"""

import os
import time
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import base_beam_component, base_beam_executor
from tfx.dsl.components.base import executor_spec as executor_specs
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types.channel_utils import as_channel
from tfx.utils import io_utils

from feature_specs import read_spec
from pipeline.examples.build import generate, runs_here
from pipeline.examples.days import DayRange
from pipeline.examples.outputs import Outputs
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.schema import AnomaliesError as AnomaliesError
from pipeline.schema import build_schema, check_anomalies

REPORT_FILE = "report.json"
ALL_EARLIER_DAYS = -1  # for `context_days`: TFX's parameters know no None


class DayExampleGenSpec(component_spec.ComponentSpec):
    """What `DayExampleGen` takes and gives."""

    PARAMETERS = {
        "spec": component_spec.ExecutionParameter(type=str),
        "logs": component_spec.ExecutionParameter(type=str),
        "days": component_spec.ExecutionParameter(type=str),
        "eval_days": component_spec.ExecutionParameter(type=int),
        "context_days": component_spec.ExecutionParameter(type=int),
        "allow_small_days": component_spec.ExecutionParameter(type=int),
        "seed": component_spec.ExecutionParameter(type=int),
        "rejects_dir": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }


class DayExampleGenExecutor(base_beam_executor.BaseBeamExecutor):
    """Runs `pipeline.examples` and describes its output to TFX."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes one split a day and the report beside them."""
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        context_days = exec_properties["context_days"]
        request = ExamplesRequest(
            spec=read_spec(exec_properties["spec"]),
            logs_dir=exec_properties["logs"],
            examples_dir=examples.uri,
            rejects_dir=exec_properties["rejects_dir"],
            report_path=os.path.join(examples.uri, REPORT_FILE),
            days=DayRange.parse(exec_properties["days"]),
            eval_days=exec_properties["eval_days"],
            context_days=None if context_days == ALL_EARLIER_DAYS else context_days,
            allow_small_days=bool(exec_properties["allow_small_days"]),
            seed=exec_properties["seed"],
        )
        check_runner_options(request, self._beam_pipeline_args)
        outputs = Outputs.of(request, spill=runs_here(self._beam_pipeline_args))
        began = time.perf_counter()
        with outputs.workspace.opened():
            with self._make_beam_pipeline() as pipeline:
                generate(pipeline, request, outputs)
            outputs.finish(time.perf_counter() - began)
        examples.split_names = artifact_utils.encode_split_names(
            [*request.plan.train, *request.plan.evaluation]
        )
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(examples, "tfrecords_gzip")


class DayExampleGen(base_beam_component.BaseBeamComponent):
    """Raw logs -> Examples, one split a calendar day, and the rejected lines.

    `fingerprint` names the state of the log files: while it stays, TFX reuses the
    examples of an earlier run.
    """

    SPEC_CLASS = DayExampleGenSpec
    EXECUTOR_SPEC = executor_specs.BeamExecutorSpec(DayExampleGenExecutor)

    def __init__(
        self,
        *,
        spec: str,
        logs: str,
        days: str,
        eval_days: int,
        context_days: int,
        allow_small_days: bool,
        seed: int,
        rejects_dir: str,
        fingerprint: str,
    ):
        super().__init__(
            DayExampleGenSpec(
                spec=spec,
                logs=logs,
                days=days,
                eval_days=eval_days,
                context_days=context_days,
                allow_small_days=int(allow_small_days),
                seed=seed,
                rejects_dir=rejects_dir,
                fingerprint=fingerprint,
                examples=as_channel([standard_artifacts.Examples()]),
            )
        )


class EarlierBlessedModel(LatestBlessedModelStrategy):
    """The latest blessed model before the newest one.

    Resolved once the Trainer has run, it does not give the model just trained. When the
    same run is repeated, the Evaluator's inputs are the same as last time, and
    evaluation and push are reused too. (Going back to an older model, its Trainer's
    result cached, compares that model with itself and pushes it again.)
    """

    def _resolve(
        self,
        input_dict: dict[str, list[types.Artifact]],
        model_channel_key: str,
        model_blessing_channel_key: str,
    ) -> dict[str, list[types.Artifact]]:
        models = input_dict[model_channel_key]
        newest = max(model.id for model in models)
        earlier = [model for model in models if model.id != newest]
        return super()._resolve(
            {**input_dict, model_channel_key: earlier},
            model_channel_key,
            model_blessing_channel_key,
        )


@component
def SpecSchema(
    schema: OutputArtifact[standard_artifacts.Schema], spec: Parameter[str]
) -> None:
    """The spec's YAML text -> the TFDV schema of its examples."""
    path = os.path.join(schema.uri, "schema.pbtxt")
    tfdv.write_schema_text(build_schema(read_spec(spec)), path)


@component
def ValidationGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
) -> None:
    """Stops the run when a split of the examples does not fit the schema."""
    found = {}
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        path = os.path.join(anomalies.uri, f"Split-{split}", "SchemaDiff.pb")
        data = io_utils.read_bytes_file(path)
        found[split] = anomalies_pb2.Anomalies.FromString(data)
    check_anomalies(found)

"""The step that makes examples of raw logs, a split a day."""

import datetime
import os
import time
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor
from tfx.dsl.components.base import executor_spec as executor_specs
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types.channel_utils import as_channel

from feature_specs import read_spec
from pipeline.examples.build import generate, runs_here
from pipeline.examples.days import DayRange
from pipeline.examples.outputs import Outputs
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.examples.state_tables import can_be_carried

REPORT_FILE = "report.json"
ALL_EARLIER_DAYS = -1  # for `context_days`: TFX's parameters know no None

_TEXTS = ("spec", "logs", "days", "rejects_dir", "fingerprint")
_STATE = ("state_from", "learned_through", "empty_days")
_NUMBERS = ("eval_days", "context_days", "allow_small_days", "seed")
_EPOCH = datetime.date(1970, 1, 1)  # of TFX's spans


class DayState(types.Artifact):
    """What is known of users and keys at the end of a day; see `pipeline.day_state`."""

    TYPE_NAME = "trailrank.DayState"  # KFP asks for a namespace


class DayExampleGenSpec(component_spec.ComponentSpec):
    """What `DayExampleGen` takes and gives."""

    PARAMETERS = {
        name: component_spec.ExecutionParameter(type=kind)
        for names, kind in ((_TEXTS + _STATE, str), (_NUMBERS, int))
        for name in names
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "state": component_spec.ChannelParameter(type=DayState),
    }


class DayExampleGenExecutor(base_beam_executor.BaseBeamExecutor):
    """Runs `pipeline.examples` and describes its output to TFX."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes one split a day, the report beside them, and the last day's state."""
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        state = artifact_utils.get_single_instance(output_dict["state"])
        request = _request(exec_properties, examples.uri, state.uri)
        check_runner_options(request, self._beam_pipeline_args)
        outputs = Outputs.of(request, spill=runs_here(self._beam_pipeline_args))
        began = time.perf_counter()
        with outputs.workspace.opened():
            with self._make_beam_pipeline() as pipeline:
                generate(pipeline, request, outputs)
            outputs.finish(time.perf_counter() - began)
        _describe(examples, request)


class DayExampleGen(base_beam_component.BaseBeamComponent):
    """Raw logs -> Examples, one split a calendar day, and the rejected lines.

    `fingerprint` names the state of the log files: while it stays, TFX reuses the
    examples of an earlier run. The artifact's span is its last day, in days since 1970
    as TFX counts them.
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
        state_from: str = "",
        learned_through: str = "",
        empty_days: str = "",
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
                state_from=state_from,
                learned_through=learned_through,
                empty_days=empty_days,
                examples=as_channel([standard_artifacts.Examples()]),
                state=as_channel([DayState()]),
            )
        )


def _request(values: dict[str, Any], examples: str, state: str) -> ExamplesRequest:
    spec, context_days = read_spec(values["spec"]), values["context_days"]
    learned = values["learned_through"]
    empty = [day for day in values["empty_days"].split(",") if day]
    return ExamplesRequest(
        spec=spec,
        logs_dir=values["logs"],
        examples_dir=examples,
        rejects_dir=values["rejects_dir"],
        report_path=os.path.join(examples, REPORT_FILE),
        days=DayRange.parse(values["days"]),
        eval_days=values["eval_days"],
        context_days=None if context_days == ALL_EARLIER_DAYS else context_days,
        allow_small_days=bool(values["allow_small_days"]),
        seed=values["seed"],
        state_from=values["state_from"] or None,
        state_to=state if can_be_carried(spec) else None,
        learned_through=DayRange.parse(learned).first if learned else None,
        empty_days=tuple(DayRange.parse(day).first for day in empty),
    )


def _describe(examples: types.Artifact, request: ExamplesRequest) -> None:
    """What TFX's own tools ask of an Examples artifact."""
    plan = request.plan
    examples.split_names = artifact_utils.encode_split_names(
        [*plan.train, *plan.evaluation]
    )
    examples.span = (request.days.last - _EPOCH).days
    examples.version = 0
    payload = example_gen_pb2.PayloadFormat.Name(example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples.set_string_custom_property("payload_format", payload)
    examples.set_string_custom_property("file_format", "tfrecords_gzip")

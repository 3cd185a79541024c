"""Runs a step of a compiled pipeline and notes it in the metadata, as TFX does.

TFX's own launcher resolves inputs in every way that a pipeline can ask for, and imports
all of its components for that, TFMA and Kubernetes: 8 s of processor time. A step of
ours reads outputs of earlier steps of the same run and nothing else. So this is the
launcher without that part, on the functions that TFX's launcher calls: executions,
artifacts, contexts and cache keys are the same, and either goes on with the other's
database.

Unlike TFX's, it says of a step that a signal stops, too, that it failed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.io import fileio
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import (
    beam_executor_operator,
    cache_utils,
    data_types,
    execution_publish_utils,
    outputs_utils,
    python_executor_operator,
)
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

_Artifacts = dict[str, list[types.Artifact]]

_OPERATORS = {
    executable_spec_pb2.PythonClassExecutableSpec: (
        python_executor_operator.PythonExecutorOperator
    ),
    executable_spec_pb2.BeamExecutableSpec: beam_executor_operator.BeamExecutorOperator,
}


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """A step that is about to run, or whose result was found.

    Attributes:
        execution: In the metadata.
        contexts: Of the pipeline, the run, the step and the cache key.
        info: What an executor is told; None if an earlier result is taken.
    """

    execution: metadata_store_pb2.Execution
    contexts: Sequence[metadata_store_pb2.Context]
    info: data_types.ExecutionInfo | None


class NodeLauncher:
    """Launches the nodes of one run, in topological order.

    Args:
        pipeline: Compiled, its run's id filled in.
        deployment: Its local deployment, which has the executors.
        connection: Where the metadata lies.
    """

    def __init__(
        self,
        pipeline: pipeline_pb2.Pipeline,
        deployment: Any,
        connection: metadata_store_pb2.ConnectionConfig,
    ):
        self._pipeline, self._deployment = pipeline, deployment
        self._metadata = metadata.Metadata(connection)
        self._outputs: dict[str, Mapping[str, Sequence[types.Artifact]]] = {}

    def launch(self, node: pipeline_pb2.PipelineNode) -> bool:
        """Runs a node, or takes the result of an earlier run; returns which.

        Returns:
            Whether the result was there already.

        Raises:
            ValueError: The node asks for more than outputs of earlier nodes.
            BaseException: Whatever it raised; the metadata says that it failed, and
                what it has written is removed.
        """
        name = node.node_info.id
        spec = runner_utils.extract_executor_spec(self._deployment, name)
        driver = runner_utils.extract_custom_driver_spec(self._deployment, name)
        if type(spec) not in _OPERATORS or driver:
            raise ValueError(
                f"{name}: a step here is Python or Beam, without a driver."
            )
        prepared = self._prepare(node, spec)
        if prepared.info:
            self._execute(prepared, _OPERATORS[type(spec)](spec))
        with self._metadata as handle:
            self._outputs[name] = execution_lib.get_output_artifacts(
                handle, prepared.execution.id
            )
        return prepared.info is None

    def _prepare(self, node: pipeline_pb2.PipelineNode, spec: Any) -> _Prepared:
        parameters, inputs = _parameters(node), self._inputs(node)
        resolver = outputs_utils.OutputsResolver(
            pipeline_node=node,
            pipeline_info=self._pipeline.pipeline_info,
            pipeline_runtime_spec=self._pipeline.runtime_spec,
        )
        with self._metadata as handle:
            contexts = context_lib.prepare_contexts(
                metadata_handle=handle, node_contexts=node.contexts
            )
            execution = execution_publish_utils.register_execution(
                metadata_handle=handle,
                execution_type=node.node_info.type,
                contexts=contexts,
                input_artifacts=inputs,
                exec_properties=parameters,
            )
            outputs = resolver.generate_output_artifacts(execution.id)
            cache = cache_utils.get_cache_context(
                metadata_handle=handle,
                pipeline_node=node,
                pipeline_info=self._pipeline.pipeline_info,
                executor_spec=spec,
                input_artifacts=inputs,
                output_artifacts=outputs,
                parameters=parameters,
            )
            contexts.append(cache)
            if _take_cached(handle, node, cache, execution, contexts):
                return _Prepared(execution, contexts, None)
        run_id = self._pipeline.runtime_spec.pipeline_run_id
        info = data_types.ExecutionInfo(
            execution_id=execution.id,
            input_dict=inputs,
            output_dict=outputs,
            exec_properties=parameters,
            execution_output_uri=resolver.get_executor_output_uri(execution.id),
            stateful_working_dir=resolver.get_stateful_working_directory(execution),
            tmp_dir=resolver.make_tmp_dir(execution.id),
            pipeline_node=node,
            pipeline_info=self._pipeline.pipeline_info,
            pipeline_run_id=run_id.field_value.string_value,
        )
        return _Prepared(execution, contexts, info)

    def _inputs(self, node: pipeline_pb2.PipelineNode) -> _Artifacts:
        """The outputs of earlier nodes of this run that a node reads."""
        found: _Artifacts = {}
        for key, spec in node.inputs.inputs.items():
            artifacts: list[types.Artifact] = []
            if len(spec.channels) == 1:
                (channel,) = spec.channels
                outputs = self._outputs.get(channel.producer_node_query.id, {})
                artifacts = list(outputs.get(channel.output_key, ()))
            if not artifacts:
                raise ValueError(
                    f"{node.node_info.id}: {key} must be an output of an earlier step "
                    "of the same run."
                )
            found[key] = artifacts
        return found

    def _execute(self, prepared: _Prepared, operator: Any) -> None:
        info = prepared.info
        assert info is not None
        outputs_utils.make_output_dirs(info.output_dict)
        try:
            output = operator.run_executor(info)
            if output.execution_result.code:
                raise RuntimeError(output.execution_result.result_message)
        except BaseException:
            self._fail(prepared, info)
            raise
        finally:
            _remove(info.tmp_dir)
            _remove(info.stateful_working_dir)
        with self._metadata as handle:
            execution_publish_utils.publish_succeeded_execution(
                metadata_handle=handle,
                execution_id=prepared.execution.id,
                contexts=prepared.contexts,
                output_artifacts=info.output_dict,
                executor_output=output,
            )

    def _fail(self, prepared: _Prepared, info: data_types.ExecutionInfo) -> None:
        """Notes a step's failure, of which the step's error tells more than ours."""
        try:
            outputs_utils.remove_output_dirs(info.output_dict)
            with self._metadata as handle:
                execution_publish_utils.publish_failed_execution(
                    metadata_handle=handle,
                    execution_id=prepared.execution.id,
                    contexts=prepared.contexts,
                )
        except Exception:  # the next run does it, see `run_metadata`
            logging.exception("execution %d: not noted", prepared.execution.id)


def _parameters(node: pipeline_pb2.PipelineNode) -> dict[str, types.Property]:
    values = node.parameters.parameters
    open_ones = [
        key for key, value in values.items() if not value.HasField("field_value")
    ]
    if open_ones:
        raise ValueError(
            f"{node.node_info.id}: {open_ones[0]} must be a value that is known before "
            "the run."
        )
    found: dict[str, types.Property] = data_types_utils.build_parsed_value_dict(
        dict(values)
    )
    return found


def _take_cached(
    handle: metadata.Metadata,
    node: pipeline_pb2.PipelineNode,
    cache: metadata_store_pb2.Context,
    execution: metadata_store_pb2.Execution,
    contexts: Sequence[metadata_store_pb2.Context],
) -> bool:
    """Whether there was a result of the same step, inputs and parameters; notes it."""
    if not node.execution_options.caching_options.enable_cache:
        return False
    outputs = cache_utils.get_cached_outputs(
        metadata_handle=handle, cache_context=cache
    )
    if outputs is None:
        return False
    execution_publish_utils.publish_cached_executions(
        metadata_handle=handle,
        contexts=contexts,
        executions=[execution],
        output_artifacts_maps=[outputs],
    )
    logging.info("%s: execution %d is cached.", node.node_info.id, execution.id)
    return True


def _remove(directory: str | None) -> None:
    """TFX's own directories of an execution; a step may have removed them."""
    if directory and fileio.exists(directory):
        fileio.rmtree(directory)

"""What must be right before a job is handed to a runner of other machines.

Beam checks the options of its own runners when the pipeline is made. It does not ask
whether the job endpoint answers (it waits five minutes, and then says nothing), whether
the workers have this code, and whether they see the files.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES
from apache_beam.runners.portability.spark_runner import LOCAL_MASTER_PATTERN

from feature_specs import TrailrankError
from pipeline.examples.request import ExamplesRequest

_PORTABLE = ("portablerunner", "flinkrunner", "sparkrunner")
_DATAFLOW = "dataflowrunner"
_DOCKER = "DOCKER"
_EMBEDDED_SERVICE = "embed"  # Beam's word for a job service inside this process
_PATIENCE_S = 5.0


class RunnerOptionsError(TrailrankError, ValueError):
    """Beam options that cannot lead to examples; names every mistake at once."""


def check_runner_options(request: ExamplesRequest, beam_args: Sequence[str]) -> None:
    """RunnerOptionsError if workers elsewhere could not do what is asked.

    Args:
        request: Of the run; the workers must see its directories.
        beam_args: Beam's options, `--runner` among them.
    """
    options = PipelineOptions(list(beam_args))
    name = options.view_as(StandardOptions).runner or ""
    runner = name.rpartition(".")[2].lower()
    mistakes: list[str] = []
    if runner == _DATAFLOW:
        mistakes += _unpacked_code(options) + _unseen_paths(request)
    if runner in _PORTABLE:
        if _environment(options, runner) == _DOCKER:
            mistakes += _stock_image(options) + _unseen_paths(request)
        mistakes += _silent_endpoint(options)
    if mistakes:
        raise RunnerOptionsError(f"--runner={name}:\n  - " + "\n  - ".join(mistakes))


def _environment(options: PipelineOptions, runner: str) -> str:
    """The kind of workers that the runner takes; a local master uses this process."""
    asked: str | None = options.view_as(PortableOptions).environment_type
    if asked:
        return asked.upper()
    flink = options.view_as(FlinkRunnerOptions).flink_master in MAGIC_HOST_NAMES
    spark = options.view_as(SparkRunnerOptions).spark_master_url
    if (runner == "flinkrunner" and flink) or (
        runner == "sparkrunner" and re.match(LOCAL_MASTER_PATTERN, spark)
    ):
        return "LOOPBACK"
    return _DOCKER


def _unpacked_code(options: PipelineOptions) -> list[str]:
    setup = options.view_as(SetupOptions)
    if options.view_as(WorkerOptions).sdk_container_image or any(
        (setup.setup_file, setup.requirements_file, setup.extra_packages)
    ):
        return []
    return [_no_code("--sdk_container_image=IMAGE")]


def _stock_image(options: PipelineOptions) -> list[str]:
    portable = options.view_as(PortableOptions)
    if portable.environment_config or portable.lookup_environment_option(
        "docker_container_image"
    ):
        return []
    return [_no_code("--environment_config=IMAGE")]


def _no_code(option: str) -> str:
    return (
        "workers run in Beam's own container image, which has neither Trailrank nor "
        f"Polars. Build one with both and give {option}; see docs/scaling.md."
    )


def _unseen_paths(request: ExamplesRequest) -> list[str]:
    """Containers see no disk of this machine: what they write there is lost."""
    paths = {
        request.logs_dir,
        request.examples_dir,
        request.rejects_dir,
        request.report_path,
        *(path for path in (request.state_from, request.state_to) if path),
    }
    return [
        f"{path} is on this machine's disk, which the workers' containers do not see. "
        "Use a bucket, such as gs://BUCKET/logs."
        for path in sorted(paths)
        if "://" not in path
    ]


def _silent_endpoint(options: PipelineOptions) -> list[str]:
    endpoint = options.view_as(PortableOptions).job_endpoint
    if not endpoint or endpoint == _EMBEDDED_SERVICE:
        return []
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        return [f"--job_endpoint must be HOST:PORT, got {endpoint!r}."]
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except OSError as error:
        return [
            f"no job service answers at --job_endpoint={endpoint} ({error}). Start it, "
            "or correct the address."
        ]
    return []

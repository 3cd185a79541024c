"""The commands of docs/scaling.md, up to what Dataflow, Flink and Spark are handed.

None of the three runs here. The commands are read from the page; a bucket in memory
stands for theirs, and their job services are taken as present.
"""

import base64
import bz2
import json
import pathlib
import re
import shlex
import socket

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.io.gcp import gcsio
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners import create_runner
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.portable_runner import PortableRunner

import pipeline.command
import pipeline.examples.build
import pipeline.examples.command
from pipeline.examples.build import generate
from pipeline.examples.outputs import Outputs
from pipeline.examples.runner_options import check_runner_options
from pipeline.simulator import simulate
from tests.pipeline.examples import bucket

_ROOT = pathlib.Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "scaling.md"
_BUCKET = "gs://my-bucket"
_LIBRARIES = str(pathlib.Path(beam.__file__).parents[1])
_OUR_DOFNS = {
    "_ReadRange",
    "LookAtUsers",
    "Answer",
    "MakeExamples",
    "WriteFile",
    "WriteRejects",
    "WriteReport",
    "AddUpValues",
    "WriteSummary",
}


def _commands():
    """Arguments of every `trailrank` command in the page's code blocks."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", _PAGE.read_text(), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.startswith("trailrank ")]
    return [argv[1:] for argv in found]


def _examples_commands(runner):
    """Arguments after `trailrank examples` of the commands for a runner."""
    option = f"--beam_arg=--runner={runner}"
    return [a[1:] for a in _commands() if a[0] == "examples" and option in a]


DATAFLOW = _examples_commands("DataflowRunner")
FLINK, SPARK = _examples_commands("FlinkRunner"), _examples_commands("SparkRunner")
PORTABLE = _examples_commands("PortableRunner")


class _Asked(Exception):
    """What a command would have run."""

    def __init__(self, request, beam_args):
        super().__init__()
        self.request, self.beam_args = request, beam_args


@pytest.fixture(scope="module")
def small_logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submission")
    simulate(str(folder), users=3, days=31, seed=2, rows_per_user_day=5)
    return folder / "data"


@pytest.fixture
def asked(small_logs, tmp_path, monkeypatch):
    """Arguments of the command -> (its request, its Beam arguments)."""
    bucket.empty()
    bucket.upload(small_logs, "bucket://my-bucket/logs")
    monkeypatch.setattr(pipeline.examples.build, "run_examples", _raise)
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())

    def run(argv):
        here = {"LOGS": str(small_logs), "EXAMPLES": str(tmp_path / "examples")}
        argv = [here.get(arg, arg) for arg in argv]
        argv = [
            arg.replace(_BUCKET, "bucket://my-bucket") if "beam_arg" not in arg else arg
            for arg in argv
        ]
        with pytest.raises(_Asked) as error:
            pipeline.examples.command.run(argv)
        return error.value.request, list(error.value.beam_args)

    yield run
    bucket.empty()


def _raise(request, beam_args):
    raise _Asked(request, beam_args)


def _graph(request, options):
    """The whole graph; nothing runs."""
    made = beam.Pipeline(options=options)
    generate(made, request, Outputs.of(request))
    return made


def _dofns(proto):
    """Label of a step -> (its unpickled DoFn, the pickle)."""
    found = {}
    for transform in proto.components.transforms.values():
        if transform.spec.urn != common_urns.primitives.PAR_DO.urn:
            continue
        payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
        if payload.do_fn.urn != python_urns.PICKLED_DOFN_INFO:
            continue  # one of Beam's own, without code
        dofn, *_ = pickler.loads(payload.do_fn.payload)
        pickled = bz2.decompress(base64.b64decode(payload.do_fn.payload))
        found[transform.unique_name] = dofn, pickled
    return found


def _assert_ready_for_other_machines(proto, request):
    """All DoFns unpickle, and none knows a path but the request's.

    Beam pickles its own lambdas with the name of the file that they are written in.
    """
    dofns = _dofns(proto)
    assert {type(dofn).__name__ for dofn, _ in dofns.values()} >= _OUR_DOFNS
    harmless = (request.logs_dir, request.examples_dir, _LIBRARIES)
    for label, (dofn, pickled) in dofns.items():
        # What is asked for, and what all of it is read from, stay with who asks.
        if type(dofn).__name__ in _OUR_DOFNS:
            for whole in ("ExamplesRequest", "Outputs", "FileRange"):
                assert whole.encode() not in pickled, f"{whole} in {label}"
        for path in harmless:
            pickled = pickled.replace(path.encode(), b"")
        for trace in (_ROOT, pathlib.Path.home(), socket.gethostname(), "/tmp/"):
            assert str(trace).encode() not in pickled, f"{trace} in {label}"


def _docker_image(proto):
    (environment,) = proto.components.environments.values()
    assert environment.urn == common_urns.environments.DOCKER.urn
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment.payload)
    return payload.container_image


def _without(beam_args, option):
    return [arg for arg in beam_args if not arg.startswith(f"--{option}=")]


def test_the_page_has_commands_for_every_runner():
    assert DATAFLOW and FLINK and SPARK and PORTABLE


@pytest.mark.parametrize("argv", [*DATAFLOW, *FLINK, *SPARK, *PORTABLE])
def test_beam_and_we_find_no_mistake_in_a_command(asked, argv):
    request, beam_args = asked(argv)
    check_runner_options(request, beam_args)
    assert _mistakes(beam_args) == []


def _mistakes(beam_args):
    """Beam's own verdict; as a dry run it asks no bucket."""
    options = PipelineOptions([*beam_args, "--dry_run=True"])
    runner = create_runner(options.view_as(StandardOptions).runner)
    return PipelineOptionsValidator(options, runner).validate()


@pytest.mark.parametrize("argv", [a[1:] for a in _commands() if a[0] == "pipeline"])
def test_the_commands_of_the_whole_pipeline_parse(argv):
    args = pipeline.command.parser().parse_args(argv)
    PipelineOptions(args.beam_arg)


@pytest.mark.parametrize("argv", [*FLINK, *SPARK, *PORTABLE])
def test_flink_and_spark_get_a_job_without_traces_of_this_machine(asked, argv):
    request, beam_args = asked(argv)
    options = PipelineOptions(beam_args)
    proto = PortableRunner.get_proto_pipeline(_graph(request, options), options)
    _assert_ready_for_other_machines(proto, request)


@pytest.mark.parametrize("argv", [*FLINK, *SPARK])
def test_workers_of_flink_and_spark_are_those_of_the_command(asked, argv):
    request, beam_args = asked(argv)
    options = PipelineOptions(beam_args)
    proto = PortableRunner.get_proto_pipeline(_graph(request, options), options)
    portable = options.view_as(PortableOptions)
    if portable.environment_type == "DOCKER":
        assert _docker_image(proto) == portable.environment_config == "IMAGE"
        return
    (environment,) = proto.components.environments.values()
    assert environment.urn == common_urns.environments.EXTERNAL.urn
    payload = beam_runner_api_pb2.ExternalPayload.FromString(environment.payload)
    assert payload.endpoint.url == portable.environment_config


@pytest.mark.parametrize("argv", DATAFLOW)
@pytest.mark.parametrize("option", ["project", "region", "temp_location"])
def test_dataflow_names_the_option_that_is_missing(asked, argv, option, monkeypatch):
    monkeypatch.setattr(DataflowRunner, "get_default_gcp_region", lambda _: None)
    monkeypatch.setattr(gcsio, "get_or_create_default_gcs_bucket", lambda _: None)
    _, beam_args = asked(argv)
    if option == "temp_location":  # each stands in for the other
        beam_args = _without(beam_args, "staging_location")
    (mistake,) = _mistakes(_without(beam_args, option))[:1]
    assert option in mistake


@pytest.mark.parametrize("argv", DATAFLOW)
def test_dataflow_gets_a_job_without_traces_of_this_machine(asked, argv):
    request, beam_args = asked(argv)
    options = PipelineOptions([*beam_args, "--dry_run=True", "--no_auth"])
    job = _graph(request, options).run().job
    _assert_ready_for_other_machines(job.proto_pipeline, request)
    assert _docker_image(job.proto_pipeline) == "IMAGE"


@pytest.mark.parametrize("argv", DATAFLOW)
def test_dataflow_gets_the_machines_of_the_command(asked, argv, tmp_path):
    """The whole request to the service, written to a file instead of sent."""
    request, beam_args = asked(argv)
    for option in ("temp_location", "staging_location"):
        beam_args = [*_without(beam_args, option), f"--{option}={tmp_path}"]
    template = tmp_path / "template.json"
    local = ["--no_auth", "--dataflow_endpoint=http://localhost:1"]
    options = PipelineOptions([*beam_args, *local, f"--template_location={template}"])
    _graph(request, options).run()
    job = json.loads(template.read_text())
    (pool,) = job["environment"]["workerPools"]
    asked_for = options.view_as(WorkerOptions)
    assert pool["machineType"] == asked_for.machine_type
    assert pool["diskSizeGb"] == asked_for.disk_size_gb
    assert pool["autoscalingSettings"]["maxNumWorkers"] == asked_for.max_num_workers
    (image,) = pool["sdkHarnessContainerImages"]
    assert image["containerImage"] == "IMAGE"
    passed_on = job["environment"]["sdkPipelineOptions"]["options"]
    assert passed_on["number_of_worker_harness_threads"] == 1
    assert job["type"] == "JOB_TYPE_BATCH"

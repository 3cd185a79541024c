"""What is said before a job goes to a runner of other machines."""

import dataclasses
import socket

import pytest

from pipeline.examples.days import DayRange
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import RunnerOptionsError, check_runner_options


@pytest.fixture
def local(spec):
    """A request on this machine's disk."""
    return ExamplesRequest(
        spec=spec,
        logs_dir="/logs",
        examples_dir="/run/examples",
        rejects_dir="/run/rejects",
        report_path="/run/report.json",
        days=DayRange.parse("20220408:20220411"),
    )


@pytest.fixture
def in_bucket(local):
    """The same request in a bucket."""
    paths = ("logs_dir", "examples_dir", "rejects_dir", "report_path")
    return dataclasses.replace(
        local, **{name: "gs://bucket" + getattr(local, name) for name in paths}
    )


def _mistakes(request, *args):
    """The mistakes that are named, in order."""
    with pytest.raises(RunnerOptionsError) as error:
        check_runner_options(request, args)
    return str(error.value).split("\n  - ")[1:]


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    "args",
    [(), ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",)],
)
def test_a_runner_in_this_process_needs_nothing(local, args):
    check_runner_options(local, args)


def test_dataflow_needs_our_code_and_a_bucket(local):
    image, *paths = _mistakes(local, "--runner=DataflowRunner")
    assert "neither Trailrank nor Polars" in image
    assert "--sdk_container_image=IMAGE" in image
    assert [path.split(" ")[0] for path in paths] == [
        "/logs",
        "/run/examples",
        "/run/rejects",
        "/run/report.json",
    ]
    assert "Use a bucket" in paths[0]


@pytest.mark.parametrize(
    "code", ["--sdk_container_image=image:1", "--extra_package=trailrank.whl"]
)
def test_dataflow_with_both_passes(in_bucket, code):
    check_runner_options(in_bucket, ["--runner=DataflowRunner", code])


@pytest.mark.parametrize(
    "args",
    [
        ("--runner=PortableRunner",),
        ("--runner=FlinkRunner", "--flink_master=host:8081"),
        ("--runner=SparkRunner", "--spark_master_url=spark://host:7077"),
        ("--runner=flinkrunner", "--environment_type=docker"),
    ],
)
def test_containers_of_a_cluster_need_our_image(in_bucket, args):
    (mistake,) = _mistakes(in_bucket, *args)
    assert "--environment_config=IMAGE" in mistake
    for option in ("config=image:1", "option=docker_container_image=image:1"):
        check_runner_options(in_bucket, [*args, f"--environment_{option}"])


def test_containers_do_not_see_the_disk(local):
    mistakes = _mistakes(
        local,
        "--runner=FlinkRunner",
        "--flink_master=host:8081",
        "--environment_config=image:1",
    )
    assert len(mistakes) == 4


@pytest.mark.parametrize(
    "args",
    [
        ("--runner=FlinkRunner",),  # a local cluster, whose workers are this process
        ("--runner=SparkRunner", "--spark_master_url=local[2]"),
        ("--runner=PortableRunner", "--environment_type=EXTERNAL"),
        ("--runner=PortableRunner", "--environment_type=LOOPBACK"),
    ],
)
def test_other_workers_may_share_the_disk(local, args):
    check_runner_options(local, args)


def test_an_endpoint_without_a_service_is_told_at_once(local, free_port):
    (mistake,) = _mistakes(
        local,
        "--runner=PortableRunner",
        "--environment_type=LOOPBACK",
        f"--job_endpoint=localhost:{free_port}",
    )
    assert f"no job service answers at --job_endpoint=localhost:{free_port}" in mistake
    assert "refused" in mistake


@pytest.mark.parametrize("endpoint", ["localhost", "localhost:", ":80", "host:http"])
def test_an_endpoint_is_a_host_and_a_port(local, endpoint):
    (mistake,) = _mistakes(
        local,
        "--runner=PortableRunner",
        "--environment_type=LOOPBACK",
        f"--job_endpoint={endpoint}",
    )
    assert mistake == f"--job_endpoint must be HOST:PORT, got {endpoint!r}."


def test_an_endpoint_that_answers_passes(local):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        check_runner_options(
            local,
            [
                "--runner=PortableRunner",
                "--environment_type=LOOPBACK",
                f"--job_endpoint=localhost:{port}",
            ],
        )


def test_an_embedded_job_service_has_no_address(local):
    check_runner_options(
        local,
        [
            "--runner=PortableRunner",
            "--environment_type=LOOPBACK",
            "--job_endpoint=embed",
        ],
    )

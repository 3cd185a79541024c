"""The same graph on a job endpoint whose workers are processes of their own.

What runs here is Beam's local job service; Flink, Spark and Dataflow are handed the job
in the same form, and `submission_test.py` looks at what each of them gets.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from feature_specs import load_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import RunnerOptionsError
from pipeline.simulator import damage, simulate

_HERE = pathlib.Path(__file__).parent
_SUBPROCESS = "beam:env:harness_subprocess_python:v1"
_START_S = 60
_TIMES = ("busy_s", "rows_per_s")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Three simulated days in two files, some lines of them damaged."""
    folder = tmp_path_factory.mktemp("portable") / "logs"
    simulate(str(folder), users=16, days=3, seed=1, rows_per_user_day=50)
    (path,) = (folder / "data").glob("log_standard_*.csv")
    damage(str(path), share=0.01, seed=3)
    return folder / "data"


@pytest.fixture(scope="module")
def request_to(logs):
    """Output directory -> a request of several ranges, shards and files a split."""

    def make(folder):
        return ExamplesRequest(
            spec=load_spec("kuairand"),
            logs_dir=str(logs),
            examples_dir=str(folder / "examples"),
            rejects_dir=str(folder / "rejects"),
            report_path=str(folder / "report.json"),
            days=DayRange.parse("20220408:20220410"),
            shards=4,
            range_bytes=1 << 16,
            file_rows=400,
        )

    return make


@pytest.fixture(scope="module")
def in_process(request_to, tmp_path_factory):
    """Outputs of a run in this process."""
    request = request_to(tmp_path_factory.mktemp("in_process"))
    run_examples(request)
    return _Outputs.of(request)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Endpoint of a job service that lives as long as this module's tests."""
    folder = tmp_path_factory.mktemp("service")
    port_file = folder / "port"
    command = [sys.executable, str(_HERE / "two_worker_service.py")]
    with _process_group([*command, "--port_file", str(port_file)], folder / "log") as p:
        patience = time.monotonic() + _START_S
        while not port_file.exists():
            assert p.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < patience, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"localhost:{port_file.read_text()}"


@contextlib.contextmanager
def _process_group(command, log):
    """A process whose children end with it, whatever happens."""
    root = str(_HERE.parents[2])
    with open(log, "w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": root},
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """What a run left behind."""

    splits: dict[str, bytes]
    rejects: dict[str, bytes]
    report: dict

    @classmethod
    def of(cls, request):
        report = json.loads(pathlib.Path(request.report_path).read_text())
        del report["wall_s"]
        for step in report["steps"].values():
            for name in _TIMES:
                del step[name]
        return cls(_files(request.examples_dir), _files(request.rejects_dir), report)


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }


def _worker_args(service, notes, victim=""):
    notes.mkdir()
    worker = f"{sys.executable} {_HERE / 'noting_worker.py'} {notes} {victim}"
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={service}",
        f"--environment_type={_SUBPROCESS}",
        f"--environment_config={worker}",
        "--direct_num_workers=2",
    ]


def _workers(notes, function):
    """Process ids of the workers that called a function."""
    return {int(path.name) for path in notes.glob(f"{function}-*/*")}


@pytest.mark.slow
def test_two_worker_processes_write_the_same_bytes(
    in_process, request_to, service, tmp_path
):
    request, notes = request_to(tmp_path), tmp_path / "notes"
    run_examples(request, _worker_args(service, notes))
    assert _Outputs.of(request) == in_process
    files = [-(-rows // 400) for rows in in_process.report["rows_per_day"].values()]
    # And a summary a day, and quantiles.json; what only evaluation reads is beside the
    # files of its day.
    others = [name for name in in_process.splits if "evaluation_only" not in str(name)]
    assert len(others) == sum(files) + len(files) + 1
    assert len(in_process.rejects) > 1
    for function in ("make_examples", "write_examples"):
        workers = _workers(notes, function)
        assert len(workers) == 2
        assert os.getpid() not in workers
    assert len(list(notes.glob("make_examples-*"))) == 4  # one a shard


@pytest.mark.slow
def test_a_pool_of_external_workers_writes_the_same_bytes(
    in_process, request_to, service, tmp_path, monkeypatch
):
    """The pool starts `python` for each worker, as beside a Flink task manager."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PYTHONPATH", str(_HERE.parents[2]))
    request = request_to(tmp_path)
    address, pool = BeamFnExternalWorkerPoolServicer.start(use_process=True)
    try:
        run_examples(
            request,
            [
                "--runner=PortableRunner",
                f"--job_endpoint={service}",
                "--environment_type=EXTERNAL",
                f"--environment_config={address}",
                "--direct_num_workers=2",
            ],
        )
    finally:
        pool.stop(0)
    assert _Outputs.of(request) == in_process


def test_work_done_twice_changes_nothing(in_process, request_to, tmp_path):
    """Runners repeat what a lost worker did, and take one of the results."""
    request = request_to(tmp_path)
    run_examples(request, ["--direct_runner_bundle_repeat=1"])
    assert _Outputs.of(request) == in_process


def test_a_missing_job_service_is_told_before_anything_is_written(request_to, tmp_path):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        endpoint = f"localhost:{taken.getsockname()[1]}"
    request = request_to(tmp_path / "run")
    with pytest.raises(RunnerOptionsError, match=f"no job service .*{endpoint}"):
        run_examples(
            request,
            [
                "--runner=PortableRunner",
                f"--job_endpoint={endpoint}",
                "--environment_type=LOOPBACK",
            ],
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_and_leaves_no_split(
    request_to, service, tmp_path
):
    """Beam's local job service repeats nothing; its message is Beam's own."""
    request, notes = request_to(tmp_path), tmp_path / "notes"
    with pytest.raises(RuntimeError, match="Channel closed prematurely"):
        run_examples(request, _worker_args(service, notes, "write_examples"))
    assert len(list(notes.glob("write_examples-*"))) > 2  # some files were written
    assert _files(request.examples_dir) == {}
    assert not pathlib.Path(request.report_path).exists()

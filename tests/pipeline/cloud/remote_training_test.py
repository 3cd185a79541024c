"""A step's training on other machines: one job follows another until there is a model.

The jobs' service is a stand-in on this machine, the client Google's own.
"""

import base64
import json
import pathlib
import threading

import grpc
import pytest
from google.rpc import status_pb2

from feature_specs.errors import Status, TrailrankError
from pipeline.cloud import vertex
from pipeline.cloud.errors import JobError
from pipeline.cloud.remote_training import train_remotely
from pipeline.cloud.training_place import TrainingPlace
from pipeline.training_request import (
    TrainingRequest,
    outcome_told,
    read_outcome,
    read_request,
)
from tests.pipeline.cloud.job_service import JobService
from tpu_configs import slice_text

_PLACE = TrainingPlace(
    project="my-team",
    image="europe-west4-docker.pkg.dev/p/r/tpu:1",
    options=vertex.VertexOptions(region="europe-west4", timeout_hours=5),
    tries=3,
)


class _PreemptedError(TrailrankError):
    exit_status = Status.PREEMPTED


def _fails(path: str, error: Exception) -> None:
    with pytest.raises(type(error)), outcome_told(path):
        raise error


@pytest.fixture
def request_(tmp_path):
    return TrainingRequest(
        spec="{name: mine}",
        preset="bottom: [8]",
        slice=slice_text("v5litepod-8"),
        days=(("day-20220408", str(tmp_path)),),
        graph="graph",
        checkpoints="checkpoints/key",
        seed=3,
        map_encoding=False,
        examples="examples",
        model=str(tmp_path / "model"),
        logs="logs",
    )


@pytest.fixture
def train(request_, tmp_path):
    """Trains where a service with given scripts says; the service."""

    def follow(service, *, place=_PLACE):
        with service.client() as client:
            train_remotely(
                request_,
                place,
                spec_name="mine",
                work=str(tmp_path / "work"),
                client=client,
                poll_s=0.01,
            )
        return service

    return follow


@pytest.fixture
def path(tmp_path):
    """Of the request."""
    return str(tmp_path / "work" / "training.json")


def _leave_model(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()


def test_a_job_on_the_slice_reads_the_request(train, request_, path, tmp_path):
    service = JobService(["PENDING", "RUNNING", "SUCCEEDED"])
    service.on_create = lambda job: _leave_model(tmp_path)
    (job,) = train(service).created
    assert read_request(path) == request_
    (pool,) = job.job_spec.worker_pool_specs
    assert pool.machine_spec.machine_type == "ct5lp-hightpu-8t"
    assert pool.machine_spec.tpu_topology == "2x4"
    assert pool.container_spec.image_uri == _PLACE.image
    assert list(pool.container_spec.args) == [
        *("--request", path, "--accelerator", "tpu"),
        *("--tpu_config", "/tmp/trailrank/slice.yaml", "--tpu", "local"),
    ]
    environment = {e.name: e.value for e in pool.container_spec.env}
    name, _, text = environment["TRAILRANK_FILES"].partition("=")
    assert name == "slice.yaml"
    assert json.loads(base64.b64decode(text))["topology"] == "v5e:2x4"
    assert job.job_spec.scheduling.timeout.seconds == 5 * 3600
    assert job.display_name == "trailrank-mine-v5litepod-8"


def test_it_goes_on_after_two_preemptions(train, path, tmp_path):
    """The first tells so before it ends, the second's machine is taken at once."""
    service = JobService(["RUNNING", "FAILED"], ["FAILED"], ["RUNNING", "SUCCEEDED"])

    def live(job):
        number = len(service.created)
        if number == 1:
            _fails(path, _PreemptedError("Stopped by SIGTERM."))
        if number == 2:
            assert read_outcome(path) is None  # of the first: it is no news
            service.error = status_pb2.Status(code=14, message="machine is gone")
        if number == 3:
            _leave_model(tmp_path)

    service.on_create = live
    assert len(train(service).created) == 3
    first, *others = service.created
    for job in others:
        assert job.job_spec == first.job_spec
    assert service.cancelled == []


def test_preempted_too_often_it_says_that_checkpoints_stay(train, path):
    service = JobService(*[["FAILED"]] * 3)
    service.on_create = lambda job: _fails(path, _PreemptedError("Stopped."))
    with pytest.raises(JobError, match="preempted 3 times.*customJobs/2.*again"):
        train(service)


def test_what_the_training_said_is_what_the_step_says(train, path):
    service = JobService(["RUNNING", "FAILED"])
    service.on_create = lambda job: _fails(path, TrailrankError("Loss is NaN. Mend."))
    with pytest.raises(JobError) as error:
        train(service)
    assert "Trainer: projects/my-team/locations/europe-west4/customJobs/0 failed" in (
        str(error.value)
    )
    assert "Loss is NaN. Mend." in str(error.value)
    assert "europe-west4/training/0?project=my-team" in str(error.value)
    assert len(service.created) == 1


def test_a_job_that_says_nothing_is_told_in_the_services_words(train):
    service = JobService(["FAILED"])
    service.error = status_pb2.Status(code=3, message="image not found")
    with pytest.raises(JobError, match="failed: image not found"):
        train(service)


def test_a_spot_machine_says_nothing_and_another_is_taken(train, tmp_path):
    service = JobService(["FAILED"], ["SUCCEEDED"])
    service.error = status_pb2.Status(code=3, message="was preempted")
    service.on_create = lambda job: len(service.created) == 2 and _leave_model(tmp_path)
    spot = TrainingPlace(
        project="my-team", image="r/i:1", options=_PLACE.options, spot=True
    )
    train(service, place=spot)
    strategy = service.created[0].job_spec.scheduling.strategy
    assert strategy.name == "SPOT"


def test_a_job_cancelled_by_hand_is_not_sent_again(train):
    service = JobService(["RUNNING", "CANCELLED"])
    with pytest.raises(JobError, match="customJobs/0 cancelled"):
        train(service)
    assert len(service.created) == 1


def test_a_step_that_begins_again_follows_its_own_job(train, path, tmp_path):
    """Of another request, whose label differs, it takes none."""
    service = JobService(["SUCCEEDED"], ["RUNNING", "SUCCEEDED"])
    with service.client() as client:
        for request in (f"{path}.other", path):
            job = vertex.build(_PLACE.job(request, "mine", _slice()), _PLACE.options)
            vertex.submit(client, job, "my-team", "europe-west4")
    _leave_model(tmp_path)
    train(service)
    assert len(service.created) == 2
    assert service.created[1].state.name == "JOB_STATE_SUCCEEDED"
    assert service.created[0].state.name == "JOB_STATE_PENDING"  # nobody looked


def _slice():
    from tpu_configs import load_slice

    return load_slice("v5litepod-8")


def test_a_broken_network_is_waited_for(train, tmp_path, caplog):
    away = grpc.StatusCode.UNAVAILABLE
    service = JobService(["RUNNING", away, away, "SUCCEEDED"])
    service.on_create = lambda job: _leave_model(tmp_path)
    train(service)
    assert len(service.created) == 1


def test_what_may_not_be_looked_at_is_told(train):
    service = JobService([grpc.StatusCode.PERMISSION_DENIED])
    with pytest.raises(JobError, match=r"does not tell of .*customJobs/0 \(403"):
        train(service)


def test_a_model_that_is_not_there_is_told(train):
    with pytest.raises(JobError, match="left no model at .*model"):
        train(JobService(["SUCCEEDED"]))


def test_a_step_that_is_stopped_cancels_its_job(train):
    service = JobService(["RUNNING"] * 10_000)
    timer = threading.Timer(0.3, _stop)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train(service)
    assert service.cancelled == [service.created[0].name.replace("//", "/")]


def _stop() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


def test_a_place_is_read_back(tmp_path):
    assert TrainingPlace.from_json(_PLACE.to_json()) == _PLACE

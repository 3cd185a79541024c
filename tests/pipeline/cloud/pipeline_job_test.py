"""A pipeline job is built of Google's own messages, and is never there twice."""

import signal

import grpc
import pytest
from google.cloud import aiplatform_v1
from google.protobuf import json_format

from feature_specs.build import Problems
from feature_specs.errors import Status
from pipeline.cloud import pipeline_job, service
from pipeline.cloud.compiled import read_compiled
from pipeline.cloud.errors import JobError, LeftRunningError, UnansweredError
from pipeline.cloud.pipeline_job import PipelineOptions
from pipeline.cloud.service import Patience, VertexPlace
from tests.pipeline.cloud.vertex_service import compiled_json, write_compiled

_QUICK = Patience(tries=3, pause_s=0.0)
_PLACE = VertexPlace(project="my-team", region="europe-west4")


@pytest.fixture
def compiled(tmp_path):
    return read_compiled(write_compiled(tmp_path / "p.json"))


@pytest.fixture
def submit(vertex_service):
    """Sends a compiled pipeline as job-1."""
    client = service.pipelines(vertex_service.place)

    def send(compiled, told=None):
        options, place = PipelineOptions(), vertex_service.place
        request = pipeline_job.build(compiled, options, place, "job-1")
        tell = (told if told is not None else []).append
        return pipeline_job.submit(client, request, tell=tell, patience=_QUICK)

    return send


def test_the_request_has_the_compiled_pipeline_as_it_is(compiled):
    options = PipelineOptions(
        service_account="p@my-team.iam.gserviceaccount.com",
        network="projects/7/global/networks/vpc",
        labels={"team": "feed"},
    )
    request = pipeline_job.build(compiled, options, _PLACE, "job-1")
    assert request.parent == "projects/my-team/locations/europe-west4"
    assert request.pipeline_job_id == "job-1"
    job = json_format.MessageToDict(aiplatform_v1.PipelineJob.pb(request.pipeline_job))
    digest = job["labels"].pop("trailrank-pipeline")
    assert job == {
        "displayName": "trailrank-kuairand",
        "labels": {"tfx_runner": "kubeflow_v2", "app": "trailrank", "team": "feed"},
        "pipelineSpec": compiled_json()["pipelineSpec"],
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://b/run/artifacts",
            "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_FAST",
        },
        "serviceAccount": "p@my-team.iam.gserviceaccount.com",
        "network": "projects/7/global/networks/vpc",
    }
    assert digest == compiled.digest
    assert len(digest) <= 63  # what a label may have


def test_without_the_cache_no_step_takes_an_earlier_result(compiled):
    request = pipeline_job.build(compiled, PipelineOptions(caching=False), _PLACE)
    tasks = request.pipeline_job.pipeline_spec["root"]["dag"]["tasks"]
    assert {tasks[t]["cachingOptions"]["enableCache"] for t in tasks} == {False}
    assert compiled.content == compiled_json()


def test_the_job_arrives_as_it_was_built(compiled, submit, vertex_service):
    sent = submit(compiled)
    name = "projects/my-team/locations/europe-west4/pipelineJobs/job-1"
    assert (sent.name, sent.is_new) == (name, True)
    (request,) = vertex_service.asked("CreatePipelineJob")
    assert request == pipeline_job.build(
        compiled, PipelineOptions(), vertex_service.place, "job-1"
    )


def test_sent_again_it_is_found_and_not_made_again(compiled, submit, vertex_service):
    assert submit(compiled).is_new
    again = submit(compiled)
    assert not again.is_new
    assert list(vertex_service.jobs) == [again.name]


def test_another_compilation_of_the_same_is_the_same(
    compiled, submit, vertex_service, tmp_path
):
    submit(compiled)
    content = compiled_json()
    inputs = content["pipelineSpec"]["root"]["dag"]["tasks"]["DayExampleGen"]["inputs"]
    value = inputs["parameters"]["fingerprint"]["runtimeValue"]["constantValue"]
    value["stringValue"] = "8"
    assert not submit(
        read_compiled(write_compiled(tmp_path / "q.json", content))
    ).is_new


def test_another_pipeline_under_the_same_id_is_refused(compiled, submit, tmp_path):
    submit(compiled)
    content = compiled_json()
    trainer = content["pipelineSpec"]["deploymentSpec"]["executors"]["Trainer_executor"]
    trainer["container"]["image"] += "0"
    with pytest.raises(JobError, match="--job_id job-1: is a job of another pipeline"):
        submit(read_compiled(write_compiled(tmp_path / "q.json", content)))


def test_an_answer_that_was_lost_makes_no_second_job(compiled, submit, vertex_service):
    lost = ("after", grpc.StatusCode.UNAVAILABLE, "connection reset")
    vertex_service.troubles = [lost]
    told = []
    assert submit(compiled, told=told).name in vertex_service.jobs
    assert len(vertex_service.jobs) == 1
    assert told == [
        "Vertex AI, sending job-1: no answer (503 connection reset). Again in 0 s, "
        "try 2 of 3."
    ]


def test_a_network_that_stays_down_says_how_to_go_on(compiled, submit, vertex_service):
    slow = ("before", grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
    vertex_service.troubles = [slow] * 3
    with pytest.raises(UnansweredError, match="with --job_id job-1, and it is never"):
        submit(compiled)
    assert vertex_service.jobs == {}


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("PERMISSION_DENIED", "403 no. You need the role Vertex AI User"),
        ("NOT_FOUND", "404 no. Look at --project"),
        ("INVALID_ARGUMENT", "400 no. The service does not take the request"),
        ("RESOURCE_EXHAUSTED", "429 no. A quota is used up"),
        ("UNAUTHENTICATED", "401 no. Run `gcloud auth application-default login`"),
    ],
)
def test_a_refusal_is_one_message_and_not_asked_again(
    compiled, submit, vertex_service, code, advice
):
    vertex_service.troubles = [("before", grpc.StatusCode[code], "no.")]
    told = []
    with pytest.raises(JobError) as refused:
        submit(compiled, told=told)
    assert str(refused.value).startswith(f"Vertex AI, sending job-1: {advice}")
    assert told == []


def test_credentials_that_ran_out_are_no_broken_network(
    compiled, submit, vertex_service
):
    words = "Getting metadata from plugin failed with error: Reauthentication is needed"
    vertex_service.troubles = [("before", grpc.StatusCode.UNAVAILABLE, words)]
    told = []
    with pytest.raises(JobError, match="gcloud auth application-default login"):
        submit(compiled, told=told)
    assert told == []


def test_nobody_there_is_a_broken_network(compiled, vertex_service):
    vertex_service.stop()
    client = service.pipelines(vertex_service.place)
    quick = Patience(tries=2, pause_s=0.0, timeout_s=0.5)
    told = []
    with pytest.raises(UnansweredError, match="no answer after 2 tries"):
        pipeline_job.get(client, "x/job-1", tell=told.append, patience=quick)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (PipelineOptions(service_account="me"), "--service_account: must be an addr"),
        (PipelineOptions(network="vpc"), "--network: must be a full name"),
    ],
)
def test_options_are_checked_before_anything_is_sent(options, told):
    problems = Problems()
    options.check(problems)
    assert [told in problem for problem in problems.found] == [True]


@pytest.mark.parametrize("job_id", ["Job", "1st", "a_b", "a" * 128])
def test_ids_that_vertex_does_not_take(job_id):
    problems = Problems()
    pipeline_job.check_job_id(job_id, problems)
    assert len(problems.found) == 1


def test_ids_made_here_are_taken(compiled):
    problems = Problems()
    pipeline_job.check_job_id(pipeline_job.new_job_id(compiled), problems)
    assert problems.found == []


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, Status.STOPPED), (signal.SIGTERM, Status.PREEMPTED)],
)
def test_who_stops_to_follow_leaves_the_job_running(number, status):
    name = f"{_PLACE.parent}/pipelineJobs/job-1"
    with (
        pytest.raises(LeftRunningError, match="which goes on") as left,
        pipeline_job.leaving_it_running(_PLACE, name),
    ):
        raise KeyboardInterrupt(number)  # as trailrank.stopping does
    assert left.value.exit_status == status
    flags = "--project my-team --region europe-west4"
    assert f"trailrank pipeline follow job-1 {flags}" in str(left.value)
    assert f"trailrank pipeline cancel job-1 {flags}" in str(left.value)

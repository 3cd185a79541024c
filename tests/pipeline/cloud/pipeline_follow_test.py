"""A job is followed to its end: the events of its steps, and what became of it."""

import grpc
import pytest
from google.cloud.aiplatform_v1 import PipelineServiceClient

from feature_specs.errors import Status
from pipeline.cloud import pipeline_job, service
from pipeline.cloud.compiled import read_compiled
from pipeline.cloud.errors import JobCancelledError, JobError, UnansweredError
from pipeline.cloud.pipeline_follow import Outcome, follow, outcome
from pipeline.cloud.service import Patience
from pipeline.step_events import StepEvent, StepFailedError
from tests.pipeline.cloud.vertex_service import SECONDS, VERSION, Look, write_compiled

_QUICK = Patience(tries=3, pause_s=0.0)
_DONE = dict.fromkeys(SECONDS, "SUCCEEDED")


@pytest.fixture
def sent(vertex_service, tmp_path):
    """A client, and the name of a job that was sent."""
    client = service.pipelines(vertex_service.place)
    assert type(client) is PipelineServiceClient
    compiled = read_compiled(write_compiled(tmp_path / "p.json"))
    options = pipeline_job.PipelineOptions()
    request = pipeline_job.build(compiled, options, vertex_service.place, "job-1")
    return client, pipeline_job.submit(client, request, tell=pytest.fail).name


def _follow(sent, events=None, told=None):
    client, name = sent
    return follow(
        client,
        name,
        (events if events is not None else []).append,
        tell=(told if told is not None else []).append,
        poll_s=0.0,
        patience=_QUICK,
    )


def test_events_are_those_of_a_run_here(sent):
    events = []
    job = _follow(sent, events)
    assert events == [
        StepEvent("DayExampleGen", "running"),
        StepEvent("DayExampleGen", "done", 62.5),
        StepEvent("Trainer", "running"),
        StepEvent("Trainer", "done", 139.25),
        StepEvent("Evaluator", "running"),
        StepEvent("Evaluator", "done", 17.0),
        StepEvent("Pusher", "running"),
        StepEvent("Pusher", "done", 4.0),
    ]
    assert outcome(job) == Outcome(True, VERSION)


def test_a_skipped_step_is_a_cached_one(sent, vertex_service):
    steps = {**_DONE, "DayExampleGen": "SKIPPED"}
    vertex_service.looks = [Look("SUCCEEDED", steps, pushed=1)]
    events = []
    _follow(sent, events)
    assert StepEvent("DayExampleGen", "cached", 62.5) in events


def test_a_failed_step_is_named_with_words_and_log(sent, vertex_service):
    steps = {"DayExampleGen": "SUCCEEDED", "Trainer": "FAILED"}
    said = "Job failed with code 9: exited with a non-zero status of 1"
    errors = {"Trainer": said, "": "The DAG failed. The failed tasks are: [Trainer]."}
    vertex_service.looks = [Look("FAILED", steps, errors)]
    events = []
    with pytest.raises(StepFailedError) as failed:
        _follow(sent, events)
    assert str(failed.value).splitlines() == [
        f"Trainer failed: {said}",
        "Its log: https://console.cloud.google.com/logs/query;query=resource.type%3D"
        "%22ml_job%22%0Aresource.labels.job_id%3D%22300%22?project=my-team",
        "Its log: gcloud ai custom-jobs stream-logs 300 --region=europe-west4 "
        "--project=my-team",
        "The run: https://console.cloud.google.com/vertex-ai/locations/europe-west4/"
        "pipelines/runs/job-1?project=my-team",
    ]
    assert failed.value.exit_status == Status.FAILED
    assert events[-1] == StepEvent("Trainer", "failed", 139.25)


def test_a_step_that_exits_as_a_gate_does_gives_its_status(sent, vertex_service):
    said = "The replica workerpool0-0 exited with a non-zero status of 3."
    errors = {"DayExampleGen": said}
    vertex_service.looks = [Look("FAILED", {"DayExampleGen": "FAILED"}, errors)]
    with pytest.raises(StepFailedError) as failed:
        _follow(sent)
    assert failed.value.exit_status == Status.REFUSED


def test_the_first_of_two_failures_is_named_first(sent, vertex_service):
    steps = {"Pusher": "FAILED", "Trainer": "FAILED"}
    vertex_service.looks = [Look("FAILED", steps, {"Trainer": "no", "Pusher": "none"})]
    with pytest.raises(
        StepFailedError, match="^Trainer failed: no\nPusher failed as well."
    ):
        _follow(sent)


def test_a_job_may_fail_before_its_first_step(sent, vertex_service):
    errors = {"": "Service account x lacks storage.objects.get"}
    vertex_service.looks = [Look("FAILED", {}, errors)]
    with pytest.raises(StepFailedError, match="before a step did: Service account x"):
        _follow(sent)


def test_a_refused_model_is_told_by_its_gate(sent, vertex_service):
    vertex_service.looks = [Look("SUCCEEDED", _DONE, pushed=0)]
    assert outcome(_follow(sent)) == Outcome(False, refused_by=("Evaluator",))


def test_without_a_pushers_word_nothing_is_claimed(sent, vertex_service):
    vertex_service.looks = [Look("SUCCEEDED", _DONE)]
    assert outcome(_follow(sent)) == Outcome(None)


def test_a_job_that_somebody_cancels_is_told(sent, vertex_service):
    running = {"DayExampleGen": "SUCCEEDED", "Trainer": "RUNNING"}
    vertex_service.looks = [Look("RUNNING", running)]
    client, name = sent
    told = []

    def on_step(event):
        if event == StepEvent("Trainer", "running"):  # somebody else, at that moment
            state = pipeline_job.cancel(client, name, tell=pytest.fail)
            assert state == "RUNNING"

    with pytest.raises(JobCancelledError, match="^job-1 was cancelled during Trainer"):
        follow(client, name, on_step, tell=told.append, poll_s=0.0, patience=_QUICK)
    with pytest.raises(JobError, match=r"job-1: has ended already \(CANCELLED\)"):
        pipeline_job.cancel(client, name, tell=pytest.fail)


def test_a_job_that_waits_is_told_once(sent, vertex_service):
    vertex_service.looks = [Look("QUEUED", {}), Look("QUEUED", {})]
    vertex_service.looks += [Look("SUCCEEDED", _DONE, pushed=1)]
    told = []
    _follow(sent, told=told)
    assert told == ["job-1 waits until the project may run another pipeline."]


def test_lost_machines_are_told_and_the_step_goes_on(sent, vertex_service):
    running = {"Trainer": "RUNNING"}
    vertex_service.looks = [
        Look("RUNNING", running),
        Look("RUNNING", running, lost=1),
        Look("RUNNING", running, lost=1),
        Look("RUNNING", running, lost=2),
        Look("SUCCEEDED", _DONE, pushed=1, lost=2),
    ]
    events, told = [], []
    assert outcome(_follow(sent, events, told)).pushed
    assert told == [
        "Trainer: its machine was lost or failed; try 2.",
        "Trainer: its machine was lost or failed; try 3.",
    ]
    assert [e.state for e in events if e.step == "Trainer"] == ["running", "done"]


def test_a_broken_network_is_told_and_asked_again(sent, vertex_service):
    down = ("before", grpc.StatusCode.UNAVAILABLE, "connection reset")
    vertex_service.troubles = [down, down]
    told = []
    assert outcome(_follow(sent, told=told)).pushed
    assert told == [
        "Vertex AI, asking for job-1: no answer (503 connection reset). Again in 0 s, "
        f"try {again} of 3."
        for again in (2, 3)
    ]


def test_a_network_that_stays_down_ends_the_following_only(sent, vertex_service):
    down = ("before", grpc.StatusCode.UNAVAILABLE, "connection reset")
    vertex_service.troubles = [down] * 3
    with pytest.raises(UnansweredError, match="job-1: no answer after 3 tries"):
        _follow(sent)
    assert vertex_service.asked("CancelPipelineJob") == []
    assert outcome(_follow(sent)).pushed  # the job went on


def test_an_unknown_job_is_one_message(sent):
    client, name = sent
    with pytest.raises(JobError, match=r"404 .*job-2 is not found. Look at --project"):
        _follow((client, name.replace("job-1", "job-2")))

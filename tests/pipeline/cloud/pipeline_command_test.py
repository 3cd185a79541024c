"""`trailrank pipeline submit|follow|cancel|schedule` against services on this machine."""

import os
import signal

import pytest

from tests.pipeline.cloud.vertex_service import (
    IMAGE,
    SECONDS,
    VERSION,
    Look,
    VertexService,
    write_compiled,
)
from trailrank import cli

_DONE = dict.fromkeys(SECONDS, "SUCCEEDED")


@pytest.fixture
def call(vertex_service, capsys):
    """A command's exit status, what it printed, and what it told of errors."""
    place = vertex_service.place

    def command(*words):
        status = cli.main(["trailrank", "pipeline", *words, *place.flags.split()])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


@pytest.fixture
def pipeline(tmp_path):
    return str(write_compiled(tmp_path / "p.json"))


@pytest.fixture
def submit(call, pipeline):
    return lambda *words: call(
        "submit", pipeline, "--job_id", "job-1", "--poll_s", "0", *words
    )


def test_a_job_is_sent_followed_and_told_as_a_run_here(submit, vertex_service):
    status, said, told = submit("--label", "team=feed")
    assert status == 0
    assert said.splitlines() == [
        "job-1 sent: https://console.cloud.google.com/vertex-ai/locations/europe-west4/"
        "pipelines/runs/job-1?project=my-team",
        "  DayExampleGen          62.5 s  done",
        "  Trainer               139.2 s  done",
        "  Evaluator              17.0 s  done",
        "  Pusher                  4.0 s  done",
        f"Pushed to {VERSION}.",
    ]
    assert told == ""
    (request,) = vertex_service.asked("CreatePipelineJob")
    assert request.pipeline_job.labels["team"] == "feed"


def test_a_model_that_is_not_blessed_ends_with_3(submit, vertex_service):
    vertex_service.looks = [Look("SUCCEEDED", _DONE, pushed=0)]
    status, said, _ = submit()
    assert status == 3
    assert said.endswith("Not pushed: the model is not blessed by Evaluator.\n")


def test_a_failed_step_ends_with_1_and_its_log(submit, vertex_service):
    steps = {"DayExampleGen": "SUCCEEDED", "Trainer": "FAILED"}
    vertex_service.looks = [Look("FAILED", steps, {"Trainer": "out of memory"})]
    status, said, told = submit()
    assert status == 1
    assert said.endswith("  Trainer               139.2 s  failed\n")
    assert told.startswith(
        "trailrank: Trainer failed: out of memory\nIts log: https://"
    )


def test_a_job_that_was_cancelled_ends_with_1(submit, call, vertex_service):
    vertex_service.looks = [Look("RUNNING", {"Trainer": "RUNNING"})]
    assert submit("--detach")[0] == 0
    status, said, _ = call("cancel", "job-1")
    assert (status, said[:36]) == (0, "job-1 (running) is being cancelled. ")
    status, _, told = call("follow", "job-1")
    assert status == 1
    assert told.startswith("trailrank: job-1 was cancelled")


def test_detached_it_is_sent_and_followed_later(submit, call, vertex_service):
    status, said, _ = submit("--detach")
    assert status == 0
    assert vertex_service.asked("GetPipelineJob") == []
    (follow,) = (line for line in said.splitlines() if line.startswith("Follow it:"))
    words = follow.split("trailrank pipeline ")[1].split()
    assert cli.main(["trailrank", "pipeline", *words, "--poll_s", "0"]) == 0


def test_the_same_command_again_follows_the_same_job(submit, vertex_service):
    assert submit("--detach")[0] == 0
    status, said, _ = submit()
    assert (status, said[:23]) == (0, "job-1 is there already:")
    assert len(vertex_service.jobs) == 1


def test_a_dry_run_tells_all_and_sends_nothing(submit, vertex_service):
    status, said, _ = submit("--dry_run", "--service_account", "p@my-team.test")
    assert status == 0
    assert vertex_service.requests == []
    lines = [line.split() for line in said.splitlines()]
    assert ["Trainer", "16", "CPUs,", "64", "GB"] in lines
    assert ["Image:", IMAGE] in lines
    assert ["Runs", "as:", "p@my-team.test"] in lines
    assert ["Artifacts:", "gs://b/run/artifacts"] in lines


class _Interrupting(VertexService):
    """Somebody presses Ctrl-C while a job is asked for."""

    def GetPipelineJob(self, request, context):
        os.kill(os.getpid(), signal.SIGINT)
        return super().GetPipelineJob(request, context)


def test_after_ctrl_c_the_job_goes_on(pipeline, capsys):
    service = _Interrupting()
    service.looks = [Look("RUNNING", {"Trainer": "RUNNING"})]
    words = ["submit", pipeline, "--job_id", "job-1", *service.place.flags.split()]
    try:
        status = cli.main(["trailrank", "pipeline", *words])
    finally:
        service.stop()
    told = capsys.readouterr().err
    assert status == 130
    flags = service.place.flags
    assert told.startswith("trailrank: no longer following job-1, which goes on.\n")
    assert f"End it:     trailrank pipeline cancel job-1 {flags}\n" in told
    assert service.asked("CancelPipelineJob") == []


def test_a_schedule_is_made_listed_paused_resumed_and_deleted(
    call, pipeline, vertex_service
):
    made = call("schedule", "--cron", "0 5 * * *", "--pipeline", pipeline)
    assert made[:2] == (
        0,
        "Schedule 1 (trailrank-kuairand): 0 5 * * *. Each run makes the days that the "
        "pipeline was compiled with.\n",
    )
    (made,) = vertex_service.schedules.values()
    spec = made.create_pipeline_job_request.pipeline_job.pipeline_spec
    caching = [task["cachingOptions"] for task in spec["root"]["dag"]["tasks"].values()]
    assert caching == [{"enableCache": False}] * len(SECONDS)
    _, said, _ = call("schedule", "--list")
    row = ["1", "trailrank-kuairand", "0", "5", "*", "*", "*", "ACTIVE", "0"]
    assert said.splitlines()[1].split()[:9] == row
    for word, state in (("pause", "PAUSED"), ("resume", "ACTIVE")):
        assert call("schedule", f"--{word}", "1")[1] == f"Schedule 1: {word}d.\n"
        assert [s.state.name for s in vertex_service.schedules.values()] == [state]
    assert call("schedule", "--delete", "1")[1] == "Schedule 1: deleted.\n"
    assert call("schedule", "--list")[1] == "No schedules.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--cron 0.5 --pipeline p.json", "--cron: must have five fields"),
        ("--cron 0_5_*_*_*", "--pipeline: is required with --cron"),
        ("--list --name n", "--name: goes with --cron; leave it out."),
        ("--cron 0_5_*_*_* --timezone Mars", "--timezone Mars: must be a name"),
    ],
)
def test_a_schedule_is_checked_before_anything_is_sent(
    call, vertex_service, words, told
):
    status, _, said = call("schedule", *(w.replace("_", " ") for w in words.split()))
    assert status == 2
    assert told in said
    assert vertex_service.requests == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--project X --region europe-west4", "--project: must be a project id"),
        ("--project my-team --region europe-west4-b", "take europe-west4. Got"),
        ("--region europe-west4", "--project: is required"),
        ("--project my-team --region europe-west4 --label A=1", "--label: may hold"),
        ("--project my-team --region europe-west4 --job_id A", "--job_id: must be a-z"),
    ],
)
def test_mistakes_in_flags_are_told_at_once(pipeline, capsys, words, told):
    assert cli.main(["trailrank", "pipeline", "submit", pipeline, *words.split()]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


_PINNED = f"{IMAGE}@sha256:{'0f' * 32}"
_RUN = "run --spec kuairand --logs {logs} --root {root} --days 20220408:20220410"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("--detach --image r/i:1", 2, "--image, --detach: is for --runner vertex."),
        (
            "--runner vertex --replace 20220409 --missing_day 20220409",
            2,
            "--replace, --missing_day: is for --runner local",
        ),
        ("--runner vertex", 2, "--project: is required"),
        ("--spot", 2, "--spot: is for --runner vertex."),
    ],
)
def test_flags_of_the_other_runner_are_refused(capsys, words, status, told):
    run = _RUN.format(logs="gs://b/logs", root="gs://b/run").split()
    assert cli.main(["trailrank", "pipeline", *run, *words.split()]) == status
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("logs", "root", "image", "told"),
    [
        ("logs", "gs://b/run", _PINNED, "--logs: must lie in a bucket"),
        ("gs://b/logs", "run", _PINNED, "--root: must lie in a bucket"),
        ("gs://b/logs", "gs://b/run", "IMAGE", "--image: must be pinned"),
    ],
)
def test_what_vertex_cannot_reach_is_told_before_compiling(
    capsys, logs, root, image, told
):
    words = [*_RUN.format(logs=logs, root=root).split(), "--image", image]
    words += ["--beam", "local"]
    words += ["--runner", "vertex", "--project", "my-team", "--region", "europe-west4"]
    assert cli.main(["trailrank", "pipeline", *words]) == 1
    assert told in capsys.readouterr().err

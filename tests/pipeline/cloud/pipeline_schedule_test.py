"""Schedules: made once, listed whole, paused, resumed, deleted."""

import grpc
import pytest

from pipeline.cloud import pipeline_job, service
from pipeline.cloud.compiled import read_compiled
from pipeline.cloud.errors import JobError
from pipeline.cloud.pipeline_job import PipelineOptions
from pipeline.cloud.pipeline_schedule import Scheduled, Schedules
from pipeline.cloud.service import Patience
from tests.pipeline.cloud.vertex_service import write_compiled


@pytest.fixture
def told():
    return []


@pytest.fixture
def schedules(vertex_service, told):
    place = vertex_service.place
    quick = Patience(tries=3, pause_s=0.0)
    return Schedules(service.schedules(place), place, told.append, quick)


@pytest.fixture
def request_(vertex_service, tmp_path):
    """What a schedule sends each time."""
    compiled = read_compiled(write_compiled(tmp_path / "p.json"))
    return pipeline_job.build(compiled, PipelineOptions(), vertex_service.place)


def test_a_schedule_sends_one_pipeline_at_a_time(schedules, request_, vertex_service):
    made = schedules.create("nightly", "TZ=Europe/Berlin 0 5 * * *", request_)
    assert made == Scheduled(
        id="1",
        name="nightly",
        cron="TZ=Europe/Berlin 0 5 * * *",
        state="ACTIVE",
        runs=0,
        next_run="2026-01-02T03:04+00:00",
        last_job="",
    )
    (asked,) = vertex_service.asked("CreateSchedule")
    assert asked.parent == "projects/my-team/locations/europe-west4"
    assert asked.schedule.create_pipeline_job_request == request_
    assert request_.pipeline_job_id == ""  # each job gets one of its own
    assert asked.schedule.max_concurrent_run_count == 1
    assert asked.schedule.max_concurrent_active_run_count == 1
    assert not asked.schedule.allow_queueing


def test_all_pages_are_listed(schedules, request_):
    for name in ("c", "a", "b"):
        schedules.create(name, "0 5 * * *", request_)
    assert [(one.name, one.id) for one in schedules.known()] == [
        ("a", "2"),
        ("b", "3"),
        ("c", "1"),
    ]


def test_paused_resumed_deleted(schedules, request_):
    schedules.create("nightly", "0 5 * * *", request_)
    schedules.pause("1")
    (paused,) = schedules.known()
    assert (paused.state, paused.next_run) == ("PAUSED", "")
    schedules.resume("1")
    assert schedules.known()[0].state == "ACTIVE"
    schedules.delete("1")
    assert schedules.known() == []


def test_an_unknown_schedule_is_one_message(schedules):
    with pytest.raises(JobError, match="pausing schedule 9: 404 .* Look at --project"):
        schedules.pause("9")


def test_a_name_is_one_schedules_alone(schedules, request_, vertex_service):
    schedules.create("nightly", "0 5 * * *", request_)
    with pytest.raises(JobError, match="--name nightly: is the name of schedule 1"):
        schedules.create("nightly", "0 6 * * *", request_)
    assert len(vertex_service.schedules) == 1


def test_a_lost_answer_makes_no_second_schedule(
    schedules, request_, vertex_service, told
):
    lost = ("after", grpc.StatusCode.UNAVAILABLE, "reset")
    vertex_service.troubles = [None, None, lost]  # two lists, then the making
    assert schedules.create("nightly", "0 5 * * *", request_).id == "1"
    assert len(vertex_service.schedules) == 1
    assert len(told) == 1

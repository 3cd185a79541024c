"""Follows a pipeline job of Vertex AI: the same events as a run on this machine gives.

    job = follow(client, name, lines)  # StepEvents as steps begin and end
    outcome(job).pushed

The service is asked every few seconds; how long a step took is the service's own time.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from feature_specs.errors import Status
from pipeline.cloud.errors import JobCancelledError
from pipeline.cloud.pipeline_job import console_url, get
from pipeline.cloud.service import Patience, Tell
from pipeline.step_events import OnStep, StepEvent, StepFailedError

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PipelineServiceClient
    from google.cloud.aiplatform_v1.types import PipelineJob, PipelineTaskDetail

POLL_S = 15.0
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_WAITING = {
    "QUEUED": "waits until the project may run another pipeline",
    "PAUSED": "is paused",
    "CANCELLING": "is being cancelled",
}
_STATES: dict[str, Literal["running", "done", "cached", "failed"]] = {
    "RUNNING": "running",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "cached",  # "skipped due to cache hit", PipelineTaskDetail.State
    "FAILED": "failed",
}
_EXITED = re.compile(r"non-zero status of (\d+)")  # the service's words for it


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a job that succeeded has left.

    Attributes:
        pushed: Whether its model is a new version; None if the service does not tell.
        path: Of the version, in the bucket; empty if there is none.
        refused_by: Steps that did not bless the model.
    """

    pushed: bool | None
    path: str = ""
    refused_by: tuple[str, ...] = ()


def follow(
    client: PipelineServiceClient,
    name: str,
    on_step: OnStep,
    *,
    tell: Tell,
    poll_s: float = POLL_S,
    patience: Patience | None = None,
) -> PipelineJob:
    """Waits until a job has ended.

    Args:
        client: Of the job's region.
        name: The job's resource name.
        on_step: Is called as each step begins and ends.
        tell: Is told what is no step's: that the job waits, that nobody answers, that a
            step is tried again.
        poll_s: Between two questions.
        patience: With a network that is down.

    Returns:
        The job, which succeeded.

    Raises:
        StepFailedError: A step failed, or the job before its first one; says which,
            the service's words, and where the log lies.
        JobCancelledError: Somebody cancelled it.
        UnansweredError: Nobody answers; the job goes on.
        JobError: The service refuses, or has no such job.
    """
    steps, told = _Steps(on_step, tell), ""
    while True:
        job = get(client, name, tell=tell, patience=patience)
        steps.look(job)
        state = _job_state(job)
        if state in _ENDED:
            break
        if state in _WAITING and state != told:
            tell(f"{name.rpartition('/')[2]} {_WAITING[state]}.")
        told = state
        time.sleep(poll_s)
    if state == "FAILED":
        raise _failure(job)
    if state == "CANCELLED":
        raise _cancelled(job)
    return job


def outcome(job: PipelineJob) -> Outcome:
    """What became of the model of a job that succeeded.

    By the properties that Pusher, Evaluator and InfraValidator give their artifacts.
    """
    pushed: dict[str, Any] = {}
    refused = []
    for task in _tasks(job):
        for artifact in _artifacts(task):
            if "pushed" in artifact:
                pushed = artifact
            if artifact.get("blessed") == 0:
                refused.append(task.task_name)
    if not pushed:
        return Outcome(None)
    if not pushed["pushed"]:
        return Outcome(False, refused_by=tuple(sorted(refused)))
    return Outcome(True, str(pushed.get("pushed_destination", "")))


class _Steps:
    """What has been said of each step."""

    def __init__(self, on_step: OnStep, tell: Tell):
        self._on_step, self._tell = on_step, tell
        self._said: dict[str, str] = {}
        self._tries: dict[str, int] = {}

    def look(self, job: PipelineJob) -> None:
        """Says what is new, in the order in which it happened."""
        for task in sorted(_tasks(job), key=_moment):
            self._look_at(task)

    def _look_at(self, task: PipelineTaskDetail) -> None:
        step, state = task.task_name, _STATES.get(task.state.name)
        again = _failed_tries(task)
        if again > self._tries.get(step, 0) and state == "running":
            self._tell(f"{step}: its machine was lost or failed; try {again + 1}.")
        self._tries[step] = again
        said = self._said.get(step)
        if state is None or state == said:
            return
        if said is None and state != "running":  # it was short, or before we came
            self._on_step(StepEvent(step, "running"))
        self._said[step] = state
        seconds = 0.0 if state == "running" else _seconds(task)
        self._on_step(StepEvent(step, state, seconds))


def _tasks(job: PipelineJob) -> Iterator[PipelineTaskDetail]:
    """Of the steps; the service tells of the whole pipeline as one task more."""
    names = job.pipeline_spec["root"]["dag"]["tasks"]
    return (task for task in job.job_detail.task_details if task.task_name in names)


def _artifacts(task: PipelineTaskDetail) -> Iterator[dict[str, Any]]:
    """The properties of each artifact that a step has made."""
    for found in task.outputs.values():
        for artifact in found.artifacts:
            yield dict(artifact.metadata or {})


def _failed_tries(task: PipelineTaskDetail) -> int:
    detail = task.executor_detail
    return max(
        len(detail.container_detail.failed_main_jobs),
        len(detail.custom_job_detail.failed_jobs),
    )


def _moment(task: PipelineTaskDetail) -> float:
    """When the last thing happened to a step, in seconds of the Unix epoch."""
    moment = task.end_time or task.start_time or task.create_time
    return float(moment.timestamp()) if moment else 0.0


def _seconds(task: PipelineTaskDetail) -> float:
    """From its begin to its end."""
    if not task.start_time:
        return 0.0
    end = task.end_time or datetime.datetime.now(datetime.timezone.utc)
    return max(0.0, float((end - task.start_time).total_seconds()))


def _job_state(job: PipelineJob) -> str:
    return job.state.name.removeprefix("PIPELINE_STATE_")


# --- bad ends -------------------------------------------------------------------------


def _failure(job: PipelineJob) -> StepFailedError:
    failed = [task for task in _tasks(job) if task.state.name == "FAILED"]
    if not failed:
        why = job.error.message or "Vertex AI does not say why"
        return StepFailedError(
            f"the pipeline failed before a step did: {why}\n{_run_line(job)}"
        )
    first = min(failed, key=_moment)
    others = sorted(task.task_name for task in failed if task is not first)
    why = first.error.message or job.error.message or "Vertex AI does not say why"
    lines = [f"{first.task_name} failed: {why}"]
    lines += [f"{other} failed as well." for other in others]
    lines += [f"Its log: {where}" for where in _logs(first, job)]
    lines.append(_run_line(job))
    exited = _EXITED.search(why)
    refused = exited is not None and int(exited[1]) == Status.REFUSED
    return StepFailedError(
        "\n".join(lines), Status.REFUSED if refused else Status.FAILED
    )


def _cancelled(job: PipelineJob) -> JobCancelledError:
    steps = sorted(t.task_name for t in _tasks(job) if t.state.name == "CANCELLED")
    during = f" during {', '.join(steps)}" if steps else ""
    why = f" ({job.error.message})" if job.error.message else ""
    return JobCancelledError(
        f"{job.name.rpartition('/')[2]} was cancelled{during}{why}; nothing was "
        f"pushed.\n{_run_line(job)}"
    )


def _run_line(job: PipelineJob) -> str:
    return f"The run: {console_url(job.name)}"


def _logs(task: PipelineTaskDetail, job: PipelineJob) -> Iterator[str]:
    """Where the log of a step lies: a page, and a command that shows it."""
    detail = task.executor_detail
    custom_job = detail.container_detail.main_job or detail.custom_job_detail.job
    if not custom_job:
        return
    _, project, _, region, *_ = job.name.split("/")
    number = custom_job.rpartition("/")[2]
    query = f'resource.type="ml_job"\nresource.labels.job_id="{number}"'
    yield (
        "https://console.cloud.google.com/logs/query;query="
        f"{urllib.parse.quote(query, safe='')}?project={project}"
    )
    yield (
        f"gcloud ai custom-jobs stream-logs {number} --region={region} "
        f"--project={project}"
    )

"""The training of a pipeline's step on machines of its own: a Vertex AI custom job.

The step's container writes a request beside the model run, sends the job (`vertex`, as
`trailrank job submit` does), follows it, and sends another one after a preemption: the
same request goes on from its checkpoint. A step that Vertex starts again finds the job
that it has sent. A step that is stopped takes its job with it, whose machines cost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from absl import logging

from feature_specs.errors import Status
from pipeline.cloud import vertex
from pipeline.cloud.errors import JobError
from pipeline.cloud.job import Job
from pipeline.cloud.training_place import LABEL, TrainingPlace
from pipeline.training_request import (
    TrainingRequest,
    forget_outcome,
    read_outcome,
    write_request,
)
from tpu_configs import read_slice

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import JobServiceClient
    from google.cloud.aiplatform_v1.types import CustomJob

REQUEST = "training.json"
_POLL_S = 30.0
_CALL_S = 60.0  # a call to Vertex AI
_LONGEST_PAUSE_S = 1_800.0  # between two jobs
_PATIENCE_S = 1_800.0  # with a network that is down
_NO_MACHINE = (8, 10, 14)  # gRPC: resources exhausted, aborted, unavailable
_ENDED_BADLY = {
    "JOB_STATE_FAILED",
    "JOB_STATE_EXPIRED",
    "JOB_STATE_PARTIALLY_SUCCEEDED",
}


def train_remotely(
    request: TrainingRequest,
    place: TrainingPlace,
    *,
    spec_name: str,
    work: str,
    client: JobServiceClient | None = None,
    poll_s: float = _POLL_S,
) -> None:
    """Trains on other machines, and returns when the model is there.

    Args:
        request: What is trained.
        place: On whose machines.
        spec_name: Of the spec, for lists of jobs.
        work: Directory in a bucket that takes the request.
        client: Of Vertex AI; by default of the place's region.
        poll_s: Seconds between two looks at a job.

    Raises:
        JobError: The training failed, or was cancelled, or was preempted too often.
    """
    path = os.path.join(work, REQUEST)
    write_request(request, path)
    slice = read_slice(request.slice)
    client = client or vertex.create_client(place.options.region)
    jobs = _Jobs(client, place.job(path, spec_name, slice), place, poll_s)
    for number in range(1, place.tries + 1):
        if jobs.run(path):
            _check_model(request.model, jobs.told)
            return
        logging.warning("%s was preempted (%d); the next goes on.", jobs.told, number)
        time.sleep(min(poll_s * 2**number, _LONGEST_PAUSE_S))  # machines are scarce
    raise JobError(
        f"Trainer: preempted {place.tries} times, the last was {jobs.told}. Its "
        "checkpoints stay: run the pipeline again, later or without --spot."
    )


class _Jobs:
    """The custom jobs of one training, one after the other."""

    def __init__(
        self,
        client: JobServiceClient,
        job: Job,
        place: TrainingPlace,
        poll_s: float,
    ):
        self._client, self._job, self._place = client, job, place
        self._poll_s = poll_s
        self._parent = f"projects/{place.project}/locations/{place.options.region}"
        self.told = ""  # the last job's resource name

    def run(self, path: str) -> bool:
        """Whether a job trained to the end; False if its machines were taken away."""
        job = self._unfinished() or self._send(path)
        self.told = job.name
        logging.info("Trainer: %s, its log: %s", job.name, self._log(job.name))
        with _cancelling(lambda: self._cancel(job.name)):
            job = self._followed(job)
        state = job.state.name
        if state == "JOB_STATE_SUCCEEDED":
            return True
        if state in _ENDED_BADLY and self._was_preempted(job, path):
            return False
        raise JobError(self._why(job, path))

    def _unfinished(self) -> CustomJob | None:
        """The job that an earlier try of this step has sent, if it goes on."""
        ours = f'labels.{LABEL}="{self._job.labels[LABEL]}"'
        found = self._call(
            self._client.list_custom_jobs,
            {"parent": self._parent, "filter": ours},
        )
        jobs: list[CustomJob] = [job for job in found if not _has_ended(job)]
        return jobs[0] if jobs else None

    def _send(self, path: str) -> CustomJob:
        forget_outcome(path)
        job = vertex.build(self._job, self._place.options)
        return vertex.submit(
            self._client, job, self._place.project, self._place.options.region
        )

    def _followed(self, job: CustomJob) -> CustomJob:
        """The job as it is when it has ended."""
        state = job.state
        while not _has_ended(job):
            time.sleep(self._poll_s)
            job = self._call(self._client.get_custom_job, {"name": job.name})
            if job.state != state:
                state = job.state
                logging.info("Trainer: %s is %s", job.name, state.name)
        return job

    def _cancel(self, name: str) -> None:
        logging.warning("Trainer: stopped, so %s is cancelled.", name)
        self._client.cancel_custom_job(request={"name": name}, timeout=_CALL_S)

    def _call(self, method: Callable[..., Any], request: dict[str, str]) -> Any:
        """Asks Vertex AI, again and again while the network is down."""
        import tenacity
        from google.api_core import exceptions

        away = (
            exceptions.ServiceUnavailable,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
        )
        asked = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(away),
            wait=tenacity.wait_random_exponential(self._poll_s / 4, max=120),
            stop=tenacity.stop_after_delay(_PATIENCE_S),
            before_sleep=lambda state: logging.warning(
                "Vertex AI does not answer; asked again (%s).",
                state.outcome.exception() if state.outcome else "",
            ),
            reraise=True,
        )
        try:
            return asked(method, request=request, timeout=_CALL_S)
        except exceptions.GoogleAPIError as error:
            raise JobError(
                f"Trainer: Vertex AI does not tell of {self.told or self._parent} "
                f"({error}). The job may go on: run the pipeline again."
            ) from error

    def _was_preempted(self, job: CustomJob, path: str) -> bool:
        outcome = read_outcome(path)
        if outcome is not None:
            return outcome.status == Status.PREEMPTED
        return self._place.spot or job.error.code in _NO_MACHINE

    def _why(self, job: CustomJob, path: str) -> str:
        state = job.state.name.removeprefix("JOB_STATE_").lower()
        outcome = read_outcome(path)
        said = outcome.error if outcome and outcome.error else job.error.message
        return (
            f"Trainer: {job.name} {state}: {said or 'Vertex AI does not say why.'} "
            f"Its log: {self._log(job.name)}"
        )

    def _log(self, name: str) -> str:
        """Where a job's log is, in a browser."""
        region, number = self._place.options.region, name.rpartition("/")[2]
        return (
            "https://console.cloud.google.com/vertex-ai/locations/"
            f"{region}/training/{number}?project={self._place.project}"
        )


def _has_ended(job: CustomJob) -> bool:
    ends = {"JOB_STATE_SUCCEEDED", "JOB_STATE_CANCELLED", *_ENDED_BADLY}
    return job.state.name in ends


@contextlib.contextmanager
def _cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """Calls `cancel` if what is done inside is stopped, by SIGTERM too."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        cancel()
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def _check_model(model: str, job: str) -> None:
    """A job whose image does something else leaves no model."""
    if not tf.io.gfile.exists(os.path.join(model, "saved_model.pb")):
        raise JobError(
            f"Trainer: {job} succeeded, but left no model at {model}. Is its image "
            "Trailrank's (pipeline/cloud/tpu.Dockerfile)?"
        )

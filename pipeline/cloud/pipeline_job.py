"""A compiled pipeline as a job of Vertex AI Pipelines: built, sent once, cancelled.

The id of a job is chosen here, before it is sent. So a job whose answer was lost on the
way is found again by its id, and never sent twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import signal
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from feature_specs.build import Problems
from feature_specs.errors import Status
from pipeline.cloud import service
from pipeline.cloud.compiled import CompiledPipeline, without_cache
from pipeline.cloud.errors import JobError, LeftRunningError, UnansweredError
from pipeline.cloud.job import check_account
from pipeline.cloud.service import Patience, Tell, VertexPlace, ask

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PipelineServiceClient
    from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest, PipelineJob

_DIGEST = "trailrank-pipeline"  # label: by it a job is known to be this pipeline
_JOB_ID = re.compile(r"^[a-z][-a-z0-9]{0,126}$")
_NETWORK = re.compile(r"^projects/\d+/global/networks/[a-z]([-a-z0-9]*[a-z0-9])?$")
_CONSOLE = "https://console.cloud.google.com/vertex-ai"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """What a pipeline job has beside the compiled pipeline.

    Attributes:
        service_account: Identity of its steps; empty is the project's default one.
        network: VPC that the steps are peered with, by its full name; may be empty.
        labels: Put on the job, for bills and lists.
        caching: Whether a step may take the result of an earlier run of the same.
    """

    service_account: str = ""
    network: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    caching: bool = True

    def check(self, problems: Problems) -> None:
        """Notes what Vertex AI would not take."""
        if self.service_account:
            check_account(self.service_account, problems)
        if self.network and not _NETWORK.match(self.network):
            rule = "must be a full name, like projects/12345/global/networks/my-vpc."
            problems.add("--network", rule, self.network)


@dataclasses.dataclass(frozen=True)
class Submitted:
    """A job that the service has.

    Attributes:
        name: Its resource name, `projects/P/locations/R/pipelineJobs/ID`.
        is_new: Whether this call made it; else an earlier one had.
    """

    name: str
    is_new: bool


def check_job_id(job_id: str, problems: Problems) -> None:
    """Notes an id that Vertex AI does not take for a job."""
    if not _JOB_ID.match(job_id):
        rule = "must be a-z, 0-9 and -, begin with a letter and have 127 at most."
        problems.add("--job_id", rule, job_id)


def new_job_id(compiled: CompiledPipeline) -> str:
    """An id that no job has yet: the pipeline's name and the time."""
    name = re.sub(r"[^a-z0-9]+", "-", compiled.name.lower()).strip("-")
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


def job_name(place: VertexPlace, job: str) -> str:
    """The resource name of a job, of its id or of the name itself."""
    return job if "/" in job else f"{place.parent}/pipelineJobs/{job}"


def console_url(name: str) -> str:
    """Where a job is shown in a browser.

    Args:
        name: Its resource name.
    """
    _, project, _, region, _, job = name.split("/")
    return f"{_CONSOLE}/locations/{region}/pipelines/runs/{job}?project={project}"


def build(
    compiled: CompiledPipeline,
    options: PipelineOptions,
    place: VertexPlace,
    job_id: str = "",
) -> CreatePipelineJobRequest:
    """The request that makes the job, of the client's own classes.

    Args:
        compiled: The pipeline; its spec travels inside the request.
        options: Have passed their check.
        place: Where it runs.
        job_id: Empty if the service chooses one, as for a schedule.

    Raises:
        JobError: Google's client library is not installed.
    """
    from google.protobuf import json_format

    library = service.library()
    content = compiled.content if options.caching else without_cache(compiled.content)
    values: dict[str, Any] = {
        "displayName": content.get("displayName") or compiled.name,
        "labels": {
            **content.get("labels", {}),
            "app": "trailrank",
            **options.labels,
            _DIGEST: compiled.digest,
        },
        "pipelineSpec": content["pipelineSpec"],
        "runtimeConfig": {
            **content["runtimeConfig"],
            # As here: nothing begins after a step has failed.
            "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_FAST",
        },
        "serviceAccount": options.service_account,
        "network": options.network,
    }
    job = library.PipelineJob()
    json_format.ParseDict(values, library.PipelineJob.pb(job))
    return library.CreatePipelineJobRequest(
        parent=place.parent, pipeline_job=job, pipeline_job_id=job_id
    )


def submit(
    client: PipelineServiceClient,
    request: CreatePipelineJobRequest,
    *,
    tell: Tell,
    patience: Patience | None = None,
) -> Submitted:
    """Sends a job; one that was sent before, under the same id, is found.

    Args:
        client: Of the region.
        request: Of `build`, with an id.
        tell: Is told while nobody answers.
        patience: With the network.

    Raises:
        UnansweredError: Nobody answers; whether the job is there is not known.
        JobError: It is refused, or the id is another pipeline's.
    """
    from google.api_core.exceptions import AlreadyExists

    job_id = request.pipeline_job_id
    name = f"{request.parent}/pipelineJobs/{job_id}"
    try:
        made = ask(
            client.create_pipeline_job,
            f"sending {job_id}",
            request=request,
            patience=patience or Patience(),
            tell=tell,
        )
        return Submitted(made.name, is_new=True)
    except AlreadyExists:
        pass
    except UnansweredError as error:
        raise UnansweredError(
            f"{error} Whether {job_id} is there is not known: give the same command "
            f"with --job_id {job_id}, and it is never there twice."
        ) from error
    there = get(client, name, tell=tell, patience=patience)
    if there.labels.get(_DIGEST) != request.pipeline_job.labels[_DIGEST]:
        raise JobError(
            f"--job_id {job_id}: is a job of another pipeline ({there.display_name}, "
            f"{_state(there)}). Take another id; `trailrank pipeline follow` follows "
            "what is there."
        )
    return Submitted(name, is_new=False)


def get(
    client: PipelineServiceClient,
    name: str,
    *,
    tell: Tell,
    patience: Patience | None = None,
) -> PipelineJob:
    """A job as the service has it now; see `submit` for errors."""
    return ask(
        client.get_pipeline_job,
        f"asking for {name.rpartition('/')[2]}",
        name=name,
        patience=patience or Patience(),
        tell=tell,
    )


def cancel(
    client: PipelineServiceClient,
    name: str,
    *,
    tell: Tell,
    patience: Patience | None = None,
) -> str:
    """Asks for a job's end; steps that run are ended, what is finished stays.

    Returns:
        The job's state before, `RUNNING`.

    Raises:
        JobError: It is unknown, or has ended already.
    """
    job = get(client, name, tell=tell, patience=patience)
    if job.state.name.rpartition("_")[2] in ("SUCCEEDED", "FAILED", "CANCELLED"):
        raise JobError(
            f"{name.rpartition('/')[2]}: has ended already ({_state(job)}); there is "
            "nothing to cancel."
        )
    ask(
        client.cancel_pipeline_job,
        f"cancelling {name.rpartition('/')[2]}",
        name=name,
        patience=patience or Patience(),
        tell=tell,
    )
    return _state(job)


@contextlib.contextmanager
def leaving_it_running(place: VertexPlace, name: str) -> Iterator[None]:
    """Whoever stops to wait is told how to come back, and how to end the job.

    Raises:
        LeftRunningError: Ctrl-C or SIGTERM came.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        job_id = name.rpartition("/")[2]
        status = Status.PREEMPTED if signal.SIGTERM in stop.args else Status.STOPPED
        raise LeftRunningError(
            f"no longer following {job_id}, which goes on.\n"
            f"Follow it:  trailrank pipeline follow {job_id} {place.flags}\n"
            f"End it:     trailrank pipeline cancel {job_id} {place.flags}\n"
            f"Look at it: {console_url(name)}",
            status,
        ) from stop


def _state(job: PipelineJob) -> str:
    return job.state.name.removeprefix("PIPELINE_STATE_")

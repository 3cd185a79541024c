"""Vertex AI's services: where they answer, their clients, and how they are asked.

A network that is down is asked again, and whoever waits is told. A refusal ends in one
message with what to do.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from feature_specs.build import Problems
from pipeline.cloud.errors import JobError, UnansweredError
from pipeline.cloud.job import check_project, check_region

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import (
        EndpointServiceClient,
        JobServiceClient,
        ModelServiceClient,
        PipelineServiceClient,
        ScheduleServiceClient,
    )
    from tenacity import RetryCallState

_HERE = re.compile(r"^(127\.0\.0\.1|localhost):\d+$")
_NO_CREDENTIALS = "Getting metadata from plugin failed"  # gRPC's words for it
_LOGIN = "Run `gcloud auth application-default login`."

Tell = Callable[[str], None]
_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VertexPlace:
    """A project's region of Vertex AI.

    Attributes:
        project: Its id.
        region: Like `europe-west4`.
        endpoint: Another address of the API, like one of Private Service Connect;
            one on 127.0.0.1 is spoken to without encryption and credentials.
    """

    project: str
    region: str
    endpoint: str = ""

    @property
    def parent(self) -> str:
        """The resource name that jobs and schedules begin with."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def flags(self) -> str:
        """What a command needs to come here again."""
        endpoint = f" --api_endpoint {self.endpoint}" if self.endpoint else ""
        return f"--project {self.project} --region {self.region}{endpoint}"

    @property
    def address(self) -> str:
        """Where the API answers."""
        return self.endpoint or f"{self.region}-aiplatform.googleapis.com"

    @classmethod
    def checked(
        cls, project: str, region: str, endpoint: str, problems: Problems
    ) -> VertexPlace:
        """The place; notes what is no project and no region."""
        check_project(project, problems)
        check_region(region, problems)
        return cls(project=project, region=region, endpoint=endpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """With a network that is down.

    Attributes:
        tries: How often a question is asked.
        pause_s: Before the second time; doubled from time to time.
        longest_pause_s: But never longer.
        timeout_s: Of one answer.
    """

    tries: int = 8
    pause_s: float = 2.0
    longest_pause_s: float = 60.0
    timeout_s: float = 60.0


def library() -> types.ModuleType:
    """Google's client library of Vertex AI.

    Raises:
        JobError: It is not installed.
    """
    try:
        with warnings.catch_warnings():  # of Google's about the Python version
            warnings.simplefilter("ignore", FutureWarning)
            from google.cloud import aiplatform_v1
    except ImportError as error:
        raise JobError(
            "Vertex AI's client is not installed. Run pip install 'trailrank[vertex]'."
        ) from error
    return aiplatform_v1


def pipelines(place: VertexPlace) -> PipelineServiceClient:
    """The client of pipeline jobs.

    Raises:
        JobError: It is not installed, or this machine has no credentials.
    """
    return _client(library().PipelineServiceClient, place)


def jobs(place: VertexPlace) -> JobServiceClient:
    """The client of custom jobs; see `pipelines`."""
    return _client(library().JobServiceClient, place)


def schedules(place: VertexPlace) -> ScheduleServiceClient:
    """The client of schedules; see `pipelines`."""
    return _client(library().ScheduleServiceClient, place)


def models(place: VertexPlace) -> ModelServiceClient:
    """The client of the model registry; see `pipelines`."""
    return _client(library().ModelServiceClient, place)


def endpoints(place: VertexPlace) -> EndpointServiceClient:
    """The client of endpoints; see `pipelines`."""
    return _client(library().EndpointServiceClient, place)


def _client(kind: Any, place: VertexPlace) -> Any:
    if _HERE.match(place.endpoint):
        import grpc

        channel = grpc.insecure_channel(place.endpoint)
        return kind(transport=kind.get_transport_class("grpc")(channel=channel))
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return kind(client_options={"api_endpoint": place.address})
    except DefaultCredentialsError as error:
        raise JobError(
            f"No Google Cloud credentials on this machine. {_LOGIN} `--dry_run` needs "
            "none."
        ) from error


def ask(
    method: Callable[..., _Answer],
    doing: str,
    *,
    patience: Patience,
    tell: Tell,
    **arguments: Any,
) -> _Answer:
    """The answer of a method of a client; asked again while nobody answers.

    Args:
        method: Can be asked twice without harm.
        doing: What for, in messages: `asking for job x`.
        patience: How often, and how long to wait.
        tell: Is told of every time that nobody answered.
        **arguments: Of the method.

    Raises:
        UnansweredError: Nobody answers.
        JobError: The service refuses; says what to do.
        google.api_core.exceptions.AlreadyExists: What is to be made is there.
    """
    import tenacity
    from google.api_core import exceptions

    away = (
        exceptions.ServiceUnavailable,
        exceptions.DeadlineExceeded,
        exceptions.InternalServerError,
    )
    asking = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, away) and not _wants_login(error)
        ),
        stop=tenacity.stop_after_attempt(patience.tries),
        wait=tenacity.wait_exponential(patience.pause_s, max=patience.longest_pause_s),
        before_sleep=lambda state: tell(_unanswered(state, doing, patience)),
        reraise=True,
    )
    try:
        return asking(method, timeout=patience.timeout_s, **arguments)
    except exceptions.AlreadyExists:
        raise
    except away as error:
        if _wants_login(error):
            raise JobError(_refusal(doing, error, _LOGIN)) from error
        raise UnansweredError(
            f"Vertex AI, {doing}: no answer after {patience.tries} tries "
            f"({_words(error)}). Look at this machine's network and at "
            "https://status.cloud.google.com."
        ) from error
    except exceptions.GoogleAPIError as error:
        advice = _ADVICE.get(type(error).__name__, "docs/vertex.md tells of errors.")
        raise JobError(_refusal(doing, error, advice)) from error


def finish(operation: Any, doing: str, *, patience: Patience, tell: Tell) -> Any:
    """What a long operation gives, waited for as long as one answer may take.

    Raises:
        UnansweredError: It is not done by then, or nobody answers; it goes on.
        JobError: It failed.
    """

    def wait(timeout: float) -> Any:
        try:
            return operation.result(timeout=timeout)
        except concurrent.futures.TimeoutError as error:
            raise UnansweredError(
                f"Vertex AI, {doing}: not done after {timeout / 60:g} minutes. It goes "
                "on there; look again later."
            ) from error

    return ask(wait, doing, patience=patience, tell=tell)


# Names of google.api_core's errors -> what to do.
_ADVICE = {
    "PermissionDenied": "You need the role Vertex AI User (roles/aiplatform.user) in "
    "the project, and Service Account User (roles/iam.serviceAccountUser) for "
    "--service_account; the API must be on: `gcloud services enable "
    "aiplatform.googleapis.com`.",
    "NotFound": "Look at --project, --region and the name.",
    "InvalidArgument": "The service does not take the request as it is: mend what it "
    "names, and look at the request with --dry_run.",
    "ResourceExhausted": "A quota is used up: wait, take another --region, or ask for "
    "more at https://console.cloud.google.com/iam-admin/quotas.",
    "Unauthenticated": _LOGIN,
    "FailedPrecondition": "Look at the state that it is in.",
}


def _refusal(doing: str, error: Exception, advice: str) -> str:
    return f"Vertex AI, {doing}: {_words(error)}. {advice}"


def _wants_login(error: BaseException) -> bool:
    """Credentials that ran out look like a network that is down."""
    return _NO_CREDENTIALS in str(error)


def _words(error: BaseException) -> str:
    """`403 permission denied ...`, what the service said, on one line."""
    return " ".join(str(error).split()).rstrip(".")


def _unanswered(state: RetryCallState, doing: str, patience: Patience) -> str:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return (
        f"Vertex AI, {doing}: no answer ({_words(error)}). Again in "
        f"{state.upcoming_sleep:g} s, try {state.attempt_number + 1} of "
        f"{patience.tries}."
    )

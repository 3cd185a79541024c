"""Vertex AI's JobService on this machine: its own messages over gRPC, a scripted life.

The real client talks to it. A script is what a job is, look after look: names of
states, or a gRPC status that a look is answered with in place of the job.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Sequence

import grpc
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.job_service.transports import (
    JobServiceGrpcTransport,
)
from google.cloud.aiplatform_v1.types import CustomJob, JobState
from google.rpc import status_pb2

_SERVICE = "google.cloud.aiplatform.v1.JobService"
Script = Sequence[str | grpc.StatusCode]


class JobService:
    """What it was asked, and its jobs.

    Attributes:
        created: Jobs, as they were sent, in order.
        cancelled: Names of jobs.
        filters: Of lists.
        error: Of jobs that fail.
        on_create: Is called with each job that is sent.
    """

    def __init__(self, *scripts: Script):
        self._scripts = [list(script) for script in scripts]
        self.created: list[CustomJob] = []
        self.cancelled: list[str] = []
        self.filters: list[str] = []
        self.error = status_pb2.Status()
        self.on_create: Callable[[CustomJob], None] = lambda job: None

    def create(
        self, request: aiplatform_v1.CreateCustomJobRequest, context: object
    ) -> CustomJob:
        """Takes a job; it waits."""
        job = CustomJob(request.custom_job)
        job.name = f"{request.parent}/customJobs/{len(self.created)}"
        job.state = JobState.JOB_STATE_PENDING
        self.created.append(job)
        self.on_create(job)
        return job

    def get(
        self, request: aiplatform_v1.GetCustomJobRequest, context: grpc.ServicerContext
    ) -> CustomJob:
        """The next of a job's states."""
        number = int(request.name.rpartition("/")[2])
        state = self._scripts[number].pop(0)
        if isinstance(state, grpc.StatusCode):
            context.abort(state, "the network is down")
        job = self.created[number]
        job.state = JobState[f"JOB_STATE_{state}"]
        if state == "FAILED":
            job.error = self.error
        return job

    def list(
        self, request: aiplatform_v1.ListCustomJobsRequest, context: object
    ) -> aiplatform_v1.ListCustomJobsResponse:
        """Jobs whose label the filter names."""
        self.filters.append(request.filter)
        key, _, value = request.filter.removeprefix("labels.").partition("=")
        found = [j for j in self.created if j.labels.get(key) == value.strip('"')]
        return aiplatform_v1.ListCustomJobsResponse(custom_jobs=found)

    def cancel(
        self, request: aiplatform_v1.CancelCustomJobRequest, context: object
    ) -> object:
        """Notes whom."""
        from google.protobuf import empty_pb2

        self.cancelled.append(request.name)
        return empty_pb2.Empty()

    @contextlib.contextmanager
    def client(self) -> Iterator[aiplatform_v1.JobServiceClient]:
        """A client of Google's that talks to it."""
        types = aiplatform_v1
        methods = {
            "CreateCustomJob": (self.create, types.CreateCustomJobRequest),
            "GetCustomJob": (self.get, types.GetCustomJobRequest),
            "ListCustomJobs": (self.list, types.ListCustomJobsRequest),
            "CancelCustomJob": (self.cancel, types.CancelCustomJobRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=request.deserialize,
                response_serializer=_serialize,
            )
            for name, (method, request) in methods.items()
        }
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            transport = JobServiceGrpcTransport(channel=channel)
            yield aiplatform_v1.JobServiceClient(transport=transport)
        server.stop(None).wait()


def _serialize(message: object) -> bytes:
    kind = type(message)
    if hasattr(kind, "pb"):
        return kind.pb(message).SerializeToString()
    return message.SerializeToString()

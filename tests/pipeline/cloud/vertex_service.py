"""Vertex AI's services of pipelines, schedules, models and endpoints, over real gRPC.

Google's own clients talk to it. It takes what the real service takes (requests are
parsed by Google's message classes, pipeline specs strictly by KFP's), and jobs go
through the states that a test has written down.
"""

import concurrent.futures
import copy
import dataclasses
import datetime
import json
import pathlib
import threading

import grpc
from google.cloud import aiplatform_v1 as v1
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.cloud.service import VertexPlace

IMAGE = "europe-west4-docker.pkg.dev/my-team/r/trailrank:1"
# Of each step, as the service tells: its begin and its end.
BEGAN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
SECONDS = {"DayExampleGen": 62.5, "Trainer": 139.25, "Evaluator": 17.0, "Pusher": 4.0}
VERSION = "gs://b/run/models/kuairand/1650000000"


def compiled_json() -> dict:
    """A small pipeline, as `pipeline compile` writes one: each step follows another."""
    steps = list(SECONDS)
    tasks, components, executors = {}, {}, {}
    for number, step in enumerate(steps):
        task = {"componentRef": {"name": step}, "taskInfo": {"name": step}}
        task["cachingOptions"] = {"enableCache": True}
        if number:
            task["dependentTasks"] = [steps[number - 1]]
        tasks[step] = task
        components[step] = {"executorLabel": f"{step}_executor"}
        executors[f"{step}_executor"] = {"container": {"image": IMAGE}}
    executors["Trainer_executor"]["container"]["resources"] = {
        "cpuLimit": 16,
        "memoryLimit": 64.0,
    }
    first = {"fingerprint": {"runtimeValue": {"constantValue": {"stringValue": "7"}}}}
    tasks["DayExampleGen"]["inputs"] = {"parameters": first}
    return {
        "displayName": "trailrank-kuairand",
        "labels": {"tfx_runner": "kubeflow_v2"},
        "pipelineSpec": {
            "pipelineInfo": {"name": "trailrank-kuairand"},
            "schemaVersion": "2.0.0",
            "sdkVersion": "tfx-1.16.0",
            "deploymentSpec": {"executors": executors},
            "components": components,
            "root": {"dag": {"tasks": tasks}},
        },
        "runtimeConfig": {"gcsOutputDirectory": "gs://b/run/artifacts"},
    }


def write_compiled(path: pathlib.Path, content: dict | None = None) -> pathlib.Path:
    """The small pipeline as a file."""
    path.write_text(json.dumps(compiled_json() if content is None else content))
    return path


@dataclasses.dataclass
class Look:
    """What one question about a job finds.

    Attributes:
        state: Of the job.
        steps: Step -> its state.
        errors: Step -> what the service says of it; "" is the job's.
        pushed: What Pusher's artifact says; None if there is none.
        lost: How many machines of the Trainer were lost so far.
    """

    state: str
    steps: dict[str, str]
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    pushed: int | None = None
    lost: int = 0


SUCCESS = [
    Look("PENDING", {}),
    Look("RUNNING", {"DayExampleGen": "RUNNING", "Trainer": "PENDING"}),
    Look("RUNNING", {"DayExampleGen": "SUCCEEDED", "Trainer": "RUNNING"}),
    Look("SUCCEEDED", dict.fromkeys(SECONDS, "SUCCEEDED"), pushed=1),
]


class VertexService:
    """The services; `endpoint` is where they listen.

    Attributes:
        looks: What questions about jobs find, one after the other; the last one stays.
        troubles: (`before` or `after` the work is done, code, words) for the next
            calls of all methods; None is a call that goes well.
        requests: (method, request) of every call that went well or got lost.
        jobs: Name -> job.
        schedules: Name -> schedule.
        versions: Versions of models, the oldest first.
        endpoints: Name -> endpoint; `7` of the place is there.
    """

    def __init__(self):
        self.looks: list[Look] = list(SUCCESS)
        self.troubles: list[tuple[str, grpc.StatusCode, str] | None] = []
        self.requests: list[tuple[str, object]] = []
        self.jobs: dict[str, v1.PipelineJob] = {}
        self.schedules: dict[str, v1.Schedule] = {}
        self.versions: list[v1.Model] = []
        name = "projects/my-team/locations/europe-west4/endpoints/7"
        self.endpoints = {name: v1.Endpoint(name=name)}
        self._lock = threading.Lock()
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def place(self) -> VertexPlace:
        return VertexPlace(
            project="my-team", region="europe-west4", endpoint=self.endpoint
        )

    def stop(self) -> None:
        self._server.stop(None)

    def asked(self, method: str) -> list:
        """The requests of a method."""
        return [request for name, request in self.requests if name == method]

    def call(self, method: str, request, context):
        with self._lock:
            trouble = self.troubles.pop(0) if self.troubles else None
            if trouble and trouble[0] == "before":
                context.abort(*trouble[1:])
            self.requests.append((method, request))
            answer = getattr(self, method)(request, context)
            if trouble:
                context.abort(*trouble[1:])
            return answer

    # --- PipelineService --------------------------------------------------------------

    def CreatePipelineJob(self, request, context):
        self._check(request, context)
        name = f"{request.parent}/pipelineJobs/{request.pipeline_job_id}"
        if name in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} already exists")
        job = v1.PipelineJob(request.pipeline_job)
        job.name, job.state = name, "PIPELINE_STATE_PENDING"
        self.jobs[name] = job
        return job

    def _check(self, request, context):
        job = request.pipeline_job
        if not job.runtime_config.gcs_output_directory.startswith("gs://"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "gcs_output_directory")
        spec = json_format.MessageToDict(v1.PipelineJob.pb(job).pipeline_spec)
        try:
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def GetPipelineJob(self, request, context):
        job = self._known(self.jobs, request.name, context)
        if job.state.name == "PIPELINE_STATE_CANCELLING":
            return self._cancelled(job)
        if job.state.name != "PIPELINE_STATE_CANCELLED":
            look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
            _take(job, look)
        return job

    def CancelPipelineJob(self, request, context):
        job = self._known(self.jobs, request.name, context)
        job.state = "PIPELINE_STATE_CANCELLING"
        return empty_pb2.Empty()

    def _cancelled(self, job):
        job.state = "PIPELINE_STATE_CANCELLED"
        for task in job.job_detail.task_details:
            if task.state.name == "RUNNING":
                task.state = "CANCELLED"
        return job

    # --- ScheduleService --------------------------------------------------------------

    def CreateSchedule(self, request, context):
        self._check(request.schedule.create_pipeline_job_request, context)
        schedule = v1.Schedule(request.schedule)
        schedule.name = f"{request.parent}/schedules/{len(self.schedules) + 1}"
        schedule.state = "ACTIVE"
        schedule.next_run_time = BEGAN
        self.schedules[schedule.name] = schedule
        return schedule

    def ListSchedules(self, request, context):
        """One a page, so that a reader of the first page alone is found out."""
        names = sorted(self.schedules)
        at = int(request.page_token or 0)
        token = str(at + 1) if at + 1 < len(names) else ""
        found = [self.schedules[name] for name in names[at : at + 1]]
        return v1.ListSchedulesResponse(schedules=found, next_page_token=token)

    def PauseSchedule(self, request, context):
        self._known(self.schedules, request.name, context).state = "PAUSED"
        return empty_pb2.Empty()

    def ResumeSchedule(self, request, context):
        self._known(self.schedules, request.name, context).state = "ACTIVE"
        return empty_pb2.Empty()

    def DeleteSchedule(self, request, context):
        self._known(self.schedules, request.name, context)
        del self.schedules[request.name]
        return _done(empty_pb2.Empty())

    # --- ModelService and EndpointService ---------------------------------------------

    def GetModel(self, request, context):
        """Of its name with `@` and a version's number or alias; else the newest."""
        name, _, version = request.name.partition("@")
        for model in reversed(self.versions):
            known = ("", model.version_id, *model.version_aliases)
            if model.name == name and version in known:
                return model
        context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not found")

    def UploadModel(self, request, context):
        name = request.parent_model or f"{request.parent}/models/{request.model_id}"
        others = [model for model in self.versions if model.name == name]
        if bool(others) != bool(request.parent_model):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "parent_model")
        model = v1.Model(request.model)
        model.name, model.version_id = name, str(len(others) + 1)
        self.versions.append(model)
        answer = v1.UploadModelResponse(model=name, model_version_id=model.version_id)
        return _done(v1.UploadModelResponse.pb(answer))

    def GetOperation(self, request, context):
        """One that is asked for goes on for ever."""
        return operations_pb2.Operation(name=request.name)

    def GetEndpoint(self, request, context):
        return self._known(self.endpoints, request.name, context)

    def DeployModel(self, request, context):
        endpoint = self._known(self.endpoints, request.endpoint, context)
        deployed = v1.DeployedModel(request.deployed_model)
        deployed.model, _, deployed.model_version_id = deployed.model.partition("@")
        deployed.id = str(100 + len(endpoint.deployed_models))
        endpoint.deployed_models.append(deployed)
        split = dict(request.traffic_split)
        split[deployed.id] = split.pop("0", 0)
        self._divide(endpoint, split, context)
        answer = v1.DeployModelResponse(deployed_model=deployed)
        return _done(v1.DeployModelResponse.pb(answer))

    def UndeployModel(self, request, context):
        endpoint = self._known(self.endpoints, request.endpoint, context)
        if endpoint.traffic_split.get(request.deployed_model_id):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it has traffic")
        endpoint.deployed_models = [
            one
            for one in endpoint.deployed_models
            if one.id != request.deployed_model_id
        ]
        return _done(v1.UndeployModelResponse.pb(v1.UndeployModelResponse()))

    def UpdateEndpoint(self, request, context):
        endpoint = self._known(self.endpoints, request.endpoint.name, context)
        if list(request.update_mask.paths) != ["traffic_split"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "update_mask")
        self._divide(endpoint, dict(request.endpoint.traffic_split), context)
        return endpoint

    def _divide(self, endpoint, split, context):
        known = {one.id for one in endpoint.deployed_models}
        if sum(split.values()) != 100 or not set(split) <= known:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"traffic_split {split}")
        endpoint.traffic_split = split

    def _known(self, there: dict, name: str, context):
        if name not in there:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{name} is not found")
        return there[name]


def _done(message):
    """A long operation that is over at once."""
    response = any_pb2.Any()
    response.Pack(message)
    return operations_pb2.Operation(name="operations/1", done=True, response=response)


def _take(job, look: Look) -> None:
    """The job is as a test has written it down."""
    job.state = f"PIPELINE_STATE_{look.state}"
    if look.errors.get(""):
        job.error = {"code": 9, "message": look.errors[""]}
    whole = v1.PipelineTaskDetail(task_id=1, task_name="trailrank-kuairand")
    whole.state = "RUNNING"  # the service tells of the whole as a task, too
    details = [_task(step, state, look) for step, state in look.steps.items()]
    job.job_detail.task_details = [*reversed(details), whole]


def _task(step: str, state: str, look: Look):
    number = list(SECONDS).index(step) + 2
    task = v1.PipelineTaskDetail(task_id=number, parent_task_id=1, task_name=step)
    task.state = state
    begin = BEGAN + datetime.timedelta(hours=number)
    if state != "PENDING":
        task.start_time = begin
    if state in ("SUCCEEDED", "FAILED", "SKIPPED"):
        task.end_time = begin + datetime.timedelta(seconds=SECONDS[step])
    container = task.executor_detail.container_detail
    container.main_job = f"projects/7/locations/europe-west4/customJobs/{number}00"
    if step == "Trainer":
        container.failed_main_jobs = [f"customJobs/{i}" for i in range(look.lost)]
    if look.errors.get(step):
        task.error = {"code": 9, "message": look.errors[step]}
    if step == "Pusher" and look.pushed is not None:
        task.outputs["pushed_model"] = _artifacts(
            {"pushed": look.pushed, "pushed_destination": VERSION}
        )
    if step == "Evaluator" and look.pushed is not None:
        task.outputs["blessing"] = _artifacts({"blessed": look.pushed})
    return task


def _artifacts(metadata: dict):
    artifact = v1.Artifact(uri="gs://b/run/artifacts/1", metadata=metadata)
    return v1.PipelineTaskDetail.ArtifactList(artifacts=[artifact])


# Method -> its messages; None of an answer: a plain protobuf, not of Vertex AI.
_MESSAGES = {
    "CreatePipelineJob": (v1.CreatePipelineJobRequest, v1.PipelineJob),
    "GetPipelineJob": (v1.GetPipelineJobRequest, v1.PipelineJob),
    "CancelPipelineJob": (v1.CancelPipelineJobRequest, None),
    "CreateSchedule": (v1.CreateScheduleRequest, v1.Schedule),
    "ListSchedules": (v1.ListSchedulesRequest, v1.ListSchedulesResponse),
    "PauseSchedule": (v1.PauseScheduleRequest, None),
    "ResumeSchedule": (v1.ResumeScheduleRequest, None),
    "DeleteSchedule": (v1.DeleteScheduleRequest, None),
    "GetModel": (v1.GetModelRequest, v1.Model),
    "UploadModel": (v1.UploadModelRequest, None),
    "GetEndpoint": (v1.GetEndpointRequest, v1.Endpoint),
    "DeployModel": (v1.DeployModelRequest, None),
    "UndeployModel": (v1.UndeployModelRequest, None),
    "UpdateEndpoint": (v1.UpdateEndpointRequest, v1.Endpoint),
    "GetOperation": (operations_pb2.GetOperationRequest, None),
}


_METHODS = {
    "google.longrunning.Operations": ("GetOperation",),
    "PipelineService": ("CreatePipelineJob", "GetPipelineJob", "CancelPipelineJob"),
    "ScheduleService": tuple(name for name in _MESSAGES if "Schedule" in name),
    "ModelService": ("GetModel", "UploadModel"),
    "EndpointService": (
        *("GetEndpoint", "DeployModel", "UndeployModel", "UpdateEndpoint"),
    ),
}


class _Handlers(grpc.GenericRpcHandler):
    """The methods at the paths of the real services."""

    def __init__(self, service: VertexService):
        self._service = service

    def service(self, details):
        kind, _, method = details.method.removeprefix("/").partition("/")
        service = kind.removeprefix("google.cloud.aiplatform.v1.")
        if method not in _METHODS.get(service, ()):
            return None  # gRPC says that it is not implemented
        request, answer = _MESSAGES[method]

        def serve(message, context):
            return copy.deepcopy(self._service.call(method, message, context))

        return grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=request.deserialize
            if method != "GetOperation"
            else request.FromString,
            response_serializer=answer.serialize
            if answer
            else lambda message: message.SerializeToString(),
        )

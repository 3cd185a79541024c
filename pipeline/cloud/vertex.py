"""A training as a Vertex AI custom job, checked against the service's own protobuf.

Sources (docs.cloud.google.com, read in 2026): `configure-compute` for machines and
topologies, `training-with-tpu-vm` for TensorFlow on them, `distributed-training` for
TF_CONFIG, `understanding-training-service` for restarts, `use-spot-vms`.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib.resources
import json
import re
import types
import warnings
from typing import TYPE_CHECKING, Any

from feature_specs.build import Problems
from pipeline.cloud.errors import JobError
from pipeline.cloud.job import Job, tpu_environment

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import JobServiceClient
    from google.cloud.aiplatform_v1.types import CustomJob

FILES_PLACE = "/tmp/trailrank"  # in the container
_ENTRY = "vertex_entry.sh"
DEFAULT_CPU_MACHINE = "n2-standard-16"
_REGION = re.compile(r"^[a-z]+-[a-z]+\d+$")
_ZONE = re.compile(r"^[a-z]+-[a-z]+\d+-[a-z]$")

# Topologies of each machine type with TPU v5e.
_V5E_TOPOLOGIES = {
    "ct5lp-hightpu-1t": ("1x1",),
    "ct5lp-hightpu-4t": ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "ct5lp-hightpu-8t": ("2x4",),
}
# Machine families whose GPUs are of one kind; their number is part of the name.
_GPU_OF_FAMILY = {
    "a2-highgpu": "NVIDIA_TESLA_A100",
    "a2-megagpu": "NVIDIA_TESLA_A100",
    "a2-ultragpu": "NVIDIA_A100_80GB",
    "a3-highgpu": "NVIDIA_H100_80GB",
    "a3-megagpu": "NVIDIA_H100_MEGA_80GB",
    "a3-ultragpu": "NVIDIA_H200_141GB",
    "a4-highgpu": "NVIDIA_B200",
    "g2-standard": "NVIDIA_L4",
    "g4-standard": "NVIDIA_RTX_PRO_6000",
}
_GPUS_OF_SIZE = {  # where the size counts processors
    "g2-standard": {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8},
    "g4-standard": {48: 1, 96: 2, 192: 4, 384: 8},
}
_GPUS_OF_N1 = {
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VertexOptions:
    """What a custom job needs beside the training.

    Attributes:
        region: Like `europe-west4`.
        staging: `gs://BUCKET/DIR` that Vertex names in AIP_* variables; may be empty.
        timeout_hours: After which the job is ended.
        machine_type: Of CPU and GPU jobs; empty for a TPU, whose slice says it.
        gpu_type: Like `NVIDIA_L4`; empty without GPUs.
        gpu_count: GPUs of one machine.
        workers: Machines that train together, each with its own GPUs.
    """

    region: str
    staging: str = ""
    timeout_hours: float = 24.0
    machine_type: str = ""
    gpu_type: str = ""
    gpu_count: int = 1
    workers: int = 1


def default_gpu_count(machine_type: str) -> int:
    """GPUs of a machine whose type says how many it has, else 1."""
    family, _, size = machine_type.rpartition("-")
    if family not in _GPU_OF_FAMILY:
        return 1
    number = int(re.sub(r"\D", "", size) or 1)  # of GPUs, or of processors
    return _GPUS_OF_SIZE.get(family, {}).get(number, number)


def check(job: Job | None, options: VertexOptions, problems: Problems) -> None:
    """Notes what Vertex AI does not offer, and what to take instead.

    Args:
        job: None if it is not whole; then only the options are looked at.
        options: Of the custom job.
        problems: Gets every mistake.
    """
    check_region(options.region, problems)
    if options.staging and not options.staging.startswith("gs://"):
        rule = "must lie in a bucket, gs://BUCKET/DIR."
        problems.add("--staging", rule, options.staging)
    if options.timeout_hours <= 0:
        rule = "must be more than 0."
        problems.add("--timeout_hours", rule, options.timeout_hours)
    if job is not None:
        kinds = {"tpu": _check_tpu, "gpu": _check_gpu, "cpu": _check_cpu}
        kinds[job.slice.accelerator](job, options, problems)


def build(job: Job, options: VertexOptions) -> CustomJob:
    """The custom job of a checked request.

    Raises:
        RuntimeError: Google's client library is not installed.
    """
    library = _client_library()
    pools = [_pool(job, _machine(job, options), 1)]
    if options.workers > 1:  # the first pool is the chief's and has one machine
        pools.append(_pool(job, _machine(job, options), options.workers - 1))
    spec: dict[str, Any] = {
        "worker_pool_specs": pools,
        "scheduling": _scheduling(job, options),
        "service_account": job.service_account,
    }
    if options.staging:
        spec["base_output_directory"] = {"output_uri_prefix": options.staging}
    return library.CustomJob(display_name=job.name, job_spec=spec, labels=job.labels)


def to_json(job: CustomJob) -> str:
    """The job as the REST method `customJobs.create` takes it."""
    from google.protobuf import json_format

    content = json_format.MessageToDict(type(job).pb(job))
    content["labels"] = dict(sorted(content["labels"].items()))  # a map has no order
    return json.dumps(content, indent=2)


def create_client(region: str) -> JobServiceClient:
    """The client of Vertex AI in `region`.

    Raises:
        RuntimeError: It is not installed, or this machine has no credentials.
    """
    from google.auth.exceptions import DefaultCredentialsError

    library = _client_library()
    endpoint = f"{region}-aiplatform.googleapis.com"
    try:
        return library.JobServiceClient(client_options={"api_endpoint": endpoint})
    except DefaultCredentialsError as error:
        raise JobError(
            "No Google Cloud credentials on this machine. Run `gcloud auth "
            "application-default login`, or look at the job with --dry_run."
        ) from error


def submit(
    client: JobServiceClient, job: CustomJob, project: str, region: str
) -> CustomJob:
    """Sends the job; returns it as Vertex AI has it, with its resource name.

    Raises:
        RuntimeError: Vertex AI refuses it or does not answer.
    """
    from google.api_core.exceptions import GoogleAPIError

    parent = f"projects/{project}/locations/{region}"
    try:
        return client.create_custom_job(parent=parent, custom_job=job, timeout=60)
    except GoogleAPIError as error:
        raise JobError(f"Vertex AI in {region} took no job: {error}") from error


def check_region(region: str, problems: Problems) -> None:
    """Notes that `region` is none."""
    if not region:
        problems.add("--region", "is required on vertex, like europe-west4.")
    elif _ZONE.match(region):
        short = region.rpartition("-")[0]
        problems.add("--region", f"is a region, not a zone: take {short}.", region)
    elif not _REGION.match(region):
        problems.add("--region", "must be a region, like europe-west4.", region)


def _check_tpu(job: Job, options: VertexOptions, problems: Problems) -> None:
    config, chip = job.slice, job.slice.chip
    assert chip is not None
    queue = "Take --where tpu_vm of `trailrank job submit`, a queued resource."
    if chip.name == "v6e":
        rule = f"Vertex AI trains with JAX and PyTorch on v6e, not TensorFlow. {queue}"
        problems.add(f"--tpu_config {config.name}", rule)
    elif chip.name not in ("v2", "v3", "v5e") or not config.vertex_machine:
        rule = f"Vertex AI offers no TPU {chip.name} for custom jobs. {queue}"
        problems.add(f"--tpu_config {config.name}", rule)
    elif chip.name == "v5e":
        _check_v5e(job, problems)
    if job.spot and config.hosts > 1:
        rule = (
            f"Vertex AI gives no spot TPUs of several hosts, and {config.name} has "
            f"{config.hosts}. Leave it out, or take --where tpu_vm."
        )
        problems.add("--spot", rule)
    for flag in ("machine_type", "gpu_type"):
        if getattr(options, flag):
            rule = "follows from --tpu_config; leave it out."
            problems.add(f"--{flag}", rule, getattr(options, flag))
    if options.workers != 1:
        rule = "is for cpu and gpu: a slice's hosts are in --tpu_config; leave it out."
        problems.add("--workers", rule, options.workers)


def _check_v5e(job: Job, problems: Problems) -> None:
    machine, topology = (
        job.slice.vertex_machine,
        job.slice.topology.partition(":")[2],
    )
    offered = _V5E_TOPOLOGIES.get(machine)
    where = f"--tpu_config {job.slice.name}"
    if offered is None:
        rule = f"vertex_machine must be one of {', '.join(_V5E_TOPOLOGIES)}."
        problems.add(where, rule, machine)
    elif topology not in offered:
        rule = f"{machine} comes as {', '.join(offered)} on Vertex AI."
        problems.add(where, rule, topology)


def _check_cpu(job: Job, options: VertexOptions, problems: Problems) -> None:
    if options.gpu_type:
        rule = "needs --tpu_config gpu; a cpu slice has none."
        problems.add("--gpu_type", rule, options.gpu_type)
    _check_workers(options, problems)


def _check_gpu(job: Job, options: VertexOptions, problems: Problems) -> None:
    _check_workers(options, problems)
    if not options.machine_type or not options.gpu_type:
        rule = "are required for a gpu slice, like g2-standard-12 and NVIDIA_L4."
        problems.add("--machine_type and --gpu_type", rule)
        return
    if options.gpu_type.startswith("TPU_"):
        rule = "is a GPU's; a TPU follows from --tpu_config."
        problems.add("--gpu_type", rule, options.gpu_type)
        return
    family = options.machine_type.rpartition("-")[0]
    if family.startswith("n1-"):
        _check_n1(options, problems)
    elif family in _GPU_OF_FAMILY:
        _check_family(options, _GPU_OF_FAMILY[family], problems)


def _check_n1(options: VertexOptions, problems: Problems) -> None:
    counts = _GPUS_OF_N1.get(options.gpu_type)
    if counts is None:
        rule = f"must be one of {', '.join(_GPUS_OF_N1)} on n1 machines."
        problems.add("--gpu_type", rule, options.gpu_type)
    elif options.gpu_count not in counts:
        rule = f"must be one of {', '.join(map(str, counts))} for {options.gpu_type}."
        problems.add("--gpu_count", rule, options.gpu_count)


def _check_family(options: VertexOptions, kind: str, problems: Problems) -> None:
    machine = options.machine_type
    if options.gpu_type != kind:
        problems.add("--gpu_type", f"must be {kind} on {machine}.", options.gpu_type)
    count = default_gpu_count(machine)
    if options.gpu_count != count:
        problems.add("--gpu_count", f"must be {count} on {machine}.", options.gpu_count)


def _check_workers(options: VertexOptions, problems: Problems) -> None:
    if options.workers < 1:
        problems.add("--workers", "must be at least 1.", options.workers)
    if options.gpu_count < 1:
        problems.add("--gpu_count", "must be at least 1.", options.gpu_count)


def _machine(job: Job, options: VertexOptions) -> dict[str, Any]:
    if job.slice.accelerator == "tpu":
        return job.slice.vertex_machine_spec
    if job.slice.accelerator == "cpu":
        return {"machine_type": options.machine_type or DEFAULT_CPU_MACHINE}
    return {
        "machine_type": options.machine_type,
        "accelerator_type": options.gpu_type,
        "accelerator_count": options.gpu_count,
    }


def _pool(job: Job, machine: dict[str, Any], machines: int) -> dict[str, Any]:
    entry = importlib.resources.files("pipeline.cloud").joinpath(_ENTRY).read_text()
    command = ["bash", "-c", entry, "trailrank-job"]
    container: dict[str, Any] = {"image_uri": job.image, "env": _environment(job)}
    if job.slice.hosts > 1:  # the base image for pods must keep its own entry point
        container["args"] = command + _train_arguments(job)
    else:
        container["command"] = command
        container["args"] = _train_arguments(job)
    return {
        "machine_spec": machine,
        "replica_count": machines,
        "container_spec": container,
    }


def _train_arguments(job: Job) -> list[str]:
    local = job.slice.accelerator == "tpu" and job.slice.hosts == 1
    return job.train_arguments(*(("--tpu", "local") if local else ()))


def _environment(job: Job) -> list[dict[str, str]]:
    values = tpu_environment(job.slice)
    if job.slice.hosts > 1:  # whose name only Vertex knows
        values["TRAILRANK_TPU_FROM_VERTEX"] = "1"
    if job.files:
        values["TRAILRANK_FILES_PLACE"] = FILES_PLACE
        values["TRAILRANK_FILES"] = " ".join(
            f"{name}={base64.b64encode(text.encode()).decode()}"
            for name, text in job.files.items()
        )
    values.update(job.environment)
    return [{"name": name, "value": value} for name, value in values.items()]


def _scheduling(job: Job, options: VertexOptions) -> dict[str, Any]:
    strategy = "SPOT" if job.spot else "STANDARD"
    return {
        "timeout": {"seconds": round(options.timeout_hours * 3600)},
        # Workers that train together cannot go on when one of them begins anew.
        "restart_job_on_worker_restart": options.workers > 1 or job.slice.hosts > 1,
        "strategy": strategy,
    }


def _client_library() -> types.ModuleType:
    try:
        with warnings.catch_warnings():  # of Google's about the Python version
            warnings.simplefilter("ignore", FutureWarning)
            from google.cloud import aiplatform_v1
    except ImportError as error:
        raise JobError(
            "Vertex AI's client is not installed. Run pip install 'trailrank[vertex]'."
        ) from error
    return aiplatform_v1

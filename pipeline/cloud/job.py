"""What is asked of any job, wherever it runs, checked before a machine is rented."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from feature_specs import SpecError
from feature_specs.build import Problems
from pipeline.cloud.train_flags import JobFiles, TrainFlags, read_train_flags
from tpu_configs import SliceConfig, load_slice, slice_text

_PROJECT = re.compile(r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")
_IMAGE = re.compile(r"^[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$")
_ACCOUNT = re.compile(r"^[^@\s]+@[^@\s]+$")
_LABEL = re.compile(r"^[a-z0-9_-]{0,63}$")
_VARIABLE = re.compile(r"^[A-Za-z_]\w*$")
_PJRT_ONLY = ("v5e", "v5p", "v6e")  # v2 to v4 have the stream executor as well


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One training, without what only one kind of place needs.

    Attributes:
        name: Shown in lists of jobs.
        project: Google Cloud project that pays.
        image: Container image with Trailrank, and TensorFlow for the accelerator.
        slice: The machines' accelerators.
        slice_argument: What `--tpu_config` is in the container.
        train: Arguments of `trailrank train`, without the slice's.
        files: The job's own YAML files, name -> text.
        spot: Whether to take machines that may be taken away at any time.
        service_account: Identity of the training; empty is the project's default one.
        labels: Put on the job, for bills and lists.
        environment: Variables in the container.
    """

    name: str
    project: str
    image: str
    slice: SliceConfig
    slice_argument: str
    train: tuple[str, ...]
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    spot: bool = False
    service_account: str = ""
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def train_arguments(self, *more: str) -> list[str]:
        """Arguments of `trailrank train` in the container."""
        chosen = ["--accelerator", self.slice.accelerator]
        return [*self.train, *chosen, "--tpu_config", self.slice_argument, *more]


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What is asked for, as it was written; `read_job` checks it.

    Attributes:
        train: Flags of `trailrank train`.
        project: See `Job`; empty if it was left out, as are the next ones.
        image: See `Job`.
        tpu_config: Name or file of the slice.
        service_account: See `Job`.
        name: See `Job`; None takes one from the spec and the slice.
        spot: See `Job`.
        labels: Each `KEY=VALUE`.
        environment: Each `NAME=VALUE`.
    """

    train: Sequence[str]
    project: str = ""
    image: str = ""
    tpu_config: str = ""
    service_account: str = ""
    name: str | None = None
    spot: bool = False
    labels: Sequence[str] = ()
    environment: Sequence[str] = ()


def read_job(request: JobRequest, place: str, problems: Problems) -> Job | None:
    """The job that is asked for, if all of it is right.

    Args:
        request: As it was written.
        place: Directory in the container that holds the job's own files.
        problems: Gets every mistake.
    """
    files = JobFiles(place)
    config = _read_slice(request.tpu_config, problems)
    train = read_train_flags(request.train, files, problems)
    _check_names(request, problems)
    labels = _pairs("--label", request.labels, problems)
    environment = _pairs("--env", request.environment, problems)
    _check_pairs(labels, environment, problems)
    if config is None or train is None:
        return None
    _check_batch(train, config, problems)
    return Job(
        name=request.name or training_name(train.spec_name, config),
        project=request.project,
        image=request.image,
        slice=config,
        slice_argument=files.argument("slice", request.tpu_config, slice_text),
        train=train.words,
        files=files.texts,
        spot=request.spot,
        service_account=request.service_account,
        labels={"app": "trailrank", "slice": _label(config.name), **labels},
        environment=environment,
    )


def training_name(spec_name: str, config: SliceConfig) -> str:
    """Name of a job that was given none, like `trailrank-kuairand-v5litepod-8`."""
    return _label(f"trailrank-{spec_name}-{config.name}")


def tpu_environment(config: SliceConfig, runtime: str = "") -> dict[str, str]:
    """Variables that TensorFlow needs in a container on a TPU VM.

    Args:
        config: The slice.
        runtime: TPU software version of the host, if it is not the slice's.

    Source: `cloud.google.com/tpu/docs/runtimes`, TensorFlow PJRT support.
    """
    chip = config.chip
    if chip is None:
        return {}
    if config.hosts > 1:  # the hosts' own servers hold the chips
        return {"TPU_LOAD_LIBRARY": "0"}
    runtime = runtime or config.tpu_vm_runtime
    if chip.name not in _PJRT_ONLY and not runtime.endswith("-pjrt"):
        return {}
    return {
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
    }


def check_project(project: str, problems: Problems) -> None:
    """Notes that `project` is missing, or no project's id."""
    if not project:
        problems.add("--project", "is required: the Google Cloud project that pays.")
    elif not _PROJECT.match(project):
        problems.add("--project", "must be a project id, like my-team.", project)


def check_account(account: str, problems: Problems) -> None:
    """Notes that `account` is no service account's address."""
    if not _ACCOUNT.match(account):
        rule = "must be an address, like trainer@PROJECT.iam.gserviceaccount.com."
        problems.add("--service_account", rule, account)


def _read_slice(name: str, problems: Problems) -> SliceConfig | None:
    if not name:
        problems.add("--tpu_config", "is required: the slice, like v5litepod-8.")
        return None
    try:
        return load_slice(name)
    except SpecError as error:
        problems.found.extend(f"--tpu_config {name}: {p}" for p in error.problems)
        return None


def _check_batch(train: TrainFlags, config: SliceConfig, problems: Problems) -> None:
    if train.batch_size is not None and train.batch_size % config.cores:
        rule = f"must be a multiple of the {config.cores} cores of {config.name}."
        problems.add("--batch_size", rule, train.batch_size)


def _check_names(request: JobRequest, problems: Problems) -> None:
    check_project(request.project, problems)
    if not request.image:
        rule = (
            "is required: build one with pipeline/cloud/tpu.Dockerfile (docs/tpu.md)."
        )
        problems.add("--image", rule)
    elif not _IMAGE.match(request.image):
        rule = "must be REGISTRY/PATH:TAG, like europe-west4-docker.pkg.dev/P/R/I:1."
        problems.add("--image", rule, request.image)
    if request.service_account:
        check_account(request.service_account, problems)
    if request.name is not None and not 1 <= len(request.name) <= 128:
        problems.add("--name", "must have 1 to 128 characters.", request.name)


def _pairs(flag: str, texts: Sequence[str], problems: Problems) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            problems.add(flag, "must be KEY=VALUE.", text)
        pairs[key] = value
    return pairs


def _check_pairs(
    labels: dict[str, str], environment: dict[str, str], problems: Problems
) -> None:
    for key, value in labels.items():
        if not (_LABEL.match(key) and _LABEL.match(value)):
            rule = "may hold a-z, 0-9, _ and -, at most 63 of them on each side."
            problems.add("--label", rule, f"{key}={value}")
    for key, value in environment.items():
        if not _VARIABLE.match(key) or "\n" in value:
            rule = "must be NAME=VALUE on one line, NAME of letters, digits and _."
            problems.add("--env", rule, f"{key}={value}")


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")[:63]

"""Where a compiled pipeline's steps run on Vertex AI, checked before it is compiled.

A step runs in a container of the pipeline's image with so much CPU and memory. Making
examples hands its work to Dataflow. Training on a TPU or GPU is a custom job of its own
(`remote_training`), whose machines follow from the slice.

Images are pinned by their digest: a tag may be another image tomorrow, in the middle of
a run whose first steps are cached.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from feature_specs.build import Problems, SpecError
from feature_specs.places import Place
from pipeline.cloud import vertex
from pipeline.cloud.job import check_account, check_project
from pipeline.cloud.training_place import TrainingPlace
from tpu_configs import SliceConfig

_PINNED = re.compile(r"^[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+)?@sha256:[0-9a-f]{64}$")
_RESOURCES = re.compile(r"^(\w+)=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)$")
_WORKER_MACHINE = "n2-highmem-8"  # 8 GB a core, docs/scaling.md
_SOURCE = "the pipeline on Vertex AI"


@dataclasses.dataclass(frozen=True)
class Resources:
    """The most that a step's container may use.

    Attributes:
        cpu: Processors.
        memory_gb: 1e9 bytes.
    """

    cpu: float
    memory_gb: float


# What 300 million rows a run leave in one container; examples are Dataflow's.
_LIGHT = Resources(2, 8)
RESOURCES = {
    "DayExampleGen": Resources(4, 16),
    "SpecSchema": _LIGHT,
    "StatisticsGen": _LIGHT,  # reads summaries, no rows
    "ExampleValidator": _LIGHT,
    "DataGate": _LIGHT,
    "EncodingGen": Resources(4, 16),
    "Trainer": Resources(16, 64),
    "Evaluator": Resources(8, 32),
    "InfraValidator": Resources(4, 16),
    "Pusher": _LIGHT,
}
_WITH_BEAM_HERE = Resources(16, 64)
_WHILE_A_JOB_TRAINS = Resources(2, 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelinePlace:
    """What a pipeline needs on Vertex AI beside what it does.

    Attributes:
        project: Google Cloud project that pays.
        region: Like `europe-west4`.
        image: Container image with trailrank installed, in which every step runs.
        beam: Who makes the examples: Dataflow, or the step's own container.
        worker_image: Of Dataflow's workers (`beam_worker.Dockerfile`).
        train_image: Of a training on its own machines (`tpu.Dockerfile`); empty is
            `image`.
        training: Its machines, beside what the slice says.
        service_account: Identity of steps, workers and training; empty is the
            project's default one.
        spot: Whether the training takes machines that may be taken away.
        resources: Step -> what it may use, instead of `RESOURCES`.
    """

    project: str
    region: str
    image: str
    beam: Literal["dataflow", "local"] = "dataflow"
    worker_image: str = ""
    train_image: str = ""
    training: vertex.VertexOptions | None = None
    service_account: str = ""
    spot: bool = False
    resources: Mapping[str, Resources] = dataclasses.field(default_factory=dict)

    def training_place(self, slice: SliceConfig) -> TrainingPlace | None:
        """Where the Trainer trains; None for its own container, on CPUs."""
        if slice.accelerator == "cpu":
            return None
        return TrainingPlace(
            project=self.project,
            image=self.train_image or self.image,
            options=self.training or vertex.VertexOptions(region=self.region),
            service_account=self.service_account,
            spot=self.spot,
        )

    def resources_of(self, step: str, slice: SliceConfig) -> Resources:
        """What a step's container may use."""
        if step in self.resources:
            return self.resources[step]
        if step == "DayExampleGen" and self.beam == "local":
            return _WITH_BEAM_HERE
        if step == "Trainer" and slice.accelerator != "cpu":
            return _WHILE_A_JOB_TRAINS
        return RESOURCES[step]

    def beam_args(self, root: str) -> tuple[str, ...]:
        """Options of the Beam steps; none of them runs in this process."""
        if self.beam == "local":
            return ()
        account = f"--service_account_email={self.service_account}"
        return (
            "--runner=DataflowRunner",
            f"--project={self.project}",
            f"--region={self.region}",
            f"--temp_location={root}/beam/tmp",
            f"--staging_location={root}/beam/staging",
            f"--sdk_container_image={self.worker_image}",
            "--sdk_location=container",
            "--labels=app=trailrank",
            f"--machine_type={_WORKER_MACHINE}",
            "--number_of_worker_harness_threads=1",
            *([account] if self.service_account else []),
        )


def check(place: PipelinePlace, slice: SliceConfig, logs: Place, root: Place) -> None:
    """Refuses what Vertex AI cannot run.

    Args:
        place: As it was asked for.
        slice: What training runs on.
        logs: Directory of the raw logs.
        root: Directory of everything the run writes.

    Raises:
        SpecError: Names every mistake, and what to take instead.
    """
    problems = Problems(_SOURCE)
    check_project(place.project, problems)
    if place.training_place(slice) is None:  # which looks at the region, too
        vertex.check_region(place.region, problems)
    if place.service_account:
        check_account(place.service_account, problems)
    for flag, path in (("--logs", str(logs)), ("--root", str(root))):
        if not path.startswith("gs://"):
            rule = "must lie in a bucket, gs://BUCKET/DIR: Vertex AI sees no disk here."
            problems.add(flag, rule, path)
    _check_image("--image", place.image, "Dockerfile", problems)
    if place.beam == "dataflow":
        what = "beam_worker.Dockerfile"
        _check_image("--worker_image", place.worker_image, what, problems)
    _check_training(place, slice, problems)
    for step in place.resources.keys() - RESOURCES.keys():
        rule = f"must name one of {', '.join(RESOURCES)}."
        problems.add("--resources", rule, step)
    if problems.found:
        raise SpecError(_SOURCE, problems.found)


def _check_training(
    place: PipelinePlace, slice: SliceConfig, problems: Problems
) -> None:
    training = place.training_place(slice)
    if training is not None:
        training.check(slice, problems)
        if slice.accelerator == "tpu" or place.train_image:
            what = "tpu.Dockerfile"
            _check_image("--train_image", place.train_image, what, problems)
        return
    for flag, value in (("--train_image", place.train_image), ("--spot", place.spot)):
        if value:
            rule = (
                f"is for a TPU or GPU: --tpu_config {slice.name} trains in the step's "
                "own container. Leave it out."
            )
            problems.add(flag, rule)


def _check_image(flag: str, image: str, file: str, problems: Problems) -> None:
    if not image:
        rule = f"is required: build one with pipeline/cloud/{file} (docs/vertex.md)."
        problems.add(flag, rule)
    elif not _PINNED.match(image):
        rule = (
            "must be pinned, REGISTRY/PATH@sha256:DIGEST. `gcloud artifacts docker "
            "images describe IMAGE` tells the digest of a tag."
        )
        problems.add(flag, rule, image)


def read_resources(texts: list[str]) -> dict[str, Resources]:
    """`STEP=CPU,GB` -> resources of steps.

    Raises:
        SpecError: A text is none.
    """
    found = {}
    problems = Problems(_SOURCE)
    for text in texts:
        match = _RESOURCES.match(text)
        if match is None:
            problems.add("--resources", "must be STEP=CPU,GB, Evaluator=16,64.", text)
        else:
            found[match[1]] = Resources(float(match[2]), float(match[3]))
    if problems.found:
        raise SpecError(_SOURCE, problems.found)
    return found

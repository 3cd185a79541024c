"""On whose machines a pipeline's step trains, and the job that it sends there."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from feature_specs.build import Problems
from pipeline.cloud import vertex
from pipeline.cloud.job import Job, training_name
from tpu_configs import SliceConfig

LABEL = "training"  # of a job: which request it trains


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlace:
    """Whose machines train, beside what the slice says.

    Attributes:
        project: Google Cloud project that pays.
        image: Container image with Trailrank, and TensorFlow for the accelerator.
        options: Of the custom job.
        service_account: Identity of the training; empty is the project's default one.
        spot: Whether to take machines that may be taken away at any time.
        tries: Jobs that are sent at most; each but the first after a preemption.
    """

    project: str
    image: str
    options: vertex.VertexOptions
    service_account: str = ""
    spot: bool = False
    tries: int = 10

    def to_json(self) -> str:
        """As a step's parameter."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrainingPlace:
        """What `to_json` wrote."""
        values = json.loads(text)
        options = vertex.VertexOptions(**values.pop("options"))
        return cls(options=options, **values)

    def job(self, request: str, spec_name: str, slice: SliceConfig) -> Job:
        """The job that trains what the file `request` says."""
        text = json.dumps(dataclasses.asdict(slice))
        key = hashlib.sha256(request.encode()).hexdigest()[:16]
        return Job(
            name=training_name(spec_name, slice),
            project=self.project,
            image=self.image,
            slice=slice,
            slice_argument=f"{vertex.FILES_PLACE}/slice.yaml",
            train=("--request", request),
            files={"slice.yaml": text},
            spot=self.spot,
            service_account=self.service_account,
            labels={"app": "trailrank", "slice": slice.name, LABEL: key},
        )

    def check(self, slice: SliceConfig, problems: Problems) -> None:
        """Notes that Vertex AI has no such machines, with what to take instead."""
        job = self.job("gs://BUCKET/request", "spec", slice)
        vertex.check(job, self.options, problems)

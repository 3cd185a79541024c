"""A pipeline as `trailrank pipeline compile` writes it, read and checked before it is
sent: no TFX is needed for that."""

from __future__ import annotations

import dataclasses
import graphlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from feature_specs.places import Place
from pipeline.cloud.errors import CompiledPipelineError, JobError
from pipeline.cloud.job import is_image

_REMEDY = "Write it with `trailrank pipeline compile --runner vertex`."
_CHANGES = "fingerprint"  # the parameter that another compilation has another value of


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A step of a compiled pipeline.

    Attributes:
        name: Like `Trainer`.
        image: That its container runs; empty if Vertex AI does it itself.
        machine: What the container gets, for people; empty if it is Vertex's choice.
    """

    name: str
    image: str
    machine: str


@dataclasses.dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline, parsed strictly.

    Attributes:
        path: The file.
        content: `pipelineSpec`, `runtimeConfig`, and `displayName`, `labels` if named.
        name: Of the pipeline.
        root: Where its artifacts go, `gs://BUCKET/DIR`.
        steps: In an order in which they can run.
    """

    path: str
    content: dict[str, Any]
    name: str
    root: str
    steps: tuple[CompiledStep, ...]

    @property
    def digest(self) -> str:
        """Of what it does: another compilation of the same pipeline has the same."""
        text = json.dumps(_without(self.content["pipelineSpec"], _CHANGES))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_compiled(path: Place) -> CompiledPipeline:
    """The pipeline in a file.

    Raises:
        CompiledPipelineError: There is none, or the service would not take it.
        JobError: KFP's protobuf is not installed.
    """
    content = _read_json(path)
    try:
        spec = content["pipelineSpec"]
        root = content["runtimeConfig"]["gcsOutputDirectory"]
    except (KeyError, TypeError) as error:
        raise CompiledPipelineError(
            f"{path}: must hold pipelineSpec and runtimeConfig.gcsOutputDirectory "
            f"({error} is missing). {_REMEDY}"
        ) from None
    _check_spec(path, spec)
    if not str(root).startswith("gs://"):
        raise CompiledPipelineError(
            f"{path}: runtimeConfig.gcsOutputDirectory must lie in a bucket. Got "
            f"{root!r}. Compile it with --root gs://BUCKET/DIR."
        )
    steps = tuple(_steps(spec))
    _check_images(path, steps)
    name = spec["pipelineInfo"]["name"]
    return CompiledPipeline(os.fspath(path), content, name, root, steps)


def without_cache(content: dict[str, Any]) -> dict[str, Any]:
    """A compiled pipeline of which no step takes an earlier run's result."""
    changed: dict[str, Any] = json.loads(json.dumps(content))
    for dag in _dags(changed["pipelineSpec"]):
        for task in dag["tasks"].values():
            task["cachingOptions"] = {"enableCache": False}
    return changed


def _read_json(path: Place) -> dict[str, Any]:
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CompiledPipelineError(
            f"{path}: cannot be read ({error.strerror}). {_REMEDY}"
        ) from None
    except ValueError as error:
        raise CompiledPipelineError(
            f"{path}: is no JSON ({error}). {_REMEDY}"
        ) from None
    if not isinstance(found, dict):
        raise CompiledPipelineError(f"{path}: must be a JSON object. {_REMEDY}")
    return found


def _check_spec(path: Place, spec: Any) -> None:
    """Parses a pipeline spec strictly: no unknown key, no value of another type."""
    from google.protobuf import json_format

    try:
        from kfp.pipeline_spec import pipeline_spec_pb2
    except ImportError as error:
        raise JobError(
            f"{path}: cannot be checked without KFP's protobuf. Run pip install "
            "'trailrank[vertex]'."
        ) from error
    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        tasks = spec["root"]["dag"]["tasks"]
        _ = spec["pipelineInfo"]["name"], spec["deploymentSpec"]["executors"]
    except (KeyError, TypeError, json_format.ParseError) as error:
        raise CompiledPipelineError(
            f"{path}: not a valid pipeline spec: {error}. {_REMEDY}"
        ) from None
    if not tasks:
        raise CompiledPipelineError(f"{path}: has no steps. {_REMEDY}")


def _check_images(path: Place, steps: tuple[CompiledStep, ...]) -> None:
    for step in steps:
        if step.image and not is_image(step.image):
            raise CompiledPipelineError(
                f"{path}: {step.name}: its image must be REGISTRY/PATH:TAG. Got "
                f"{step.image!r}. Compile it with another --image."
            )


def _steps(spec: dict[str, Any]) -> Iterator[CompiledStep]:
    tasks, executors = spec["root"]["dag"]["tasks"], spec["deploymentSpec"]["executors"]
    order = graphlib.TopologicalSorter(
        {name: task.get("dependentTasks", []) for name, task in tasks.items()}
    )
    for name in order.static_order():
        component = spec["components"][tasks[name]["componentRef"]["name"]]
        executor = executors.get(component.get("executorLabel", ""), {})
        container = executor.get("container", {})
        image = container.get("image", "")
        yield CompiledStep(name, image, _machine(container.get("resources", {})))


def _machine(resources: dict[str, Any]) -> str:
    """`4 CPUs, 16 GB, 1 NVIDIA_L4` of a container's `resources`."""
    parts = []
    if "cpuLimit" in resources:
        parts.append(f"{resources['cpuLimit']:g} CPUs")
    if "memoryLimit" in resources:
        parts.append(f"{resources['memoryLimit']:g} GB")
    if "accelerator" in resources:
        chip = resources["accelerator"]
        parts.append(f"{chip.get('count', 1)} {chip.get('type', '')}")
    return ", ".join(parts)


def _dags(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for component in (spec["root"], *spec.get("components", {}).values()):
        if "dag" in component:
            yield component["dag"]


def _without(value: Any, key: str) -> Any:
    """JSON without what stands under `key` anywhere, its keys in order."""
    if isinstance(value, dict):
        return {k: _without(v, key) for k, v in sorted(value.items()) if k != key}
    if isinstance(value, list):
        return [_without(item, key) for item in value]
    return value

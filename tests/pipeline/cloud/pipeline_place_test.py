"""Where a pipeline's steps run: refused before anything is compiled, or resolved."""

import dataclasses

import pytest

from feature_specs import SpecError
from pipeline.cloud import vertex
from pipeline.cloud.pipeline_place import (
    RESOURCES,
    PipelinePlace,
    Resources,
    check,
    read_resources,
)
from tpu_configs import load_slice

_DIGEST = "@sha256:" + "0f" * 32
_IMAGE = f"europe-west4-docker.pkg.dev/p/r/i{_DIGEST}"
_PLACE = PipelinePlace(
    project="my-team",
    region="europe-west4",
    image=_IMAGE,
    worker_image=_IMAGE,
    train_image=_IMAGE,
)


def _check(slice="v5litepod-8", logs="gs://b/logs", root="gs://b/run", **changes):
    place = dataclasses.replace(_PLACE, **changes)
    check(place, load_slice(slice), logs, root)


def _training(**values):
    return vertex.VertexOptions(region="europe-west4", **values)


_L4 = {"machine_type": "g2-standard-24", "gpu_type": "NVIDIA_L4", "gpu_count": 2}


def test_what_is_offered_is_taken():
    _check()
    _check("v2-8")
    _check("v5litepod-16")
    _check("cpu", train_image="")
    _check("gpu", train_image="", training=_training(**_L4, workers=3))
    _check(beam="local", worker_image="")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": "IMAGE"}, "--image: must be pinned, REGISTRY/PATH@sha256:DIGEST"),
        ({"image": "europe-west4-docker.pkg.dev/p/r/i:1"}, "--image: must be pinned"),
        ({"image": ""}, "--image: is required: build one with pipeline/cloud/Dockerf"),
        ({"image": f"i{_DIGEST}"}, "--image: must be pinned"),
        ({"worker_image": ""}, "--worker_image: is required: .*beam_worker.Dockerfile"),
        ({"train_image": ""}, "--train_image: is required: .*tpu.Dockerfile"),
        ({"slice": "v5p-8"}, "no TPU v5p .* `trailrank job submit`"),
        ({"slice": "v4-8"}, "no TPU v4 "),
        ({"slice": "v6e-4"}, "JAX and PyTorch on v6e"),
        ({"slice": "v5litepod-16", "spot": True}, "no spot TPUs of several hosts"),
        ({"slice": "gpu"}, "--machine_type and --gpu_type: are required"),
        ({"slice": "cpu"}, "--train_image: is for a TPU or GPU: --tpu_config cpu"),
        ({"slice": "cpu", "spot": True}, "--spot: is for a TPU or GPU"),
        ({"logs": "logs"}, "--logs: must lie in a bucket"),
        ({"root": "/run"}, "--root: must lie in a bucket"),
        ({"project": ""}, "--project: is required"),
        ({"region": "europe-west4-a"}, "--region: is a region, not a zone"),
        ({"service_account": "me"}, "--service_account: must be an address"),
        ({"resources": {"Train": Resources(1, 2)}}, "--resources: must name one of"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_take(changes, told):
    if "region" in changes:
        changes = {**changes, "training": vertex.VertexOptions(**changes)}
    with pytest.raises(SpecError, match=told) as error:
        _check(**changes)
    assert len(error.value.problems) == 1 + (
        changes.get("slice") == "cpu" and "spot" in changes
    )


def test_a_training_elsewhere_leaves_its_step_little():
    cpu, tpu = load_slice("cpu"), load_slice("v5litepod-8")
    assert _PLACE.resources_of("Trainer", cpu) == RESOURCES["Trainer"]
    assert _PLACE.resources_of("Trainer", tpu) == Resources(2, 8)
    assert _PLACE.training_place(cpu) is None
    assert _PLACE.training_place(tpu).image == _IMAGE


def test_examples_made_in_the_container_have_more_of_it():
    here = dataclasses.replace(_PLACE, beam="local")
    cpu = load_slice("cpu")
    assert here.resources_of("DayExampleGen", cpu) == Resources(16, 64)
    assert _PLACE.resources_of("DayExampleGen", cpu) == Resources(4, 16)
    assert here.beam_args("gs://b/run") == ()


def test_dataflow_reads_its_options():
    from apache_beam.options.pipeline_options import (
        GoogleCloudOptions,
        PipelineOptions,
        StandardOptions,
        WorkerOptions,
    )

    place = dataclasses.replace(_PLACE, service_account="t@p.iam.gserviceaccount.com")
    options = PipelineOptions(list(place.beam_args("gs://b/run")))
    cloud = options.view_as(GoogleCloudOptions)
    workers = options.view_as(WorkerOptions)
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert (cloud.project, cloud.region) == ("my-team", "europe-west4")
    assert cloud.temp_location == "gs://b/run/beam/tmp"
    assert cloud.service_account_email == place.service_account
    assert cloud.labels == ["app=trailrank"]
    assert workers.sdk_container_image == _IMAGE
    assert workers.machine_type == "n2-highmem-8"


def test_resources_as_they_are_written():
    found = read_resources(["Evaluator=16,64", "Pusher=0.5,2.5"])
    assert found == {"Evaluator": Resources(16, 64), "Pusher": Resources(0.5, 2.5)}
    assert dataclasses.replace(_PLACE, resources=found).resources_of(
        "Evaluator", load_slice("cpu")
    ) == Resources(16, 64)
    with pytest.raises(SpecError, match="must be STEP=CPU,GB.* Got 'Evaluator=16'"):
        read_resources(["Evaluator=16"])

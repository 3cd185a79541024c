"""A compiled pipeline is read strictly before anything is sent."""

import json

import pytest

from pipeline.cloud.compiled import CompiledStep, read_compiled
from pipeline.cloud.errors import CompiledPipelineError
from tests.pipeline.cloud.vertex_service import IMAGE, compiled_json, write_compiled


def test_steps_come_in_an_order_in_which_they_run(tmp_path):
    found = read_compiled(write_compiled(tmp_path / "p.json"))
    assert (found.name, found.root) == ("trailrank-kuairand", "gs://b/run/artifacts")
    assert found.steps == (
        CompiledStep("DayExampleGen", IMAGE, ""),
        CompiledStep("Trainer", IMAGE, "16 CPUs, 64 GB"),
        CompiledStep("Evaluator", IMAGE, ""),
        CompiledStep("Pusher", IMAGE, ""),
    )


def _without_root(content):
    del content["runtimeConfig"]


def _local_root(content):
    content["runtimeConfig"]["gcsOutputDirectory"] = "/tmp/run"


def _unknown_key(content):
    content["pipelineSpec"]["root"]["dag"]["steps"] = {}


def _placeholder(content):
    executors = content["pipelineSpec"]["deploymentSpec"]["executors"]
    executors["Trainer_executor"]["container"]["image"] = "IMAGE"


def _no_steps(content):
    content["pipelineSpec"]["root"]["dag"]["tasks"] = {}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without_root, "('runtimeConfig' is missing). Write it with"),
        (_local_root, "must lie in a bucket. Got '/tmp/run'"),
        (_unknown_key, 'no field named "steps"'),
        (_placeholder, "Trainer: its image must be REGISTRY/PATH:TAG. Got 'IMAGE'"),
        (_no_steps, "has no steps"),
    ],
)
def test_what_vertex_would_not_take_is_told_with_its_file(tmp_path, damage, told):
    content = compiled_json()
    damage(content)
    path = write_compiled(tmp_path / "p.json", content)
    with pytest.raises(CompiledPipelineError) as refused:
        read_compiled(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert told in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"pipelineSpec": 1})])
def test_other_files_are_told(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(CompiledPipelineError, match="pipeline compile"):
        read_compiled(tmp_path / "p.json")
    with pytest.raises(CompiledPipelineError, match="cannot be read"):
        read_compiled(tmp_path / "none.json")

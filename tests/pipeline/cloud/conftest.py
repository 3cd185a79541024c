"""Flags of a right job on each place, for tests that change one thing."""

import json

import pytest

from pipeline.cloud.command import run

TRAIN = [
    "--spec",
    "kuairand",
    "--examples",
    "gs://b/days",
    "--checkpoints",
    "gs://b/c",
]
COMMON = [
    "--project",
    "my-team",
    "--image",
    "europe-west4-docker.pkg.dev/p/r/trailrank:1",
]
PLACES = {
    "vertex": ["--region", "europe-west4", "--tpu_config", "v5litepod-8"],
    "tpu_vm": ["--tpu", "mine", "--zone", "europe-west4-b", "--tpu_config", "v6e-8"],
}


def words(where: str, *changes: str, train: list[str] | None = None) -> list[str]:
    """Arguments of `trailrank job`; a later flag replaces an earlier one."""
    flags = ["submit", "--where", where, *COMMON, *PLACES[where], *changes]
    return [*flags, "--", *(TRAIN if train is None else train)]


@pytest.fixture
def job():
    return words


@pytest.fixture
def vertex_job(capsys):
    """The JSON of a dry run on Vertex AI."""

    def dry_run(*changes: str, train: list[str] | None = None) -> dict:
        assert run(words("vertex", "--dry_run", *changes, train=train)) == 0
        return json.loads(capsys.readouterr().out)

    return dry_run


@pytest.fixture
def tpu_vm_job(capsys):
    """The shell script of a dry run for a TPU VM."""

    def dry_run(*changes: str, train: list[str] | None = None) -> str:
        assert run(words("tpu_vm", "--dry_run", *changes, train=train)) == 0
        return capsys.readouterr().out

    return dry_run


@pytest.fixture
def refused(capsys):
    """The message of a refused job."""

    def message(where: str, *changes: str, train: list[str] | None = None) -> str:
        assert run(words(where, "--dry_run", *changes, train=train)) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return message


@pytest.fixture
def vertex_service():
    """Vertex AI's pipelines and schedules on this machine; see its module."""
    from tests.pipeline.cloud.vertex_service import VertexService

    service = VertexService()
    yield service
    service.stop()

"""Versions on an endpoint: uploaded once, deployed with a share, split, taken away."""

import dataclasses
import json
import pathlib

import grpc
import pytest
from google.cloud import aiplatform_v1
from google.longrunning import operations_pb2
from google.protobuf import json_format

from feature_specs.build import Problems
from feature_specs.errors import UsageError
from pipeline.cloud import service
from pipeline.cloud.endpoint import Deployed, Endpoints, Serving, with_share
from pipeline.cloud.errors import JobError, UnansweredError
from pipeline.cloud.service import Patience
from trailrank import cli

_IMAGE = "europe-west4-docker.pkg.dev/my-team/r/ranker"
_FIRST = Serving(model="kuairand", image=f"{_IMAGE}:1")
_SECOND = Serving(model="kuairand", image=f"{_IMAGE}:2", share=10)


@pytest.fixture
def endpoint(vertex_service):
    place = vertex_service.place
    models, endpoints = service.models(place), service.endpoints(place)
    quick = Patience(tries=3, pause_s=0.0)
    return Endpoints(models, endpoints, place, "7", lambda text: None, quick)


@pytest.fixture
def call(vertex_service, capsys):
    """A command's exit status, what it printed, and what it told of errors."""
    place = vertex_service.place

    def command(*words):
        flags = ["--endpoint", "7", *place.flags.split()]
        status = cli.main(["trailrank", "pipeline", "endpoint", *words, *flags])
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


@pytest.mark.parametrize(
    ("split", "share", "found"),
    [
        ({}, 100, {"0": 100}),
        ({"a": 100}, 10, {"0": 10, "a": 90}),
        ({"a": 90, "b": 10}, 50, {"0": 50, "a": 45, "b": 5}),
        # 89.1, 8.91 and 0.99: the largest remainders are b's and c's
        ({"a": 90, "b": 9, "c": 1}, 1, {"0": 1, "a": 89, "b": 9, "c": 1}),
        ({"a": 63, "b": 37}, 10, {"0": 10, "a": 57, "b": 33}),  # 56.7 and 33.3
        ({"a": 100, "b": 0}, 0, {"a": 100}),
        ({"a": 100}, 100, {"0": 100}),
    ],
)
def test_the_others_share_the_rest_as_before(split, share, found):
    assert with_share(split, share) == found


def test_the_first_version_gets_all(endpoint, vertex_service):
    with pytest.raises(UsageError, match="--share: must be 100 for the first version"):
        endpoint.deploy(_SECOND)
    assert vertex_service.versions == []
    assert endpoint.deploy(_FIRST) == (Deployed("100", "kuairand@1", 100), {})


def test_the_model_is_the_one_of_the_files_for_production(endpoint, vertex_service):
    endpoint.deploy(_FIRST)
    (asked,) = vertex_service.asked("UploadModel")
    path = pathlib.Path(__file__).parents[3] / "serving/deploy/vertex_model.json"
    container = json.loads(path.read_text())["model"]["container_spec"]
    spec = aiplatform_v1.ModelContainerSpec(container | {"image_uri": _FIRST.image})
    assert asked.model.container_spec == spec
    assert (asked.model_id, asked.parent_model) == ("kuairand", "")


def test_a_second_version_takes_its_share_and_gives_it_back(endpoint, vertex_service):
    endpoint.deploy(_FIRST)
    made, before = endpoint.deploy(_SECOND)
    assert made == Deployed("101", "kuairand@2", 10)
    assert endpoint.deployed() == [Deployed("100", "kuairand@1", 90), made]
    assert endpoint.split(before) == {"100": 90, "101": 10}  # the way back
    assert endpoint.undeploy() == [Deployed("101", "kuairand@2", 0)]
    assert endpoint.deployed() == [Deployed("100", "kuairand@1", 100)]
    (asked,) = vertex_service.asked("DeployModel")[1:]
    assert asked.deployed_model.model.endswith("/models/kuairand@2")
    machine = json_format.MessageToDict(
        aiplatform_v1.DedicatedResources.pb(asked.deployed_model.dedicated_resources)
    )
    assert machine == {
        "machineSpec": {"machineType": "n2-standard-4"},
        "minReplicaCount": 1,
        "maxReplicaCount": 1,
    }


def test_an_image_is_uploaded_once(endpoint, vertex_service):
    lost = ("before", grpc.StatusCode.UNAVAILABLE, "reset")
    # An endpoint, two looks for a model, the upload, a look; then the deployment.
    vertex_service.troubles = [None] * 5 + [lost]
    with pytest.raises(UnansweredError):
        endpoint.deploy(_FIRST)
    assert endpoint.deploy(_FIRST)[0].model == "kuairand@1"
    assert len(vertex_service.versions) == 1
    with pytest.raises(JobError, match="is deployed already as 100"):
        endpoint.deploy(_FIRST)


def test_what_may_be_done_twice_is_done_once(endpoint, vertex_service):
    endpoint.deploy(_FIRST)
    lost = ("after", grpc.StatusCode.UNAVAILABLE, "reset")
    # An endpoint, two looks for a model, the upload, a look; then the deployment.
    vertex_service.troubles = [None] * 5 + [lost]
    with pytest.raises(UnansweredError, match="deploying kuairand@2: no answer"):
        endpoint.deploy(_SECOND)
    assert len(vertex_service.asked("DeployModel")) == 2


def test_what_takes_too_long_goes_on_without_us(endpoint, vertex_service, monkeypatch):
    going_on = operations_pb2.Operation(name="operations/2")
    monkeypatch.setattr(vertex_service, "UploadModel", lambda *request: going_on)
    hasty = dataclasses.replace(endpoint, longest_s=0.06)
    with pytest.raises(UnansweredError, match="kuairand: not done after 0.001 minutes"):
        hasty.deploy(_FIRST)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"100": 50, "9": 50}, "9: must be on endpoint 7. It has 100"),
        ({"100": 90}, "100 together. Got 90"),
    ],
)
def test_a_split_is_checked_before_it_is_sent(endpoint, vertex_service, shares, told):
    endpoint.deploy(_FIRST)
    with pytest.raises(UsageError, match=told):
        endpoint.split(shares)
    assert vertex_service.asked("UpdateEndpoint") == []


def test_mistakes_are_listed():
    problems = Problems()
    Serving(
        model="Kuai",
        image="IMAGE",
        share=101,
        min_replicas=2,
        service_account="me",
    ).check(problems)
    assert [problem.split(":")[0] for problem in problems.found] == [
        *("--model", "--image", "--share", "--min_replicas", "--service_account"),
    ]


def test_commands_tell_the_way_back(call, vertex_service):
    first = ("deploy", "--model", "kuairand", "--image", f"{_IMAGE}:1")
    status, said, _ = call(*first)
    assert status == 0
    assert said.endswith("is deployed as 100, with 100 % of the requests.\n")
    second = ("deploy", "--model", "kuairand", "--image", f"{_IMAGE}:2")
    said = call(*second, "--share", "25")[1]
    flags = vertex_service.place.flags
    assert said.splitlines()[-1] == (
        f"The way back: trailrank pipeline endpoint split 100=100 --endpoint 7 {flags}"
    )
    rows = [line.split() for line in call("show")[1].splitlines()[1:]]
    assert rows == [["100", "kuairand@1", "75", "%"], ["101", "kuairand@2", "25", "%"]]
    assert call("split", "100=100")[1].splitlines()[-1].endswith(flags)
    assert call("undeploy")[1] == "Undeployed: kuairand@2 (101).\n"


def test_a_command_with_mistakes_asks_nobody(call, vertex_service):
    status, _, told = call("deploy", "--model", "kuairand", "--image", "IMAGE")
    assert status == 2
    assert "--image: must be REGISTRY/PATH:TAG" in told
    assert vertex_service.requests == []

"""Custom jobs: the service's own protobuf takes them, and they say what was asked."""

import base64
import concurrent.futures
import sys

import grpc
import pytest
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.services.job_service.transports import (
    JobServiceGrpcTransport,
)
from google.protobuf import json_format

from pipeline.cloud import vertex
from pipeline.cloud.job import Job
from tpu_configs import load_slice
from trailrank import cli

_CREATE = "/google.cloud.aiplatform.v1.JobService/CreateCustomJob"


def _pool(job: dict, index: int = 0) -> dict:
    return job["jobSpec"]["workerPoolSpecs"][index]


def _environment(job: dict) -> dict[str, str]:
    return {e["name"]: e["value"] for e in _pool(job)["containerSpec"].get("env", [])}


# Machine types and topologies as in Vertex AI's page "configure compute resources".
@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("v2-8", ("cloud-tpu", "TPU_V2", 8)),
        ("v3-8", ("cloud-tpu", "TPU_V3", 8)),
        ("v5litepod-1", ("ct5lp-hightpu-1t", "1x1")),
        ("v5litepod-4", ("ct5lp-hightpu-4t", "2x2")),
        ("v5litepod-8", ("ct5lp-hightpu-8t", "2x4")),
        ("v5litepod-16", ("ct5lp-hightpu-4t", "4x4")),
        ("v5litepod-64", ("ct5lp-hightpu-4t", "8x8")),
    ],
)
def test_tpu_machines(vertex_job, name, machine):
    keys = ("machineType", "acceleratorType", "acceleratorCount")
    if len(machine) == 2:
        keys = ("machineType", "tpuTopology")
    job = vertex_job("--tpu_config", name)
    assert _pool(job)["machineSpec"] == dict(zip(keys, machine, strict=True))
    assert (
        len(job["jobSpec"]["workerPoolSpecs"]) == 1
    )  # the only one that TPUs may have
    assert _pool(job)["replicaCount"] == "1"


def test_json_is_read_back_as_the_same_protobuf(vertex_job):
    job = vertex_job("--staging", "gs://b/s", "--spot", "--env", "A=1=2")
    message = aiplatform_v1.CustomJob.pb(aiplatform_v1.CustomJob())
    json_format.ParseDict(job, message)  # refuses unknown fields and values
    back = json_format.MessageToDict(message)
    assert back == job
    assert message.job_spec.scheduling.strategy == 4  # SPOT
    assert message.job_spec.scheduling.timeout.seconds == 24 * 3600
    assert message.job_spec.base_output_directory.output_uri_prefix == "gs://b/s"


def test_one_host_trains_on_its_own_chips(vertex_job):
    container = _pool(vertex_job())["containerSpec"]
    assert container["imageUri"] == "europe-west4-docker.pkg.dev/p/r/trailrank:1"
    assert container["command"][:2] == ["bash", "-c"]
    assert container["args"] == [
        *("--spec", "kuairand", "--examples", "gs://b/days"),
        *("--checkpoints", "gs://b/c", "--preset", "mmoe"),
        *("--accelerator", "tpu", "--tpu_config", "v5litepod-8", "--tpu", "local"),
    ]


def test_v5e_has_only_the_pjrt_runtime(vertex_job):
    assert _environment(vertex_job()) == {
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
    }


def test_v2_keeps_the_stream_executor_for_its_embedding_engine(vertex_job):
    assert load_slice("v2-8").tpu_vm_runtime.endswith("-se")
    assert _environment(vertex_job("--tpu_config", "v2-8")) == {}


def test_several_hosts_keep_the_entry_point_of_the_base_image(vertex_job):
    job = vertex_job("--tpu_config", "v5litepod-16")
    container = _pool(job)["containerSpec"]
    assert "command" not in container
    assert container["args"][:2] == ["bash", "-c"]
    assert container["args"][-2:] == ["--tpu_config", "v5litepod-16"]  # the entry adds
    assert _environment(job) == {
        "TPU_LOAD_LIBRARY": "0",
        "TRAILRANK_TPU_FROM_VERTEX": "1",
    }
    assert job["jobSpec"]["scheduling"]["restartJobOnWorkerRestart"] is True


def test_gpu_workers_are_a_chief_and_the_others(vertex_job):
    gpu = ["--machine_type", "g2-standard-24", "--gpu_type", "NVIDIA_L4"]
    job = vertex_job("--tpu_config", "gpu", *gpu, "--workers", "3")
    machine = {
        "machineType": "g2-standard-24",
        "acceleratorType": "NVIDIA_L4",
        "acceleratorCount": 2,
    }
    assert [_pool(job, i)["machineSpec"] for i in (0, 1)] == [machine, machine]
    assert [_pool(job, i)["replicaCount"] for i in (0, 1)] == ["1", "2"]
    assert _pool(job, 0)["containerSpec"] == _pool(job, 1)["containerSpec"]
    assert job["jobSpec"]["scheduling"]["restartJobOnWorkerRestart"] is True


def test_cpu_job_has_a_machine_if_none_is_named(vertex_job):
    job = vertex_job("--tpu_config", "cpu")
    assert _pool(job)["machineSpec"] == {"machineType": "n2-standard-16"}
    assert _pool(job)["containerSpec"]["args"][-4:] == [
        *("--accelerator", "cpu", "--tpu_config", "cpu"),
    ]
    assert "restartJobOnWorkerRestart" not in job["jobSpec"]["scheduling"]


def test_name_labels_account_and_variables(vertex_job):
    job = vertex_job(
        *("--name", "Nightly", "--label", "team=feed", "--env", "LEVEL=2"),
        *("--service_account", "t@my-team.iam.gserviceaccount.com"),
    )
    assert job["displayName"] == "Nightly"
    assert job["labels"] == {"app": "trailrank", "slice": "v5litepod-8", "team": "feed"}
    assert job["jobSpec"]["serviceAccount"] == "t@my-team.iam.gserviceaccount.com"
    assert _environment(job)["LEVEL"] == "2"
    assert vertex_job()["displayName"] == "trailrank-kuairand-v5litepod-8"


def test_files_of_ones_own_travel_with_the_job(vertex_job, tmp_path):
    preset, config = tmp_path / "wide.yaml", tmp_path / "small.yaml"
    preset.write_text("bottom: [64]\n")
    config.write_text("{like: v5litepod-8, name: small, batch_per_core: 512}")
    train = ["--spec=kuairand", f"--preset={preset}", "--examples=gs://b/t"]
    job = vertex_job(
        "--tpu_config", str(config), train=[*train, "--checkpoints=gs://b/c"]
    )
    files = dict(f.split("=", 1) for f in _environment(job)["TRAILRANK_FILES"].split())
    assert base64.b64decode(files["preset.yaml"]) == b"bottom: [64]\n"
    assert base64.b64decode(files["slice.yaml"]).decode() == config.read_text()
    arguments = _pool(job)["containerSpec"]["args"]
    assert arguments[arguments.index("--preset") + 1] == "/tmp/trailrank/preset.yaml"
    assert arguments[arguments.index("--tpu_config") + 1] == "/tmp/trailrank/slice.yaml"
    assert arguments[arguments.index("--spec") + 1] == "kuairand"
    assert job["labels"]["slice"] == "small"


@pytest.fixture
def service():
    """Vertex AI's method CreateCustomJob on this machine; refuses a second job."""
    requests = []

    def create(request, context):
        if requests:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no quota for TPUs")
        requests.append(request)
        job = aiplatform_v1.CustomJob(request.custom_job)
        job.name = f"{request.parent}/customJobs/42"
        return job

    handler = grpc.unary_unary_rpc_method_handler(
        create,
        request_deserializer=aiplatform_v1.CreateCustomJobRequest.deserialize,
        response_serializer=aiplatform_v1.CustomJob.serialize,
    )
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    name, _, method = _CREATE[1:].partition("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    transport = JobServiceGrpcTransport(channel=channel)
    yield aiplatform_v1.JobServiceClient(transport=transport), requests
    channel.close()
    server.stop(None)


def _job() -> Job:
    return Job(
        name="n",
        project="my-team",
        image="r/i:1",
        slice=load_slice("v5litepod-8"),
        slice_argument="v5litepod-8",
        train=("--spec", "kuairand"),
    )


def test_the_job_arrives_at_the_service(service):
    client, requests = service
    options = vertex.VertexOptions(region="europe-west4")
    job = vertex.build(_job(), options)
    created = vertex.submit(client, job, "my-team", "europe-west4")
    assert requests[0].parent == "projects/my-team/locations/europe-west4"
    assert requests[0].custom_job == job
    assert created.name.endswith("/customJobs/42")


def test_a_refusal_of_the_service_is_one_message(service):
    client, _ = service
    job = vertex.build(_job(), vertex.VertexOptions(region="europe-west4"))
    vertex.submit(client, job, "my-team", "europe-west4")
    with pytest.raises(RuntimeError, match="took no job: 429 no quota for TPUs"):
        vertex.submit(client, job, "my-team", "europe-west4")


def test_without_credentials_it_says_how_to_get_some(
    job, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert cli.main(["trailrank", "job", *job("vertex")]) == 1
    assert "gcloud auth application-default login" in capsys.readouterr().err


def test_without_the_client_it_says_what_to_install(job, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform_v1", None)
    monkeypatch.delattr("google.cloud.aiplatform_v1")  # what the import left there
    assert cli.main(["trailrank", "job", *job("vertex", "--dry_run")]) == 1
    assert "pip install 'trailrank[vertex]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("machine", "gpus"),
    [
        ("n1-standard-8", 1),
        ("g2-standard-12", 1),
        ("g2-standard-96", 8),
        ("a2-highgpu-4g", 4),
        ("a2-megagpu-16g", 16),
        ("a3-highgpu-8g", 8),
    ],
)
def test_machine_types_tell_their_gpus(machine, gpus):
    assert vertex.default_gpu_count(machine) == gpus

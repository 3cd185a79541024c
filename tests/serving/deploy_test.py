"""The files of `serving/deploy/`, read by what reads them in production."""

import pathlib

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from tensorflow_serving.config import model_server_config_pb2

_DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"

# The package of stubs lacks these two. Sources: `config/monitoring_config.proto` and
# `servables/tensorflow/session_bundle_config.proto` of tensorflow/serving; wrapper
# values have the one field `value` in text, as `google.protobuf.Int64Value` has.
_PROTO = """
name: "deploy.proto" package: "upstream"
message_type { name: "PrometheusConfig"
  field { name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "MonitoringConfig"
  field { name: "prometheus_config" number: 1 type: TYPE_MESSAGE
          type_name: ".upstream.PrometheusConfig" label: LABEL_OPTIONAL } }
message_type { name: "Value"
  field { name: "value" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 type: TYPE_MESSAGE
          type_name: ".upstream.Value" label: LABEL_OPTIONAL }
  field { name: "batch_timeout_micros" number: 2 type: TYPE_MESSAGE
          type_name: ".upstream.Value" label: LABEL_OPTIONAL }
  field { name: "max_enqueued_batches" number: 3 type: TYPE_MESSAGE
          type_name: ".upstream.Value" label: LABEL_OPTIONAL }
  field { name: "num_batch_threads" number: 4 type: TYPE_MESSAGE
          type_name: ".upstream.Value" label: LABEL_OPTIONAL }
  field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64
          label: LABEL_REPEATED } }
"""


def _upstream(name, text):
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto()))
    descriptor = pool.FindMessageTypeByName(f"upstream.{name}")
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4 and later
        made = message_factory.GetMessageClass(descriptor)
    else:
        made = message_factory.MessageFactory(pool).GetPrototype(descriptor)
    return text_format.Parse(text, made())


def _models(text):
    found = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (config,) = found.model_config_list.config
    return config


def _manifests():
    with (_DEPLOY / "kubernetes.yaml").open() as file:
        return {document["kind"]: document for document in yaml.safe_load_all(file)}


def test_the_plain_config_serves_the_newest_version():
    config = _models((_DEPLOY / "models.config").read_text())
    assert (config.name, config.base_path) == ("kuairand", "/models/kuairand")
    assert config.model_platform == "tensorflow"
    assert config.model_version_policy.latest.num_versions == 1


@pytest.mark.parametrize("place", ["models_canary.config", "kubernetes.yaml"])
def test_labels_name_versions_that_are_loaded(place):
    text = (_DEPLOY / place).read_text()
    if place == "kubernetes.yaml":
        text = _manifests()["ConfigMap"]["data"]["models.config"]
    config = _models(text)
    assert dict(config.version_labels) == {"stable": 1, "canary": 2}
    assert list(config.model_version_policy.specific.versions) == [1, 2]


def test_batching_sizes_increase_to_the_largest():
    text = (_DEPLOY / "batching.config").read_text()
    found = _upstream("BatchingParameters", text)
    sizes = list(found.allowed_batch_sizes)
    assert sizes == [64, 256, 512]
    assert found.max_batch_size.value == sizes[-1]


@pytest.mark.parametrize("place", ["monitoring.config", "kubernetes.yaml"])
def test_prometheus_reads_what_is_scraped(place):
    text = (_DEPLOY / "monitoring.config").read_text()
    if place == "kubernetes.yaml":
        text = _manifests()["ConfigMap"]["data"]["monitoring.config"]
    found = _upstream("MonitoringConfig", text)
    assert found.prometheus_config.enable
    template = _manifests()["Deployment"]["spec"]["template"]
    scraped = template["metadata"]["annotations"]["prometheus.io/path"]
    assert found.prometheus_config.path == scraped


def test_manifests_are_what_kubernetes_has_classes_for():
    """The client's own deserializer refuses values of another type, and no kind lacks."""
    client = pytest.importorskip("kubernetes.client")
    kinds = {
        "ConfigMap": "V1ConfigMap",
        "Deployment": "V1Deployment",
        "Service": "V1Service",
        "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
        "PodDisruptionBudget": "V1PodDisruptionBudget",
    }
    found = _manifests()
    assert found.keys() == kinds.keys()
    api = client.ApiClient()
    for kind, manifest in found.items():
        if not hasattr(client, kinds[kind]):
            continue  # an old client has no autoscaling/v2
        read = api._ApiClient__deserialize(manifest, kinds[kind])
        # What the class does not know would be lost on the way.
        assert api.sanitize_for_serialization(read) == manifest, kind


def test_the_parts_of_the_manifests_find_each_other():
    found = _manifests()
    pod = found["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {p["targetPort"] for p in found["Service"]["spec"]["ports"]} == set(ports)
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == found["Deployment"]["metadata"]["name"]


def test_compose_mounts_the_configs_that_it_names():
    service = yaml.safe_load((_DEPLOY / "compose.yaml").read_text())["services"]
    (ranker,) = service.values()
    mounts = {m.rsplit(":", 2)[1]: m.rsplit(":", 2)[0] for m in ranker["volumes"]}
    named = [flag.partition("=")[2] for flag in ranker["command"] if "/config/" in flag]
    assert named == ["/config/models.config", "/config/monitoring.config"]
    for path in named:
        assert (_DEPLOY / mounts[path]).is_file()


def test_the_image_has_the_files_that_it_starts_with():
    text = (_DEPLOY / "Dockerfile").read_text()
    copied = [word for word in text.split() if word.startswith("serving/deploy/")]
    for path in ("serving/deploy/models.config", "serving/deploy/monitoring.config"):
        assert path in copied
        assert f"=/config/{pathlib.Path(path).name}" in text


def test_vertex_takes_the_upload():
    vertex = pytest.importorskip("google.cloud.aiplatform_v1")
    text = (_DEPLOY / "vertex_model.json").read_text()
    request = vertex.UploadModelRequest.from_json(text)  # refuses unknown names
    container = request.model.container_spec
    assert container.ports[0].container_port == 8501
    assert container.predict_route == f"/v1/models/{request.model.display_name}:predict"

"""TensorFlow Serving's model_config_file: what it says, and what is refused."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.store.model_config import ModelConfigFile, read_model_config
from serving.store.store_options import ALL, ModelSettings, VersionPolicy, specific
from serving.store.text_protos import ConfigFileError

# As in the contract, sec. 10.
RANKER = """
# a comment
model_config_list { config { name: "ranker" base_path: "/models/ranker" model_platform: "tensorflow"
    model_version_policy { specific { versions: 41 versions: 42 } }
    version_labels { key: "stable" value: 41 } version_labels { key: "canary" value: 42 } } }
"""


def one(more: str = "", platform: str = 'model_platform: "tensorflow"') -> str:
    return (
        'model_config_list { config { name: "m" base_path: "/models/m" '
        f"{platform} {more} }} }}"
    )


def test_a_ranking_model_s_configuration():
    assert read_model_config(RANKER, "models.config") == {
        "ranker": ModelSettings(
            "/models/ranker", specific([41, 42]), {"stable": 41, "canary": 42}
        )
    }


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", VersionPolicy(most=1)),
        ("model_version_policy {}", VersionPolicy(most=1)),
        ("model_version_policy { latest {} }", VersionPolicy(most=1)),
        ("model_version_policy { latest { num_versions: 3 } }", VersionPolicy(most=3)),
        ("model_version_policy { all {} }", ALL),
        ("model_version_policy { specific { versions: [5, 007] } }", specific([5, 7])),
    ],
)
def test_policies(policy, expected):
    found = read_model_config(one(policy), "f")
    assert found["m"].policy == expected


def test_paths_in_buckets_and_the_older_enum():
    text = one(platform="model_type: TENSORFLOW").replace("/models/m", "gs://b/m")
    assert read_model_config(text, "f")["m"].path == "gs://b/m"


def test_an_empty_list_is_no_model():
    assert read_model_config("model_config_list {}", "f") == {}


def test_what_protobuf_itself_writes_is_read():
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add()
    model.name, model.base_path, model.model_platform = "m", "/m", "tensorflow"
    model.version_labels["stable"] = 2**62
    text = text_format.MessageToString(config)
    assert read_model_config(text, "f")["m"].labels == {"stable": 2**62}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: must hold a model_config_list. Got an empty configuration"),
        ("custom_model_config {}", "Got custom_model_config"),
        ("model_config_list {\n  confg {}\n}", 'f:2:3 : .*no field named "confg"'),
        ('{"model_config_list": 1}', "f:1:1 : .*It must be a text proto"),
        (one(platform=""), "f: model 'm': model_platform must be \"tensorflow\""),
        (one(platform='model_platform: "onnx"'), "Got 'onnx'"),
        (one("model_type: TENSORFLOW"), "model_type and model_platform are both set"),
        (one().replace("/models/m", "models/m"), "absolute path.*Got 'models/m'"),
        (one().replace("/models/m", ""), "absolute path.*Got ''"),
        (one().replace("/models/m", "/models/[m]"), "'m': base_path /models/.*pattern"),
        (one().replace('name: "m"', ""), "f: config 0: name is missing"),
        (one("} config { " + one()[29:-4]), "model 'm': is listed twice"),
        (one("model_version_policy { specific {} }"), "must name versions.*Got \\[\\]"),
        (one("model_version_policy { specific { versions: -1 } }"), "Got \\[-1\\]"),
        (one('version_labels { key: "" value: 1 }'), "version_labels must .*Got '': 1"),
        (one('version_labels { key: "s" value: -1 }'), "Got 's': -1"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigFileError, match=message):
        read_model_config(text, "f")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigFileError, match="none.config: cannot be read"):
        ModelConfigFile(str(tmp_path / "none.config")).models()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFileError, match="binary: cannot be read"):
        ModelConfigFile(str(tmp_path / "binary")).models()


def test_logging_is_said_to_be_upstream_s_once(tmp_path, caplog):
    file = tmp_path / "models.config"
    file.write_text(one("logging_config { sampling_config { sampling_rate: 1 } }"))
    source = ModelConfigFile(str(file))
    source.models()
    source.models()
    told = "model 'm': logging_config is for tensorflow/serving"
    assert caplog.text.count(told) == 1

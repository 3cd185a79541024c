"""Text protos of TensorFlow Serving's configuration files."""

import pytest

from serving.store.text_protos import ConfigFileError, message_class, parse, read_text


def test_a_batching_file_of_the_contract():
    text = """
    max_batch_size { value: 512 } batch_timeout_micros { value: 2000 }
    num_batch_threads { value: 8 } max_enqueued_batches { value: 100 }
    allowed_batch_sizes: 64 allowed_batch_sizes: 256 allowed_batch_sizes: 512
    """
    found = parse(text, message_class("BatchingParameters")(), "f", "...")
    assert found.max_batch_size.value == 512
    assert list(found.allowed_batch_sizes) == [64, 256, 512]
    assert found.HasField("batch_timeout_micros")
    assert not found.HasField("max_execution_batch_size")


def test_a_monitoring_file_of_the_contract():
    text = 'prometheus_config { enable: true path: "/metrics" }'
    found = parse(text, message_class("MonitoringConfig")(), "f", "...")
    assert found.prometheus_config.enable
    assert found.prometheus_config.path == "/metrics"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 512", r"f:1:17 : .*It must be a text proto like max_batch"),
        ("\nmax_size { value: 1 }", r'f:2:1 : .*no field named "max_size"'),
        ("max_batch_size { value: 1e9 }", "f:1:"),
        ("max_batch_size { value: 99999999999999999999 }", "f:1:"),
    ],
)
def test_where_a_text_is_wrong_is_told(text, message):
    found = message_class("BatchingParameters")()
    with pytest.raises(ConfigFileError, match=message):
        parse(text, found, "f", "max_batch_size { value: 512 }")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigFileError, match="/none: cannot be read: No such file"):
        read_text(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigFileError, match="/binary: cannot be read: .*utf-8"):
        read_text(str(tmp_path / "binary"))
    assert read_text(__file__).startswith('"""Text protos')

"""Monitoring and batching as TensorFlow Serving's own files say it."""

import pytest

from feature_specs.errors import UsageError
from serving.options import BatchingOptions
from serving.server.config_files import batching_options, read_batching, read_monitoring
from serving.store.text_protos import ConfigFileError


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "file").write_text(text)
        return tmp_path / "file"

    return write


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/m" }', None),
        ("", None),
    ],
)
def test_monitoring(write, text, path):
    assert read_monitoring(write(text)) == path


def test_batching_of_the_contract(write):
    file = write(
        "max_batch_size { value: 512 } batch_timeout_micros { value: 2000 } "
        "num_batch_threads { value: 8 } max_enqueued_batches { value: 100 } "
        "allowed_batch_sizes: 64 allowed_batch_sizes: 256 allowed_batch_sizes: 512"
    )
    assert batching_options(file, {"num_batch_threads": 2}) == BatchingOptions(
        max_batch_size=512,
        batch_timeout_micros=2000,
        num_batch_threads=2,  # a flag wins
        max_enqueued_batches=100,
        allowed_batch_sizes=(64, 256, 512),
    )


def test_further_fields(write):
    file = write(
        'thread_pool_name { value: "p" } pad_variable_length_inputs: true '
        "enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 16 } batch_timeout_micros { value: 0 }"
    )
    assert read_batching(file) == {
        "batch_timeout_micros": 0,  # said, and not left out
        "pad_variable_length_inputs": True,
        "enable_large_batch_splitting": True,
        "max_execution_batch_size": 16,
    }


def test_what_is_refused(write):
    with pytest.raises(ConfigFileError, match=":1:1 : .*max_batch_size { value: 512 }"):
        read_batching(write("batch_size { value: 512 }"))
    with pytest.raises(UsageError, match="allowed_batch_sizes must increase"):
        batching_options(write("allowed_batch_sizes: 4"), {})
    with pytest.raises(ConfigFileError, match=":1:1 : .*prometheus_config"):
        read_monitoring(write("enable: true"))

"""TensorFlow Serving's `--monitoring_config_file` and `--batching_parameters_file`."""

from __future__ import annotations

from typing import Any

from feature_specs.places import Place
from serving.options import DEFAULT_MONITORING_PATH, BatchingOptions
from serving.store.text_protos import message_class, parse, read_text

_MONITORING = 'prometheus_config { enable: true path: "/metrics" }'
_BATCHING = "max_batch_size { value: 512 }"
_WRAPPED = (  # of one value each, so that one that is left out is told from 0
    "max_batch_size",
    "batch_timeout_micros",
    "num_batch_threads",
    "max_enqueued_batches",
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)


def read_monitoring(path: Place) -> str | None:
    """Where metrics are served; None if the file turns them off.

    Raises:
        ConfigFileError: The file cannot be read, or is no such configuration.
    """
    empty = message_class("MonitoringConfig")()
    found = parse(read_text(path), empty, path, _MONITORING).prometheus_config
    return found.path or DEFAULT_MONITORING_PATH if found.enable else None


def read_batching(path: Place) -> dict[str, Any]:
    """The fields of `BatchingOptions` that the file sets.

    `thread_pool_name` is taken and means nothing: there is one pool.

    Raises:
        ConfigFileError: The file cannot be read, or is no such configuration.
    """
    empty = message_class("BatchingParameters")()
    found = parse(read_text(path), empty, path, _BATCHING)
    names = [name for name in _WRAPPED if found.HasField(name)]
    fields: dict[str, Any] = {name: getattr(found, name).value for name in names}
    if found.allowed_batch_sizes:
        fields["allowed_batch_sizes"] = tuple(found.allowed_batch_sizes)
    if found.pad_variable_length_inputs:
        fields["pad_variable_length_inputs"] = True
    return fields


def batching_options(path: Place | None, flags: dict[str, Any]) -> BatchingOptions:
    """What a file and flags say together; a flag wins.

    Raises:
        ConfigFileError: The file cannot be taken.
        UsageError: A value cannot be.
    """
    fields = read_batching(path) if path is not None else {}
    return BatchingOptions(**{**fields, **flags})

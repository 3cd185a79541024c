"""Options of the server: what cannot be is refused with a message that says why."""

import pytest

from feature_specs.errors import UsageError
from serving.options import BatchingOptions, Limits, ServerOptions


def test_by_default_only_this_machine_is_served():
    options = ServerOptions()
    assert (options.host, options.rest_port, options.grpc_port) == (
        "127.0.0.1",
        8501,
        8500,
    )
    assert options.worker_count >= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rest_port": 65536}, "rest_port must be between 0 and 65535. Got 65536."),
        ({"grpc_port": -1}, "grpc_port must be between 0 and 65535. Got -1."),
        ({"grpc_port": 8501}, "must differ. Got 8501 for both."),
        ({"monitoring_path": "x"}, "monitoring_path must begin with '/'. Got 'x'."),
        ({"max_body_bytes": 0}, "max_body_bytes must be positive. Got 0."),
        ({"send_timeout_s": float("nan")}, "send_timeout_s must be positive. Got nan."),
        ({"max_waiting": -1}, "max_waiting must not be negative. Got -1."),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(UsageError, match=message):
        ServerOptions(**options)


def test_two_free_ports_do_differ():
    assert ServerOptions(rest_port=0, grpc_port=0).rest_port == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_nesting": 33}, "max_nesting must be at most 32.* Got 33."),
        ({"max_rows": 0}, "max_rows must be positive. Got 0."),
    ],
)
def test_refused_limits(options, message):
    with pytest.raises(UsageError, match=message):
        Limits(**options)


@pytest.mark.parametrize("sizes", [(4, 2, 8), (2, 4), (0, 8), (8, 8)])
def test_allowed_batch_sizes_increase_to_the_largest(sizes):
    with pytest.raises(UsageError, match="allowed_batch_sizes must increase.*is 8"):
        BatchingOptions(max_batch_size=8, allowed_batch_sizes=sizes)
    assert BatchingOptions(max_batch_size=8, allowed_batch_sizes=(2, 8))


def test_parts_of_split_batches_are_no_larger_than_batches():
    with pytest.raises(UsageError, match="max_execution_batch_size must be between"):
        BatchingOptions(max_batch_size=8, max_execution_batch_size=9)

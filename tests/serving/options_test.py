"""Options of the server: what cannot be is refused with a message that says why."""

import pytest

from feature_specs.errors import UsageError
from serving.options import BatchingOptions, Limits, ServerOptions, TrialOptions


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs shadow or canary"),
        ({"shadow": "2", "share": 0.1}, "shadow needs shadow_log"),
        ({"canary": "2"}, "share: canary needs a share.*Got None"),
        ({"canary": "2", "share": 0.0}, "share: canary needs a share.*Got 0.0"),
        ({"canary": "2", "canary_share": 1.1}, "canary_share: canary needs a share"),
        ({"canary": "2", "share": float("nan")}, "needs a share.*Got nan"),
        (
            {"canary": "2", "share": 1.0, "shadow_share": 1.0},
            "shadow_share needs shadow",
        ),
        (
            {"canary": "a=b", "share": 1.0},
            "canary must be a version's number, or a label",
        ),
        (
            {"canary": "2", "share": 1.0, "shadow_log": "gs://bucket/log"},
            "must be a directory of this machine",
        ),
        (
            {"canary": "2", "share": 1.0, "shadow_log_most_mb": 8.0},
            "must hold two files of shadow_log_file_mb, which is 32. Got 8.",
        ),
        ({"canary": "2", "share": 1.0, "shadow_queue": 0}, "shadow_queue must be pos"),
        (
            {"canary": "2", "shadow": "3", "share": 0.1, "shadow_log": "log"},
            "Give shadow_share and canary_share",
        ),
    ],
)
def test_refused_trials(options, message):
    with pytest.raises(UsageError, match=message):
        TrialOptions(**options)


def test_one_share_is_for_whichever_is_given():
    canary = TrialOptions(canary="2", share=0.05)
    assert (canary.share_of("canary"), canary.share_of("shadow")) == (0.05, 0.0)
    shadow = TrialOptions(shadow="2", shadow_share=0.01, shadow_log="log")
    assert (shadow.share_of("canary"), shadow.share_of("shadow")) == (0.0, 0.01)
    both = TrialOptions(
        canary="2", shadow="next", canary_share=0.05, share=0.01, shadow_log="log"
    )
    assert (both.share_of("canary"), both.share_of("shadow")) == (0.05, 0.01)
    assert both.versions == ("next", "2")

"""Every option of the server has a flag, with the field's own words as its help."""

import dataclasses

import pytest

from feature_specs.errors import UsageError
from serving.options import BatchingOptions, Limits, ServerOptions, TrialOptions
from serving.server.serve_command import parser, read_flags


def server_options(models, *flags: str) -> ServerOptions:
    return read_flags(["--models", models, *flags])[1]


@pytest.mark.parametrize(
    "options", [ServerOptions, Limits, BatchingOptions, TrialOptions]
)
def test_every_field_has_a_flag_with_its_text(options):
    flags = {action.dest: action for action in parser()._actions}
    fields = {field.name for field in dataclasses.fields(options)}
    fields -= {"limits", "batching", "trial"}
    assert fields <= set(flags)
    assert [name for name in fields if len(flags[name].help) < 10] == []
    assert [name for name in fields if flags[name].help.startswith(" (")] == []


def test_without_flags_every_option_is_its_default(models):
    assert server_options(models) == ServerOptions()


def test_values_of_every_type(models):
    found = server_options(
        models,
        *("--host", "0.0.0.0", "--port", "9000", "--grpc_port", "off"),
        *("--enable_cors", "--monitoring_path", "/m", "--max_body_bytes", "10"),
        *("--drain_s", "0.5", "--max_rows", "7"),
    )
    assert found == ServerOptions(
        host="0.0.0.0",
        rest_port=9000,
        grpc_port=None,
        enable_cors=True,
        monitoring_path="/m",
        max_body_bytes=10,
        drain_s=0.5,
        limits=Limits(max_rows=7),
    )


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("1", True), ("False", False)]
)
def test_upstream_s_way_to_say_yes_and_no(models, text, value):
    found = server_options(models, f"--rest_api_enable_cors_support={text}")
    assert found.enable_cors is value


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--enable_cors=maybe", "must be true or false. Got 'maybe'"),
        ("--max_rows=many", "invalid int value: 'many'"),
        ("--grpc_port=none", "invalid int or off value: 'none'"),
    ],
)
def test_a_value_of_another_type_is_refused(models, capsys, flag, message):
    with pytest.raises(SystemExit) as end:
        server_options(models, flag)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "65536"], "rest_port must be between 0 and 65535. Got 65536"),
        (["--port", "8500"], "rest_port and grpc_port must differ"),
        (["--max_rows", "0"], "max_rows must be positive"),
        (["--max_batch_size", "4"], "--max_batch_size needs --enable_batching"),
    ],
)
def test_a_value_that_cannot_be_is_refused(models, flags, message):
    with pytest.raises(UsageError, match=message):
        server_options(models, *flags)


def test_batching_by_flags(models):
    found = server_options(
        models,
        *("--enable_batching", "--max_batch_size", "8"),
        *("--allowed_batch_sizes", "4,8", "--unbatched_signatures", "rank,other"),
    )
    assert found.batching == BatchingOptions(
        max_batch_size=8,
        allowed_batch_sizes=(4, 8),
        unbatched_signatures=("rank", "other"),
    )


def test_a_trial_by_flags(models):
    found = server_options(
        models,
        *("--shadow", "12", "--share", "0.01", "--shadow_log", "log"),
        *("--shadow_log_features", "false", "--user_key", "uid"),
    )
    assert found.trial == TrialOptions(
        shadow="12",
        share=0.01,
        shadow_log="log",
        shadow_log_features=False,
        user_key="uid",
    )
    with pytest.raises(UsageError, match="--share needs --shadow or --canary"):
        server_options(models, "--share", "0.1")

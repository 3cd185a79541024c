"""`trailrank preflight`: what it refuses, and one run from end to end."""

import json
import pathlib

import pytest

from tests.trainer.conftest import PRESET
from trailrank import cli


def run(flags: list[str]) -> int:
    return cli.main(["trailrank", "preflight", *flags])


@pytest.mark.parametrize(
    "flags, status, message",
    [
        (
            ["--tpu_config", "cpu"],
            2,
            "--tpu_config cpu: must be a TPU's. Got one for cpu",
        ),
        (["--tpu_config", "v5litepod-9"], 1, "Did you mean 'v5litepod-8'"),
        (["--tpu_config", "v4-8", "--preset", "mmo"], 1, "Did you mean 'mmoe'"),
        (["--tpu_config", "v4-8", "--spec", "no"], 1, "is neither a shipped spec nor"),
        (
            ["--tpu_config", "v4-8", "--rank_candidates", "0"],
            2,
            "must be at least 1. Got",
        ),
        (["--tpu_config", "v4-8", "--json", "/no/such/x"], 2, "an existing directory"),
        (["--tpu_config", "v4-8", "--environment", "/no"], 1, "must be a virtual env"),
    ],
)
def test_mistake_ends_in_a_message(flags, status, message, capsys):
    assert run(flags) == status
    assert message in capsys.readouterr().err


def test_slice_is_required(capsys):
    with pytest.raises(SystemExit) as caught:
        run([])
    assert caught.value.code == 2
    assert "--tpu_config" in capsys.readouterr().err


@pytest.mark.slow
def test_command_reports_and_writes(spec_file, tmp_path, python, capsys):
    preset, slice = tmp_path / "preset.yaml", tmp_path / "one.yaml"
    preset.write_text(PRESET)
    slice.write_text("{like: v6e-1, name: one, batch_per_core: 8}")
    out = pathlib.Path(tmp_path / "found.json")
    flags = ["--tpu_config", slice, "--spec", spec_file, "--preset", preset]
    flags += ["--precision", "float32", "--one_precision", "--json", out]
    assert run([*map(str, flags), "--rank_candidates", "7"]) == 0
    printed = capsys.readouterr()
    assert "compiles and fits" in " ".join(printed.out.split())
    assert "preflight: compiled train float32" in printed.err
    found = json.loads(out.read_text())
    programs = [(p["program"], p["precision"], p["rows"]) for p in found["programs"]]
    assert programs == [("train", "float32", 8), ("rank", "float32", 7)]

"""Queued resources: the command, and the shell script of a dry run."""

import os
import pathlib
import shutil
import subprocess

import pytest

from trailrank import cli


def _program(folder: pathlib.Path, name: str, text: str) -> None:
    """A program of the outer world, for this test's path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def _command(script: str) -> list[str]:
    """The words of gcloud's command line at the end of a dry run."""
    return script[script.rindex("\ngcloud ") :].replace("\\\n", " ").split()


def test_command_for_a_spot_slice(tpu_vm_job):
    assert _command(tpu_vm_job("--spot", "--label", "team=feed")) == [
        *("gcloud", "compute", "tpus", "queued-resources", "create", "mine"),
        *("--node-id=mine", "--project=my-team", "--zone=europe-west4-b"),
        *("--accelerator-type=v6e-8", "--runtime-version=tpu-vm-tf-2.16.1-pjrt"),
        "--metadata-from-file=startup-script=mine-startup.sh",
        *("--labels=app=trailrank,slice=v6e-8,team=feed", "--spot"),
    ]


def test_command_with_the_other_flags(tpu_vm_job):
    words = _command(
        tpu_vm_job(
            *("--tpu_config", "v4-8", "--runtime_version", "tpu-vm-tf-2.16.1-pjrt"),
            *(
                "--valid_until",
                "6h",
                "--service_account",
                "t@p.iam",
                "--script",
                "s.sh",
            ),
        )
    )
    assert "--accelerator-type=v4-8" in words
    assert "--runtime-version=tpu-vm-tf-2.16.1-pjrt" in words
    assert "--valid-until-duration=6h" in words
    assert "--service-account=t@p.iam" in words
    assert "--metadata-from-file=startup-script=s.sh" in words
    assert "--spot" not in words


@pytest.mark.parametrize("name", ["v2-8", "v4-8", "v5litepod-16", "v5p-8", "v6e-16"])
def test_every_kind_of_tpu_is_offered(tpu_vm_job, name):
    assert f"--accelerator-type={name}" in _command(tpu_vm_job("--tpu_config", name))


def test_dry_run_is_a_script_that_asks_for_the_tpu(tpu_vm_job, tmp_path):
    _program(tmp_path / "bin", "gcloud", f'printf "%s\\n" "$@" > {tmp_path}/asked')
    subprocess.run(
        ["bash", "-e", "-c", tpu_vm_job("--spot")],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
        check=True,
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:5] == ["compute", "tpus", "queued-resources", "create", "mine"]
    script = (tmp_path / "mine-startup.sh").read_text()
    assert script.startswith("#!/bin/bash\n")
    assert script.endswith("esac\n")


def test_submit_writes_the_script_and_runs_gcloud(job, tmp_path, monkeypatch, capfd):
    _program(tmp_path / "bin", "gcloud", 'echo "$@"; exit "${STATUS:-0}"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["trailrank", "job", *job("tpu_vm")]) == 0
    said = capfd.readouterr().out
    assert "compute tpus queued-resources create mine --node-id=mine" in said
    assert "journalctl --unit trailrank --follow" in said
    assert "queued-resources delete mine --zone=europe-west4-b" in said
    assert (tmp_path / "mine-startup.sh").exists()
    monkeypatch.setenv("STATUS", "3")
    assert cli.main(["trailrank", "job", *job("tpu_vm")]) == 1
    assert "gcloud refused the queued resource (status 3)" in capfd.readouterr().err


def test_without_gcloud_it_says_where_to_get_it(job, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["trailrank", "job", *job("tpu_vm")]) == 1
    assert "cloud.google.com/sdk/docs/install" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="needs the Google Cloud CLI")
def test_gcloud_takes_every_flag(tpu_vm_job, tmp_path):
    (tmp_path / "mine-startup.sh").write_text("true\n")
    words = _command(
        tpu_vm_job("--spot", "--valid_until", "6h", "--service_account", "t@p.iam")
    )
    environment = os.environ | {
        "CLOUDSDK_CONFIG": str(tmp_path / "empty"),
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "False",
    }
    ended = subprocess.run(
        words,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # It reads its flags first, and only then misses an account.
    assert "do not currently have an active account" in ended.stderr, ended.stderr

"""The start script of a TPU VM, run for real; docker, systemctl and the metadata server
are the outer world, and programs of the test's own stand for them."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

# Ends with the first status of the file `statuses`, and drops it; "hang" waits for
# `docker stop`, which ends it with 75 as a training that SIGTERM stopped.
_DOCKER = r"""
echo "$@" >> "$WORLD/calls"
case $1 in
  image) [ -e "$WORLD/pulled" ] ;;
  pull)
    failures=$(cat "$WORLD/failures" 2> /dev/null || echo 0)
    [ "$failures" -eq 0 ] || { echo $((failures - 1)) > "$WORLD/failures"; exit 1; }
    touch "$WORLD/pulled" ;;
  stop) touch "$WORLD/stopped" ;;
  run)
    status=$(head -1 "$WORLD/statuses")
    sed -i 1d "$WORLD/statuses"
    if [ "$status" = hang ]; then
      until [ -e "$WORLD/stopped" ]; do sleep 0.02; done
      status=75
    fi
    exit "$status" ;;
esac
"""


class World:
    """A host: the paths and programs that the script finds there."""

    def __init__(self, folder: pathlib.Path, script: str):
        self.root, self._bin = folder / "root", folder / "bin"
        self._bin.mkdir()
        self._folder = folder
        self.script = folder / "startup-script"
        self.script.write_text(script)
        self.script.chmod(0o755)
        self._program("docker", _DOCKER)
        self._program("systemctl", 'echo "systemctl $@" >> "$WORLD/calls"')
        self._program("gcloud", 'echo "gcloud $@" >> "$WORLD/calls"')
        self._program("curl", 'cat "$WORLD/worker"')

    def _program(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def set(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    @property
    def calls(self) -> list[str]:
        path = self._folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "WORLD": str(self._folder),
            "TRAILRANK_ROOT": str(self.root),
            "TRAILRANK_RETRY_S": "0.01",
        }

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def boot(self) -> tuple[int, str]:
        return self.run(str(self.script))

    def train(self) -> tuple[int, str]:
        return self.run(str(self.root / "opt/trailrank/start"), "train")


@pytest.fixture
def world(tpu_vm_job, tmp_path):
    """A host whose TPU was asked for with the given flags."""

    def create(*flags: str, train: list[str] | None = None) -> World:
        text = tpu_vm_job(*flags, train=train)
        end = "END_OF_STARTUP_SCRIPT"
        script = text.split(f"<<'{end}'\n")[1].split(f"{end}\n")[0]
        host = tmp_path / "host"
        host.mkdir()
        return World(host, script)

    return create


def test_script_and_template_are_bash(world):
    subprocess.run(["bash", "-n", world().script], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_finds_nothing(world):
    subprocess.run(["shellcheck", world().script], check=True)


def test_boot_installs_a_service_that_starts_after_a_reboot_too(world):
    host = world()
    status, said = host.boot()
    assert (status, "journalctl --unit trailrank" in said) == (0, True)
    assert host.calls == [
        "systemctl daemon-reload",
        "systemctl enable trailrank.service",
        "systemctl start --no-block trailrank.service",
    ]
    unit = (host.root / "etc/systemd/system/trailrank.service").read_text()
    assert f"ExecStart={host.root}/opt/trailrank/start train\n" in unit
    assert "WantedBy=multi-user.target" in unit
    assert (host.root / "opt/trailrank/start").read_text() == host.script.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_understands_the_unit(world):
    host = world()
    host.boot()
    unit = host.root / "etc/systemd/system/trailrank.service"
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in ended.stderr.splitlines() if "trailrank.service" in line]
    missing = ("docker.service", "No such file")  # on this machine, not in the unit
    assert [line for line in ours if not any(m in line for m in missing)] == []


def test_preempted_training_is_started_again_until_it_ends(world):
    host = world()
    host.boot()
    host.set("statuses", "75\n75\n0\n")
    status, said = host.train()
    assert status == 0
    runs = [call for call in host.calls if call.startswith("run ")]
    assert len(runs) == 3
    assert said.count("preempted, checkpoint written; starting again") == 2
    assert "ended with status 0" in said
    assert (host.root / "var/lib/trailrank/ended").read_text() == "0\n"


def test_another_status_is_the_end_also_after_a_reboot(world):
    host = world()
    host.boot()
    host.set("statuses", "75\n1\n0\n")
    assert host.train()[0] == 1
    host.boot()
    status, said = host.train()
    assert status == 0
    assert "ended with status 1 before" in said
    assert sum(call.startswith("run ") for call in host.calls) == 2


def test_container_gets_the_chips_and_the_train_flags(world):
    host = world("--env", "NOTE=a b")
    host.boot()
    host.set("statuses", "0\n")
    host.train()
    run = next(call for call in host.calls if call.startswith("run "))
    assert run == (
        "run --rm --name trailrank --privileged --net host --ulimit memlock=-1 "
        f"--log-opt max-size=50m --volume {host.root}/etc/trailrank:/etc/trailrank:ro "
        "--env NEXT_PLUGGABLE_DEVICE_USE_C_API=true "
        "--env TF_PLUGGABLE_DEVICE_LIBRARY_PATH=/lib/libtpu.so --env NOTE=a b "
        "europe-west4-docker.pkg.dev/p/r/trailrank:1 trailrank train --spec kuairand "
        "--examples gs://b/days --checkpoints gs://b/c --preset mmoe "
        "--accelerator tpu --tpu_config v6e-8 --tpu local"
    )


def test_shutdown_stops_the_training_and_the_next_boot_goes_on(world):
    host = world()
    host.boot()
    host.set("statuses", "hang\n0\n")
    process = host.start(str(host.root / "opt/trailrank/start"), "train")
    _wait_until(lambda: any(call.startswith("run ") for call in host.calls))
    process.send_signal(signal.SIGTERM)  # as systemd does
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stop --time 25 trailrank" in host.calls
    assert "stopped with status 75; the next boot goes on" in said
    assert not (host.root / "var/lib/trailrank/ended").exists()
    assert host.train()[0] == 0


def test_image_is_pulled_once_and_again_while_there_is_no_network(world):
    host = world()
    host.boot()
    host.set("failures", "2")
    host.set("statuses", "75\n0\n")
    status, said = host.train()
    assert status == 0
    assert said.count("to pull europe-west4-docker.pkg.dev/p/r/trailrank:1 failed") == 2
    assert sum(call.startswith("pull ") for call in host.calls) == 3
    login = "gcloud auth configure-docker europe-west4-docker.pkg.dev --quiet"
    assert host.calls.count(login) == 1


def test_image_that_cannot_be_had_is_tried_again_at_the_next_boot(world):
    host = world()
    host.boot()
    host.set("failures", "5")
    host.set("statuses", "0\n")
    status, said = host.train()
    assert status == 1
    assert "may the TPU's service account read it?" in said
    assert host.train()[0] == 0


def test_files_of_ones_own_are_on_the_host(world, tmp_path):
    path = tmp_path / "wide.yaml"
    path.write_text("bottom: [64]\n# it's mine: $HOME\n")
    train = ["--spec", "kuairand", "--preset", str(path), "--examples", "gs://b/t"]
    host = world(train=[*train, "--checkpoints", "gs://b/c"])
    host.boot()
    there = (host.root / "etc/trailrank/preset.yaml").read_text()
    assert there == path.read_text()
    host.set("statuses", "0\n")
    host.train()
    run = next(call for call in host.calls if call.startswith("run "))
    assert "--preset /etc/trailrank/preset.yaml" in run


def test_of_several_hosts_the_first_one_trains_with_the_name_of_the_tpu(world):
    host = world("--tpu_config", "v6e-16")
    host.set("worker", "0")
    host.boot()
    host.set("statuses", "0\n")
    assert host.train()[0] == 0
    run = next(call for call in host.calls if call.startswith("run "))
    assert run.endswith("--accelerator tpu --tpu_config v6e-16 --tpu mine")
    assert "--env TPU_LOAD_LIBRARY=0" in run


def test_the_other_hosts_start_nothing(world):
    host = world("--tpu_config", "v6e-16")
    host.set("worker", "3")
    status, said = host.boot()
    assert status == 0
    assert "host 3 of 4 serves its chips to host 0" in said
    assert host.calls == []
    assert not host.root.exists()


def _wait_until(true) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

"""What a Vertex AI worker runs, run for real around a `trailrank` of the test's own."""

import base64
import importlib.resources
import os
import signal
import subprocess
import time

import pytest

_ENTRY = (
    importlib.resources.files("pipeline.cloud").joinpath("vertex_entry.sh").read_text()
)
# Notes its arguments; "hang" ends with 75 after SIGTERM, as `trailrank train` does.
_TRAILRANK = r"""#!/bin/bash
printf '%s\n' "$@" > "$WORLD/arguments"
if [ "$STATUS" = hang ]; then
  trap 'sleep 0.2; exit 75' TERM
  touch "$WORLD/ready"
  while true; do sleep 0.02; done
fi
exit "$STATUS"
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "trailrank").write_text(_TRAILRANK)
    (tmp_path / "trailrank").chmod(0o755)

    def entry(status: str, *arguments: str, **variables: str) -> subprocess.Popen:
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "WORLD": str(tmp_path),
            "STATUS": status,
            **variables,
        }
        command = ["bash", "-c", _ENTRY, "trailrank-job", *arguments]
        return subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True
        )

    return entry


@pytest.mark.parametrize(
    ("of_training", "of_job"), [("0", 0), ("1", 1), ("2", 2), ("75", 134), ("130", 130)]
)
def test_only_a_preemption_has_another_status(start, of_training, of_job):
    assert start(of_training).wait(20) == of_job


def test_arguments_arrive_as_they_were(start, tmp_path):
    start("0", "train", "--days", "20220408", "a b", "$HOME").wait(20)
    assert (tmp_path / "arguments").read_text().splitlines() == [
        *("train", "train", "--days", "20220408", "a b", "$HOME"),
    ]


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_reaches_the_training_and_its_status_comes_back(
    start, tmp_path, signals
):
    process = start("hang")
    end = time.monotonic() + 20
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert process.wait(20) == 134


def test_files_are_written_before_the_training(start, tmp_path):
    place = tmp_path / "files"
    text = "tasks: [a]\n# 'quoted' $HOME\n"
    files = f"spec.yaml={base64.b64encode(text.encode()).decode()} preset.yaml=YTogMQ=="
    start("0", TRAILRANK_FILES=files, TRAILRANK_FILES_PLACE=str(place)).wait(20)
    assert (place / "spec.yaml").read_text() == text
    assert (place / "preset.yaml").read_text() == "a: 1"


def test_several_hosts_take_the_name_that_vertex_gave_the_tpu(start, tmp_path):
    start("0", "--seed", "1", TRAILRANK_TPU_FROM_VERTEX="1", TPU_NODE_NAME="n-7").wait(
        20
    )
    assert (tmp_path / "arguments").read_text().splitlines()[-4:] == [
        *("--seed", "1", "--tpu", "n-7"),
    ]


def test_several_hosts_without_a_name_are_an_error(start, tmp_path):
    process = start("0", TRAILRANK_TPU_FROM_VERTEX="1")
    assert process.wait(20) != 0
    assert "TPU_NODE_NAME: is not set" in process.stderr.read()
    assert not (tmp_path / "arguments").exists()

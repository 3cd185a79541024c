"""A step's container ends with the status of the error that stopped it."""

import json
import sys

import pytest

from pipeline.cloud import run_step


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Runs TFX's entry point on a step that ends as it is told; gives its output."""
    text = tmp_path / "text" / "value"
    text.parent.mkdir()
    text.write_text("hello")
    found = {"artifacts": [{"uri": str(text), "type": {"schemaTitle": "tfx.String"}}]}
    request = {
        "inputs": {
            "artifacts": {"text": found},
            "parameters": {"refuse": {"stringValue": str(tmp_path / "refuse")}},
        },
        "outputs": {"outputFile": str(tmp_path / "task" / "output.json")},
    }
    words = ["--executor_class_path", "tests.pipeline.runners.steps.ReadText_Executor"]
    words += ["--json_serialized_invocation_args", json.dumps(request)]
    monkeypatch.setattr(sys, "argv", ["run_step", *words])

    def run(way=""):
        if way:
            (tmp_path / "refuse").write_text(way)
        run_step.main()

    run.output = tmp_path / "task" / "output.json"
    return run


def test_a_gate_that_refuses_ends_with_3(step):
    with pytest.raises(SystemExit) as ended:
        step("a limit")  # an AnomaliesError
    assert ended.value.code == 3
    assert not step.output.exists()


def test_a_fault_keeps_its_trace(step):
    with pytest.raises(RuntimeError, match="^Worker 3: "):
        step("a worker elsewhere")


def test_a_step_that_is_done_has_written_its_output(step):
    with pytest.raises(SystemExit) as ended:  # absl ends the process
        step()
    assert not ended.value.code
    assert step.output.exists()

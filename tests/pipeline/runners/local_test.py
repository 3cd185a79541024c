"""The runner of this machine: what it reports of each step, and what is logged where."""

import logging
import re

import pytest
from tfx.orchestration.pipeline import Pipeline

from feature_specs import load_spec
from feature_specs.preset import preset_text
from pipeline.dag import DagConfig, create_pipeline
from pipeline.run_plan import RunPlan
from pipeline.runners import local
from tests.pipeline.runners.steps import ReadText, WriteText
from tpu_configs import slice_text
from trainer.days.interruption import InterruptedTraining


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs two steps; returns (step, state) of each event, and keeps them in `events`."""
    refuse, events = tmp_path / "refuse", []

    def create(config, metadata_config):
        write = WriteText(says="hello")
        read = ReadText(text=write.outputs["text"], refuse=str(refuse))
        return Pipeline(
            pipeline_name="two-steps",
            pipeline_root=str(tmp_path / "artifacts"),
            components=[write, read],
            enable_cache=True,
            metadata_connection_config=metadata_config,
        )

    monkeypatch.setattr(local, "create_pipeline", create)
    plan = RunPlan(new="", new_eval_days=1)
    config = DagConfig(
        spec="", preset="", slice="", logs="", root=str(tmp_path), plan=plan
    )

    def call():
        events.clear()
        local.run(config, events.append)
        return [(event.step, event.state) for event in events]

    call.events, call.refuse = events, refuse
    return call


def test_each_step_is_reported_as_it_begins_and_ends(run):
    assert run() == [
        ("WriteText", "running"),
        ("WriteText", "done"),
        ("ReadText", "running"),
        ("ReadText", "done"),
    ]
    assert all(event.seconds > 0 for event in run.events if event.state == "done")
    # Run again: what has an output artifact is taken from the cache.
    assert run()[:2] == [("WriteText", "running"), ("WriteText", "cached")]


def test_a_step_that_fails_is_named_with_its_error_and_the_log(run, tmp_path):
    run.refuse.touch()
    before = list(logging.getLogger().handlers), logging.getLogger().level
    with pytest.raises(local.StepFailedError) as failed:
        run()
    assert [(event.step, event.state) for event in run.events][-2:] == [
        ("ReadText", "running"),
        ("ReadText", "failed"),
    ]
    told = str(failed.value)
    assert told.startswith("ReadText failed: ValueError: refused: ")
    path = re.search(r"Full log: (\S+\.log)\. Finished steps are kept", told)[1]
    log = (tmp_path / "logs" / path.rsplit("/", 1)[1]).read_text()
    assert "step ReadText failed" in log
    # A notebook's logging is its own again.
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before


@pytest.mark.parametrize(
    ("way", "error", "status", "told"),
    [
        ("", local.StepFailedError, 1, "ReadText failed: ValueError: refused: hello\n"),
        ("a limit", local.StepFailedError, 3, "ReadText failed: too many\nFull log: "),
        ("a signal", InterruptedTraining, 130, "Stopped by SIGINT. A checkpoint holds"),
        (
            "a worker elsewhere",
            local.StepFailedError,
            1,
            "ReadText failed: OddError: no more\nFull log: ",
        ),
    ],
)
def test_how_a_step_ends_is_told_in_a_sentence(run, way, error, status, told):
    run.refuse.write_text(way)
    with pytest.raises(error) as failed:
        run()
    assert failed.value.exit_status == status
    assert str(failed.value).startswith(told)


def test_a_spec_that_says_so_is_pushed_without_a_blessing(tmp_path):
    text = load_spec("movielens").text
    free = text.replace("evaluation:", "evaluation:\n  gate: none")
    for spec, needs in ((text, 1), (free, 0)):
        config = DagConfig(
            spec=spec,
            preset=preset_text("mmoe"),
            slice=slice_text("cpu"),
            logs=str(tmp_path),
            root=str(tmp_path),
            plan=RunPlan(new="20220408:20220414", new_eval_days=1),
        )
        nodes = {node.id: node for node in create_pipeline(config).components}
        assert nodes["Pusher"].exec_properties["needs_blessing"] == needs


def test_no_part_of_a_pipeline_is_run_alone():
    runner = local.ReportingDagRunner(lambda event: None)
    with pytest.raises(ValueError, match="always a whole one"):
        runner.run_with_ir(None, run_options=object())


def test_the_outputs_of_the_newest_run_are_found(run, tmp_path):
    run()
    database = tmp_path / "metadata.sqlite"
    outputs = local.last_outputs(database)
    assert outputs["WriteText"]["text"].startswith(str(tmp_path / "artifacts"))
    assert local.last_outputs(database, since="2000-01-01T00:00:00Z") == outputs
    assert local.last_outputs(database, since="2999-01-01T00:00:00Z") == {}
    assert local.last_outputs(tmp_path / "none.sqlite") == {}

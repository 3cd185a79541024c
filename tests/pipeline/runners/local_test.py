"""The runner of this machine: what it reports of each step, and what is logged where."""

import logging
import os
import re
import shutil
import signal

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from feature_specs import load_spec
from feature_specs.preset import preset_text
from pipeline.dag import DagConfig, create_pipeline
from pipeline.run_plan import RunPlan
from pipeline.runners import local
from tests.forks import in_a_process
from tests.pipeline.runners.steps import CopyText, ReadText, WriteText
from tpu_configs import slice_text
from trainer.days.interruption import InterruptedTraining

_PLAN = RunPlan(new="", new_eval_days=1)


class _TwoSteps:
    """Runs a step that writes, and another that reads what it wrote.

    Attributes:
        refuse: A file that says how the second one ends.
        events: Of the last run.
    """

    def __init__(self, folder, monkeypatch, second):
        self.refuse, self.events = folder / "refuse", []

        def create(config, metadata_config):
            write = WriteText(says="hello")
            read = second(text=write.outputs["text"], refuse=str(self.refuse))
            return Pipeline(
                pipeline_name="two-steps",
                pipeline_root=str(folder / "artifacts"),
                components=[write, read],
                enable_cache=True,
                metadata_connection_config=metadata_config,
            )

        monkeypatch.setattr(local, "create_pipeline", create)
        self._config = DagConfig(
            spec="", preset="", slice="", logs="", root=str(folder), plan=_PLAN
        )

    def __call__(self):
        """(step, state) of each event."""
        self.events.clear()
        local.run(self._config, self.events.append)
        return [(event.step, event.state) for event in self.events]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Two steps, of which the second has no output."""
    return _TwoSteps(tmp_path, monkeypatch, ReadText)


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
        (
            "a table",
            local.StepFailedError,
            3,
            "ReadText failed: moved:\n\n a   b\n\nAccept it, or mend it.\nFull log: ",
        ),
        ("a signal", InterruptedTraining, 130, "Stopped by SIGINT. A checkpoint holds"),
        (
            "a worker elsewhere",
            local.StepFailedError,
            1,
            "ReadText failed: OddError: no more\nFull log: ",
        ),
        (
            "a full disk",
            local.StepFailedError,
            1,
            r"ReadText failed: /\S+: no room is left on its disk \(.* MB free\)\. Make",
        ),
        (
            "a disk to read",
            local.StepFailedError,
            1,
            r"ReadText failed: /\S+: its disk can only be read\. Mount",
        ),
    ],
)
def test_how_a_step_ends_is_told_in_a_sentence(run, way, error, status, told):
    run.refuse.write_text(way)
    with pytest.raises(error) as failed:
        run()
    assert failed.value.exit_status == status
    assert re.match(told, str(failed.value))


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


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Two steps, of which the second has an output."""
    return _TwoSteps(tmp_path, monkeypatch, CopyText)


def executions(root) -> list[tuple[str, str]]:
    """Step and state of every execution, in order."""
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(root / "metadata.sqlite")
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    store = metadata_store.MetadataStore(config)
    names = {kind.id: kind.name.split(".")[-1] for kind in store.get_execution_types()}
    return [
        (names[e.type_id], mlmd.Execution.State.Name(e.last_known_state))
        for e in store.get_executions()
    ]


def test_a_killed_run_leaves_nothing_running_and_no_step_is_made_twice(copy, tmp_path):
    copy.refuse.write_text("a kill")
    assert in_a_process(copy) == -signal.SIGKILL
    copied = tmp_path / "artifacts" / "CopyText" / "copy"
    assert executions(tmp_path) == [("WriteText", "COMPLETE"), ("CopyText", "RUNNING")]
    assert os.listdir(copied) == ["2"]
    copy.refuse.unlink()
    assert copy()[1::2] == [("WriteText", "cached"), ("CopyText", "done")]
    assert executions(tmp_path) == [
        ("WriteText", "COMPLETE"),
        ("CopyText", "FAILED"),
        ("WriteText", "CACHED"),
        ("CopyText", "COMPLETE"),
    ]
    assert os.listdir(copied) == ["4"]  # and what the killed one wrote is gone
    system = tmp_path / "artifacts" / "CopyText" / ".system"
    assert os.listdir(system / "executor_execution") == ["4"]


def test_a_run_that_a_signal_stops_leaves_nothing_running(copy, tmp_path):
    copy.refuse.write_text("Ctrl-C")
    with pytest.raises(KeyboardInterrupt):
        copy()
    assert executions(tmp_path)[-1] == ("CopyText", "FAILED")
    assert os.listdir(tmp_path / "artifacts" / "CopyText" / "copy") == []


@pytest.mark.slow
def test_tfx_launches_the_same_pipeline_from_our_cache_and_we_from_its(copy, tmp_path):
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    database = str(tmp_path / "metadata.sqlite")
    connection = metadata.sqlite_metadata_connection_config(database)
    config = DagConfig(
        spec="", preset="", slice="", logs="", root=str(tmp_path), plan=_PLAN
    )
    LocalDagRunner().run(local.create_pipeline(config, connection))
    assert [state for _, state in copy()[1::2]] == ["cached", "cached"]
    shutil.rmtree(tmp_path / "artifacts" / "CopyText" / "copy")
    assert [state for _, state in copy()[1::2]] == ["cached", "done"]
    LocalDagRunner().run(local.create_pipeline(config, connection))
    assert [state for _, state in executions(tmp_path)[-2:]] == ["CACHED", "CACHED"]


def test_a_step_that_reads_what_no_step_of_the_run_gives_is_refused(tmp_path):
    ours = CopyText(
        text=WriteText(says="hello").outputs["text"], refuse=str(tmp_path / "no")
    )
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "db.sqlite"))
    pipeline = Pipeline(
        pipeline_name="half",
        pipeline_root=str(tmp_path / "artifacts"),
        components=[ours],
        metadata_connection_config=connection,
    )
    runner = local.ReportingDagRunner(lambda event: None)
    with pytest.raises(ValueError, match="text must be an output of an earlier step"):
        runner.run(pipeline)


def test_a_log_on_a_full_disk_says_nothing(capsys):
    handler = local.PatientFileHandler("/dev/full")
    handler.emit(logging.makeLogRecord({"msg": "x" * 100_000}))
    handler.close()
    assert capsys.readouterr() == ("", "")

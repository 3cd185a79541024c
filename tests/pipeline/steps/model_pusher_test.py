"""The Pusher as TFX runs it: blessed models only, each once."""

import os

import pytest
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline

from pipeline.pushing import push, read_push, versions
from pipeline.runners.local import ReportingDagRunner, last_outputs
from pipeline.steps.model_pusher import Pusher
from tests.pipeline.steps.trained import Blessed, Trained


@pytest.fixture
def run(tmp_path):
    """Runs Trainer, blessings and Pusher; returns the Pusher's artifact and state."""

    def call(says="graph", blessed=1, infra=1, needs=1):
        model = Trained(says=says)
        judged = Blessed(model=model.outputs["model"], blessed=blessed, infra=infra)
        pusher = Pusher(
            model=model.outputs["model"],
            model_blessing=judged.outputs["blessing"],
            infra_blessing=judged.outputs["infra_blessing"],
            destination=str(tmp_path / "models"),
            needs_blessing=needs,
        )
        database = tmp_path / "metadata.sqlite"
        pipeline = Pipeline(
            pipeline_name="push",
            pipeline_root=str(tmp_path / "artifacts"),
            components=[model, judged, pusher],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(database)
            ),
        )
        events = []
        ReportingDagRunner(events.append).run(pipeline)
        return last_outputs(database)["Pusher"]["pushed_model"], events[-1].state

    return call


def test_a_blessed_model_is_pushed_and_its_version_noted(run, tmp_path):
    artifact, state = run()
    pushed = read_push(artifact)
    assert state == "done" and versions(tmp_path / "models") == [pushed.version]
    assert pushed.path == str(tmp_path / "models" / pushed.version)
    assert os.listdir(artifact) == ["pushed.json"]  # no second copy of the model
    with open(f"{pushed.path}/saved_model.pb") as file:
        assert file.read() == "graph"


def test_the_same_run_again_and_the_same_model_again_push_nothing(run, tmp_path):
    first, _ = run()
    assert run() == (first, "cached")
    assert read_push(run(needs=0)[0]).is_new is False  # the step ran, as it was asked
    assert versions(tmp_path / "models") == [read_push(first).version]
    assert read_push(run(says="graph 2")[0]).is_new
    assert len(versions(tmp_path / "models")) == 2


@pytest.mark.parametrize(
    ("blessed", "infra", "needs", "missing"),
    [
        (0, 1, 1, "not blessed by the Evaluator"),
        (1, 0, 1, "not blessed by the InfraValidator"),
        (0, 0, 1, "not blessed by the Evaluator and the InfraValidator"),
        (0, 0, 0, "not blessed by the InfraValidator"),
        (0, 1, 0, ""),
    ],
)
def test_what_is_not_blessed_is_not_pushed(
    run, tmp_path, blessed, infra, needs, missing
):
    artifact, _ = run(blessed=blessed, infra=infra, needs=needs)
    assert (read_push(artifact) is None) == bool(missing)
    assert bool(versions(tmp_path / "models")) == (not missing)
    with open(f"{artifact}/pushed.json") as file:
        assert f'"why": "{missing}"' in file.read()


def test_a_push_that_nobody_noted_is_noted_by_the_next_run(run, tmp_path):
    """As after SIGKILL between the copy and the end of the step."""
    model = tmp_path / "same"
    model.mkdir()
    (model / "saved_model.pb").write_text("graph")
    before = push(model, tmp_path / "models")
    artifact, _ = run()
    assert read_push(artifact).version == before.version
    assert versions(tmp_path / "models") == [before.version]

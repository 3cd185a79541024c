"""Nothing that days, versions, runs or the last checkpoint need is ever pruned."""

import dataclasses
import os
import shutil

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.ledger import read_ledger, write_ledger
from pipeline.operations.errors import OperationError
from pipeline.operations.lineage import day_end
from pipeline.operations.prune import plan_prune, prune, shown_bytes
from pipeline.operations.rollback import rollback, settle_rollbacks
from pipeline.operations.status import status
from tests.pipeline.operations.conftest import tree, written


def relative(known_run, plan) -> dict[str, str]:
    """Path below the run -> kind of each item."""
    return {os.path.relpath(i.path, known_run.root): i.kind for i in plan.items}


def test_sizes_are_told_and_nothing_is_removed(known_run):
    before = tree(known_run.root)
    written(known_run.root / "artifacts/StatisticsGen/statistics/7/stats", "x" * 1000)
    plan = plan_prune(known_run.root, 9)
    assert relative(known_run, plan) == {
        "artifacts/StatisticsGen/statistics/7": "dead execution",
        "artifacts/Trainer/model/23": "dead execution",  # was refused
    }
    assert [item.size_bytes for item in plan.items] == [1000, len("graph 2")]
    assert plan.size_bytes == 1007
    files = [
        p for p in before if p.split("/")[0] in ("artifacts", "models", "checkpoints")
    ]
    sizes = [os.path.getsize(known_run.root / path) for path in files]
    assert plan.kept_bytes == sum(sizes) - 7
    assert set(before) < set(tree(known_run.root))


def test_of_versions_the_last_stay_with_all_they_refer_to(known_run):
    first, second, _ = known_run.versions
    plan = prune(known_run.root, 1)
    assert plan.versions == (first, second)
    assert relative(known_run, plan) == {
        f"models/tiny/{first}": "model",
        f"models/tiny/{second}": "model",
        # Of the first two versions and the refused run; days keep their examples.
        **{f"artifacts/Trainer/model/{n}3": "dead execution" for n in range(3)},
        **{
            f"artifacts/EncodingGen/transform_graph/{n}2": "dead execution"
            for n in range(3)
        },
        **{f"artifacts/DayExampleGen/state/{n}1": "dead execution" for n in range(3)},
        **{
            f"checkpoints/key-base/days/day-2022{d}": "checkpoint"
            for d in ("0408", "0409", "0410")
        },
    }
    ledger = read_ledger(known_run.root)
    assert [version.state for version in ledger.versions] == [
        "pruned",
        "pruned",
        "live",
    ]
    assert [bool(day.state) for day in ledger.made("k")] == [False] * 4 + [True]
    kept = ledger.serving
    for place in (kept.model, kept.encoding, kept.checkpoints, day_end(kept)):
        assert os.path.exists(place)
    for day in ledger.days:
        assert os.path.isdir(f"{day.examples}/Split-{day.split}")
    assert os.path.exists(known_run.root / "checkpoints/key-base/ckpt-9.index")
    assert not (known_run.root / ".pruned").exists()
    assert plan_prune(known_run.root, 1).items == ()  # and again there is nothing
    assert status(known_run.root).versions == {"live": 1, "rolled_back": 0, "pruned": 2}


def test_what_a_rollback_goes_back_to_is_kept(known_run):
    first = known_run.versions[0]
    rollback(known_run.root, first)
    prune(known_run.root, 1)
    restored = []
    settle_rollbacks(known_run.root, lambda *place: restored.append("/".join(place)))
    (place,) = restored
    directory, day = place.rsplit("/", 1)
    assert os.path.exists(f"{directory}/days/{day}/ckpt-1.index")
    ledger = read_ledger(known_run.root)
    assert os.path.exists(f"{ledger.serving.model}/Format-Serving/saved_model.pb")


def test_days_of_examples_of_another_kind_go_when_no_late_run_made_them(known_run):
    ledger = read_ledger(known_run.root)
    place = known_run.root / "artifacts/DayExampleGen/examples/99"
    written(place / "Split-day-20220408" / "data_tfrecord-0.gz")
    other = dataclasses.replace(
        ledger.days[0], key="old", examples=str(place), run="20220409-030000", state=""
    )
    write_ledger(known_run.root, ledger.with_day(other))
    plan = prune(known_run.root, 3)
    assert [day.key for day in plan.days] == ["old"]
    assert not place.exists()
    assert {day.key for day in read_ledger(known_run.root).days} == {"k"}


def test_a_training_that_no_version_and_no_late_run_has_goes_whole(known_run):
    written(known_run.root / "checkpoints" / "other" / "ckpt-1.index")
    found = relative(known_run, plan_prune(known_run.root, 9))
    assert found.pop("artifacts/Trainer/model/23")
    assert found == {"checkpoints/other": "checkpoint"}


def test_what_the_next_run_goes_on_from_is_kept_however_many_have_failed(known_run):
    ledger = read_ledger(known_run.root)
    refused = ledger.runs[2]
    write_ledger(
        known_run.root,
        dataclasses.replace(ledger, runs=ledger.runs[:3], versions=ledger.versions[:2]),
    )
    for number in range(3):
        failed = dataclasses.replace(
            refused, id=f"2022042{number}-0", encoding="", checkpoints="", trained=()
        )
        ledger = read_ledger(known_run.root)
        write_ledger(known_run.root, ledger.with_run(failed))
    prune(known_run.root, 1)
    assert os.path.exists(f"{refused.encoding}/encoding.json")
    assert os.path.exists(f"{refused.checkpoints}/ckpt-9.index")


def test_the_metadata_knows_what_late_runs_have_used_and_what_is_gone(known_run):
    known, old = (
        written(known_run.root / "artifacts/StatisticsGen/statistics" / n / "s").parent
        for n in ("8", "7")
    )
    database = str(known_run.root / "metadata.sqlite")
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = database
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = metadata_store.MetadataStore(config)
    kind = store.put_artifact_type(mlmd.ArtifactType(name="ExampleStatistics"))
    step = store.put_execution_type(mlmd.ExecutionType(name="StatisticsGen"))
    run = store.put_context_type(mlmd.ContextType(name="pipeline_run"))
    for name, place in (("1", old), ("2", known)):
        artifact = mlmd.Artifact(type_id=kind, uri=str(place), state=mlmd.Artifact.LIVE)
        event = mlmd.Event(type=mlmd.Event.OUTPUT)
        store.put_execution(
            mlmd.Execution(type_id=step, last_known_state=mlmd.Execution.COMPLETE),
            [(artifact, event)],
            [mlmd.Context(type_id=run, name=name)],
        )
    assert (
        relative(known_run, prune(known_run.root, 1))[
            "artifacts/StatisticsGen/statistics/7"
        ]
        == "artifact"
    )
    assert known.exists() and not old.exists()
    states = {artifact.uri: artifact.state for artifact in store.get_artifacts()}
    assert states == {str(old): mlmd.Artifact.DELETED, str(known): mlmd.Artifact.LIVE}


def test_a_stopped_prune_is_finished_by_the_next_one(known_run, monkeypatch):
    def stop(path, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        prune(known_run.root, 1)
    monkeypatch.undo()
    ledger = read_ledger(known_run.root)
    assert [version.state for version in ledger.versions] == [
        "pruned",
        "pruned",
        "live",
    ]
    left = plan_prune(known_run.root, 1)
    assert {item.kind for item in left.items} >= {"leftover"}
    prune(known_run.root, 1)
    assert plan_prune(known_run.root, 1).items == ()
    assert sorted(os.listdir(known_run.models)) == [known_run.versions[2]]


def test_something_is_always_kept(known_run):
    with pytest.raises(OperationError, match="--keep must be 1 or more, got 0"):
        plan_prune(known_run.root, 0)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2.5e9, "2.5 GB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_are_readable(size, told):
    assert shown_bytes(size) == told

"""What a disk may do to a run's own files, told before TensorFlow is loaded."""

import json
import pathlib
import sqlite3

import pytest

from pipeline.reporting.files import DamagedFileError
from pipeline.run_config import LaunchError, check_metadata
from pipeline.run_record import NoRunError, RunRecord, read_record, write_record

_RECORD = RunRecord(
    spec="tiny",
    spec_text="name: tiny",
    spec_digest="0",
    preset="mmoe",
    days="20240101:20240102",
    eval_splits=("day-20240102",),
    logs="logs",
    rows={"examples": {"day-20240101": 3}},
    examples="examples",
    model="model",
    pushed=True,
    metrics=[],
    slices={},
    versions={},
)


def _half(text):
    return text[: len(text) // 2]


def _with(**values):
    return lambda text: json.dumps({**json.loads(text), **values})


def _without(name):
    def drop(text):
        values = json.loads(text)
        del values[name]
        return json.dumps(values)

    return drop


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_half, r"run.json: is damaged \("),
        (lambda text: "", r"run.json: is damaged \("),
        (lambda text: "\udcff" * 9, r"run.json: is damaged \("),
        (lambda text: "[1]", "run.json: must hold a JSON object. Got list"),
        (_without("spec"), "run.json: is no run's record .*'spec'"),
        (_without("eval_splits"), "run.json: is no run's record .*'eval_splits'"),
        (_with(other=1), "run.json: is no run's record .*'other'"),
        (_with(examples=3), "is no run's record .examples must be a str, got int"),
        (_with(rows=[3]), "is no run's record .rows must be a dict, got list"),
        (_with(metrics="x"), "is no run's record .metrics must be a list, got str"),
        (_with(eval_splits=None), "run.json: is no run's record"),
    ],
)
def test_a_damaged_record_is_named_with_a_remedy(tmp_path, damage, told):
    path = write_record(str(tmp_path), _RECORD)
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    with pytest.raises(DamagedFileError, match=told) as error:
        read_record(tmp_path)
    assert str(error.value).endswith(f"`trailrank pipeline run --root {tmp_path}`.")
    assert "\n" not in str(error.value)


def test_a_whole_record_is_read_and_a_missing_one_told(tmp_path):
    with pytest.raises(NoRunError, match="run.json is missing"):
        read_record(tmp_path)
    write_record(str(tmp_path), _RECORD)
    assert read_record(tmp_path) == _RECORD


def test_a_directory_of_refused_models_says_where_to_look(tmp_path):
    (tmp_path / "refused.json").write_text("{}")
    with pytest.raises(NoRunError, match="no model has passed .*refused.json says"):
        read_record(tmp_path)


@pytest.fixture
def database(tmp_path) -> pathlib.Path:
    """A run's database with some pages of rows."""
    path = tmp_path / "metadata.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        rows = [(f"{n}" * 50,) for n in range(2000)]
        connection.executemany("INSERT INTO t VALUES (?)", rows)
    connection.close()
    return path


def test_a_whole_database_and_none_pass(tmp_path, database):
    check_metadata(tmp_path)
    database.unlink()
    check_metadata(tmp_path)
    assert not database.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096] + b"\xff" * 4096 + data[8192:],
    ],
)
def test_a_damaged_database_is_named_with_a_remedy(tmp_path, database, damage):
    database.write_bytes(damage(database.read_bytes()))
    with pytest.raises(LaunchError) as error:
        check_metadata(tmp_path)
    assert str(error.value).startswith(f"{database}: is damaged (")
    assert str(error.value).endswith("or delete it: all steps run again then.")


def test_a_database_that_another_program_holds_is_told(tmp_path, database, monkeypatch):
    monkeypatch.setattr("pipeline.run_config._METADATA_WAIT_S", 0.05)
    held = sqlite3.connect(database, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(LaunchError, match="sqlite: another program holds it"):
            check_metadata(tmp_path)
    finally:
        held.close()

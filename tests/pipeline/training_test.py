"""What the Trainer step does: which days it trains, and from which weights."""

import base64
import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import load_spec, read_preset, read_spec
from pipeline import train_command
from pipeline.cloud import vertex
from pipeline.cloud.remote_training import train_remotely
from pipeline.cloud.training_place import TrainingPlace
from pipeline.encoding.graph import write_transform_graph
from pipeline.training import (
    RunTraining,
    check_days,
    encoded_dir,
    newest_rows,
    quantiles_of,
    train_and_export,
)
from pipeline.training_request import (
    Outcome,
    RequestError,
    TrainingRequest,
    read_outcome,
    read_request,
    write_request,
)
from serving.export.model_card import read_card
from serving.export.quantile_tables import QuantilesError, tables_as_json
from tests.pipeline.cloud.job_service import JobService
from tests.trainer.conftest import PRESET
from tests.trainer.raw_days import ENCODING, RAW_SPEC, raw_rows, write_rows
from tpu_configs import SliceConfig
from trainer.days import checkpoints, day_ends
from trainer.days.checkpoints import CheckpointError
from trainer.days.encoding import Encoding
from trainer.days.state import TrainingState


def test_a_run_without_a_day_that_was_trained_is_refused(tmp_path):
    """Later days may be added; without an earlier one the weights would know of it."""
    state = TrainingState({}, [{"day": "day-20220408"}, {"day": "day-20220409"}])
    checkpoint = tf.train.Checkpoint(state=tf.Variable(state.to_json()))
    checkpoint.save(str(tmp_path / "ckpt"))
    check_days(str(tmp_path), ["day-20220408", "day-20220409", "day-20220410"])
    check_days(str(tmp_path / "none"), ["day-20220409"])
    with pytest.raises(CheckpointError, match="no other days .* Got day-20220408. Add"):
        check_days(str(tmp_path), ["day-20220409", "day-20220410"])


def test_each_encoding_has_checkpoints_of_its_own():
    sizes = {"room": {"city": 3}, "base_sizes": {"city": 2}}
    one = Encoding("20220408", vocabularies={"city": ("aa", "bb")}, **sizes)
    other = Encoding("20220408", vocabularies={"city": ("bb", "aa")}, **sizes)
    longer = one.extended_by("day-20220409", {"city": {"cc": 1}})
    names = [encoded_dir("run/checkpoints/0a", e) for e in (one, longer, other)]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("run/checkpoints/0a-") for name in names)


_DAYS = ("day-20220408", "day-20220409")
_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two days, a directory each, trained and exported day by day: where it
    is, and what it trains. The first day's examples are gone. Copy to train."""
    folder, places = tmp_path_factory.mktemp("run"), {}
    for seed, day in enumerate(_DAYS):
        places[day] = str(folder / "examples" / str(seed))
        split = folder / "examples" / str(seed) / f"Split-{day}"
        write_rows(split / "data_tfrecord-0.gz", raw_rows(100, seed))
    spec, graph = read_spec(RAW_SPEC), str(folder / "graph")
    write_transform_graph(ENCODING, spec, graph)
    run = RunTraining(
        spec=spec,
        preset=read_preset(PRESET),
        slice=_SLICE,
        days=list(places.items()),
        graph=graph,
        checkpoints=str(folder / "checkpoints" / "key"),
        seed=3,
    )
    directory = encoded_dir(run.checkpoints, ENCODING)
    first = run._replace(days=run.days[:1])
    train_and_export(first, str(folder / "model/1"), "")
    assert day_ends.kept_days(directory) == [_DAYS[0]]
    shutil.rmtree(run.days[0][1])  # its examples are needed no more
    train_and_export(run, str(folder / "model/2"), "")
    return run


@pytest.fixture
def run(trained, tmp_path):
    """The same run, with checkpoints of its own."""
    prefix = encoded_dir(trained.checkpoints, ENCODING)
    checkpoints = str(tmp_path / "checkpoints" / "key")
    shutil.copytree(prefix, encoded_dir(checkpoints, ENCODING))
    return trained._replace(checkpoints=checkpoints)


def _weights(directory):
    reader = tf.train.load_checkpoint(checkpoints.find(directory)[0])
    keys = (k for k in reader.get_variable_to_shape_map() if k.startswith("ranker/"))
    return {key: reader.get_tensor(key) for key in keys}


@pytest.mark.slow
def test_a_day_is_trained_once_and_a_run_may_go_back_to_its_end(run, tmp_path):
    directory = encoded_dir(run.checkpoints, ENCODING)
    assert checkpoints.finished_days(directory) == list(_DAYS)
    assert day_ends.kept_days(directory) == list(_DAYS)
    whole = _weights(directory)
    day_ends.restore_day_end(directory, _DAYS[0])
    train_and_export(run, str(tmp_path / "model/3"), str(tmp_path / "logs/3"))
    for key, value in _weights(directory).items():
        np.testing.assert_array_equal(value, whole[key], key)
    assert len(whole) > 20
    model = tf.saved_model.load(str(tmp_path / "model" / "3"))
    assert "rank" in model.signatures
    card = read_card(tmp_path / "model" / "3")
    assert (card.lineage.days, card.lineage.seed) == (_DAYS, 3)
    assert card.lineage.metrics["day"] == _DAYS[-1]
    assert card.encoding["digest"] == ENCODING.digest


@pytest.mark.slow
def test_a_new_encoding_begins_with_the_weights_before_by_value(run, tmp_path):
    turned = dataclasses.replace(ENCODING, vocabularies={"tab": ("5", "7")})
    graph = str(tmp_path / "turned")
    write_transform_graph(turned, run.spec, graph)
    mapped = run._replace(graph=graph, map_encoding=True)
    train_and_export(mapped, str(tmp_path / "model/2"), "")
    now = encoded_dir(run.checkpoints, turned)
    assert checkpoints.finished_days(now) == list(_DAYS)  # none is trained again
    before = encoded_dir(run.checkpoints, ENCODING)
    assert now != before
    assert checkpoints.finished_days(before) == list(_DAYS)  # and stays as it was


@pytest.mark.slow
def test_a_custom_job_does_what_the_step_would(run, tmp_path, monkeypatch):
    """The container's command, run here in place of Vertex AI's machine."""
    monkeypatch.setattr(vertex, "FILES_PLACE", str(tmp_path))
    place = TrainingPlace(
        project="my-team",
        image="r/i:1",
        options=vertex.VertexOptions(region="europe-west4"),
    )
    request = TrainingRequest(
        spec=RAW_SPEC,
        preset=PRESET,
        slice=json.dumps(dataclasses.asdict(_SLICE)),
        **{name: getattr(run, name) for name in _AS_THEY_ARE},
        days=tuple(run.days),
        model=str(tmp_path / "model/3"),
        logs="",
    )
    service = JobService(["SUCCEEDED"])

    def machine(job):
        container = job.job_spec.worker_pool_specs[0].container_spec
        (files,) = [e.value for e in container.env if e.name == "TRAILRANK_FILES"]
        name, _, text = files.partition("=")
        (tmp_path / name).write_bytes(base64.b64decode(text))
        assert train_command.run(list(container.args)) == 0

    service.on_create = machine
    with service.client() as client:
        train_remotely(
            request, place, spec_name="raw", work=str(tmp_path), client=client, poll_s=0
        )
    path = str(tmp_path / "training.json")
    assert read_outcome(path) == Outcome(0)
    card = read_card(tmp_path / "model" / "3")
    assert (card.lineage.days, card.lineage.seed) == (_DAYS, 3)
    write_request(dataclasses.replace(request, slice="{like: cpu, name: other}"), path)
    with pytest.raises(RequestError, match="another slice .*Compile the pipeline"):
        pool = service.created[0].job_spec.worker_pool_specs[0]
        train_command.run(list(pool.container_spec.args))
    assert read_outcome(path).status == 1
    (tmp_path / "training.json").write_text('{"days": [], "seeds": 4}')
    with pytest.raises(RequestError, match="'seeds'.* must have the same Trailrank"):
        read_request(path)


_AS_THEY_ARE = ("graph", "checkpoints", "seed", "map_encoding", "examples")


def _write(folder, split: str, rows: int) -> None:
    directory = folder / f"Split-{split}"
    directory.mkdir(parents=True)
    path = str(directory / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in range(rows):
            writer.write(f"{split} {row}".encode())


def test_rows_for_warmup_are_of_the_newest_day_that_is_there(tmp_path):
    _write(tmp_path, "day-20240101", 5000)
    _write(tmp_path, "day-20240102", 3)
    days = [("day-20240101", str(tmp_path)), ("day-20240102", str(tmp_path))]
    assert newest_rows(days) == [
        b"day-20240102 0",
        b"day-20240102 1",
        b"day-20240102 2",
    ]
    gone = [*days[:1], ("day-20240102", ""), ("day-20240103", str(tmp_path))]
    found = newest_rows(gone)
    assert len(found) == 100  # of the first 2,000
    assert found[:2] == [b"day-20240101 0", b"day-20240101 20"]
    assert found[-1] == b"day-20240101 1980"
    assert newest_rows([("day-20240102", "")]) == newest_rows([]) == []


def test_the_newest_days_know_what_ranks_stand_for_and_it_is_told_before_training(
    tmp_path,
):
    spec = load_spec("kuairand")
    (quantile,) = spec.quantiles
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    folders = [str(old), str(new), ""]
    with pytest.raises(QuantilesError, match=r"new/quantiles\.json: is missing"):
        quantiles_of(spec, folders)
    histogram = np.ones((len(quantile.boundaries) + 1, 3), np.int64)
    tables = tables_as_json([quantile], [histogram])
    (new / "quantiles.json").write_text(json.dumps(tables))
    assert quantiles_of(spec, folders) == str(new / "quantiles.json")
    # Days that an earlier release made follow on, as the day before the newest does.
    later = [str(new), str(old)]
    assert quantiles_of(spec, later) == str(new / "quantiles.json")
    assert quantiles_of(load_spec("movielens"), folders) is None

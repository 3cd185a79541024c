"""Versions of a model that come and go: policies, labels, statuses, failures, memory."""

import os
import shutil
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from serving.models import servable
from serving.models.servable import WARMUP_FILE
from serving.store.store_options import (
    ALL,
    ModelSettings,
    Retries,
    StoreOptions,
    VersionPolicy,
    specific,
)
from serving.store.text_protos import ConfigFileError
from serving.store.versions import ModelStore, ModelVersions

LATEST_2 = VersionPolicy(most=2)


def states(versions) -> dict[int, str]:
    return {status.version: status.state for status in versions.statuses()}


def answer(versions, version=None, label=None) -> float:
    """Of x = 0: the version's own number."""
    _, found = versions.servable(version if label is None else versions.labels()[label])
    x = np.zeros(1, np.float32)
    return float(found.signatures["serving_default"]({"x": x})["y"][0])


def model(path, policy=None, labels=None, retries=None, beside=()) -> ModelVersions:
    settings = ModelSettings(str(path), policy or VersionPolicy(), labels or {})
    versions = ModelVersions(settings, retries, beside)
    versions.refresh()
    return versions


def break_version(path) -> None:
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"no model")


# --- policies -------------------------------------------------------------------------


def test_without_a_version_the_highest_loaded_one_answers(tmp_path, put_version):
    for number in ("2", "10", "9"):
        put_version(tmp_path / number)
    versions = model(tmp_path, LATEST_2)
    assert states(versions) == {10: "AVAILABLE", 9: "AVAILABLE"}
    assert versions.servable()[0] == 10
    assert answer(versions) == 10.0
    assert answer(versions, 9) == 9.0
    assert versions.servable(2) is None


def test_latest_2_lets_the_lowest_go_when_a_new_one_is_there(tmp_path, put_version):
    for number in ("1", "2"):
        put_version(tmp_path / number)
    versions = model(tmp_path, LATEST_2)
    put_version(tmp_path / "3")
    versions.refresh()
    assert states(versions) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}
    shutil.rmtree(tmp_path / "3")  # the one before comes back
    versions.refresh()
    assert states(versions) == {3: "END", 2: "AVAILABLE", 1: "AVAILABLE"}


def test_all_serves_every_version_that_loads(tmp_path, put_version):
    for number in ("1", "2", "5"):
        put_version(tmp_path / number)
    break_version(tmp_path / "4")
    versions = model(tmp_path, ALL)
    assert states(versions) == {
        5: "AVAILABLE",
        4: "END",
        2: "AVAILABLE",
        1: "AVAILABLE",
    }
    assert [answer(versions, v) for v in (1, 2, 5)] == [1.0, 2.0, 5.0]


def test_specific_serves_those_versions_and_no_newer_one(tmp_path, put_version):
    for number in ("1", "2", "3"):
        put_version(tmp_path / number)
    versions = model(tmp_path, specific([1, 2]))
    assert states(versions) == {2: "AVAILABLE", 1: "AVAILABLE"}
    put_version(tmp_path / "4")
    versions.refresh()
    assert versions.servable()[0] == 2


def test_a_version_on_trial_is_loaded_beside_and_is_not_the_newest(
    tmp_path, put_version
):
    for number in ("1", "2", "3"):
        put_version(tmp_path / number)
    versions = model(tmp_path, LATEST_2, beside=["3", "9"])
    assert states(versions) == {9: "START"} | dict.fromkeys((3, 2, 1), "AVAILABLE")
    assert versions.servable()[0] == 2
    assert answer(versions, 3) == 3.0
    put_version(tmp_path / "4")
    versions.refresh()
    assert versions.servable()[0] == 4
    assert states(versions) == {
        9: "START",
        4: "AVAILABLE",
        3: "AVAILABLE",
        2: "AVAILABLE",
        1: "END",
    }
    for number in ("2", "4"):  # with no other one it serves
        shutil.rmtree(tmp_path / number)
    shutil.rmtree(tmp_path / "1")
    assert model(tmp_path, beside=["3"]).servable()[0] == 3
    assert model(tmp_path, labels={"canary": 3}, beside=["canary"]).servable()[0] == 3


def test_a_broken_version_on_trial_leaves_what_serves(tmp_path, put_version):
    put_version(tmp_path / "1")
    break_version(tmp_path / "2")
    versions = model(tmp_path, beside=["2"])
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert versions.servable()[0] == 1


def test_a_specific_version_that_is_missing_is_waited_for(tmp_path, put_version):
    put_version(tmp_path / "1")
    versions = model(tmp_path, specific([1, 7]))
    waiting, served = versions.statuses()
    assert (waiting.version, waiting.state, served.state) == (7, "START", "AVAILABLE")
    assert waiting.error == f"{tmp_path}: version 7 is not there (yet)."
    put_version(tmp_path / "7")
    versions.refresh()
    assert states(versions) == {7: "AVAILABLE", 1: "AVAILABLE"}
    assert versions.statuses()[0].error == ""


def test_another_policy_keeps_the_old_versions_until_a_new_one_serves(
    tmp_path, put_version
):
    put_version(tmp_path / "1")
    versions = model(tmp_path)
    versions.configure(ModelSettings(str(tmp_path), specific([2])))
    versions.refresh()
    assert states(versions) == {2: "START", 1: "AVAILABLE"}
    put_version(tmp_path / "2")
    versions.refresh()
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


def test_what_is_waited_for_no_more_is_forgotten(tmp_path, put_version):
    put_version(tmp_path / "1")
    versions = model(tmp_path, specific([1, 7]))
    versions.configure(ModelSettings(str(tmp_path), specific([1])))
    versions.refresh()
    assert states(versions) == {1: "AVAILABLE"}


def test_a_new_base_path_replaces_the_versions_of_the_old_one(
    tmp_path, put_version, caplog
):
    put_version(tmp_path / "old" / "1", 1)
    put_version(tmp_path / "new" / "1", 5)
    versions = model(tmp_path / "old")
    versions.configure(ModelSettings(str(tmp_path / "away")))
    versions.refresh()
    versions.refresh()
    assert caplog.text.count(f"{tmp_path / 'away'}: is no directory (yet)") == 1
    assert answer(versions, 1) == 1.0  # not there yet: the old one serves
    versions.configure(ModelSettings(str(tmp_path / "new")))
    versions.refresh()
    assert answer(versions, 1) == 5.0
    assert states(versions) == {1: "AVAILABLE"}


def test_at_most_one_version_more_than_asked_for_is_in_memory(
    tmp_path, put_version, monkeypatch
):
    load, alive, most = servable.load, [], []

    def counted(path):
        found = load(path)
        alive.append(weakref.ref(found))
        most.append(sum(reference() is not None for reference in alive))
        return found

    monkeypatch.setattr(servable, "load", counted)
    for number in ("1", "2"):
        put_version(tmp_path / number)
    versions = model(tmp_path, LATEST_2)
    for number in ("3", "4", "5"):
        put_version(tmp_path / number)
    versions.refresh()
    assert states(versions) == {
        5: "AVAILABLE",
        4: "AVAILABLE",
        2: "END",
        1: "END",
    }
    assert most == [1, 2, 3, 3]


# --- labels ---------------------------------------------------------------------------


def test_a_label_names_a_version(tmp_path, put_version):
    for number in ("1", "2"):
        put_version(tmp_path / number)
    versions = model(tmp_path, ALL, {"stable": 1, "canary": 2, "next": 3})
    assert versions.labels() == {"stable": 1, "canary": 2, "next": 3}
    assert answer(versions, label="stable") == 1.0
    assert answer(versions, label="canary") == 2.0
    assert versions.servable(3) is None  # its label is known, but it is not loaded


def test_whose_labelled_version_is_unloaded_is_told(tmp_path, put_version, caplog):
    put_version(tmp_path / "1")
    versions = model(tmp_path, labels={"stable": 1})
    put_version(tmp_path / "2")
    versions.refresh()
    assert versions.labels() == {"stable": 1}
    assert versions.servable(1) is None
    assert "label 'stable': its version 1 is unloaded" in caplog.text


# --- statuses -------------------------------------------------------------------------


def test_states_on_the_way_in_and_out(tmp_path, put_version, monkeypatch):
    load, seen = servable.load, []
    put_version(tmp_path / "1")
    put_version(tmp_path / "2")
    versions = ModelVersions(ModelSettings(str(tmp_path), LATEST_2))

    def watched(path):
        seen.append(states(versions))
        return load(path)

    monkeypatch.setattr(servable, "load", watched)
    versions.refresh()
    assert seen == [
        {2: "LOADING", 1: "START"},
        {2: "AVAILABLE", 1: "LOADING"},
    ]
    held = versions.servable(1)  # as a request that runs does
    put_version(tmp_path / "3")
    versions.refresh()
    assert states(versions) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "UNLOADING"}
    assert versions.servable(1) is None
    del held
    assert states(versions)[1] == "END"


def test_a_half_written_version_is_waited_for_and_told(tmp_path, put_version):
    put_version(tmp_path / "1")
    (tmp_path / "2" / "variables").mkdir(parents=True)
    versions = model(tmp_path)
    half, served = versions.statuses()
    assert (half.version, half.state, served.state) == (2, "START", "AVAILABLE")
    assert half.error == f"{tmp_path / '2'}: saved_model.pb is not there (yet)."
    shutil.rmtree(tmp_path / "2")
    versions.refresh()
    assert states(versions) == {1: "AVAILABLE"}


def cut_off_graph(path) -> None:
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])


def failing_warmup(path) -> None:
    (path / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
        writer.write(b"")  # a log of no kind


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (cut_off_graph, "is no SavedModel"),
        (failing_warmup, "record 0 is a None; replayed are"),
        (lambda path: shutil.rmtree(path / "variables"), "cannot be loaded"),
    ],
)
def test_a_version_that_cannot_serve_leaves_the_last_good_one_and_says_why(
    tmp_path, put_version, spoil, why
):
    put_version(tmp_path / "1")
    versions = model(tmp_path)
    save_with_variable(tmp_path / "tmp")
    spoil(tmp_path / "tmp")
    os.rename(tmp_path / "tmp", tmp_path / "2")
    versions.refresh()
    assert answer(versions) == 1.0
    broken, served = versions.statuses()
    assert (broken.state, served.state) == ("END", "AVAILABLE")
    assert str(tmp_path / "2") in broken.error
    assert why in broken.error


def save_with_variable(path) -> None:
    module = tf.Module()
    module.bias = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def add(x):
        return {"y": x + module.bias}

    tf.saved_model.save(module, str(path), signatures={"serving_default": add})


@pytest.mark.parametrize(("most", "tries"), [(0, 1), (2, 3)])
def test_the_same_files_are_tried_again_so_often(
    tmp_path, monkeypatch, put_version, most, tries
):
    load, paths = servable.load, []

    def counted(path):
        paths.append(path)
        return load(path)

    monkeypatch.setattr(servable, "load", counted)
    break_version(tmp_path / "1")
    versions = model(tmp_path, retries=Retries(most, wait_s=0.0))
    for _ in range(5):
        versions.refresh()
    assert len(paths) == tries
    shutil.rmtree(tmp_path / "1")
    put_version(tmp_path / "1")  # other files: at once
    versions.refresh()
    assert answer(versions) == 1.0


def test_between_two_tries_is_the_wait(tmp_path, caplog):
    break_version(tmp_path / "1")
    versions = model(tmp_path, retries=Retries(5, wait_s=3600.0))
    for _ in range(5):
        versions.refresh()
    assert caplog.text.count("version 1 is not served") == 1


# --- the store ------------------------------------------------------------------------


def config(*models: str) -> str:
    return "model_config_list { " + " ".join(models) + " }"


def config_model(name, path, more="") -> str:
    return (
        f'config {{ name: "{name}" base_path: "{path}" '
        f'model_platform: "tensorflow" {more} }}'
    )


@pytest.fixture
def two_models(tmp_path, put_version):
    """Models `a`, of versions 1 and 2, and `b`, of version 3."""
    for path in ("a/1", "a/2", "b/3"):
        put_version(tmp_path / "models" / path)
    return tmp_path / "models"


def write_config(path, *models) -> None:
    (path / "models.config").write_text(config(*models))


def config_store(path, early=False) -> ModelStore:
    file = str(path / "models.config")
    options = StoreOptions(model_config_file=file, allow_early_labels=early)
    store = ModelStore(options)
    store.refresh()
    return store


def test_a_directory_s_policy_is_of_every_model(two_models):
    store = ModelStore(StoreOptions(models_dir=str(two_models), policy=ALL))
    store.refresh()
    assert store.names() == ["a", "b"]
    assert states(store.get("a")) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert states(store.get("b")) == {3: "AVAILABLE"}
    assert store.get("c") is None


def test_a_new_configuration_replaces_the_old_one(tmp_path, two_models):
    write_config(tmp_path, config_model("ranker", two_models / "a"))
    store = config_store(tmp_path)
    assert states(store.get("ranker")) == {2: "AVAILABLE"}
    write_config(
        tmp_path,
        config_model("other", two_models / "b"),
    )
    store.refresh()
    assert store.names() == ["other"]
    assert answer(store.get("other")) == 3.0
    assert store.get("ranker").servable() is None
    assert states(store.get("ranker")) == {2: "END"}
    write_config(
        tmp_path,
        config_model("ranker", two_models / "a", "model_version_policy { all {} }"),
    )
    store.refresh()
    assert store.names() == ["ranker"]
    assert states(store.get("ranker")) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert store.get("other").servable() is None


def test_an_empty_list_unloads_every_model(tmp_path, two_models):
    write_config(tmp_path, config_model("ranker", two_models / "a"))
    store = config_store(tmp_path)
    write_config(tmp_path)
    store.refresh()
    assert store.names() == []
    assert store.get("ranker").servable() is None


@pytest.mark.parametrize("text", ["", "model_config_list {", "custom_model_config {}"])
def test_a_broken_configuration_is_refused_and_the_old_one_stays(
    tmp_path, two_models, caplog, text
):
    write_config(tmp_path, config_model("ranker", two_models / "a"))
    store = config_store(tmp_path)
    (tmp_path / "models.config").write_text(text)
    store.refresh()
    store.refresh()
    assert answer(store.get("ranker")) == 2.0
    told = f"the models stay as they are: {tmp_path / 'models.config'}"
    assert caplog.text.count(told) == 1  # not at every look
    os.remove(tmp_path / "models.config")
    store.refresh()
    assert answer(store.get("ranker")) == 2.0
    assert "cannot be read" in caplog.text


def labelled(path, versions: str, **labels: int) -> str:
    policy = f"model_version_policy {{ {versions} }} "
    more = " ".join(
        f'version_labels {{ key: "{label}" value: {version} }}'
        for label, version in labels.items()
    )
    return config_model("ranker", path, policy + more)


def test_a_label_is_given_to_an_available_version_and_moves_to_one(
    tmp_path, two_models, caplog
):
    path = two_models / "a"
    write_config(tmp_path, labelled(path, "latest {}"))
    store = config_store(tmp_path)
    write_config(tmp_path, labelled(path, "latest {}", stable=2))
    store.refresh()
    ranker = store.get("ranker")
    assert ranker.labels() == {"stable": 2}
    write_config(tmp_path, labelled(path, "all {}", stable=1))
    store.refresh()  # the whole of it is refused: 1 is not loaded yet
    assert ranker.labels() == {"stable": 2}
    assert states(ranker) == {2: "AVAILABLE"}
    assert "label 'stable' is for version 1, which is not available" in caplog.text
    write_config(tmp_path, labelled(path, "all {}", stable=2))
    store.refresh()
    write_config(tmp_path, labelled(path, "all {}", stable=1))
    store.refresh()
    assert ranker.labels() == {"stable": 1}
    assert answer(ranker, label="stable") == 1.0


def test_a_first_configuration_s_labels_must_be_allowed(tmp_path, two_models):
    write_config(tmp_path, labelled(two_models / "a", "all {}", stable=1))
    told = r"models\.config: model 'ranker': label 'stable' .*--allow_version_labels"
    with pytest.raises(ConfigFileError, match=told):
        config_store(tmp_path)
    store = config_store(tmp_path, early=True)
    assert answer(store.get("ranker"), label="stable") == 1.0


def test_an_allowed_label_moves_to_an_available_version_only(
    tmp_path, two_models, caplog
):
    write_config(tmp_path, labelled(two_models / "a", "latest {}", stable=2))
    store = config_store(tmp_path, early=True)
    write_config(tmp_path, labelled(two_models / "a", "latest {}", stable=9, next=7))
    store.refresh()
    assert store.get("ranker").labels() == {"stable": 2}
    assert "it stays at 2 till then" in caplog.text.lower()
    write_config(tmp_path, labelled(two_models / "a", "latest {}", stable=2, next=7))
    store.refresh()
    assert store.get("ranker").labels() == {"stable": 2, "next": 7}


def test_loads_happen_in_the_store_s_thread(tmp_path, two_models, monkeypatch):
    store = ModelStore(StoreOptions(models_dir=str(two_models), poll_s=0.01))
    store.refresh()
    load, threads, loaded = servable.load, [], threading.Event()

    def watched(path):
        threads.append(threading.current_thread().name)
        found = load(path)
        loaded.set()
        return found

    monkeypatch.setattr(servable, "load", watched)
    shutil.copytree(two_models / "b" / "3", two_models / "tmp")
    os.rename(two_models / "tmp", two_models / "b" / "4")
    store.start()
    assert loaded.wait(60)
    store.stop()
    assert threads == ["poll"]
    assert store.get("b").servable()[0] == 4


def test_a_configuration_is_followed(tmp_path, two_models):
    write_config(tmp_path, config_model("ranker", two_models / "a"))
    file = str(tmp_path / "models.config")
    store = ModelStore(
        StoreOptions(model_config_file=file, config_poll_s=0.01, poll_s=0)
    )
    store.refresh()
    write_config(tmp_path, config_model("other", two_models / "b"))
    store.start()
    end = threading.Event()
    for _ in range(6000):
        if store.names() == ["other"] and store.get("other").servable():
            break
        end.wait(0.01)
    store.stop()
    assert answer(store.get("other")) == 3.0


def test_one_model_s_file_system_is_not_another_one_s(two_models, monkeypatch):
    store = ModelStore(str(two_models))
    store.refresh()
    monkeypatch.setattr(store.get("a"), "refresh", lambda: 1 / 0)
    shutil.copytree(two_models / "b" / "3", two_models / "b" / "4")
    with pytest.raises(ZeroDivisionError):  # told, and tried again at the next look
        store.refresh()
    assert store.get("b").servable()[0] == 4

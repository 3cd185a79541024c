"""A push is whole or not there, whenever its process ends, and is not made twice."""

import os
import resource
import shutil
import signal

import pytest

from pipeline.pushing import (
    Pushed,
    PushError,
    content_digest,
    next_version,
    push,
    read_push,
    versions,
    write_push,
)
from tests.forks import in_a_process


@pytest.fixture
def model(tmp_path):
    """Something with a SavedModel's files."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def files(folder) -> dict[str, bytes]:
    """Relative path -> content of every file below."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def end(*_) -> None:
    """Ends the process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_push(model, models, where: str) -> None:
    """A process that pushes is killed in the call that is named, or after the push."""

    def run():
        if where:
            place, name = {"rename": (os, where), "copyfile": (shutil, where)}[where]
            setattr(place, name, end)
        push(model, models)
        end()

    assert in_a_process(run) == -signal.SIGKILL


def test_a_model_becomes_the_version_above_all_others(model, tmp_path):
    models = tmp_path / "models" / "tiny"
    for earlier in ("3", "4102444800", "rolled_back/4102444810"):  # in the year 2100
        (models / earlier).mkdir(parents=True)
    pushed = push(model, models)
    assert pushed.version == "4102444811" and pushed.is_new
    found = files(models / pushed.version)
    assert found.pop("pushed.json")
    assert found == files(model)
    assert versions(models) == [pushed.version]  # the others hold no SavedModel


def test_the_newest_version_is_not_pushed_again_and_an_older_one_is(model, tmp_path):
    models = tmp_path / "models"
    first = push(model, models)
    again = push(model, models)
    assert (again.version, again.is_new) == (first.version, False)
    (model / "saved_model.pb").write_bytes(b"graph 2")
    second = push(model, models)
    (model / "saved_model.pb").write_bytes(b"graph")
    third = push(model, models)  # served are the highest numbers
    assert third.is_new and third.digest == first.digest
    numbers = [first.version, second.version, third.version]
    assert versions(models) == numbers == sorted(numbers, key=int)


def test_a_version_of_another_program_is_known_by_its_files(model, tmp_path):
    models = tmp_path / "models"
    first = push(model, models)
    (models / first.version / "pushed.json").unlink()
    assert not push(model, models).is_new


@pytest.mark.parametrize(
    "where",
    [
        "rename",  # the copy is whole, and has no number yet
        "copyfile",  # nothing is copied
        "",  # the version is there, and nobody noted it
    ],
)
def test_a_killed_push_and_another_leave_one_right_model(model, tmp_path, where):
    models = tmp_path / "models"
    killed_in_push(model, models, where)
    pushed = push(model, models)
    assert os.listdir(models) == [pushed.version]
    found = files(models / pushed.version)
    assert found.pop("pushed.json")
    assert found == files(model)


def test_a_push_that_cannot_be_written_leaves_nothing(model, tmp_path):
    (model / "variables" / "variables.data").write_bytes(bytes(100))
    models = tmp_path / "models"

    def run():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))  # as a disk that is full
        with pytest.raises(OSError, match="File too large"):
            push(model, models)

    assert in_a_process(run) == 0
    assert os.listdir(models) == []


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(PushError, match="must hold a SavedModel .*Run the pipeline"):
        push(tmp_path, tmp_path / "models")


def test_names_and_contents_make_the_digest(model):
    digests = {content_digest(model)}
    (model / "saved_model.pb").write_bytes(b"grapH")
    digests.add(content_digest(model))
    (model / "saved_model.pb").rename(model / "other.pb")
    digests.add(content_digest(model))
    assert len(digests) == 3


def test_the_note_of_a_push_is_read_back(tmp_path):
    pushed = Pushed(version="7", path="models/7", digest="d")
    write_push(tmp_path, pushed)
    assert read_push(tmp_path) == pushed
    write_push(tmp_path, None, "not blessed")
    assert read_push(tmp_path) is None
    assert read_push(tmp_path / "nowhere") is None


def test_in_a_bucket_the_marker_comes_last_and_an_unfinished_copy_goes(
    model, monkeypatch
):
    import tensorflow as tf  # whose `ram://` is as flat as a bucket

    copied, copy = [], tf.io.gfile.copy
    monkeypatch.setattr(
        tf.io.gfile, "copy", lambda *paths: copied.append(paths[1]) or copy(*paths)
    )

    models = "ram://pushing/models"
    tf.io.gfile.makedirs(f"{models}/5")
    for name in ("pushed.json", "variables/variables.index"):  # killed before the graph
        tf.io.gfile.makedirs(os.path.dirname(f"{models}/5/{name}"))
        with tf.io.gfile.GFile(f"{models}/5/{name}", "w") as file:
            file.write("{}")
    assert versions(models) == []
    pushed = push(model, models)
    assert tf.io.gfile.listdir(models) == [pushed.version]
    assert copied[-1] == f"{pushed.path}/saved_model.pb"
    assert content_digest(pushed.path) == content_digest(model) == pushed.digest
    assert not push(model, models).is_new
    assert int(next_version(models)) > int(pushed.version)


def test_what_a_model_was_blessed_for_goes_along_and_makes_no_other_model(
    model, tmp_path
):
    models = tmp_path / "models"
    judged = {"verdict.json": b"{}", "infra.json": b"[]"}
    first = push(model, models, judged)
    with open(f"{first.path}/verdict.json", "rb") as file:
        assert file.read() == b"{}"
    assert content_digest(first.path) == first.digest == content_digest(model)
    assert not push(model, models).is_new

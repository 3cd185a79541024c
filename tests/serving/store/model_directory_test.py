"""A directory of models: what is one, and what is none yet."""

import shutil

from serving.store.model_directory import ModelDirectory
from serving.store.store_options import ALL, LATEST, ModelSettings


def make(path, *, whole=True) -> None:
    path.mkdir(parents=True)
    if whole:
        (path / "saved_model.pb").write_bytes(b"")


def test_every_model_has_the_directory_s_policy_and_labels(tmp_path):
    for path in ("a/1", "b/2"):
        make(tmp_path / path)
    found = ModelDirectory(str(tmp_path), ALL, {"stable": 1}).models()
    assert found == {
        name: ModelSettings(str(tmp_path / name), ALL, {"stable": 1}) for name in "ab"
    }


def test_a_model_begins_with_its_first_whole_version_and_stays(tmp_path):
    source = ModelDirectory(str(tmp_path), LATEST, {})
    make(tmp_path / "m" / "1", whole=False)
    make(tmp_path / "m" / "no_number")
    (tmp_path / "file").write_text("")
    assert source.models() == {}
    assert source.unfinished() == [str(tmp_path / "m" / "1")]
    make(tmp_path / "m" / "2")
    assert list(source.models()) == ["m"]
    assert source.unfinished() == []
    shutil.rmtree(tmp_path / "m")
    assert list(source.models()) == ["m"]

"""The compiler's environment: found, made once, or a message that says how."""

import pathlib
import shutil

import pytest

from trainer.preflight import environment


def test_environment_holds_the_compiler(python):
    packages = python.parents[1] / "lib" / f"python{environment.PYTHON}"
    assert (packages / "site-packages" / "libtpu" / "libtpu.so").exists()
    # Made once: asked again, it is found at once.
    assert environment.find_or_make() == python


def test_named_environment_is_taken(python, tmp_path, monkeypatch):
    assert environment.find_or_make(str(python.parents[1])) == python
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeError, match=f"{environment.VARIABLE} {tmp_path}: must"):
        environment.find_or_make()
    with pytest.raises(RuntimeError, match="--environment .*: must be a virtual"):
        environment.find_or_make(str(tmp_path / "none"))


def test_place_follows_the_lock_and_the_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = environment.own_place()
    assert first.parent == tmp_path / "trailrank"
    monkeypatch.setattr(environment, "_LOCK", tmp_path / "other.txt")
    (tmp_path / "other.txt").write_text("jax==0.0.1")
    assert environment.own_place() != first


def test_lock_is_the_one_of_requirements():
    root = pathlib.Path(__file__).parents[3]
    lock = (root / "requirements" / "preflight.txt").read_text()
    assert lock == environment._LOCK.read_text()
    assert "index-url" not in lock
    assert {"jax==0.12.0.1", "libtpu==0.0.52"} <= {
        line.split(" ")[0] for line in lock.splitlines()
    }


def test_without_packages_there_is_a_message_and_no_half_environment(
    tmp_path, monkeypatch
):
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    told = []
    with pytest.raises(RuntimeError, match="cannot be made. It needs Python 3.12"):
        environment.find_or_make(told=told.append)
    assert not environment.own_place().exists()
    assert "setting up the TPU compiler" in told[0]


def test_without_uv_there_is_a_message(tmp_path, monkeypatch):
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert shutil.which("uv") is None
    with pytest.raises(RuntimeError, match="Run `pip install uv`"):
        environment.find_or_make()

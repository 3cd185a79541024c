"""The wheel: every file of the rooms is in it, and nothing else.

`try_wheel.sh` beside this file installs one and runs the demo with it; that takes
minutes (`make try-wheel`).
"""

import email.message
import email.parser
import pathlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import pytest

_REPOSITORY = pathlib.Path(__file__).parents[2]
_ROOMS = ("feature_specs", "pipeline", "serving", "tpu_configs", "trailrank", "trainer")
_NO_FILES = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def wheel(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[zipfile.ZipFile]:
    """The opened wheel, built from a copy: a build leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for room in (*_ROOMS, "tests/wheel"):
        shutil.copytree(_REPOSITORY / room, source / room, ignore=_NO_FILES)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(_REPOSITORY / name, source)
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    build += ["--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*build, "--wheel-dir", out, source], check=True)
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def test_every_file_of_the_rooms_is_in_the_wheel_and_no_other(
    wheel: zipfile.ZipFile,
) -> None:
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [f for room in _ROOMS for f in (_REPOSITORY / room).rglob("*")]
    wanted = {
        file.relative_to(_REPOSITORY).as_posix()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert found == wanted


@pytest.mark.parametrize(
    "name",
    [
        "feature_specs/specs/kuairand.yaml",
        "feature_specs/presets/mmoe.yaml",
        "tpu_configs/slices/v5litepod-8.yaml",
        "trainer/preflight/requirements.txt",
        "pipeline/cloud/Dockerfile",
        "pipeline/cloud/tpu_vm_startup.sh",
        "serving/deploy/models.config",
    ],
)
def test_a_file_that_is_no_module_has_its_bytes(
    wheel: zipfile.ZipFile, name: str
) -> None:
    assert wheel.read(name) == (_REPOSITORY / name).read_bytes()


def test_the_command_is_declared(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    assert "trailrank = trailrank.cli:console_main" in wheel.read(name).decode()


def test_metadata_names_the_pythons_and_a_stack_for_each(
    metadata: email.message.Message,
) -> None:
    assert metadata["Name"] == "trailrank"
    assert {*metadata["Requires-Python"].split(",")} == {">=3.10", "<3.12"}
    needs = metadata.get_all("Requires-Dist", [])
    assert 'tfx==1.16.*; python_version < "3.11"' in needs
    assert 'tfx==1.21.*; python_version >= "3.11"' in needs
    assert "tensorflow-recommenders==0.7.7" in needs


def test_what_developers_need_is_an_extra(metadata: email.message.Message) -> None:
    for need in metadata.get_all("Requires-Dist", []):
        if need.startswith(("pytest", "mypy", "ruff", "pdoc", "import-linter")):
            assert 'extra == "dev"' in need


def test_the_licence_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("/LICENSE")]
    assert wheel.read(name) == (_REPOSITORY / "LICENSE").read_bytes()

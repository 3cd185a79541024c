"""`import trailrank`: light, complete, typed; every name with an example that runs."""

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest

import trailrank

_ROOT = pathlib.Path(__file__).parents[2]
_TESTS = (
    "tests/trailrank/docstrings_test.py",
    "tests/pipeline/compare/docstrings_test.py",
    "tests/pipeline/encoding/make_test.py",
    "tests/pipeline/operations/docstrings_test.py",
    "tests/pipeline/weight_selection/docstrings_test.py",
    "tests/serving/docstrings_test.py",
    "tests/pipeline/tune/docstrings_test.py",
    "tests/trainer/docstrings_test.py",
)
_WITHOUT_EXAMPLE = {  # what functions take or give, shown by their examples
    *("ModelConfig", "Ranker", "RunRecord", "Spec", "TrailrankError", "__version__"),
    *("Arm", "DryRun", "LoadOptions", "ProposedSpec", "ServerOptions"),
}


def test_importing_it_loads_the_standard_library_alone():
    """The time follows from what is imported; a clock would tell of the machine."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import trailrank\n"
        "dir(trailrank), trailrank.__all__\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "trailrank" in loaded
    assert loaded - {"trailrank"} <= sys.stdlib_module_names


def test_help_and_version_load_no_more_than_absl():
    code = (
        "import sys; from trailrank import cli\n"
        "assert cli.main(['trailrank', '--help']) == 0\n"
        "heavy = {'tensorflow', 'polars', 'yaml', 'numpy', 'rich', 'feature_specs'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version_is_the_distributions(capsys):
    from trailrank import cli

    assert cli.main(["trailrank", "--version"]) == 0
    assert capsys.readouterr().out == f"trailrank {trailrank.__version__}\n"
    setup = (_ROOT / "setup.py").read_text()
    assert f'version="{trailrank.__version__}"' in setup


def test_type_checkers_and_python_find_the_same_things():
    tree = ast.parse(pathlib.Path(trailrank.__file__).read_text())
    (typed,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    homes = {
        alias.name: node.module
        for node in ast.walk(typed)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == trailrank._HOMES
    assert sorted(trailrank.__all__) == sorted([*homes, "__version__"])
    assert set(trailrank.__all__) <= set(dir(trailrank))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = trailrank.trian


@pytest.mark.parametrize(
    "name", sorted(set(trailrank.__all__) - _WITHOUT_EXAMPLE - {"__version__"})
)
def test_a_public_name_has_types_and_an_example_that_some_test_runs(name):
    item = getattr(trailrank, name)
    assert ">>> " in item.__doc__
    call = item.__init__ if inspect.isclass(item) else item
    signature = inspect.signature(call)
    for parameter in signature.parameters.values():
        assert parameter.name == "self" or parameter.annotation is not parameter.empty
    run = f'run_docstring("{name}"'
    listed = f'"{name}",'
    texts = [(_ROOT / path).read_text() for path in _TESTS]
    assert any(run in text or listed in text for text in texts)


@pytest.mark.parametrize(
    "room",
    ["feature_specs", "tpu_configs", "pipeline", "trainer", "serving", "trailrank"],
)
def test_every_room_is_typed_for_others(room):
    assert (_ROOT / room / "py.typed").exists()
    setup = (_ROOT / "setup.py").read_text()
    line = next(line for line in setup.splitlines() if f'"{room}": [' in line)
    assert "py.typed" in line

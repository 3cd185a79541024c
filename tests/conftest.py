"""One simulated week of logs and one run of the whole pipeline, shared by all tests.

The run is made once a test session and read by everybody; a test that changes it copies
it first.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import contextlib
import dataclasses
import doctest
import io
import pathlib
import shutil

import pytest

import trainer  # noqa: F401  Keras 2, before a test imports TensorFlow

_USERS, _DAYS = 60, 7


@dataclasses.dataclass(frozen=True)
class SharedRun:
    """A finished pipeline run on simulated logs, 1 % of whose lines are damaged.

    Attributes:
        logs: Directory with `data/` and `truth/`.
        root: Directory of the run.
        printed: What the command printed.
        damaged: Damaged lines of each log file.
    """

    logs: pathlib.Path
    root: pathlib.Path
    printed: str
    damaged: dict[str, list]


def pipeline_run(spec: str, logs: pathlib.Path, root: pathlib.Path, *flags: str) -> str:
    """`trailrank pipeline run` in this process; returns what it printed."""
    from pipeline.command import run

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = run(
            ["run", "--spec", spec, "--logs", str(logs), "--root", str(root), *flags]
        )
    assert status == 0
    return printed.getvalue()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes (`make test`), one takes all tests that share costly fixtures.

    Those are the tests of the shared run, of one room's models, and of one file.
    """
    for item in items:
        group = str(item.path)
        if "shared_run" in getattr(item, "fixturenames", ()):
            group = "shared run"
        elif item.path.parent.name in ("serving", "fetch", "compare"):
            group = str(item.path.parent)
        elif item.path.parent.name in ("trainer", "model", "objective", "days"):
            group = "trainer"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def run_docstring():
    """(a public name, values) -> runs the example in its docstring with these values.

    `tests/trailrank/contents_test.py` sees to it that every name is run by some test.
    """
    import trailrank

    def run(name: str, **values) -> None:
        text = getattr(trailrank, name).__doc__
        known = {"trailrank": trailrank, **values}
        example = doctest.DocTestParser().get_doctest(text, known, name, None, 0)
        assert example.examples, f"{name}: no example in its docstring"
        told = io.StringIO()
        failed, _ = doctest.DocTestRunner().run(example, out=told.write)
        assert not failed, told.getvalue()

    return run


@pytest.fixture(scope="session")
def run_pipeline():
    """The function above, for tests with runs of their own."""
    return pipeline_run


@pytest.fixture(scope="session")
def simulated_logs(tmp_path_factory) -> pathlib.Path:
    """A clean simulated week: `data/` and `truth/`."""
    from pipeline.simulator import simulate

    out = tmp_path_factory.mktemp("simulated") / "logs"
    simulate(str(out), users=_USERS, days=_DAYS, seed=1)
    return out


@pytest.fixture(scope="session")
def shared_run(simulated_logs, tmp_path_factory) -> SharedRun:
    """The whole pipeline once, on a damaged copy of the simulated week."""
    from pipeline.simulator import damage

    folder = tmp_path_factory.mktemp("shared")
    logs, root = folder / "logs", folder / "run"
    shutil.copytree(simulated_logs, logs)
    damaged = {
        path.name: damage(str(path), share=0.01, seed=3)
        for path in sorted((logs / "data").glob("log_*.csv"))
    }
    printed = pipeline_run("kuairand", logs / "data", root)
    return SharedRun(logs, root, printed, damaged)

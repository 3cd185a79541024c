"""What all tests share: a simulated week, one run of the whole pipeline, the seed.

The run is made once a test session and read by everybody; a test that changes it copies
it first.

Tests marked `stochastic` hang on a draw or on how a training went. They take all of it
from `any_seed`, so that `make seeds` can run each with ten seeds.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import contextlib
import dataclasses
import doctest
import io
import pathlib
import shutil
from collections.abc import Iterator

import pytest

import trainer  # noqa: F401  Keras 2, before a test imports TensorFlow
from tests.forks import Forks

_USERS, _DAYS = 45, 7


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


# What takes longest goes first, or one of two processes would end with it alone. The
# others follow as they come.
_LONGEST_FIRST = (
    "shared run",
    "tests/e2e/two_weeks_test.py",
    "tests/e2e/movielens_test.py",
    "processes",
    "tests/serving",
    "tests/trainer/model/ranker_test.py",
    "tests/pipeline/compare",
    "tests/pipeline/weight_selection",
    "tests/pipeline/tune",
    "tests/trainer/days/loop_test.py",
    "tests/trainer/model/embedding_engine_test.py",
    "tests/trainer/inspection/look_test.py",
)
# They start processes from one that takes as long to be ready as TensorFlow takes.
_FORKING = (
    "tests/e2e/own_logs_test.py",
    "tests/examples/scripts_test.py",
    "tests/serving/recovery_test.py",
    "tests/pipeline/train_command_test.py",
    "tests/trainer/days/packed_test.py",
    "tests/trainer/days/recovery_test.py",
    "tests/trainer/days/workers_test.py",
)


# Rooms whose files share costly fixtures.
_SHARING = ("serving", "fetch", "compare", "tune", "weight_selection")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes (`make test`), one takes all tests that share costly fixtures.

    Those are the tests of the shared run, of one room's models, and of one file.
    """
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    order = {group: place for place, group in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(groups[item], len(order)))


def _group(item: pytest.Item) -> str:
    path = item.path.relative_to(item.config.rootpath)
    if "shared_run" in getattr(item, "fixturenames", ()):
        return "shared run"
    if str(path) in _FORKING:
        return "processes"
    rooms = [p for p in path.parents if p.name in _SHARING]
    return str(rooms[0] if rooms else path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeds",
        type=int,
        default=0,
        metavar="N",
        help="run what reads `any_seed` with the seeds 0 to N - 1 (`make seeds`)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = metafunc.config.getoption("seeds")
    if seeds and "any_seed" in metafunc.fixturenames:
        metafunc.parametrize("any_seed", range(seeds), indirect=True, scope="session")


@pytest.fixture(scope="session")
def any_seed(request: pytest.FixtureRequest) -> int:
    """What draws follow from: 0, or TRAILRANK_TEST_SEED, or each of `--seeds`."""
    return getattr(request, "param", int(os.environ.get("TRAILRANK_TEST_SEED", "0")))


@pytest.fixture(scope="session")
def bfloat16_products() -> None:
    """Skips where TensorFlow ends the process at a product of bfloat16 matrices.

    On a processor with AVX-512 it gives them to oneDNN, and aborts where that refuses
    them: if ONEDNN_MAX_CPU_ISA holds it to older instructions. Where the processor
    itself lacks them, TensorFlow knows and multiplies by other means.
    """
    cap = os.environ.get("ONEDNN_MAX_CPU_ISA", "AVX512").upper()
    is_used = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
    info = pathlib.Path("/proc/cpuinfo")
    has_more = info.exists() and "avx512bw" in info.read_text()
    if is_used and has_more and not cap.startswith(("AVX512", "AVX10", "ALL", "DEF")):
        pytest.skip(f"TensorFlow cannot multiply bfloat16 with oneDNN held to {cap}")


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[Forks]:
    """Starts processes that have TensorFlow loaded; see `tests.forks`."""
    started = Forks(tmp_path_factory.mktemp("forks"))
    yield started
    started.close()


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

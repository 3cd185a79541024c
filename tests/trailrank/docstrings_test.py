"""The examples in the docstrings of the public functions, run as they stand there.

Those of training, comparing and serving are run beside these rooms' fixtures.
"""

import pytest

# Of the run that all tests share, with `logs/` and `run/` in the working directory.
_OF_A_RUN = (
    "read_record",
    "evaluate",
    "fusion_search",
    "fusion_estimate",
    "make_examples",
    "trail_bias",
    "run_pipeline",
)


@pytest.mark.parametrize(
    "name",
    [
        "load_spec",
        "read_spec",
        "load_preset",
        "load_slice",
        "RunConfig",
        "LoopOptions",
        "CompareOptions",
        "EstimateOptions",
        "simulate",
        "experiment",
    ],
)
def test_example(run_docstring, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run_docstring(name)


@pytest.fixture(scope="module")
def beside_logs(tmp_path_factory):
    """A directory with `logs/data/` of some users."""
    from pipeline.simulator import simulate

    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "logs", users=6, days=3, rows_per_user_day=60.0)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "propose_spec",
        "dry_run",
    ],
)
def test_example_of_logs(run_docstring, beside_logs, monkeypatch, name):
    monkeypatch.chdir(beside_logs)
    run_docstring(name)


@pytest.fixture
def beside_the_run(shared_run, tmp_path, monkeypatch):
    """A working directory that the shared run is seen from; what is new goes away."""
    folder = shared_run.root.parent
    monkeypatch.chdir(folder)
    before = set(folder.iterdir())
    yield
    import shutil

    for path in set(folder.iterdir()) - before:
        shutil.rmtree(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", _OF_A_RUN)
def test_example_of_a_run(run_docstring, beside_the_run, name):
    run_docstring(name)

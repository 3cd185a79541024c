"""One quick run of the study, `benchmarks/study_weights.py`, which all tests of the
room look at: two days of rows, and a directory with what was trained on them."""

import dataclasses
import json
import pathlib
import sys

import pytest

from feature_specs.preset import read_preset
from tests.trainer.conftest import label_means, make_rows, spec  # noqa: F401  fixtures

_BENCHMARKS = str(pathlib.Path(__file__).parents[3] / "benchmarks")
TASK, SHARE = "one_in_30", 0.5


@pytest.fixture(scope="session")
def study():
    """The study's module."""
    sys.path.insert(0, _BENCHMARKS)
    try:
        import study_weights

        yield study_weights
    finally:
        sys.path.remove(_BENCHMARKS)


@pytest.fixture(scope="session")
def sizes(study):
    """The quick ones; checkpoints stay."""
    options = study._QUICK.options | {"keep": True}
    return dataclasses.replace(study._QUICK, options=options)


@pytest.fixture(scope="session")
def rare(study, sizes):
    """The spec: three sparse tasks beside a dense one."""
    return study.make_spec(sizes.means)


@pytest.fixture(scope="session")
def days(study, sizes, tmp_path_factory):
    """Directory of the examples."""
    folder = tmp_path_factory.mktemp("weights")
    return study.make_log(folder, sizes.rows, sizes.means)


@pytest.fixture(scope="session")
def selected(study, rare, days, sizes, tmp_path_factory):
    """Its directory and the selection. Copy the directory to change it."""
    out = tmp_path_factory.mktemp("selected")
    return out, study._select(out, rare, days, TASK, sizes)


@pytest.fixture(scope="session")
def told(selected):
    """What its weights.json holds."""
    return json.loads((selected[0] / "weights.json").read_text())


@pytest.fixture(scope="session")
def results(selected):
    """The trainings, as they are in results.jsonl."""
    lines = (selected[0] / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def files(study, rare, tmp_path_factory):
    """Spec, slice and preset as files: their directory."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "rare.yaml").write_text(rare.text)
    (folder / "mixed.yaml").write_text(study._PRESET)
    assert read_preset(study._PRESET)
    slice = dataclasses.asdict(study._SLICE)
    kept = ("name", "accelerator", "batch_size", "steps_per_call")
    (folder / "tiny.yaml").write_text(json.dumps({key: slice[key] for key in kept}))
    return folder


@pytest.fixture(scope="session")
def select(files, days):
    """(out, flags) -> the exit status of the command, asked for the same selection."""
    from pipeline.weight_selection import command

    def run(out, *flags):
        where = ["--spec", files / "rare.yaml", "--examples", days, "--out", out]
        how = ["--tpu_config", files / "tiny.yaml", "--preset", files / "mixed.yaml"]
        own = ["--new_task", TASK, "--sample", SHARE, "--seeds", 1]
        own += ["--weights", 1, 100, "--candidates", 1, 10, "--runs", 3]
        return command.run(["select", *map(str, [*where, *how, *own, *flags])])

    return run

"""Three days of the trainer's small data set, and presets that train in a moment."""

import pathlib

import pytest

from feature_specs import read_preset
from pipeline.compare.comparison import Comparison, Entrant
from pipeline.compare.examples import examples_of_folder
from tests.trainer.conftest import SPEC, label_means, make_rows, spec  # noqa: F401  fixtures
from tpu_configs import SliceConfig

DAYS = ("day-20220408", "day-20220409", "day-20220410")
SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)

_SHARED = """
bottom: [8]
tower: [4]
trail: {units: [4], dim: 4}
optimizer: {learning_rate: 0.01, table_learning_rate: 0.2, average_steps: 0}
"""
PRESETS = {
    "alone": "structure: {kind: single}\nswitcher: {kind: shared_bottom, units: [4]}",
    "mixed": "switcher: {kind: mmoe, experts: 2, units: [8]}",
    "hard": "switcher: {kind: shared_bottom, units: [4]}",
}


@pytest.fixture(scope="session")
def spec_text():
    return SPEC


@pytest.fixture(scope="session")
def examples(make_rows, tmp_path_factory):  # noqa: F811
    """Encoded examples: two days of 300 rows to train, one to judge."""
    folder = tmp_path_factory.mktemp("compare") / "examples"
    for seed, day in enumerate(DAYS):
        make_rows(300, seed=seed).write(folder / f"Split-{day}" / "data.gz")
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Spec, slice and presets as files: their directory."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "small.yaml").write_text(SPEC)
    (folder / "tiny.yaml").write_text(
        "{name: tiny, accelerator: cpu, batch_size: 64, steps_per_call: 4}"
    )
    for name, text in PRESETS.items():
        (folder / f"{name}.yaml").write_text(_SHARED + text)
    return folder


@pytest.fixture(scope="session")
def preset_of():
    """Lines of a preset -> the preset, with the rest made small."""
    return lambda text: read_preset(_SHARED + text)


@pytest.fixture(scope="session")
def compare(files, examples):
    """(presets, out, flags) -> the exit status of a comparison of them."""
    from pipeline.compare import command

    def run(presets, out: pathlib.Path, *flags):
        known = [str(files / f"{p}.yaml") if p in PRESETS else str(p) for p in presets]
        where = ["--spec", files / "small.yaml", "--examples", examples]
        how = ["--tpu_config", files / "tiny.yaml", "--out", out, "--seeds", "2"]
        return command.run(
            [*map(str, [*where, *how]), "--presets", *known, *map(str, flags)]
        )

    return run


@pytest.fixture(scope="session")
def compared(compare, tmp_path_factory):
    """A comparison of all presets with two seeds: its directory. Copy to change it."""
    out = tmp_path_factory.mktemp("compared")
    assert compare([*PRESETS], out) == 0
    return out


@pytest.fixture(scope="session")
def comparison_of(spec, examples, preset_of):  # noqa: F811
    """(name -> preset or its lines, settings) -> the comparison, sizes left out."""

    def make(presets, **settings):
        configs = {
            name: preset_of(preset) if isinstance(preset, str) else preset
            for name, preset in presets.items()
        }
        entrants = tuple(
            Entrant(name=name, config=config, weights=100, asked=config)
            for name, config in configs.items()
        )
        defaults = {
            "examples": examples_of_folder(spec, str(examples)),
            "entrants": entrants,
            "seeds": (0, 1),
            "slice": SLICE,
            "baseline": None,
            "reference": None,
            "seesaw": ("click", "watch"),
        }
        return Comparison(**(defaults | settings))

    return make

"""A tiny training writes figures, JSON and summaries; `trailrank inspect` the same."""

import builtins
import importlib.util
import json
import logging

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import read_preset
from tpu_configs import SliceConfig
from trailrank import cli
from trainer.days import loop, summaries
from trainer.inspection import report
from trainer.inspection.inspection import Inspection

_SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
_DAYS = ("day-20220408", "day-20220409")
_FILES = {"inspection.json", "utilisation.png", "experts.png", "conflicts.png"}


_PRESET = """
bottom: [16]
switcher: {kind: mmoe, experts: 3, units: [8]}
tower: [8]
optimizer: {learning_rate: 0.01, table_learning_rate: 0.2}
"""


@pytest.fixture(scope="module")
def config():
    return read_preset(_PRESET)


@pytest.fixture(scope="module")
def run(spec, config, make_rows, tmp_path_factory):
    """The folder of a training of two days: examples/, checkpoints/, logs/."""
    folder = tmp_path_factory.mktemp("run")
    for seed, day in enumerate(_DAYS):
        file = folder / "examples" / f"Split-{day}" / "data.gz"
        make_rows(200, seed=seed).write(file)
    days = [(d, [str(folder / "examples" / f"Split-{d}" / "*.gz")]) for d in _DAYS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "_ROWS_A_LOOK", 200)  # a day
        loop.train(
            spec,
            config,
            days,
            checkpoint_dir=str(folder / "checkpoints"),
            slice=_SLICE,
            log_dir=str(folder / "logs"),
        )
    return folder


def _read(folder):
    return json.loads((folder / report.JSON_FILE).read_text())


def test_figures_and_json_are_in_the_log_directory(run):
    pytest.importorskip("matplotlib")
    folder = run / "logs" / "inspection"
    assert {path.name for path in folder.iterdir()} == _FILES
    for name in _FILES - {report.JSON_FILE}:
        image = tf.io.decode_png((folder / name).read_bytes())
        assert image.shape[0] > 100
    found = _read(folder)
    assert (found["rows"], found["gradient_rows"], found["step"]) == (200, 200, 8)
    assert found["tasks"] == ["click", "watch", "like", "seconds"]
    (gates,) = found["gates"]
    np.testing.assert_allclose(np.sum(gates["mean"], axis=1), 1, rtol=1e-4)
    assert [layer["name"] for layer in found["layers"]][-1] == "experts"
    assert found["experts"][0]["correlation"][0][0] is None


def test_tensorboard_has_scalars_of_each_look_and_the_figures(run):
    scalars, images, weights = {}, {}, []
    for file in (run / "logs").glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                kept = scalars if kind == "scalars" else images
                kept.setdefault(value.tag, []).append(event.step)
                if value.tag.startswith("gate_weight/level_1/click/"):
                    weights.append(float(tf.make_ndarray(value.tensor)))
    assert scalars["loss"] == [4, 8]  # a day is four steps
    for tag in (
        "gate_weight/level_1/click/expert_2",
        "gate_entropy_share/level_1/like",
        "expert_correlation/level_1",
        "gradient_norm/candidate/watch",
        "gradient_conflicts/all_layers",
    ):
        assert scalars[tag] == [4, 8, 8], tag  # two days, and the averaged weights
    assert sum(weights) == pytest.approx(3, rel=1e-4)  # one gate in three looks
    if importlib.util.find_spec("matplotlib"):
        drawn = {"inspection/utilisation", "inspection/experts", "inspection/conflicts"}
        assert drawn <= set(images)


@pytest.fixture
def inspect(run, spec_file, tmp_path):
    """Runs the command; returns its status and the folder it wrote."""
    preset = tmp_path / "preset.yaml"

    def call(text, *flags):
        preset.write_text(text)
        folder = tmp_path / "out"
        required = ["--spec", spec_file, "--preset", str(preset), "--out", str(folder)]
        required += ["--checkpoints", str(run / "checkpoints"), "--accelerator", "cpu"]
        required += ["--examples", str(run / "examples")]
        return cli.main(["trailrank", "inspect", *required, *flags]), folder

    return call


def test_the_command_sees_what_training_saw(run, inspect, capsys):
    status, folder = inspect(_PRESET, "--batches", "16", "--gradient_batches", "8")
    assert status == 0
    assert _read(folder) == _read(run / "logs" / "inspection")
    assert "After 8 steps, on 200 rows (200 for gradients)" in capsys.readouterr().out


def test_days_are_added_up(inspect):
    days = ("--days", "20220408", "20220409", "--batches", "2")
    _, folder = inspect(_PRESET, *days)
    assert _read(folder)["rows"] == 256  # two batches of 64 a day


def test_another_preset_is_refused(inspect, capsys):
    status, _ = inspect(_PRESET.replace("tower: [8]", "tower: [4]"))
    assert status == 1
    assert "preset.tower was [8] and is [4]" in capsys.readouterr().err


def test_a_directory_without_checkpoints_is_named(spec, config, tmp_path):
    with pytest.raises(ValueError, match="must hold one at least. Got none"):
        loop.load(spec, config, str(tmp_path), _SLICE)


def test_a_loaded_ranker_has_the_weights_that_training_returned(spec, config, run):
    files = [[str(run / "examples" / f"Split-{d}" / "data.gz")] for d in _DAYS]
    days = list(zip(_DAYS, files, strict=True))
    folder = str(run / "checkpoints")
    trained = loop.train(spec, config, days, checkpoint_dir=folder, slice=_SLICE)
    other = SliceConfig(name="x", accelerator="cpu", batch_size=8, steps_per_call=1)
    loaded = loop.load(spec, config, folder, other)
    for one, two in zip(trained.variables, loaded.ranker.variables, strict=True):
        np.testing.assert_array_equal(one, two, one.name)
    (batch,) = loaded.sample(files[0], 1)
    assert batch.weight.shape == [64]  # as it was trained


def test_without_matplotlib_there_is_a_line_in_the_log(tmp_path, monkeypatch, caplog):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else found(name, *rest),
    )
    real = builtins.__import__

    def refuse(name, *rest, **named):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    seen = Inspection(tasks=("a",), step=5, rows=1, gradient_rows=0)
    with caplog.at_level(logging.INFO, logger="absl"):
        assert report.write(seen, str(tmp_path / "new" / "folder")) == {}
    assert caplog.text.count("matplotlib is not installed") == 1
    assert _read(tmp_path / "new" / "folder")["rows"] == 1

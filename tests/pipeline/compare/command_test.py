"""The whole command: trainings to tables and figures; and every mistake's message."""

import csv
import io
import json
import math
import shutil
import sys

import numpy as np
import pytest

from pipeline.compare import command

_T1 = 12.7062  # t table: 97.5 % with one degree of freedom


@pytest.fixture
def out(compared, tmp_path):
    """A directory to write in, where the three presets have two trainings each."""
    shutil.copytree(compared, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def scores(compared):
    """Preset -> seed -> task -> metric -> value, as they were trained."""
    found = {}
    for line in (compared / "results.jsonl").read_text().splitlines():
        result = json.loads(line)
        found.setdefault(result["preset"], {})[result["seed"]] = result["scores"]
    return found


@pytest.fixture
def rerun(compare, out, capsys):
    """(flags) -> what the same comparison prints, without training again."""

    def run(*flags, presets=("alone", "mixed", "hard")):
        capsys.readouterr()
        assert compare(presets, out, *flags) == 0
        return capsys.readouterr().out

    return run


def test_every_figure_of_the_csv_follows_from_the_trainings(out, scores):
    lines = list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))
    heads = "preset task metric mean sd gain low high n pairs significant"
    assert list(lines[0]) == heads.split()
    assert len(lines) == 3 * (3 + 3 + 3 + 3)  # presets, metrics of the four tasks
    for line in lines:
        preset, task, metric = line["preset"], line["task"], line["metric"]
        values = np.array([scores[preset][seed][task][metric] for seed in (0, 1)])
        assert float(line["mean"]) == pytest.approx(values.mean(), rel=1e-5)
        spread = abs(values[0] - values[1]) / math.sqrt(2)
        assert float(line["sd"]) == pytest.approx(spread, rel=1e-5)
        assert line["n"] == "2"
        if preset == "alone":
            assert (line["gain"], line["low"], line["significant"]) == ("", "", "")
            continue
        better = 1 if metric in ("auc", "gauc", "r2") else -1
        base = np.array([scores["alone"][seed][task][metric] for seed in (0, 1)])
        gains = better * (values - base)
        half = _T1 * abs(gains[0] - gains[1]) / 2
        assert float(line["gain"]) == pytest.approx(gains.mean(), rel=1e-4, abs=1e-9)
        assert float(line["low"]) == pytest.approx(gains.mean() - half, rel=1e-3)
        assert float(line["high"]) == pytest.approx(gains.mean() + half, rel=1e-3)
        assert line["pairs"] == "2"
        assert line["significant"] == "*" * bool(abs(gains.mean()) > half)


def test_the_json_says_what_was_compared(out, scores, make_rows):
    found = json.loads((out / "compare.json").read_text())
    assert (found["spec"], found["baseline"]) == ("small", "alone")
    assert (found["reference"], found["seeds"]) == ("mixed", [0, 1])
    assert found["days"] == ["day-20220408", "day-20220409"]
    assert found["evaluation"] == ["day-20220410"]
    labels = make_rows(300, seed=2).labels  # the evaluation day
    clicks, likes = int(labels["click"].sum()), int(labels["like"].sum())
    assert found["positives"] == {"click": clicks, "like": likes}
    named = f"label 1 on the evaluation days: click ({clicks}), like ({likes})."
    assert clicks < 100  # as few as that is told
    assert named in found["notes"][0]
    cell = found["presets"]["hard"]["tasks"]["watch"]["mse"]
    values = [scores["hard"][seed]["watch"]["mse"] for seed in (0, 1)]
    assert cell["mean"] == pytest.approx(np.mean(values), rel=1e-5)
    assert found["presets"]["mixed"]["scaled"] is False
    assert found["presets"]["hard"]["scaled"] is True
    near = found["presets"]["hard"]["weights"] / found["presets"]["mixed"]["weights"]
    assert near == pytest.approx(1, abs=0.1)


def test_the_tables_on_the_terminal(rerun, scores):
    printed = rerun()
    assert "small: 6 trainings, of which 6 are in results.jsonl" in printed
    mean = np.mean([scores["mixed"][seed]["click"]["auc"] for seed in (0, 1)])
    gains = [
        scores["mixed"][seed]["click"]["auc"] - scores["alone"][seed]["click"]["auc"]
        for seed in (0, 1)
    ]
    half = _T1 * abs(gains[0] - gains[1]) / 2
    figures = f"{mean:.4f} {np.mean(gains):+.4f} ±{half:.4f}"
    assert figures in " ".join(printed.split())
    assert "Evaluation, 1 of 2" in printed  # four tasks in 80 columns
    assert max(map(len, printed.splitlines())) <= 80
    said = " ".join(printed.split())
    assert "Trained on 2 days 20220408 to 20220409, scored on 20220410" in said
    assert "Gain: over alone, positive is better (PLE eq. 11)." in said
    assert "±: 95% interval of each gain by itself, Student's t over paired" in said


def test_the_markdown_has_every_task_and_the_method(out):
    text = (out / "compare.md").read_text()
    assert "| preset | click AUC | gain | watch MSE | gain | like AUC | gain |" in text
    rows = [line for line in text.splitlines() if line.startswith("| alone |")]
    assert rows[1].count("|") == 10
    assert rows[1].endswith("| - |")
    assert "Student's t over paired seeds" in text


@pytest.mark.parametrize("name", ["seesaw.png", "gains.png"])
def test_the_figures_show_every_preset(out, name):
    from matplotlib.image import imread

    image = imread(out / name)[..., :3]
    assert min(image.shape[:2]) > 300
    assert (image.min(axis=2) < 1).mean() > 0.005  # ink
    for colour in ("#0072B2", "#D55E00"):  # of the two presets with a gain
        wanted = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        assert (np.abs(image - wanted).max(axis=2) < 0.02).sum() > 20


def test_another_baseline_needs_no_training(rerun, out):
    printed = rerun("--baseline", "hard", "--seesaw", "like", "click")
    assert "Gain: over hard" in printed
    found = json.loads((out / "compare.json").read_text())
    assert found["presets"]["hard"]["tasks"]["click"]["auc"]["gain"] is None
    assert found["presets"]["alone"]["tasks"]["click"]["auc"]["gain"] is not None


def test_what_takes_no_network_stands_beside(out, rerun):
    printed = " ".join(rerun("--yardsticks", "means", "trees").split())
    assert "Without a network" in printed and "user's + item's mean" in printed
    found = json.loads((out / "compare.json").read_text())["yardsticks"]
    names = ["label mean", "user's mean", "item's mean", "user's + item's mean"]
    assert list(found) == [*names, "trees"]
    assert found["label mean"]["click"]["auc"] == 0.5
    told = (out / "compare.md").read_text()
    (line,) = [x for x in told.splitlines() if x.startswith("| trees")]
    assert f"{found['trees']['click']['auc']:.4f}" in line
    assert "Without a network" not in rerun("--yardsticks")


def test_without_a_baseline_there_are_no_gains(compare, compared, tmp_path, capsys):
    shutil.copy(compared / "results.jsonl", tmp_path)
    assert compare(["mixed", "hard"], tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No gains and no figures: no preset has structure.kind single." in printed
    assert "±" not in printed
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"compare.{end}" for end in ("csv", "json", "md")} | {
        "results.jsonl",
        "yardsticks.json",
    }


def test_one_seed_leaves_the_intervals_out(rerun, out):
    (out / "seesaw.png").unlink()
    printed = " ".join(rerun("--seeds", "1").split())
    assert "No intervals: one seed cannot tell a gain from chance" in printed
    assert "±" not in printed
    assert "3 trainings, of which 3 are in results.jsonl" in printed
    assert (out / "seesaw.png").stat().st_size > 10_000


def test_a_training_that_diverges_is_recorded_and_the_others_count(
    compare, out, files, tmp_path, capsys
):
    text = (files / "hard.yaml").read_text()
    wild = text.replace("learning_rate: 0.01", "learning_rate: 1.0e+30")
    assert wild != text
    (tmp_path / "wild.yaml").write_text(wild)
    presets = ["alone", "mixed", tmp_path / "wild.yaml"]
    capsys.readouterr()
    for trained in (True, False):  # not again: it would diverge again
        assert compare(presets, out, "--seeds", "1") == 1
        printed = " ".join(capsys.readouterr().out.split())
        assert ("Training 3 of 3: wild, seed 0" in printed) == trained
        assert "wild, seed 0, diverged and does not count. Day 'day-2022040" in printed
        assert "0 (1 diverged)" in printed
    found = json.loads((out / "compare.json").read_text())["presets"]
    assert found["wild"]["diverged"]["0"].startswith("Day 'day-2022040")
    assert found["wild"]["tasks"]["click"]["auc"]["n"] == 0
    assert found["wild"]["tasks"]["click"]["auc"]["gain"] is None
    assert found["mixed"]["tasks"]["click"]["auc"]["pairs"] == 1


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--root", "R", "--spec", "S"], "--root takes the run's examples"),
        (["--spec", "S"], "name a run by --root, or examples by --spec, --examples"),
        (["--root", "R", "--seeds", "0"], "--seeds: must be at least 1, got 0"),
        (["--root", "R", "--eval_days", "0"], "--eval_days: must be at least 1, got 0"),
        (["--root", "R", "--no-match", "--reference", "x"], "leave --no-match out"),
    ],
)
def test_arguments_that_do_not_go_together(flags, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.run([*flags, "--presets", "mmoe", "--out", "O"])
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_bucket_is_no_place_for_results(capsys):
    with pytest.raises(SystemExit):
        command.run(["--root", "R", "--presets", "mmoe", "--out", "gs://b/out"])
    assert (
        "--out gs://b/out: must be a directory of this machine"
        in capsys.readouterr().err
    )


def test_a_directory_without_a_run_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="no finished run here"):
        command.run(
            ["--root", str(tmp_path), "--presets", "mmoe", "--out", str(tmp_path / "o")]
        )


def test_without_matplotlib_nothing_is_trained(compare, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises((RuntimeError, ValueError), match="matplotlib"):
        compare(["mixed"], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_values_of_a_key_are_trained_once_and_drawn(compare, tmp_path, capsys):
    out, vary = tmp_path / "varied", "loss_weights.like=[{}]"
    assert compare(["mixed"], out, "--seeds", 1, "--vary", vary.format("1, 40")) == 0
    found = json.loads((out / "compare.json").read_text())
    assert list(found["presets"]) == ["mixed like=1", "mixed like=40"]
    first, other = (found["presets"][name]["tasks"] for name in found["presets"])
    assert first["like"]["auc"]["mean"] != other["like"]["auc"]["mean"]
    capsys.readouterr()
    vary = vary.format("1, 40, 400")
    assert compare(["mixed"], out, "--seeds", 1, "--vary", vary) == 0
    assert "3 trainings, of which 2 are in" in capsys.readouterr().out
    assert (out / "vary.loss_weights.like.png").stat().st_size > 10_000

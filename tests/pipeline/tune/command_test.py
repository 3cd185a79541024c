"""The whole command: trainings to a preset and a report; and what it refuses."""

import csv
import io
import json
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from feature_specs import load_preset
from feature_specs.model import plain_values
from pipeline.tune import command
from pipeline.tune.errors import NoOptunaError, TuneError
from trainer.days import loop

_T1 = 12.7062  # t table: 97.5 % with one degree of freedom


@pytest.fixture
def out(tuned, tmp_path):
    """A directory to write in, where the search is over."""
    shutil.copytree(tuned, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def summary(tuned):
    return json.loads((tuned / "tune.json").read_text())


def _trials(folder):
    return list(csv.DictReader(io.StringIO((folder / "trials.csv").read_text())))


def test_the_best_is_the_highest_and_better_than_the_preset(tuned, summary):
    lines = _trials(tuned)
    assert [line["trial"] for line in lines] == ["0", "1"]
    assert lines[0]["optimizer.learning_rate"] == "1"
    values = [float(line["value"]) for line in lines]
    best = summary["best"]
    assert best["trial"] == int(np.argmax(values)) > 0
    assert best["value"] == max(values) > best["preset_value"] == values[0]
    gains = [float(line["gain"]) for line in lines]
    assert gains == pytest.approx(np.subtract(values, values[0]), rel=1e-4)


def test_a_value_is_what_the_day_loop_says_before_it_trains_the_day(
    tuned, summary, files, spec, examples, tmp_path
):
    """The first day is judged by a ranker that has learned nothing, and is left out."""
    from pipeline.compare.examples import examples_of_folder
    from tests.pipeline.compare.conftest import SLICE

    days = examples_of_folder(spec, str(examples)).train
    loop.train(
        spec,
        load_preset(str(files / "mine.yaml")),
        days,
        checkpoint_dir=str(tmp_path),
        slice=SLICE,
        options=loop.LoopOptions(validate_rows=1000),
    )
    lines = (tmp_path / loop.METRICS_FILE).read_text().splitlines()
    said = json.loads(lines[-1])["validation"]["r2"]["watch"]
    assert summary["best"]["preset_value"] == pytest.approx(said, rel=1e-4)
    assert summary["days"] == [name for name, _ in days]


def test_the_best_preset_can_be_read_and_was_trained_on(tuned, summary):
    found = load_preset(str(tuned / "best.yaml"))
    rate = summary["best"]["values"]["optimizer.learning_rate"]
    assert found.optimizer.learning_rate == rate
    lines = (tuned / "holdout" / "results.jsonl").read_text().splitlines()
    trained = [json.loads(line) for line in lines]
    assert [(one["preset"], one["seed"]) for one in trained] == [
        *(("mine", 1), ("best", 1), ("mine", 2), ("best", 2))
    ]
    assert trained[1]["config"] == json.loads(json.dumps(plain_values(found)))
    assert trained[0]["config"]["optimizer"]["learning_rate"] == 1.0
    text = (tuned / "best.yaml").read_text()
    assert "stitch" not in text  # what the preset does not say is not said


def test_the_days_kept_judge_by_pairs_of_other_seeds(tuned, summary):
    lines = (tuned / "holdout" / "results.jsonl").read_text().splitlines()
    found = {}
    for line in map(json.loads, lines):
        assert line["evaluation"] == summary["holdout_days"] == ["day-20220410"]
        found[line["preset"], line["seed"]] = line["scores"]["watch"]["r2"]
    gains = [found["best", seed] - found["mine", seed] for seed in (1, 2)]
    half = _T1 * abs(gains[0] - gains[1]) / 2
    told = summary["holdout"]
    assert told["gain"] == pytest.approx(np.mean(gains), rel=1e-4)
    assert told["low"] == pytest.approx(np.mean(gains) - half, rel=1e-3, abs=1e-4)
    better = np.mean(gains) > half
    assert told["verdict"] == ("better" if better else "not shown to be better")
    text = (tuned / "report.md").read_text()
    assert f"The best trial is {told['verdict']}: {np.mean(gains):+.4f} ±" in text
    assert "These days chose it among 2 trials, so that the gain is too good" in text


def test_the_figure_shows_every_trial(tuned):
    from matplotlib.image import imread

    image = imread(tuned / "history.png")[..., :3]
    assert min(image.shape[:2]) > 300
    wanted = [int("#0072B2"[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    assert (np.abs(image - wanted).max(axis=2) < 0.02).sum() > 50


def test_nothing_else_is_left(tuned):
    names = {path.name for path in tuned.iterdir()}
    files = {"best.yaml", "report.md", "search.journal", "trials.csv", "tune.json"}
    assert names == {*files, "history.png", "holdout"}


def test_started_again_it_trains_nothing(out, tuned, flags, capsys):
    assert command.run(flags(out, "--seeds", 2)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 keys of mine, by the mean of R² of watch; 2 trials are over" in said
    for name in ("trials.csv", "tune.json", "best.yaml", "report.md"):
        assert (out / name).read_bytes() == (tuned / name).read_bytes(), name


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "--trials: must be 1 or more. Got 0."),
        (["--seconds", "0"], "--seconds: must be above 0. Got 0.0."),
        (["--holdout_days", "0"], "--holdout_days: must be 1 or more. Got 0."),
        (["--root", "R"], "--root takes the run's examples"),
        (["--search", "dropout"], "--search 'dropout': must be a key of a preset"),
    ],
)
def test_arguments_that_do_not_go_together(flags, more, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.run(flags(tmp_path / "none", *more))
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--search", "optimizer.rate=[0.1, 0.2]"], "optimizer.rate"),
        (["--metric", "watch.auc"], "--metric 'watch.auc'"),
        (["--holdout_days", "2"], "--days: must leave two days or more to search on"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(
    flags, more, message, tmp_path
):
    with pytest.raises(TuneError, match=message):
        command.run(flags(tmp_path / "none", *more))
    assert not list(tmp_path.glob("none/*"))


def test_another_search_in_the_directory_is_refused(out, flags, tuned):
    with pytest.raises(TuneError, match="holds a search with another seed"):
        command.run(flags(out, "--seed", 5))
    assert (out / "trials.csv").read_bytes() == (tuned / "trials.csv").read_bytes()


def test_without_optuna_the_extra_is_named(flags, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NoOptunaError, match="the extra `tune` of trailrank"):
        command.run(flags(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


# --- killed ---------------------------------------------------------------------------

_TUNE = """
import sys
from trailrank import cli

sys.exit(cli.main(["trailrank", "tune", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_trials_of_an_unbroken_one(
    forks, flags, tuned, tmp_path
):
    out = tmp_path / "out"
    arguments = flags(out, "--seeds", 0)
    process = forks.start(_TUNE, arguments)
    while "Trial 0: complete" not in process.out and process.is_running:
        time.sleep(0.01)
    process.kill(signal.SIGKILL)
    assert process.end() == -signal.SIGKILL, process.err[-3000:]
    forks.run(_TUNE, arguments)
    unbroken, found = _trials(tuned), _trials(out)
    for line in (*unbroken, *found):
        del line["seconds"]
    assert found == unbroken

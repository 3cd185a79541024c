"""Real trainings: what is kept, what a rerun trains again, and what it does not."""

import dataclasses
import gc
import json
import signal
import time

import numpy as np
import pytest

from pipeline.compare.examples import examples_of_folder
from pipeline.compare.trials import ResultsFile, plan_trials, run_trials
from tests.pipeline.compare.conftest import DAYS, PRESETS
from trainer.days import loop

_MIXED = {"mixed": PRESETS["mixed"]}  # the reference, whose size is as it was
_TWO = _MIXED | {"other": "switcher: {kind: shared_bottom, units: [8]}"}


@pytest.fixture
def text(compared):
    """The two trainings of the preset of `_MIXED`, two lines."""
    lines = (compared / "results.jsonl").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if '"preset": "mixed"' in line)


def _names(calls):
    return [(trial.entrant.name, trial.seed) for _, _, trial, _ in calls]


def _graphs():
    gc.collect()
    return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())


def _collector():
    calls = []
    return calls, lambda *call: calls.append(call)


def test_each_training_is_a_line_with_what_decides_it(compared, text):
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["seed"] for line in lines] == [0, 1]
    assert lines[0]["days"] == ["day-20220408", "day-20220409"]
    assert lines[0]["evaluation"] == ["day-20220410"]
    assert lines[0]["config"]["switcher"]["units"] == [8]
    assert lines[0]["scores"]["click"].keys() == {"auc", "gauc", "log_loss"}
    assert lines[0]["scores"] != lines[1]["scores"]
    assert not (compared / "checkpoints").exists()


def test_the_scores_are_those_of_the_day_loops_ranker(
    comparison_of, text, spec, make_rows, tmp_path
):
    comparison = comparison_of(_MIXED)
    ranker = loop.train(
        spec,
        comparison.entrants[0].config,
        comparison.examples.train,
        checkpoint_dir=str(tmp_path),
        slice=comparison.slice,
        seed=1,
    )
    rows = make_rows(300, seed=2)  # the evaluation day
    features = rows.batch().features
    served = {f.name: features[f.name] for f in spec.served_features}
    error = rows.labels["watch"] - ranker(served)["watch"].numpy()
    found = json.loads(text.splitlines()[1])["scores"]
    assert found["watch"]["mse"] == pytest.approx(np.mean(error**2), rel=1e-5)


def test_predictions_that_are_no_numbers_count_as_diverged(
    comparison_of, make_rows, tmp_path
):
    """Training saw good rows only; a feature of those that judge is NaN."""
    folder = tmp_path / "examples"
    for seed, day in enumerate(DAYS[:2]):
        rows = make_rows(64, seed=seed)
        if seed:
            rows.features["age"] = np.full(64, np.nan, np.float32)
        rows.write(folder / f"Split-{day}" / "data.gz")
    examples = examples_of_folder(comparison_of(_MIXED).examples.spec, str(folder))
    comparison = comparison_of(_MIXED, examples=examples, seeds=(0,))
    trials = plan_trials(comparison)
    found = run_trials(comparison, trials, tmp_path / "out")[trials[0].key]
    assert found.scores == {}
    said = "Task 'click': predictions must be numbers. Got 64 of 64"
    assert found.diverged.startswith(said)


def test_half_a_line_is_trained_again_and_a_stop_loses_only_the_current_one(
    text, comparison_of, tmp_path
):
    whole, half = text.splitlines()
    file = tmp_path / "results.jsonl"
    file.write_text(whole + "\n" + half[:300])  # killed while it wrote
    comparison = comparison_of(_TWO, seeds=(1, 0))
    trials = plan_trials(comparison)
    calls = []

    def stop_at_second(*call):
        calls.append(call)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(comparison, trials, tmp_path, report=stop_at_second)
    assert _names(calls) == [("mixed", 1), ("other", 1)]  # seed by seed
    first, broken, again = file.read_text().splitlines()
    assert (first, broken) == (whole, half[:300])
    assert json.loads(again)["scores"] == json.loads(half)["scores"]
    done = ResultsFile(tmp_path).read()
    assert [trial.key in done for trial in trials] == [True, False, True, False]
    numbers = [(number, total) for number, total, _, _ in calls]
    assert numbers == [(1, 4), (2, 4)]
    seconds = json.loads(whole)["seconds"]
    assert calls[0][3] == pytest.approx(3 * seconds)  # three are left
    assert calls[1][3] == pytest.approx(seconds + json.loads(again)["seconds"])


def test_only_what_is_new_is_trained_and_checkpoints_can_be_kept(
    text, comparison_of, tmp_path
):
    (tmp_path / "results.jsonl").write_text(text)
    comparison = comparison_of(_TWO, seeds=(0,))
    trials = plan_trials(comparison)
    calls, report = _collector()
    graphs = _graphs()
    results = run_trials(comparison, trials, tmp_path, keep=True, report=report)
    assert _graphs() <= graphs + 1  # Keras has one of its own
    assert _names(calls) == [("other", 0)]
    assert len(results) == 2
    assert ResultsFile(tmp_path).read().items() >= results.items()
    run_trials(comparison, trials, tmp_path, report=report)
    assert len(calls) == 1  # nothing twice
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert kept == [trials[1].key]
    assert (tmp_path / "checkpoints" / trials[1].key / "checkpoint").exists()


def test_the_key_changes_with_what_decides_the_weights(comparison_of):
    def key(presets=_MIXED, **settings):
        return plan_trials(comparison_of(presets, **settings))[0].key

    same, base = key(), comparison_of(_MIXED)
    fewer = dataclasses.replace(base.examples, train=base.examples.train[1:])
    larger = dataclasses.replace(base.slice, batch_size=128)
    changed = [
        key({"mixed": "switcher: {kind: shared_bottom, units: [8]}"}),
        key(seeds=(1,)),
        key(examples=fewer),
        key(slice=larger),
        plan_trials(base, sample=0.5)[0].key,
        plan_trials(base, gradient_batches=2)[0].key,
    ]
    assert same == key({"renamed": _MIXED["mixed"]})
    assert len({same, *changed}) == 7


_COMPARE = """
import sys
from trailrank import cli

sys.exit(cli.main(["trailrank", "compare", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_figures_of_an_unbroken_one(
    forks, text, files, examples, tmp_path
):
    out = tmp_path / "out"
    arguments = [
        *("--spec", files / "small.yaml", "--examples", examples),
        *("--tpu_config", files / "tiny.yaml", "--presets", files / "mixed.yaml"),
        *("--seeds", "2", "--out", out),
    ]
    process = forks.start(_COMPARE, arguments)
    while "Training 2 of 2" not in process.out and process.is_running:
        time.sleep(0.01)
    process.kill(signal.SIGKILL)
    assert process.end() == -signal.SIGKILL, process.err[-3000:]
    file = out / "results.jsonl"
    assert len(file.read_text().splitlines()) == 1
    forks.run(_COMPARE, arguments)
    scores = [json.loads(line)["scores"] for line in file.read_text().splitlines()]
    unbroken = [json.loads(line)["scores"] for line in text.splitlines()]
    assert scores == unbroken

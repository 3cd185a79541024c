"""Weights selected in a run: the step as TFX runs it, and what is refused before."""

import json
import shutil

import pytest
from tfx.types import standard_artifacts

from feature_specs import read_preset, views
from pipeline.steps.sparse_weights import SparseWeights
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.in_runs import (
    check_selection,
    options_of,
    read_weights,
)
from tests.pipeline.weight_selection.conftest import SHARE, TASK

_OPTIONS = {
    "sample": SHARE,
    "seeds": 1,
    "weights": [1, 100],
    "candidates": [1, 10],
    "runs": 3,
}


@pytest.fixture
def run(study, rare, days, tmp_path):
    """(changed parameters) -> the weights that the step gives."""
    examples, graph, out = (
        standard_artifacts.Examples(),
        standard_artifacts.TransformGraph(),
        standard_artifacts.HyperParameters(),
    )
    examples.uri, graph.uri, out.uri = str(days), "", str(tmp_path / "artifact")
    (tmp_path / "artifact").mkdir()
    slice = {
        "name": "s",
        "accelerator": "cpu",
        "batch_size": 1024,
        "steps_per_call": 16,
    }
    parameters = {
        "spec": views.text(rare, views.TRAINING),
        "preset": study._PRESET,
        "slice": json.dumps(slice),
        "days": json.dumps([["day-20240101", ""], ["day-20240102", ""]]),
        "tasks": json.dumps([TASK]),
        "sparse": json.dumps([t.name for t in rare.tasks if t.sparse]),
        "known": "{}",
        "options": json.dumps(_OPTIONS),
        "reports": str(tmp_path / "reports"),
    }

    def call(**changes):
        SparseWeights.EXECUTOR_SPEC.executor_class().Do(
            {"examples": [examples], "transform_graph": [graph]},
            {"loss_weights": [out]},
            parameters | changes,
        )
        return read_weights(out.uri)

    return call


def test_the_step_selects_what_the_command_selects_and_goes_on_from_its_trainings(
    run, selected, tmp_path
):
    """Training on the first day, judged on the second: the same trainings."""
    lines = (selected[0] / "results.jsonl").read_text().splitlines(keepends=True)
    results = tmp_path / "reports" / TASK / "results.jsonl"
    results.parent.mkdir(parents=True)
    results.write_text("".join(lines))
    assert run() == {TASK: selected[1].weight}
    assert results.read_text() == "".join(lines)  # nothing is trained again
    assert (results.parent / "weights.md").exists()


def test_a_known_weight_is_not_selected_again(run, tmp_path):
    assert run(known=json.dumps({TASK: 7.0}), days="[]") == {TASK: 7.0}
    assert not (tmp_path / "reports").exists()
    weights = {"one_in_20": 3.0, TASK: 7.0, "dense": 2.0}
    found = run(tasks=json.dumps([TASK, "one_in_20"]), known=json.dumps(weights))
    assert found == {TASK: 7.0, "one_in_20": 3.0}


def test_one_day_cannot_train_and_judge(run, days, tmp_path):
    shutil.copytree(days, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "Split-day-20240101")
    where = str(tmp_path / "other")
    gone = json.dumps([["day-20240101", where], ["day-20240102", where]])
    with pytest.raises(WeightSelectionError, match="two training .*Got day-20240102"):
        run(days=gone)


@pytest.mark.parametrize(
    ("task", "text", "options", "told"),
    [
        ("dense", "", {}, "'dense': must be a sparse binary task"),
        (TASK, f"loss_weights: {{{TASK}: 5}}", {}, "must have no weight .* Got 5"),
        (TASK, "", {"share": 1}, "sparse_options 'share': must be of .* sample, seeds"),
        (TASK, "", {"rivals": ["grid"]}, "sparse_options 'rivals': must be of"),
        (TASK, "", {"sample": 2}, "--sample: must be above 0"),
    ],
)
def test_what_cannot_be_selected_is_told_before_a_run(
    study, rare, task, text, options, told
):
    preset = read_preset(study._PRESET + text)
    with pytest.raises(WeightSelectionError, match=told):
        check_selection(rare, preset, [task], options)


def test_what_is_given_is_how_it_is_selected(study, rare):
    assert options_of({"sample": 0.05, "workers": None}).sample == 0.05
    check_selection(rare, read_preset(study._PRESET), [TASK, "one_in_20"], _OPTIONS)

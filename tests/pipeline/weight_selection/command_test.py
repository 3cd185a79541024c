"""The whole way: trainings to a preset, figures that follow from them, a stop, errors."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from feature_specs import load_preset
from pipeline.weight_selection.errors import WeightSelectionError
from tests.pipeline.weight_selection.conftest import SHARE, TASK

_ALL = ("dense", "one_in_10", "one_in_20", "one_in_30")
_RIVALS = ["--rivals", "uniform", "grid", "--keep"]


@pytest.fixture
def out(selected, tmp_path):
    """A directory to write in, with everything trained."""
    shutil.copytree(selected[0], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def trained(results):
    """(name of the preset, whether on the sample) -> its training."""
    on_sample = 3 + 2  # with weight 1, then the others
    return {(r["preset"], i < on_sample): r for i, r in enumerate(results)}


def _combined(result, without=()):
    aucs = [result["scores"][t]["auc"] for t in _ALL if t not in without]
    return math.fsum(aucs)


def _rows(out, result):
    """Rows that a training went over."""
    path = out / "checkpoints" / result["key"] / "metrics.jsonl"
    return sum(json.loads(line)["rows"] for line in path.read_text().splitlines())


def test_the_trainings_are_those_of_the_plan(trained, results):
    names = [(r["preset"], r["config"].get("loss_weights")) for r in results]
    assert names == [
        ("preset one_in_10=1", {"one_in_10": 1, TASK: 0}),
        ("preset one_in_20=1", {"one_in_20": 1, TASK: 0}),
        (f"preset {TASK}=1", {TASK: 1}),
        ("preset one_in_10=100", {"one_in_10": 100, TASK: 0}),
        ("preset one_in_20=100", {"one_in_20": 100, TASK: 0}),
        (f"preset {TASK}=1", {TASK: 1}),
        (f"preset {TASK}=10", {TASK: 10}),
        ("preset uniform", {TASK: 1}),
    ]
    assert [bool(r["layers"]) for r in results] == [True] * 3 + [False] * 5


def test_a_sample_has_the_rows_whose_labels_were_counted(selected, results, sizes):
    out, found = selected
    rows = sizes.rows[0]
    wanted = found.seen[0]["dense"].rows
    spread = math.sqrt(rows * SHARE * (1 - SHARE))
    assert abs(wanted - rows * SHARE) < 6 * spread
    assert [_rows(out, r) for r in results] == [wanted] * 5 + [rows] * 3
    assert found.judging["dense"].rows == sizes.rows[1]


def test_labels_are_those_of_the_rows(study, selected, sizes):
    """Drawn again: the evaluation day has one block of rows."""
    _, found = selected
    recipe = study.Recipe.drawn(0, list(sizes.means.values()))
    rng = np.random.default_rng([0, 2, 0])
    x = rng.normal(size=(sizes.rows[1], 16)).astype(np.float32)
    chances = study.sigmoid(recipe.scores(x))
    labels = rng.random(chances.shape) < chances
    told = [found.judging[task].total for task in sizes.means]
    assert told == labels.sum(axis=0).tolist()
    assert found.judging[TASK].mean == pytest.approx(labels[:, 3].mean())
    assert found.judging[TASK].sd == pytest.approx(labels[:, 3].std())


def test_examples_of_g_follow_from_the_trainings(told, trained):
    assert told["existing"] == ["one_in_10", "one_in_20"]
    for example in told["examples"]:
        task, weight = example["task"], example["weight"]
        own = trained[f"preset {task}={weight:g}", True]
        level = trained[f"preset {task}=1", True]
        gain = _combined(own, [TASK]) - _combined(level, [TASK])
        assert example["gain"] == pytest.approx(gain, abs=1e-6)
        facts = dict(zip(told["features"], example["features"], strict=False))
        layer = next(y for y in level["layers"] if y["name"] == "bottom")
        place = _ALL.index(task)
        norm = math.log(layer["norms"][place])
        assert facts["log norm, bottom"] == pytest.approx(norm, rel=1e-4)
        others = [p for p in range(3) if p != place]  # the new one is not trained
        cosines = [layer["cosines"][place][other] for other in others]
        assert facts["least cosine, bottom"] == pytest.approx(min(cosines), rel=1e-4)
        assert layer["norms"][3] == 0
    assert len(told["examples"]) == 4
    level = _combined(trained[f"preset {TASK}=1", True])
    assert told["level"] == pytest.approx(level, abs=1e-5)


def test_the_majority_chose(told):
    predicted = np.array(told["predicted_gain"])
    assert predicted.shape == (3, 2)
    assert told["votes"] == [[1, 10][place] for place in predicted.argmax(axis=1)]
    counts = [told["votes"].count(weight) for weight in (1, 10)]
    assert told["weight"] == [1, 10][int(np.argmax(counts))] or counts[0] == counts[1]


def test_the_ways_follow_from_the_trainings_on_all_rows(told, trained):
    ways, weight = told["ways"], told["weight"]
    assert list(ways) == ["grid", "uniform", "meta learner"]
    grid = {w: trained[f"preset {TASK}={w}", False] for w in (1, 10)}
    best = max(grid, key=lambda w: _combined(grid[w]))
    assert ways["grid"]["weight"] == best
    assert ways["meta learner"]["weight"] == weight
    chosen = {
        "grid": grid[best],
        "uniform": trained["preset uniform", False],
        "meta learner": grid[int(weight)],
    }
    for name, result in chosen.items():
        way, level = ways[name], _combined(grid[best])
        others = [result["scores"][task]["auc"] for task in _ALL[:3]]
        assert way["auc_new"]["mean"] == pytest.approx(
            result["scores"][TASK]["auc"], abs=1e-5
        )
        assert way["auc_existing"]["mean"] == pytest.approx(np.mean(others), abs=1e-5)
        if name != "grid":
            gain = _combined(result) - level
            assert way["gain"]["mean"] == pytest.approx(gain, abs=1e-5)
    assert told["compared_with"] == "grid"
    measured = {w: own["0"] for w, own in told["measured_gain"].items()}
    rise = _combined(grid[10]) - _combined(grid[1])
    assert measured == {"1": 0, "10": pytest.approx(rise, abs=1e-5)}


def test_the_cost_is_that_of_all_trainings(told, results):
    seconds = [result["processor_s"] for result in results]
    assert min(seconds) > 0
    ways = told["ways"]
    assert ways["grid"]["selecting_processor_s"] == pytest.approx(sum(seconds[5:7]))
    assert ways["uniform"]["selecting_processor_s"] == 0
    own = ways["meta learner"]["selecting_processor_s"]
    assert sum(seconds[:5]) < own < sum(seconds[:5]) + 60  # and G itself
    assert ways["uniform"]["training_processor_s"] == pytest.approx(seconds[7])


def test_the_preset_is_the_given_one_with_the_weight(selected, study):
    out, found = selected
    preset = load_preset(str(out / "preset.yaml"))
    assert preset == found.preset
    assert preset.loss_weights == {TASK: found.weight}
    assert preset.bottom == (32,)


def test_a_weight_beyond_all_that_were_trained_is_told(selected):
    found = dataclasses.replace(selected[1], weight=200.0)
    said = "A weight of 200 is more than any that was trained (100): G extrapolates."
    assert any(note.startswith(said) for note in found.notes)
    assert not any("more than any" in note for note in selected[1].notes)


def test_the_command_gives_the_same_without_training_again(select, out, capsys, told):
    assert select(out, *_RIVALS) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "5 trainings, of which 5 are in results.jsonl" in said
    assert "Training 1" not in said
    assert f"Weight of {TASK}: {told['weight']:g}" in said
    assert "meta learner" in said and "Few rows with label 1" in said
    again = json.loads((out / "weights.json").read_text())
    for key in ("votes", "predicted_gain", "measured_gain", "examples"):
        assert again[key] == told[key]
    text = (out / "weights.md").read_text()
    assert f"| grid | {told['ways']['grid']['weight']:g} | 100 % |" in text
    assert "G (SFV sec. 5.3) learned from 4 trainings" in text


def test_the_figure_shows_prediction_and_measurement(selected):
    from matplotlib.image import imread

    image = imread(selected[0] / "weights.png")[..., :3]
    for colour in ("#0072B2", "#D55E00", "#777777"):
        wanted = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        assert (np.abs(image - wanted).max(axis=2) < 0.02).sum() > 20


def test_a_stop_loses_only_the_current_training(study, rare, days, sizes, out, told):
    """Killed in the middle of a line, stopped in the training, started again."""
    import trailrank
    from pipeline.weight_selection.run import Listener

    lines = (out / "results.jsonl").read_text().splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join([*lines[:4], lines[4][:200]]))
    shutil.rmtree(out / "checkpoints")

    class Stop(Listener):
        begun: list[str]

        def training(self, number, total, trial, left_s):
            self.begun.append(trial.entrant.name)
            if self.stops:
                raise KeyboardInterrupt

    def go(stops):
        listener = Stop()
        listener.begun, listener.stops = [], stops
        options = trailrank.WeightOptions(
            sample=SHARE, seeds=1, weights=(1, 100), candidates=(1, 10), runs=3
        )
        preset = study.read_preset(study._PRESET)
        how = {"spec": rare, "examples": days, "slice": study._SLICE}
        try:
            found = trailrank.select_weight(
                TASK, preset, out, options=options, listener=listener, **how
            )
        except KeyboardInterrupt:
            found = None
        return found, listener.begun

    assert go(stops=True) == (None, ["preset one_in_20=100"])
    found, begun = go(stops=False)
    assert begun == ["preset one_in_20=100"]
    assert found.weight == told["weight"]
    assert (found.ways, found.grid) == ((), {})  # no rivals, nothing on all rows
    np.testing.assert_allclose(found.learned.predicted, told["predicted_gain"], 1e-4)


def test_too_few_positives_are_told_before_anything_is_trained(select, tmp_path):
    with pytest.raises(WeightSelectionError) as error:
        select(tmp_path / "new", "--sample", "0.02")
    told = " ".join(str(error.value).split())
    assert "must have 10 rows with label 1 at least" in told
    assert "in the sample of 2 % (seed 0) and" in told and "Take --sample 0." in told
    assert not (tmp_path / "new" / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sample", "2"], "--sample: must be above 0"),
        (["--root", "here"], "--root takes the run's examples"),
        (["--rivals", "best"], "invalid choice: 'best'"),
    ],
)
def test_flags_that_are_wrong_end_with_2(select, tmp_path, flags, said, capsys):
    with pytest.raises(SystemExit) as end:
        select(tmp_path / "new", *flags)
    assert end.value.code == 2
    assert said in capsys.readouterr().err

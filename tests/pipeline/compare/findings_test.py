"""Known results of trainings -> cells, tables and figures; no training here."""

import math

import pytest
import rich.console

from pipeline.compare import plot, report
from pipeline.compare.findings import find
from pipeline.compare.trials import Result, plan_trials
from pipeline.reporting.figures import png

_NAN = math.nan
_PRESETS = {
    "alone": "structure: {kind: single}\nswitcher: {kind: shared_bottom, units: [4]}",
    "mixed": "switcher: {kind: mmoe, experts: 2, units: [8]}",
    "hard": "switcher: {kind: shared_bottom, units: [4]}",
}
# Preset -> AUC of click and MSE of watch with seeds 0, 1, 2.
_KNOWN = {
    "alone": ([0.70, 0.71, 0.72], [20.0, 21.0, 22.0]),
    "mixed": ([0.72, 0.73, 0.741], [20.5, 20.0, 22.0]),
    "hard": ([0.69, 0.72, _NAN], [20.0, 21.0, 22.0]),
}


@pytest.fixture
def find_known(comparison_of):
    """(preset -> seeds that diverged, settings) -> findings of `_KNOWN`."""

    def make(diverged=None, **settings):
        settings = {"baseline": "alone", "seeds": (0, 1, 2)} | settings
        comparison = comparison_of(_PRESETS, **settings)
        trials = plan_trials(comparison)
        results = {
            trial.key: _result(
                trial, trial.seed in (diverged or {}).get(trial.entrant.name, ())
            )
            for trial in trials
        }
        return find(comparison, trials, results)

    return make


def _result(trial, diverged):
    click, watch = (values[trial.seed] for values in _KNOWN[trial.entrant.name])
    binary = {"auc": click, "gauc": click, "log_loss": 1 - click}
    regression = {"mse": watch, "rmse": math.sqrt(watch)}
    scores = {"click": binary, "like": binary}
    scores |= {"watch": regression, "seconds": regression}
    return Result(
        key=trial.key,
        preset=trial.entrant.name,
        seed=trial.seed,
        weights=100,
        days=[],
        evaluation=[],
        seconds=1.0,
        scores={} if diverged else scores,
        positives={} if diverged else {"click": 100, "like": 99},
        diverged="It broke off." if diverged else "",
        config={},
    )


def _printed(tables, width=200, **settings):
    console = rich.console.Console(width=width, **settings)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get()


def test_gains_are_over_the_same_seeds(find_known):
    found = find_known()
    mixed = found.cell("mixed", "click")
    assert mixed.value.mean == pytest.approx(0.7303333)
    assert mixed.gain.mean == pytest.approx(0.061 / 3)  # 0.02, 0.02, 0.021
    assert mixed.gain.half == pytest.approx(4.3027 * 0.001 / 3, rel=1e-4)
    assert mixed.gain.is_significant
    assert found.cell("mixed", "watch").gain.mean == pytest.approx(0.5 / 3)  # lower
    hard = found.cell("hard", "click")  # its third seed has no AUC
    assert (hard.value.n, hard.gain.pairs) == (2, 2)
    assert hard.gain.mean == pytest.approx(0)
    assert found.cell("alone", "click").gain is None
    assert found.rivals == ["mixed", "hard"]


def test_a_diverged_seed_is_no_pair(find_known):
    found = find_known({"mixed": [1], "alone": [0]})
    assert found.diverged == {
        "alone": {0: "It broke off."},
        "mixed": {1: "It broke off."},
    }
    assert found.cell("mixed", "click").value.n == 2
    assert found.cell("mixed", "click").gain.pairs == 1
    assert not found.cell("mixed", "click").gain.has_interval
    assert "mixed, seed 1, diverged and does not count. It broke off." in found.notes


def test_a_significant_gain_has_a_star_and_is_bold(find_known):
    styled = {"force_terminal": True, "color_system": "standard"}
    printed = _printed(report.task_tables(find_known(), 200), **styled)
    (line,) = (line for line in printed.splitlines() if " mixed" in line)
    bold, plain = "\x1b[1m", "\x1b[0m"
    assert f"{bold}+0.0203 ±0.0014*{plain}" in line
    assert "20.833 +0.167 ±1.897" in line  # -0.5, 1 and 0; a digit less
    (hard,) = (line for line in printed.splitlines() if " hard" in line)
    assert "+0.0000 ±0.1271" in hard  # zero is not negative; t = 12.706 here
    assert "*" not in hard


def test_tasks_are_parted_into_tables_that_fit(find_known):
    for width, blocks in ((200, 1), (80, 2), (60, 2), (50, 4), (20, 4)):
        tables = report.task_tables(find_known(), width)
        assert len(tables) == blocks
        if width > 20:
            lines = _printed(tables, 300).splitlines()
            assert (
                max(len(line.rstrip()) for line in lines if "\x1b" not in line) < width
            )


def test_a_star_does_not_begin_emphasis_in_markdown(find_known):
    text = report.markdown(find_known())
    assert r"| mixed | 0.7303 | +0.0203 ±0.0014\* | 20.833 | +0.167 ±1.897 |" in text
    assert text.count("| --- |") == 2


def test_few_positives_are_told(find_known):
    (note,) = find_known().notes
    assert note.startswith("Few rows with label 1 on the evaluation days: like (99).")
    assert "click" not in note


def test_figures_without_a_single_gain_are_drawn_too(find_known):
    found = find_known({"alone": [0, 1, 2], "hard": [0, 1, 2]})
    assert found.cell("mixed", "click").gain.pairs == 0
    for draw in (plot.draw_gains, plot.draw_seesaw):
        assert png(draw(found)).startswith(b"\x89PNG")
    assert " hard " in _printed(report.task_tables(found, 80))
    assert "hard,click,auc,,,,,,0,0," in report.results_csv(found)


def test_the_seesaw_has_each_preset_at_its_gains(find_known):
    found = find_known()
    (panel,) = plot.draw_seesaw(found).axes
    points = {
        container.get_label(): container.lines[0].get_xydata()[0].tolist()
        for container in panel.containers
    }
    assert points["mixed"] == pytest.approx([0.061 / 3, 0.5 / 3])
    assert points["hard"] == pytest.approx([0, 0])
    low, high = panel.get_xlim()
    assert low == -high  # the baseline is in the middle
    assert panel.get_xlabel() == "gain on click (AUC)"


def test_each_task_has_a_panel_with_its_gains(find_known):
    found = find_known()
    panels = plot.draw_gains(found).axes
    assert [panel.get_title() for panel in panels] == [
        *("click (AUC)", "watch (MSE)", "like (AUC)", "seconds (MSE)"),
    ]
    gain, row = panels[0].containers[0].lines[0].get_xydata()[0]
    assert (gain, row) == (pytest.approx(0.061 / 3), 0)
    (bar,) = panels[0].containers[0].lines[2]
    ends = bar.get_segments()[0][:, 0]
    half = 4.3027 * 0.001 / 3
    assert list(ends) == pytest.approx([0.061 / 3 - half, 0.061 / 3 + half], rel=1e-4)

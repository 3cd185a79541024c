"""Searches whose trainings are arithmetic, and one on the trainer's small data set."""

import math

import pytest

from feature_specs import read_preset
from pipeline.compare.examples import Examples
from pipeline.tune.objective import choose_objective
from pipeline.tune.plan import Plan
from pipeline.tune.space import Range
from tests.pipeline.compare.conftest import (  # noqa: F401  fixtures
    SLICE,
    examples,
    files,
    make_rows,
    spec,
    spec_text,
)

RATES = {"optimizer.learning_rate": Range(0.001, 1.0, log=True)}


@pytest.fixture(scope="session")
def plan_of(spec):  # noqa: F811
    """(settings) -> a plan of five search days, that are no files, and one kept."""
    days = [(f"day-2022040{day}", []) for day in range(1, 7)]

    def make(**settings):
        preset = settings.pop("preset", "optimizer: {learning_rate: 0.01}")
        defaults = {
            "preset": read_preset(preset),
            "name": "mine",
            "space": RATES,
            "examples": Examples(
                spec=spec,
                encoding=None,
                train=tuple(days[:-1]),
                evaluation=tuple(days[-1:]),
            ),
            "objective": choose_objective(spec, ["click.auc"]),
            "slice": SLICE,
            "seed": 0,
        }
        return Plan(**(defaults | settings))

    return make


def days_of(plan, judge, values):
    """Tells a judge what days say: click's AUC after the first day, which says 0.5."""
    for (day, _), value in zip(plan.examples.train, [0.5, *values], strict=True):
        judge.of_day(day, {"auc": {"click": value}, "positives": {"click": 100}})


@pytest.fixture(scope="session")
def rate_decides():
    """plan -> what trains by arithmetic: the nearer the rate to 0.1, the better."""

    def make(plan):
        def train(config, judge):
            off = abs(math.log10(config.optimizer.learning_rate) + 1)
            found = [0.8 - 0.1 * off + 0.01 * day for day in range(plan.steps)]
            with judge.until_enough():
                days_of(plan, judge, found)

        return train

    return make


@pytest.fixture(scope="session")
def flags(files, examples):  # noqa: F811
    """(out, more flags) -> the arguments of a search from a preset with a wild rate.

    Its predictions of `watch` are far off, those of the space's rates are not.
    """
    text = (files / "hard.yaml").read_text()
    wild = text.replace("{learning_rate: 0.01", "{learning_rate: 1.0")
    assert wild.count("learning_rate: 1.0") == 1
    (files / "mine.yaml").write_text(wild)

    def make(out, *more):
        known = ["--spec", files / "small.yaml", "--examples", examples]
        known += ["--preset", files / "mine.yaml", "--tpu_config", files / "tiny.yaml"]
        known += ["--search", "optimizer.learning_rate=[0.001, 0.003, 0.01]"]
        known += ["--metric", "watch.r2", "--trials", 2, "--out", out]
        return [str(word) for word in [*known, *more]]

    return make


@pytest.fixture(scope="session")
def tuned(flags, tmp_path_factory):
    """A finished search: its directory. Copy to change it."""
    from pipeline.tune import command

    out = tmp_path_factory.mktemp("tuned") / "out"
    assert command.run(flags(out, "--seeds", 2)) == 0
    return out

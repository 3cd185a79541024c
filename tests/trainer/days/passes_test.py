"""Passes over all days: which is kept, what is told, and how a stop is survived."""

import dataclasses
import json
import logging
import signal

import absl.logging
import numpy as np
import pytest

from feature_specs import SpecError, read_preset
from feature_specs.model import PassesConfig, plain_values
from tpu_configs import SliceConfig
from trainer.days import loop, passes
from trainer.days.checkpoints import finished_days
from trainer.days.state import TrainingState
from trainer.errors import TrainingError

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
DAYS = ("day-20220408", "day-20220409", "day-20220410")


@pytest.fixture(scope="module")
def days(make_rows, tmp_path_factory):
    """Three days of 200 rows, and one more."""
    folder = tmp_path_factory.mktemp("transformed")
    names = (*DAYS, "day-20220411")
    for seed, day in enumerate(names):
        make_rows(200, seed=seed).write(folder / f"Split-{day}" / "data.gz")
    return [(day, [str(folder / f"Split-{day}" / "*.gz")]) for day in names]


def _with(config, rates, **passes):
    optimizer = dataclasses.replace(
        config.optimizer, learning_rate=rates[0], table_learning_rate=rates[1]
    )
    return dataclasses.replace(
        config, optimizer=optimizer, passes=PassesConfig(**passes)
    )


@pytest.fixture(scope="module")
def slow(config):
    """Learns so little in a pass that each of four helps."""
    return _with(config, (0.001, 0.02), most=4)


@pytest.fixture(scope="module")
def fast(config):
    """Knows 400 rows by heart after a few passes."""
    return _with(config, (0.03, 1.0), most=9)


def _train(spec, config, days, directory, **kwargs):
    kwargs = {"slice": SLICE, "seed": 3} | kwargs
    return loop.train(spec, config, days, checkpoint_dir=str(directory), **kwargs)


def _metrics(directory):
    lines = (directory / loop.METRICS_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def helped(spec, slow, days, tmp_path_factory):
    directory = tmp_path_factory.mktemp("helped")
    return _train(spec, slow, days[:3], directory), directory


@pytest.fixture(scope="module")
def overfitted(spec, fast, days, tmp_path_factory):
    directory, told = tmp_path_factory.mktemp("overfitted"), []
    ranker = _train(
        spec, fast, days[:3], directory, judged=lambda *says: told.append(says)
    )
    return ranker, directory, told


def _assert_same(found, expected):
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(one, other, one.name)


def test_passes_that_help_are_all_made(helped):
    ranker, directory = helped
    (*before, last) = _metrics(directory)
    assert [(r["pass"], r["day"]) for r in before] == [
        (number, day) for number in (1, 2, 3, 4) for day in DAYS[:2]
    ]
    assert last["day"] == DAYS[2] and "pass" not in last
    losses = last["passes"]["losses"]
    assert last["passes"]["best"] == 4 and losses == sorted(losses, reverse=True)
    assert int(ranker.steps) == (4 * 2 + 1) * 4  # of 200 rows in 4 steps a day


def test_the_best_pass_is_kept_where_more_overfit(spec, config, days, overfitted,
                                                  tmp_path):  # fmt: skip
    """One more than the best was made, and left no trace: the weights are, bit by bit,
    those of a training that makes no more than the best one."""
    ranker, directory, told = overfitted
    *before, last = _metrics(directory)
    best, losses = last["passes"]["best"], last["passes"]["losses"]
    assert len(losses) == best + 1 < 9
    assert losses[best - 1] == min(losses) < losses[best]
    # Who asked was told what the kept day says, after each pass that was the best so far.
    assert [day for day, _ in told] == [DAYS[2]] * best
    weights = {task.name: task.loss_weight for task in spec.tasks}
    of_passes = [
        sum(weights[task] * loss for task, loss in says["loss"].items())
        for _, says in told
    ]
    assert of_passes == pytest.approx(losses[:best])
    assert [r["pass"] for r in before[-2:]] == [best, best]
    assert {r["pass"] for r in before} == set(range(1, best + 2))
    exactly = _with(config, (0.03, 1.0), most=max(best, 2), patience=best + 1)
    if best > 1:
        _assert_same(ranker, _train(spec, exactly, days[:3], tmp_path))
    assert not (directory / "passes").exists()
    assert finished_days(str(directory)) == list(DAYS)


class _StopAfter(logging.Handler):
    """Sends this process SIGTERM when the log tells of the day of that number."""

    def __init__(self, number):
        super().__init__()
        self._left = number

    def emit(self, record):
        if record.getMessage().startswith("Trained "):
            self._left -= 1
            if not self._left:
                signal.raise_signal(signal.SIGTERM)


def test_stopped_it_ends_with_the_same_weights(spec, fast, days, overfitted, tmp_path):
    """In the second day of the first pass, then in that of the second."""
    logger, level = logging.getLogger("absl"), absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.INFO)
    for number in (1, 2):
        handler = _StopAfter(number)
        logger.addHandler(handler)
        try:
            with pytest.raises(loop.InterruptedTraining):
                _train(spec, fast, days[:3], tmp_path)
        finally:
            logger.removeHandler(handler)
    absl.logging.set_verbosity(level)
    ranker = _train(spec, fast, days[:3], tmp_path)
    _assert_same(ranker, overfitted[0])
    for own, other in zip(_metrics(tmp_path), _metrics(overfitted[1]), strict=True):
        keys = own.keys() - {"seconds", "rows_per_s"}
        assert {k: own[k] for k in keys} == {k: other[k] for k in keys}


def test_a_later_day_is_trained_once(spec, slow, days, helped):
    directory = helped[1]
    before = len(_metrics(directory))
    _train(spec, slow, days, directory)
    records = _metrics(directory)
    assert len(records) == before + 1 and records[-1]["day"] == days[3][0]
    assert not {"pass", "passes"} & records[-1].keys()


def test_one_day_cannot_be_judged(spec, slow, days, tmp_path):
    with pytest.raises(TrainingError, match="passes: need two training days"):
        _train(spec, slow, days[:1], tmp_path)


def test_a_preset_without_passes_is_as_it_was_before_there_were_any(config):
    assert "passes" not in plain_values(config)
    text = "passes: {most: 3, patience: 2, judge: last_day}\nbottom: [8]\n"
    assert read_preset(text).passes == PassesConfig(most=3, patience=2)
    with pytest.raises(SpecError, match="passes.most: must be from 1 to 1,000"):
        read_preset("passes: {most: 0}")
    with pytest.raises(SpecError, match="passes.judge: must be "):
        read_preset("passes: {judge: best}")


@pytest.mark.parametrize(
    ("losses", "patience", "goes_on", "best"),
    [
        ([3.0], 1, True, 1),
        ([3.0, 2.0], 1, True, 2),
        ([3.0, 3.0], 1, False, 1),  # no better
        ([3.0, 4.0, 2.5], 2, True, 3),
        ([3.0, 4.0, 3.5], 2, False, 1),
        ([5.0, 4.0, 3.0, 2.0], 3, False, 4),  # as many as may be
    ],
)
def test_when_passes_end(losses, patience, goes_on, best, config):
    config = dataclasses.replace(config, passes=PassesConfig(most=4, patience=patience))
    found = passes.Search(kept=DAYS[2], losses=losses)
    assert (found.best, found.goes_on(config)) == (best, goes_on)


def test_each_pass_has_an_order_of_its_own(config):
    twice = dataclasses.replace(config, epochs_per_day=2)
    state = TrainingState({})
    assert passes.first_epoch(twice, state) == 0
    state.passes = dataclasses.asdict(passes.Search(kept=DAYS[2], number=3))
    assert passes.first_epoch(twice, state) == 4
    state.passes["is_over"] = True
    assert passes.first_epoch(twice, state) == 0

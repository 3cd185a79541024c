"""Several passes over all days, for small data that stays as it is.

    passes: {most: 8, patience: 1, judge: last_day}     # in a preset

A stream of days is trained once, in order. On a small set one pass may be too few, and
how many are right depends on data and preset. So the last training day is kept out,
and the days before it are gone through again and again, each time in another order of
rows, from the weights of the pass before. After each pass the kept day is predicted as
served, and the pass is judged by its loss: the tasks' means, times their weights.
With `patience` passes in a row no better than the best one, or `most` passes, the
search is over. The best pass's weights are restored, and the kept day is trained once,
as every new day is; so are days that are added later. No evaluation day is looked at.

`metrics.jsonl` has the lines of all passes with the number of theirs (`pass`), those of
the best one last; the kept day's line has `passes`: which is the best, and what each
came to. A training that is stopped goes on as the day loop does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from feature_specs import ModelConfig, Spec
from feature_specs.preset import weighted
from trainer import strategy as strategies
from trainer.days.checkpoints import CheckpointError, Checkpoints, find
from trainer.days.day_ends import keep_as
from trainer.days.state import TrainingState, load_state
from trainer.days.training import Training
from trainer.days.validation import Validator
from trainer.errors import TrainingError

JUDGED_ROWS = 1_000_000  # of the kept day, at most: predictions are held in memory
_FOLDER = "passes"  # with the best pass's checkpoint, until the search is over


@dataclasses.dataclass
class Search:
    """How far it is; in a checkpoint it is `TrainingState.passes`.

    Attributes:
        kept: The day that is kept out.
        number: Of the pass that runs, from 1.
        losses: What each finished pass came to on the kept day.
        earlier: Records of passes that are over, as in `TrainingState.days`.
        is_over: Whether the best pass is restored.
    """

    kept: str
    number: int = 1
    losses: list[float] = dataclasses.field(default_factory=list)
    earlier: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    is_over: bool = False

    @property
    def best(self) -> int:
        """The number of the best pass so far, the first of equals; 0 without one."""
        if not self.losses:
            return 0
        return 1 + min(range(len(self.losses)), key=lambda index: self.losses[index])

    def goes_on(self, config: ModelConfig) -> bool:
        """Whether another pass follows those that are judged."""
        done = len(self.losses)
        return done < config.passes.most and done - self.best < config.passes.patience


def first_epoch(config: ModelConfig, state: TrainingState) -> int:
    """What the order of rows counts from in the pass that runs."""
    found = _search(state)
    if found is None or found.is_over:
        return 0
    return (found.number - 1) * config.epochs_per_day


def told(state: TrainingState) -> dict[str, Any]:
    """What a finished day's record says of passes."""
    found = _search(state)
    if found is None:
        return {}
    if not found.is_over:
        return {"pass": found.number}
    if found.kept in state.finished:
        return {}
    return {"passes": {"best": found.best, "losses": found.losses}}


def planned(
    config: ModelConfig, state: TrainingState, days: Sequence[str], todo: Sequence[str]
) -> list[str]:
    """The days as they will come, if all passes are made."""
    found = _search(state)
    if config.passes.most == 1 or (found is not None and found.is_over):
        return list(todo)
    kept = found.kept if found else days[-1]
    again = config.passes.most - (found.number if found else 1)
    return [*todo, *[day for day in days if day < kept] * again]


def search(
    training: Training,
    state: TrainingState,
    checkpoints: Checkpoints,
    files: Mapping[str, list[str]],
    train_day: Callable[[str], None],
    judged: Callable[[str, dict[str, Any]], None] | None = None,
) -> list[str]:
    """Goes over the days until passes get no better, and restores the best one.

    Args:
        training: Whose weights are trained.
        state: Where to begin, and what is kept in checkpoints.
        checkpoints: Of both.
        files: Day -> its files, of all days, the kept one and later ones too.
        train_day: Trains one day and adds its record to `state`.
        judged: Is told what the kept day says of each pass that is the best so far.

    Returns:
        The days that are left, to be trained once.

    Raises:
        TrainingError: There is no day before the last one, or several workers train.
    """
    found = _search(state) or Search(kept=_kept(training, list(files)))
    before = [day for day in files if day < found.kept]
    validator = None if found.is_over else Validator(training, JUDGED_ROWS)
    while validator is not None and not found.is_over:
        state.passes = dataclasses.asdict(found)
        for day in before:
            if day not in state.finished:
                train_day(day)
        says = validator.validate(files[found.kept])
        found.losses.append(
            _loss(weighted(training.spec, training.config), says, found.kept)
        )
        _tell(found, training.config)
        if found.best == found.number:
            keep_as(checkpoints.directory, _place(checkpoints, found.number))
            if judged:
                judged(found.kept, says)
        if found.goes_on(training.config):
            found.earlier += state.days
            state.days, found.number = [], found.number + 1
        else:
            _restore_best(found, state, checkpoints)
        state.passes = dataclasses.asdict(found)
        checkpoints.save()
        _clean_up(checkpoints, found.best)
    _clean_up(checkpoints, 0)
    return [day for day in files if day not in state.finished]


def _search(state: TrainingState) -> Search | None:
    return Search(**state.passes) if state.passes else None


def _kept(training: Training, days: list[str]) -> str:
    """The last day, if passes can be made and judged."""
    if strategies.is_several_workers(training.strategy):
        raise TrainingError(
            "passes: are for data that one machine trains. Got several workers. Set "
            "`passes: {most: 1}` in the preset, or train on one machine."
        )
    if len(days) < 2:
        raise TrainingError(
            f"passes: need two training days, the last of which judges. Got "
            f"{days[0]!r} alone. Add days (log.days_per_split makes shorter ones), or "
            f"set `passes: {{most: 1}}` in the preset."
        )
    return days[-1]


def _loss(spec: Spec, judged: dict[str, Any], day: str) -> float:
    if not judged or not judged["rows"]:
        raise TrainingError(
            f"passes: are judged on day {day!r}, which has no row. Leave it out."
        )
    losses = judged["loss"]
    return float(sum(task.loss_weight * losses[task.name] for task in spec.tasks))


def _tell(found: Search, config: ModelConfig) -> None:
    best = "the best so far" if found.best == found.number else f"best: {found.best}"
    logging.info(
        "Pass %d of at most %d: loss %.5f on %s, %s.",
        found.number,
        config.passes.most,
        found.losses[-1],
        found.kept,
        best,
    )


def _restore_best(
    found: Search, state: TrainingState, checkpoints: Checkpoints
) -> None:
    """Weights and records as they were after the best pass."""
    found.is_over = True
    if found.best != found.number:
        path = _kept_best(_place(checkpoints, found.best))
        checkpoints.restore(path)
        found.earlier += state.days
        state.days = load_state(path).days
    others = [r for r in found.earlier if r["pass"] != found.best]
    found.earlier = others
    logging.info("Kept pass %d of %d.", found.best, len(found.losses))


def _kept_best(place: str) -> str:
    path = next(iter(find(place)), None)
    if path is None:
        raise CheckpointError(
            f"{place}: must hold the checkpoint of the best pass. Got none. Bring it "
            f"back from a copy, or train into an empty directory."
        )
    return path


def _place(checkpoints: Checkpoints, number: int) -> str:
    return f"{checkpoints.directory}/{_FOLDER}/{number}"


def _clean_up(checkpoints: Checkpoints, best: int) -> None:
    """Removes what was kept of other passes than the best one; 0 is none."""
    place = f"{checkpoints.directory}/{_FOLDER}"
    if not best:
        others = [place]
    else:
        names = tf.io.gfile.listdir(place) if tf.io.gfile.isdir(place) else []
        others = [f"{place}/{n}" for n in names if n.rstrip("/") != str(best)]
    for folder in others:
        if tf.io.gfile.isdir(folder):
            tf.io.gfile.rmtree(folder)

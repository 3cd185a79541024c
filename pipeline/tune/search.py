"""The trials of a search: drawn by Optuna, and kept as they end.

`OUT/search.journal` is Optuna's journal of them (`JournalFileBackend`), one line a
step, each on the disk before the next begins. A trial that was killed is run again with
the values it had.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from feature_specs import ModelConfig, SpecError
from feature_specs.preset import check_preset
from pipeline.compare.errors import CompareError
from pipeline.tune import drawing
from pipeline.tune.errors import TuneError
from pipeline.tune.judge import Judge
from pipeline.tune.plan import Plan
from pipeline.tune.space import own_value
from trainer.days.divergence import DivergedError

JOURNAL = "search.journal"

# Trains a preset and tells the judge what days say, until that or the days end it.
Train = Callable[[ModelConfig, Judge], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial that is over.

    Attributes:
        number: From 0, the preset as it is.
        state: `complete`; `pruned`, given up by successive halving; `diverged`; or
            `refused`, as values that are allowed alone do not go together.
        values: Key -> what the preset had there, as YAML has it.
        days: The value after each judged day.
        seconds: It took.
        why: What a diverged or refused one ended with.
        config: The preset; None if it was refused.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    days: tuple[float, ...]
    seconds: float
    why: str
    config: ModelConfig | None

    @property
    def value(self) -> float | None:
        """After all days; None if it did not come so far."""
        return self.days[-1] if self.state == "complete" else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How long trials are begun.

    Attributes:
        trials: At most so many, those of an earlier start among them.
        seconds: Not after so many, likewise; None for no end.
    """

    trials: int
    seconds: float | None

    def allows(self, tried: list[Tried]) -> bool:
        """Whether another trial may begin."""
        spent = sum(trial.seconds for trial in tried)
        return len(tried) < self.trials and (
            self.seconds is None or spent < self.seconds
        )


class Search:
    """The search in a directory, begun there or gone on with.

    Args:
        plan: What is searched.
        out: The directory, whose owner this process is.

    Raises:
        TuneError: Another search is there.
    """

    def __init__(self, plan: Plan, out: pathlib.Path):
        self._plan = plan
        self.study = drawing.open_study(out / JOURNAL, plan.first_rung)
        self._check_same(out)

    @property
    def tried(self) -> list[Tried]:
        """All trials that are over, in order."""
        return [
            _tried(self._plan, trial)
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished()
        ]

    def run(
        self,
        budget: Budget,
        train: Train,
        report: Callable[[int, list[Tried]], None] = lambda number, tried: None,
    ) -> None:
        """Runs trials until the budget is spent.

        Args:
            budget: How many, or how long.
            train: Trains one.
            report: Is called with a trial's number and those before it, as it begins.

        Raises:
            TuneError: The search days do not have the metric; or the preset diverges.
        """
        while budget.allows(tried := self._with_preset()):
            trial = self._next()
            report(trial.number, tried)
            self._run(trial, train)

    def _with_preset(self) -> list[Tried]:
        """The trials that are over; the first of them must be worth something."""
        tried = self.tried
        if tried and tried[0].state != "complete":
            raise TuneError(
                f"--preset {self._plan.name}: must train as it is, which is where the "
                f"search begins. {tried[0].why} Then name another --out."
            )
        return tried

    def _check_same(self, out: pathlib.Path) -> None:
        own = self._plan.identity()
        found = self.study.user_attrs.get("identity")
        if found is None:
            self.study.set_user_attr("identity", own)
            return
        other = [name for name in own if found.get(name) != own[name]]
        if other:
            raise TuneError(
                f"--out {out}: holds a search with another {', '.join(other)}. Go on "
                "with the same, or name another directory."
            )

    def _next(self) -> Trial:
        """The trial that a killed search left, or a new one."""
        study = self.study
        left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        started = [t for t in study.get_trials(deepcopy=False) if t.datetime_start]
        number = left[0].number if left else len(started)
        study.sampler = drawing.sampler(self._plan.seed, number)
        if left:  # its values are in the journal; what it lacks is drawn as before
            return Trial(study, left[0]._trial_id)
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(self._fixed(number))
        return study.ask()

    def _fixed(self, number: int) -> dict[str, Any]:
        """What a trial has without being drawn: all of trial 0."""
        if not number:
            return drawing.own_values(self._plan)
        best = self.study.get_trials(deepcopy=False)[best_of(self.tried).number]
        return drawing.kept_values(self._plan, number, best.params)

    def _run(self, trial: Trial, train: Train) -> None:
        began, value, state = time.perf_counter(), None, TrialState.PRUNED
        name = why = ""
        try:
            config = drawing.draw(trial, self._plan)
            check_preset(config, self._plan.examples.spec)
            judge = Judge(trial, self._plan)
            train(config, judge)
            value, state = judge.finish(), TrialState.COMPLETE
        except optuna.TrialPruned:
            pass
        except (SpecError, CompareError) as error:
            name, why = "refused", str(error)
        except DivergedError as error:
            name, why = "diverged", str(error)
        if name:
            trial.set_user_attr("why", [name, why])
        trial.set_user_attr("seconds", round(time.perf_counter() - began, 3))
        self.study.tell(trial, value, state=state)


def best_of(tried: Sequence[Tried]) -> Tried:
    """The complete trial of the highest value, the first of equals."""
    complete = [trial for trial in tried if trial.value is not None]
    return max(complete, key=lambda trial: trial.value or 0.0)


def _tried(plan: Plan, trial: FrozenTrial) -> Tried:
    name, why = trial.user_attrs.get("why", ("", ""))
    state = name or ("complete" if trial.state == TrialState.COMPLETE else "pruned")
    config: ModelConfig | None = plan.preset
    values = {k: own_value(plan.preset, plan.examples.spec, k) for k in plan.space}
    if trial.number:
        values = drawing.as_yaml(plan, trial.params)
        config = None if state == "refused" else drawing.drawn(plan, trial.params)
    return Tried(
        number=trial.number,
        state=state,
        values=values,
        days=tuple(v for _, v in sorted(trial.intermediate_values.items())),
        seconds=trial.user_attrs["seconds"],
        why=why,
        config=config,
    )

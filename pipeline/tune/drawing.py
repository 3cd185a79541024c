"""Optuna's side of a search: its journal, its sampler, and what it draws as presets."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from feature_specs import ModelConfig
from pipeline.compare.variants import Variant, with_values
from pipeline.tune.plan import Plan
from pipeline.tune.space import FLAG, Domain, Range, own_value

HALVING = 2  # one of so many trials goes on at each rung
_NAME = "tune"
_RANDOM = 10  # trials before the estimator has seen enough
_CHANGED = 6  # keys of a trial that are drawn, or so; of a smaller space all are


def open_study(journal: pathlib.Path, first_rung: int) -> optuna.Study:
    """The search that a journal holds, or a new one there.

    Args:
        journal: Its file; half a line, left by a kill, counts as not there.
        first_rung: Days after which successive halving gives up the first trials.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut_half_a_line(journal)
    backend = JournalFileBackend(str(journal), _Owned(str(journal)))
    return optuna.create_study(
        study_name=_NAME,
        storage=JournalStorage(backend),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=first_rung, reduction_factor=HALVING
        ),
        direction="maximize",
        load_if_exists=True,
    )


def sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Of one trial: what it draws follows from its number and from those before it."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return optuna.samplers.TPESampler(
        seed=int.from_bytes(digest[:4], "big"),
        n_startup_trials=_RANDOM,
        multivariate=False,
        constant_liar=False,
    )


def own_values(plan: Plan) -> dict[str, Any]:
    """Key -> the preset's own value, as Optuna has it; those that the space holds."""
    own = {k: own_value(plan.preset, plan.examples.spec, k) for k in plan.space}
    return {
        key: own[key] if isinstance(domain, Range) else json.dumps(own[key])
        for key, domain in plan.space.items()
        if domain.holds(own[key])
    }


def kept_values(plan: Plan, number: int, best: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value of those keys that a trial has as the best one before it has them.

    About `_CHANGED` others are drawn, which ones by the trial's number. A trial that
    moves all of twenty keys at once is worse than a good one, whatever is good about
    some of them.

    Args:
        plan: What is searched.
        number: Of the trial, from 1.
        best: What Optuna drew for the best one.
    """
    share = 1 - _CHANGED / len(plan.space)
    drawn = random.Random(f"{plan.seed}/{number}")
    kept = {key: value for key, value in best.items() if drawn.random() < share}
    return kept if len(kept) < len(plan.space) else {}


def draw(trial: optuna.Trial, plan: Plan) -> ModelConfig:
    """The preset of a trial; trial 0 is the preset as it is.

    Raises:
        CompareError: The values do not go together.
    """
    if not trial.number:
        for key in own_values(plan):  # so that the sampler knows them
            _suggest(trial, key, plan.space[key])
        return plan.preset
    found = {key: _suggest(trial, key, domain) for key, domain in plan.space.items()}
    return drawn(plan, found)


def drawn(plan: Plan, found: Mapping[str, Any]) -> ModelConfig:
    """The preset with what Optuna drew.

    Raises:
        CompareError: The values do not go together.
    """
    return with_values(plan.preset, Variant(plan.name, as_yaml(plan, found)), FLAG)


def as_yaml(plan: Plan, found: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> what Optuna drew, as the preset gets it."""
    return {key: _told(plan.space[key], value) for key, value in found.items()}


def _told(domain: Domain, value: Any) -> Any:
    return domain.told(value) if isinstance(domain, Range) else json.loads(value)


def _suggest(trial: optuna.Trial, key: str, domain: Domain) -> Any:
    """What Optuna draws: a number, or a choice as JSON."""
    if not isinstance(domain, Range):
        return trial.suggest_categorical(key, [json.dumps(v) for v in domain.values])
    if domain.is_whole:
        low, high = int(domain.low), int(domain.high)
        return trial.suggest_int(key, low, high, log=domain.log)
    return trial.suggest_float(key, domain.low, domain.high, log=domain.log)


class _Owned(JournalFileOpenLock):
    """The directory has one owner (`feature_specs.locks`): a kill leaves no lock."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _cut_half_a_line(journal: pathlib.Path) -> None:
    if journal.exists():
        known = journal.read_bytes()
        whole = known.rfind(b"\n") + 1
        if whole < len(known):
            os.truncate(journal, whole)

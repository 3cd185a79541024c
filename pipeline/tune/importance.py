"""How much of the trials' spread each key explains: functional ANOVA.

Hutter et al. (2014), by Optuna's random forest. Trials that were given up early count
too: what is explained is the gain over trial 0 after the same days.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from pipeline.tune.search import Tried

_LEAST = 8  # trials; a forest of fewer tells nothing
_SEED = 0


def gain_of(trial: Tried, preset: Tried) -> float | None:
    """Over trial 0 after the same days; None of a trial that no day judged."""
    days = min(len(trial.days), len(preset.days))
    return trial.days[days - 1] - preset.days[days - 1] if days else None


def importances(study: optuna.Study, tried: Sequence[Tried]) -> dict[str, float]:
    """Key -> its share, the largest first; nothing where too few trials tell."""
    copy = optuna.create_study(direction="maximize")
    keys = {key for trial in tried[1:] for key in trial.values}
    frozen = study.get_trials(deepcopy=False)
    for trial in tried:
        known, gain = frozen[trial.number], gain_of(trial, tried[0])
        if gain is not None and known.params.keys() == keys:
            copy.add_trial(
                optuna.trial.create_trial(
                    params=known.params, distributions=known.distributions, value=gain
                )
            )
    values = {trial.value for trial in copy.trials}
    if len(copy.trials) < _LEAST or len(values) < 2:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=_SEED)
    return optuna.importance.get_param_importances(copy, evaluator=forest)

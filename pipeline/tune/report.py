"""What a search found -> a page for people, CSV and JSON for programs, a preset."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import Any

import yaml

from feature_specs import ModelConfig, views
from feature_specs.model import plain_values
from pipeline.compare import report as compared
from pipeline.compare.metrics import FEW
from pipeline.compare.variants import as_text
from pipeline.reporting.files import significant
from pipeline.reporting.intervals import LEVEL
from pipeline.reporting.tables import gain_text, markdown_table, number
from pipeline.tune.holdout import Holdout
from pipeline.tune.importance import gain_of
from pipeline.tune.tuned import Tuned

_FIGURES = 6  # significant ones in CSV and JSON
_BEST, _KEYS = 10, 4  # rows and columns of the table of trials
_STATES = {
    "complete": "complete",
    "pruned": "given up early",
    "diverged": "diverged",
    "refused": "refused",
}


def preset_yaml(tuned: Tuned) -> str:
    """The best preset, as a file that `--preset` takes."""
    values = _without_defaults(_plain(tuned.preset), _plain(ModelConfig()))
    found = f"from {tuned.plan.name}, trial {tuned.best.number}"
    about = f"# Found by `trailrank tune` {found}; what is not said is as by default.\n"
    return about + yaml.safe_dump(values, sort_keys=False, default_flow_style=None)


def trials_csv(tuned: Tuned) -> str:
    """One line a trial."""
    keys = list(tuned.plan.space)
    heads = ["trial", "state", "value", "gain", "days", "seconds", *keys, "why"]
    with io.StringIO() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        for trial in tuned.tried:
            found = trial.days[-1] if trial.days else None
            gain = gain_of(trial, tuned.tried[0])
            values = [
                as_text(trial.values[k]) if k in trial.values else "" for k in keys
            ]
            line = [trial.number, trial.state, _short(found), _short(gain)]
            line += [len(trial.days), trial.seconds, *values, trial.why]
            writer.writerow(line)
        return file.getvalue()


def summary(tuned: Tuned) -> dict[str, Any]:
    """All of it as plain JSON values."""
    plan, holdout = tuned.plan, tuned.holdout
    return {
        "spec": plan.examples.spec.name,
        "spec_digest": views.digest(plan.examples.spec),
        "preset": plan.name,
        "metric": str(plan.objective),
        "days": plan.examples.train_days,
        "holdout_days": plan.examples.evaluation_days,
        "seed": plan.seed,
        "trials": len(tuned.tried),
        "states": dict(Counter(trial.state for trial in tuned.tried)),
        "space": {key: domain.as_yaml() for key, domain in plan.space.items()},
        "best": {
            "trial": tuned.best.number,
            "value": _short(tuned.best.value),
            "preset_value": _short(tuned.tried[0].value),
            "values": tuned.best.values,
            "preset_values": tuned.tried[0].values,
        },
        "importance": {k: _short(v) for k, v in tuned.importance.items()},
        "holdout": judged(holdout) if holdout else None,
    }


def judged(holdout: Holdout) -> dict[str, Any]:
    """What days kept from a search say, as plain JSON values."""
    gain = holdout.gain
    return {
        "verdict": holdout.verdict,
        "gain": _short(gain.mean),
        "low": _short(gain.low),
        "high": _short(gain.high),
        "pairs": gain.pairs,
        "values": {
            name: {str(seed): _short(value) for seed, value in values.items()}
            for name, values in holdout.values.items()
        },
        "compare": compared.summary(holdout.findings),
    }


def markdown(tuned: Tuned) -> str:
    """The page."""
    parts = [
        f"# Search from {tuned.plan.name} on {tuned.plan.examples.spec.name}\n",
        method(tuned) + "\n",
        "## The best trials\n",
        markdown_table(*trial_rows(tuned)),
        chosen(tuned) + "\n",
        markdown_table(*setting_rows(tuned)),
        "![each trial's gain](history.png)\n",
    ]
    if tuned.importance:
        parts.append("![importance of the keys](importance.png)\n")
    parts += ["## On the days kept from the search\n", verdict(tuned) + "\n"]
    if tuned.holdout:
        parts.append(compared.markdown(tuned.holdout.findings))
    return "\n".join(parts)


def method(tuned: Tuned) -> str:
    """How it was searched, in a few sentences."""
    plan, states = tuned.plan, Counter(trial.state for trial in tuned.tried)
    told = [f"{n} {_STATES[state]}" for state, n in sorted(states.items())]
    days = plan.examples.train_days
    if plan.by_passes:
        how = f"what {days[-1]} says after the passes over the days before it"
    else:
        how = (
            f"the mean over the days {days[1]} to {days[-1]} of what each says before "
            f"it is trained on; {days[0]}, which an untrained ranker judges, does not "
            "count"
        )
    return (
        f"{len(tuned.tried)} trials: {', '.join(told)}. A trial's value is the "
        f"{plan.objective}; {how}. For a binary task days of fewer than {FEW} rows "
        f"with label 1 do not count. Every trial has seed {plan.seed}."
    )


def chosen(tuned: Tuned) -> str:
    """By how much the best trial beats the preset, and what that is worth."""
    best, preset = tuned.best, tuned.tried[0]
    if not best.number:
        return "No trial beats the preset as it is on the search days; it stays."
    gain = gain_of(best, preset)
    return (
        f"Trial {best.number} beats the preset by {number(gain)} on the search days. "
        f"These days chose it among {len(tuned.tried)} trials, so that the gain is too "
        "good; days that were kept from the search tell what it is worth."
    )


def verdict(tuned: Tuned) -> str:
    """What the days kept from the search say."""
    if tuned.best.config == tuned.plan.preset:
        return "There is nothing to tell apart: the best trial is the preset itself."
    if tuned.holdout is None:
        return "Not judged: --seeds is 0."
    gain, plan = tuned.holdout.gain, tuned.plan
    days = ", ".join(plan.examples.evaluation_days)
    if not gain.pairs:
        return "Not judged: no pair of trainings came to its end."
    said = (
        f"The best trial is {tuned.holdout.verdict}: {gain_text(gain)} over "
        f"{plan.name} in the {plan.objective} on {days}; {gain.pairs} pairs of "
        "trainings on all search days, with seeds that the search has not seen"
    )
    if not gain.has_interval:
        return f"{said}. One pair has no interval: take more --seeds."
    return f"{said}; ±: {LEVEL:.0%} interval, Student's t over paired seeds."


def trial_rows(
    tuned: Tuned, most_keys: int = _KEYS
) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the best complete trials, with the keys that matter most."""
    keys = [*tuned.importance, *tuned.plan.space]
    keys = [key for place, key in enumerate(keys) if key not in keys[:place]][
        :most_keys
    ]
    complete = [trial for trial in tuned.tried if trial.value is not None]
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))[:_BEST]
    rows = [
        [
            f"{trial.number} ({tuned.plan.name})"
            if not trial.number
            else str(trial.number),
            number(trial.value),
            f"{gain_of(trial, tuned.tried[0]) or 0.0:+.4f}",
            *(as_text(trial.values[key]) for key in keys),
        ]
        for trial in ranked
    ]
    return ["trial", "value", "gain", *keys], rows


def setting_rows(tuned: Tuned) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of all keys: the preset's value and the best trial's."""
    own = tuned.tried[0].values
    rows = [
        [key, as_text(own[key]), as_text(tuned.best.values[key])]
        for key in tuned.plan.space
    ]
    return ["key", tuned.plan.name, f"trial {tuned.best.number}"], rows


def _plain(preset: ModelConfig) -> dict[str, Any]:
    return json.loads(json.dumps(plain_values(preset)))


def _without_defaults(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """What a file has to say; a part that says something names its kind, too."""
    said: dict[str, Any] = {}
    for key, value in values.items():
        default = usual.get(key)
        if value == default:
            continue
        if isinstance(value, dict) and isinstance(default, dict):
            kind = {"kind": value["kind"]} if "kind" in value else {}
            value = kind | _without_defaults(value, default)
        said[key] = value
    return said


def _short(value: float | None) -> float | None:
    return None if value is None else significant(value, _FIGURES)

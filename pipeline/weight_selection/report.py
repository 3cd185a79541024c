"""A selection -> tables for people, JSON for programs, and the preset."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from feature_specs import ModelConfig, views
from feature_specs.model import plain_values
from pipeline.reporting.files import plain
from pipeline.reporting.intervals import LEVEL, Gain, Summary
from pipeline.reporting.tables import (
    SIGNIFICANT,
    gain_text,
    markdown_table,
    new_table,
    number,
    percent,
)
from pipeline.weight_selection.findings import Selection, Way

_FIGURES = 6  # significant ones in JSON


def method(found: Selection) -> str:
    """How the weight was chosen, in a few sentences."""
    examples, options = found.examples, found.options
    seeds = options.seeds
    of_seeds = f"{seeds} seed{'s' * (seeds > 1)}"
    said = [
        f"G (SFV sec. 5.3) learned from {len(found.learned.examples)} trainings of "
        f"{', '.join(found.plan.roles)}, each as if it were new, with weights "
        f"{_listed(options.trained_weights)} and {of_seeds}, on {_share(found)} of the "
        f"rows of {_span(examples.train_days)}; all rows of "
        f"{_span(examples.evaluation_days)} judged, with trail features missing as "
        f"served. {len(found.learned.votes)} runs of G voted over "
        f"{_listed(options.ordered_candidates)}."
    ]
    if found.ways:
        said.append(
            f"Each way was trained on all rows with {of_seeds}. AUC T_exist: mean over "
            "the existing binary tasks. M: sum over all tasks of AUC, less RMSE over "
            "the labels' standard deviation."
        )
    if found.ways and seeds > 1:
        said.append(
            f"±: {LEVEL:.0%} interval, Student's t over paired seeds on these rows; "
            f"{SIGNIFICANT} where it leaves 0 out."
        )
    said.append(
        "CPU s: processor seconds of all cores, since a training was last started. "
        "SFV's live metrics have no counterpart in logs."
    )
    return " ".join(said)


def votes_table(found: Selection) -> Table:
    """Candidates with G's prediction, its votes, and what was measured."""
    heads, rows = _vote_rows(found)
    table = new_table(f"Weight of {found.new_task}: {found.weight:g}", heads)
    for row in rows:
        table.add_row(*row)
    return table


def held_out_table(found: Selection) -> Table | None:
    """What G would have chosen for each existing task; None of fewer than three."""
    heads, rows = _held_out_rows(found)
    if not rows:
        return None
    table = new_table("Each existing task, chosen for by G of the others", heads)
    for row in rows:
        table.add_row(*row)
    return table


def ways_table(found: Selection) -> Table | None:
    """SFV table 3, offline; None without rivals."""
    if not found.ways:
        return None
    heads, rows = _way_rows(found)
    table = new_table("Ways to a weight, each trained on all rows", heads)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(found: Selection) -> str:
    """Tables, method and notes, to paste."""
    tables = [_vote_rows(found), _held_out_rows(found), _way_rows(found)]
    parts = [f"`{found.new_task}`: weight {found.weight:g}\n"]
    for heads, rows in tables:
        flat = [head.replace("\n", " ") for head in heads]
        parts += [markdown_table(flat, rows)] if rows else []
    notes = "".join(f"- {note}\n" for note in found.notes)
    return "\n".join([*parts, method(found) + "\n", *([notes] if notes else [])])


def preset_text(found: Selection) -> str:
    """The preset with its weight, as YAML that `--preset` takes."""
    default = plain_values(ModelConfig())
    values = {
        key: value
        for key, value in plain_values(found.preset).items()
        if value != default.get(key)
    }
    head = (
        f"# {found.name}, with the weight of {found.new_task} that `trailrank weights "
        "select` chose (weights.md).\n"
    )
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in values.items()]
    return head + "".join(lines)


def summary(found: Selection) -> dict[str, Any]:
    """The selection as plain JSON values."""
    examples, options, learned = found.examples, found.options, found.learned
    roles = (*found.plan.roles, found.new_task)
    values = {
        "spec": examples.spec.name,
        "spec_digest": views.digest(examples.spec),
        "preset": found.name,
        "new_task": found.new_task,
        "weight": found.weight,
        "days": examples.train_days,
        "evaluation": examples.evaluation_days,
        "sample": options.sample,
        "seeds": options.seeds,
        "importance": dict(found.metric.importance),
        "left_out": found.metric.left_out,
        "existing": found.plan.roles,
        "positives": {
            task: {
                "sample": [labels[task].total for labels in found.seen.values()],
                "evaluation": found.judging[task].total,
                "label_mean": found.judging[task].mean,
            }
            for task in roles
        },
        "candidates": options.ordered_candidates,
        "predicted_gain": learned.predicted,
        "level": learned.level,
        "votes": learned.votes,
        "features": learned.names,
        "features_outside": learned.outside,
        "examples": [
            {
                "task": example.role,
                "seed": example.seed,
                "weight": example.weight,
                "gain": example.gain,
                "features": list(example.features.values()),
            }
            for example in learned.examples
        ],
        "held_out": {
            task: {
                "choice": own.choice,
                "gain": own.gain,
                "best": own.best,
                "best_gain": own.best_gain,
            }
            for task, own in learned.held_out.items()
        },
        "measured_gain": {
            f"{weight:g}": {str(seed): gain for seed, gain in gains.items()}
            for weight, gains in found.grid.items()
        },
        "selecting_processor_s": found.selecting_s,
        "compared_with": found.baseline,
        "ways": {way.name: _way_values(way) for way in found.ways},
        "method": method(found),
        "notes": found.notes,
    }
    return plain(values, _FIGURES)


# --- rows -----------------------------------------------------------------------------


def _vote_rows(found: Selection) -> tuple[list[str], list[list[str]]]:
    learned = found.learned
    heads = ["weight", "votes", "M\npredicted", "more than\nwith 1"]
    heads += ["measured\non all rows"] if found.grid else []
    means = learned.predicted.mean(axis=0)
    rows = []
    for weight, mean in zip(found.options.ordered_candidates, means, strict=True):
        row = [
            f"{weight:g}",
            str(learned.votes.count(weight)),
            number(learned.level + mean),
            f"{mean:+.4f}",
        ]
        if found.grid:
            row.append(gain_text(_gain_of(found.grid[weight])))
        rows.append(row)
    return heads, rows


def _gain_of(gains: dict[int, float] | Any) -> Gain:
    from pipeline.reporting.intervals import paired_gain

    return paired_gain(gains, dict.fromkeys(gains, 0.0), 1)


def _held_out_rows(found: Selection) -> tuple[list[str], list[list[str]]]:
    heads = ["existing task", "G's choice", "M: more\nthan with 1", "best", "M: more"]
    rows = [
        [
            task,
            f"{own.choice:g}",
            f"{own.gain:+.4f}",
            f"{own.best:g}",
            f"{own.best_gain:+.4f}",
        ]
        for task, own in found.learned.held_out.items()
    ]
    return heads, rows


def _way_rows(found: Selection) -> tuple[list[str], list[list[str]]]:
    heads = [
        *("way", "weight", "data", f"AUC\n{found.new_task}", "AUC\nT_exist", "M"),
        *(f"M: more\nthan {found.baseline}", "to choose\nCPU s", "to train\nCPU s"),
    ]
    rows = [
        [
            way.name,
            "learned" if way.weight is None else f"{way.weight:g}",
            percent(way.share, missing="-"),
            _summary_text(way.auc_new),
            _summary_text(way.auc_existing),
            _summary_text(way.combined),
            gain_text(way.gain),
            number(way.selecting_s, 0, missing="-"),
            number(way.training_s, 0, missing="-"),
        ]
        for way in found.ways
    ]
    return heads, rows


def _summary_text(own: Summary) -> str:
    return number(own.mean, missing="-")


def _way_values(way: Way) -> dict[str, Any]:
    gain = way.gain
    return {
        "weight": way.weight,
        "share": way.share,
        "selecting_processor_s": way.selecting_s,
        "training_processor_s": way.training_s,
        "auc_new": {"mean": way.auc_new.mean, "sd": way.auc_new.sd},
        "auc_existing": {"mean": way.auc_existing.mean, "sd": way.auc_existing.sd},
        "combined": {"mean": way.combined.mean, "sd": way.combined.sd},
        "gain": None
        if gain is None
        else {
            "mean": gain.mean,
            "low": gain.low,
            "high": gain.high,
            "pairs": gain.pairs,
        },
    }


def _listed(weights: tuple[float, ...]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)


def _share(found: Selection) -> str:
    return f"{100 * found.options.sample:g} %"


def _span(days: list[str]) -> str:
    first, last = (name.removeprefix("day-") for name in (days[0], days[-1]))
    return first if len(days) == 1 else f"{len(days)} days {first} to {last}"

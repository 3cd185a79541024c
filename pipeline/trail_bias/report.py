"""Findings -> table and sentences for people, CSV and JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from rich.table import Table

from feature_specs import views
from pipeline.reporting.files import rounded
from pipeline.reporting.intervals import LEVEL
from pipeline.reporting.tables import new_table
from pipeline.trail_bias.curves import MIN_EVENTS, MIN_GROUPS, Band
from pipeline.trail_bias.findings import MIN_POSITIVES, Findings, direction
from pipeline.trail_bias.study import Study

_NAMES = {"random": "random slice", "feed": "feed"}

_DIGITS = 6


def method(study: Study) -> str:
    """How the figures were made, in one paragraph."""
    return (
        "relative = rate in the bin / rate in the first bin. rate = weighted share of "
        "positives among the impressions of the task's sample space; a trail of L "
        f"impressions weighs L / {study.bins} in every bin, so that all bins hold the "
        f"same trails (whole ones of {study.min_length} impressions or more). An "
        "impression lies in the bin of (position - 1/2) / L. low, high: "
        f"{LEVEL:.0%} band of each point by itself, from a jackknife of log(relative) "
        f"that leaves out one of {study.groups} hashed groups of users at a time "
        "(Student's t); empty where the bin or the first one has fewer than "
        f"{MIN_EVENTS} positives or all in one group, or where fewer than {MIN_GROUPS} "
        "groups have rows."
    )


def curves_csv(findings: Findings) -> str:
    """One line a point, the method before it in lines that begin with `#`."""
    frame = pl.DataFrame(list(_points(findings)), infer_schema_length=None)
    numbers = pl.selectors.float().round(_DIGITS).fill_nan(None)
    return f"# {method(findings.study)}\n" + frame.with_columns(numbers).write_csv()


def summary(findings: Findings) -> dict[str, Any]:
    """The findings as plain JSON values: what was read, and each curve's last point."""
    study = findings.study
    return {
        "spec": study.spec.name,
        "spec_digest": views.digest(study.spec),
        "days": str(study.days),
        "bins": study.bins,
        "min_length": study.min_length,
        "random": study.spec.log.random,
        "method": method(study),
        "trails": {
            "used": findings.trails,
            "too_short": findings.short,
            "cut": findings.cut,
            "length_quantiles": {str(q): n for q, n in findings.lengths.items()},
        },
        "impressions": dict(findings.impressions),
        "last_bin": {task.name: _last_bin(findings, task.name) for task in study.tasks},
        "too_sparse_to_plot": {
            name: findings.too_sparse(name) for name in findings.curves
        },
        "in_words": sentences(findings),
    }


def table(findings: Findings) -> Table:
    """Every task at the end of the trail, on both slices."""
    part = f"{100 / findings.study.bins:.3g} %"
    slices = list(findings.curves)
    compared = ["feed / random"] if findings.feed_over_random else []
    found = new_table(
        f"Rates in the last {part} of the trail over those in the first {part}",
        ["task", *slices, *compared, "seen"],
        texts=["seen"],
        caption=f"In brackets: {LEVEL:.0%} bands. Seen: on the {_NAMES[slices[0]]}.",
    )
    for task in (task.name for task in findings.study.tasks):
        bands = [findings.curves[name][task].relative for name in slices]
        seen = direction(bands[0])
        bands += [findings.feed_over_random[task] for _ in compared]
        found.add_row(task, *(_ratio(band) for band in bands), seen)
    return found


def sentences(findings: Findings) -> list[str]:
    """What one sees, and what was left out."""
    found = []
    if "random" in findings.curves:
        found.append(_random_sentence(findings))
    else:
        found.append(_no_random_sentence(findings.study))
    if findings.feed_over_random:
        found.append(_feed_sentence(findings))
    found += _sparse_sentences(findings)
    return [*found, *findings.study.notes]


def _points(findings: Findings) -> Iterator[dict[str, Any]]:
    bins = findings.study.bins
    for name, tasks in findings.curves.items():
        for task, curve in tasks.items():
            for place in range(bins):
                yield {
                    "slice": name,
                    "task": task,
                    "bin": place + 1,
                    "from": place / bins,
                    "to": (place + 1) / bins,
                    "impressions": int(curve.impressions[place]),
                    "positives": int(curve.positives[place]),
                    "rate": float(curve.rate[place]),
                    "relative": float(curve.relative.ratio[place]),
                    "low": float(curve.relative.low[place]),
                    "high": float(curve.relative.high[place]),
                }


def _last_bin(findings: Findings, task: str) -> dict[str, Any]:
    """Slice -> where its curve ends; and the feed's end over the random slice's."""
    ends: dict[str, Any] = {}
    for name, tasks in findings.curves.items():
        band = tasks[task].relative
        ends[name] = {
            **_last(band),
            "impressions": int(tasks[task].impressions.sum()),
            "positives": int(tasks[task].positives.sum()),
            "direction": direction(band),
        }
    if findings.feed_over_random:
        ends["feed_over_random"] = _last(findings.feed_over_random[task])
    return ends


def _last(band: Band) -> dict[str, float | None]:
    values = {"relative": band.ratio[-1], "low": band.low[-1], "high": band.high[-1]}
    return {name: rounded(value, _DIGITS) for name, value in values.items()}


def _ratio(band: Band) -> str:
    ratio, low, high = (float(v[-1]) for v in (band.ratio, band.low, band.high))
    if not math.isfinite(ratio):
        return "-"
    if math.isnan(low):
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({low:.2f}-{high:.{0 if high >= 10 else 2}f})"


def _random_sentence(findings: Findings) -> str:
    curves = findings.curves["random"]
    seen = {task: direction(curve.relative) for task, curve in curves.items()}
    said = _by_direction(
        seen,
        {
            "falls": "falls",
            "rises": "rises",
            "unclear": "no change to be told from chance",
            "too few": "too few positives to say",
        },
    )
    return f"Random slice, from the first bin to the last: {said}."


def _feed_sentence(findings: Findings) -> str:
    seen = {task: direction(band) for task, band in findings.feed_over_random.items()}
    seen = {task: found for task, found in seen.items() if found in ("falls", "rises")}
    if not seen:
        return "The feed's curves end where the random slice's do, within the bands."
    said = _by_direction(seen, {"falls": "lower", "rises": "higher"})
    return (
        f"The feed's curve ends elsewhere than the random slice's: {said}. On the feed "
        "position also decides what is shown; the random slice has the trail's own "
        "effect."
    )


def _by_direction(seen: Mapping[str, str], words: Mapping[str, str]) -> str:
    grouped = {
        word: [task for task, found in seen.items() if found == key]
        for key, word in words.items()
    }
    return "; ".join(
        f"{word}: {', '.join(found)}" for word, found in grouped.items() if found
    )


def _no_random_sentence(study: Study) -> str:
    mixed = (
        "The feed's curve mixes the trail's effect with what is shown late in a trail."
    )
    if not study.spec.log.random:
        return (
            "Only the feed is shown: the spec does not say which rows were drawn at "
            f"random. If there are such rows, name them in log.random. {mixed}"
        )
    return (
        "Only the feed is shown: no row of a long enough trail fulfils log.random = "
        f"{study.spec.log.random!r}. {mixed}"
    )


def _sparse_sentences(findings: Findings) -> list[str]:
    said = []
    for name in findings.curves:
        sparse = findings.too_sparse(name)
        if sparse:
            tasks = ", ".join(f"{task} ({count})" for task, count in sparse.items())
            said.append(
                f"Not in the plot of the {_NAMES[name]}: {tasks}; fewer than "
                f"{MIN_POSITIVES} positives in a bin (the fewest in brackets). The CSV "
                "has them."
            )
    return said

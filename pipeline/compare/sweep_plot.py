"""Each task's metric over the values of a key of the presets (SFV fig. 4, table 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compare.findings import Findings
from pipeline.compare.metrics import NAMES
from pipeline.compare.variants import as_text
from pipeline.reporting.figures import (
    SMALL_SIZE,
    TEXT_SIZE,
    colour,
    marker,
    new_figure,
    tidy,
)
from pipeline.reporting.intervals import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = 4  # side by side
_WIDE = 20  # values are as many times apart where their axis is logarithmic


def varied_keys(findings: Findings) -> list[str]:
    """The keys with more than one value."""
    found: dict[str, set[str]] = {}
    for variant in findings.comparison.variants.values():
        for key, value in variant.values.items():
            found.setdefault(key, set()).add(as_text(value))
    return [key for key, values in found.items() if len(values) > 1]


def draw_sweep(findings: Findings, key: str) -> Figure:
    """A panel a task, a line for each preset; bars are the mean's interval.

    A preset that stayed as it is, as the baseline, is a level line.

    Args:
        findings: Of a comparison with variants.
        key: One of `varied_keys`.
    """
    tasks = findings.tasks
    columns = min(_PANELS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = new_figure(0.6 + 2.6 * columns, 0.9 + 2.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, task in zip(panels.flat, tasks, strict=False):
        _draw_task(panel, findings, key, task)
    for panel in panels.flat[len(tasks) :]:
        panel.set_visible(False)
    bars = f"; bars: {LEVEL:.0%}" if len(findings.comparison.seeds) > 1 else ""
    figure.supxlabel(f"{key}{bars}", fontsize=TEXT_SIZE)
    handles, names = panels.flat[0].get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside upper left", ncols=4, frameon=False)
    return figure


def _draw_task(panel: Axes, findings: Findings, key: str, task: str) -> None:
    values = _values(findings, key)
    places = _places(values)
    for number, (line, members) in enumerate(_lines(findings, key).items()):
        summaries = [findings.cell(member, task).value for member in members.values()]
        panel.errorbar(
            [places[text] for text in members],
            [summary.mean for summary in summaries],
            yerr=[0.0 if math.isnan(s.half) else s.half for s in summaries],
            label=line,
            color=colour(number),
            marker=marker(number),
            markersize=4,
            elinewidth=1,
            capsize=2,
        )
    for entrant in findings.comparison.entrants:
        if entrant.name not in findings.comparison.variants:
            level = findings.cell(entrant.name, task).value.mean
            panel.axhline(level, color="0.5", linestyle="--", label=entrant.name)
    if _is_wide(values):
        panel.set_xscale("log")
    panel.set_xticks(list(places.values()), list(places))
    panel.minorticks_off()
    panel.tick_params(labelsize=SMALL_SIZE)
    panel.set_title(f"{task} ({NAMES[findings.headline(task)]})", fontsize=TEXT_SIZE)
    tidy(panel, "y")


def _values(findings: Findings, key: str) -> list[Any]:
    """Of a key, each once, in the order that they were named."""
    variants = findings.comparison.variants.values()
    found = {as_text(v.values[key]): v.values[key] for v in variants}
    return list(found.values())


def _lines(findings: Findings, key: str) -> dict[str, dict[str, str]]:
    """What variants along a key have in common -> value as text -> entrant."""
    found: dict[str, dict[str, str]] = {}
    for name, variant in findings.comparison.variants.items():
        line = found.setdefault(variant.apart_from(key), {})
        line[as_text(variant.values[key])] = name
    return found


def _places(values: Sequence[Any]) -> dict[str, float]:
    """Value as text -> where it stands on the axis: numbers where they are."""
    if _are_numbers(values):
        return {as_text(value): float(value) for value in values}
    return {as_text(value): float(place) for place, value in enumerate(values)}


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _is_wide(values: Sequence[Any]) -> bool:
    """Whether they are numbers above 0 that a logarithm spreads better."""
    if not _are_numbers(values) or min(values) <= 0:
        return False
    return bool(np.max(values) / np.min(values) >= _WIDE)

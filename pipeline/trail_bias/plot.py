"""The figure: relative rates along the trail, the random slice beside the feed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Numbers
from pipeline.reporting.figures import (
    TEXT_SIZE,
    TITLE_SIZE,
    colour,
    marker,
    new_figure,
    tidy,
)
from pipeline.reporting.intervals import LEVEL
from pipeline.reporting.tables import percent
from pipeline.trail_bias.findings import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"random": "Random exposure", "feed": "Feed"}
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_MAX_TICKS = 9
_WIDE = 8  # times from the axis' low end to its high end: ticks go 1, 2, 5, 10


def draw(findings: Findings) -> Figure:
    """The figure, a panel a slice; tasks that are too sparse there are left out."""
    slices = list(findings.curves)
    styles = _styles(findings)
    figure = new_figure(1.7 + 3.9 * len(slices), 4.1, wspace=0.06)
    panels = figure.subplots(1, len(slices), sharex=True, sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, slices, strict=True):
        _draw_panel(panel, findings, name, styles)
    _set_ratio_axis(panels[0])
    _add_legend(figure, panels)
    return figure


def _styles(findings: Findings) -> dict[str, dict[str, str]]:
    """Colour and marker of every task that some panel shows."""
    shown = [
        task.name
        for task in findings.study.tasks
        if any(task.name not in findings.too_sparse(name) for name in findings.curves)
    ]
    return {
        task: {"color": colour(number), "marker": marker(number)}
        for number, task in enumerate(shown)
    }


def _draw_panel(
    panel: Axes, findings: Findings, name: str, styles: Mapping[str, dict[str, str]]
) -> None:
    bins = findings.study.bins
    middles = (np.arange(bins) + 0.5) / bins * 100
    sparse = findings.too_sparse(name)
    panel.axhline(1, color="0.4", linewidth=0.8)
    for task, style in styles.items():
        if task in sparse:
            continue
        band = findings.curves[name][task].relative
        line = {"markersize": 3.4, "linewidth": 1.4, "label": task}
        panel.plot(middles, band.ratio, **style, **line)  # type: ignore[arg-type]
        area = {"color": style["color"], "alpha": 0.13, "linewidth": 0.5}
        panel.fill_between(middles, band.low, band.high, **area)  # type: ignore[arg-type]
    if set(styles) <= set(sparse):
        panel.text(
            0.5, 0.5, "too few positives", ha="center", transform=panel.transAxes
        )
    title = f"{_TITLES[name]} ({findings.impressions[name]:,} impressions)"
    panel.set_title(title, fontsize=TITLE_SIZE)
    panel.set_xlabel("position in the trail, % of its impressions")
    panel.set_xlim(0, 100)
    panel.set_xticks(range(0, 101, 20))
    tidy(panel, "y")


def _set_ratio_axis(panel: Axes) -> None:
    """A logarithmic axis: half as often is as far from 1 as twice as often."""
    from matplotlib.ticker import FixedLocator, NullLocator

    panel.set_yscale("log")
    panel.set_ylabel("rate relative to the trail's start")
    panel.yaxis.set_major_locator(FixedLocator(_ticks(*panel.get_ylim())))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float) -> list[float]:
    """Round ratios between the two ends of an axis."""
    if high > _WIDE * low:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return [tick for tick in ticks if low <= tick <= high]
    step = next((s for s in _STEPS if (high - low) / s <= _MAX_TICKS), _STEPS[-1])
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _add_legend(figure: Figure, panels: Numbers) -> None:
    """One legend for all panels, in the order in which the curves end."""
    lines = {
        line.get_label(): line
        for panel in panels
        for line in panel.get_lines()
        if not line.get_label().startswith("_")
    }
    ordered = sorted(lines.values(), key=lambda line: -line.get_ydata()[-1])
    figure.legend(
        handles=ordered,
        loc="outside right center",
        frameon=False,
        fontsize=TEXT_SIZE,
        title=f"bands: {percent(LEVEL)}",
        title_fontsize=TEXT_SIZE,
        alignment="left",
    )

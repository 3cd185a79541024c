"""The figures: the seesaw scatter (PLE fig. 3), and every gain with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compare.findings import Findings
from pipeline.compare.metrics import NAMES
from pipeline.reporting.figures import (
    SMALL_SIZE,
    TEXT_SIZE,
    colour,
    draw_gain,
    finish_gains,
    marker,
    new_figure,
    tidy,
)
from pipeline.reporting.intervals import LEVEL, Gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = 4  # of `draw_gains`, side by side


def draw_seesaw(findings: Findings) -> Figure:
    """Gain on one task against gain on another; the baseline is in the middle.

    Only above and right of it both tasks win. Above left and below right is the seesaw.
    """
    figure = new_figure(6.2, 4.6)
    panel = figure.subplots()
    first, second = findings.comparison.seesaw
    baseline = findings.comparison.baseline
    panel.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.plot(0, 0, "+", color="black", markersize=9, label=baseline, linestyle="")
    for number, preset in enumerate(findings.rivals):
        _draw_point(
            panel,
            preset,
            _known_gain(findings, preset, first),
            _known_gain(findings, preset, second),
            number,
        )
    _centre(panel)
    _name_quadrants(panel, first, second)
    panel.set_xlabel(_axis_label(findings, first))
    panel.set_ylabel(_axis_label(findings, second))
    tidy(panel, "both")
    figure.legend(
        loc="outside right center",
        frameon=False,
        fontsize=TEXT_SIZE,
        title=_bars(findings),
        title_fontsize=TEXT_SIZE,
        alignment="left",
    )
    return figure


def draw_gains(findings: Findings) -> Figure:
    """A panel a task: the gain of each preset, with its interval."""
    tasks, rivals = findings.tasks, findings.rivals
    columns = min(_PANELS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = new_figure(1.3 + 2.5 * columns, 0.7 + rows * (0.75 + 0.24 * len(rivals)))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, task in zip(panels.flat, tasks, strict=False):
        _draw_task(panel, findings, task)
    for panel in panels.flat[len(tasks) :]:
        panel.set_visible(False)
    bars = _bars(findings)
    figure.supxlabel(
        f"gain over {findings.comparison.baseline}, right of 0 is better"
        + (f"; {bars}, filled where they leave 0 out" if bars else ""),
        fontsize=TEXT_SIZE,
    )
    return figure


def _draw_point(panel: Axes, preset: str, x: Gain, y: Gain, number: int) -> None:
    panel.errorbar(
        x.mean,
        y.mean,
        xerr=x.half if x.has_interval else None,
        yerr=y.half if y.has_interval else None,
        label=preset,
        color=colour(number),
        marker=marker(number),
        markersize=6,
        linestyle="",
        elinewidth=1,
        capsize=2.5,
    )


def _draw_task(panel: Axes, findings: Findings, task: str) -> None:
    rivals = findings.rivals
    for number, preset in enumerate(rivals):
        gain = _known_gain(findings, preset, task)
        draw_gain(panel, gain, number, colour(number), marker(number))
    title = f"{task} ({NAMES[findings.headline(task)]})"
    finish_gains(panel, rivals, title, ticks=4)


def _known_gain(findings: Findings, preset: str, task: str) -> Gain:
    gain = findings.cell(preset, task).gain
    assert gain is not None  # a rival has one
    return gain


def _centre(panel: Axes) -> None:
    """Both axes reach as far to either side, so that the quadrants are alike."""
    for limits, set_limits in (
        (panel.get_xlim(), panel.set_xlim),
        (panel.get_ylim(), panel.set_ylim),
    ):
        reach = max(np.abs(limits))
        set_limits(-reach, reach)


def _name_quadrants(panel: Axes, first: str, second: str) -> None:
    for x, y, text in (
        (0.99, 0.99, "both win"),
        (0.01, 0.99, f"{second} wins"),
        (0.99, 0.01, f"{first} wins"),
        (0.01, 0.01, "both lose"),
    ):
        panel.text(
            x,
            y,
            text,
            transform=panel.transAxes,
            ha="right" if x > 0.5 else "left",
            va="top" if y > 0.5 else "bottom",
            color="0.5",
            fontsize=SMALL_SIZE,
        )


def _axis_label(findings: Findings, task: str) -> str:
    return f"gain on {task} ({NAMES[findings.headline(task)]})"


def _bars(findings: Findings) -> str:
    return f"bars: {LEVEL:.0%}" if len(findings.comparison.seeds) > 1 else ""

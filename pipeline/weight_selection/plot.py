"""Predicted against measured M over the weight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.figures import (
    BLUE,
    GREY,
    SMALL_SIZE,
    TEXT_SIZE,
    VERMILLION,
    new_figure,
    tidy,
)
from pipeline.reporting.intervals import LEVEL, summarise
from pipeline.weight_selection.findings import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(found: Selection) -> Figure:
    """Two panels: what G learned from, and what it predicts for the new task.

    On the left the measured M of each existing task over its weight, on the sample; on
    the right G's mean prediction with the range of its runs and their votes, and, with
    the rival `grid`, M as it was measured on all rows.
    """
    figure = new_figure(8.4, 3.4)
    left, right = figure.subplots(1, 2)
    _draw_existing(left, found)
    _draw_new(right, found)
    for panel in (left, right):
        panel.set_xscale("log")
        panel.axhline(0, color="0.4", linewidth=0.8, zorder=1)
        panel.set_ylabel("M, more than with weight 1", fontsize=SMALL_SIZE)
        panel.tick_params(labelsize=SMALL_SIZE)
        panel.legend(fontsize=SMALL_SIZE, frameon=False)
        tidy(panel, "both")
    return figure


def _draw_existing(panel: Axes, found: Selection) -> None:
    styles = ("-", "--", ":", "-.")
    for number, role in enumerate(found.plan.roles):
        gains = found.learned.measured(role)
        panel.plot(
            list(gains),
            [float(np.mean(values)) for values in gains.values()],
            styles[number % len(styles)],
            color=GREY,
            marker="o",
            markersize=3,
            label=role,
        )
    share = f"{100 * found.options.sample:g} %"
    panel.set_title(f"existing tasks, measured on {share}", fontsize=TEXT_SIZE)
    panel.set_xlabel("weight of the task", fontsize=SMALL_SIZE)


def _draw_new(panel: Axes, found: Selection) -> None:
    weights, predicted = found.options.ordered_candidates, found.learned.predicted
    panel.fill_between(
        weights,
        predicted.min(axis=0),
        predicted.max(axis=0),
        color=BLUE,
        alpha=0.2,
        linewidth=0,
    )
    runs = len(found.learned.votes)
    panel.plot(weights, predicted.mean(axis=0), color=BLUE, label=f"G, {runs} runs")
    if found.grid:
        told = {w: summarise(list(gains.values())) for w, gains in found.grid.items()}
        panel.errorbar(
            list(told),
            [own.mean for own in told.values()],
            yerr=[0.0 if math.isnan(own.half) else own.half for own in told.values()],
            color=VERMILLION,
            marker="s",
            markersize=4,
            linewidth=1,
            elinewidth=1,
            capsize=2,
            label=f"measured on all rows, {LEVEL:.0%}",
        )
    panel.axvline(found.weight, color=BLUE, linestyle="--", linewidth=1)
    panel.set_title(f"{found.new_task}: weight {found.weight:g}", fontsize=TEXT_SIZE)
    panel.set_xlabel(f"weight of {found.new_task}", fontsize=SMALL_SIZE)

"""The figure of an experiment: curves by day, and what each task came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.experiment.measures import DAILY
from pipeline.experiment.page import title_of
from pipeline.experiment.result import Experiment
from pipeline.reporting import figures
from pipeline.reporting.intervals import Gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.16  # inches, of a treatment in the panel of tasks


def draw(found: Experiment) -> Figure:
    """Curves of what users do, day after day; beside them the tasks on the last day."""
    tasks = len(found.measures.tasks)
    height = max(7.5, 1.2 + _ROW * tasks * len(found.treatments))
    figure = figures.new_figure(12.0, height)
    grid = figure.add_gridspec(3, 3)
    places = [grid[0, 0], grid[0, 1], grid[1, 0], grid[1, 1], grid[2, 0]]
    for name, place in zip(DAILY, places, strict=True):
        _draw_curve(figure.add_subplot(place), found, name)
    if tasks:
        _draw_tasks(figure.add_subplot(grid[:, 2]), found)
    figure.axes[0].legend(fontsize=figures.SMALL_SIZE, frameon=False)
    return figure


def _draw_curve(panel: Axes, found: Experiment, measure: str) -> None:
    """Change over the control as it stood at the end of each day, with the interval of
    daily looks."""
    days = np.arange(1, found.design.days + 1)
    for number, name in enumerate(found.treatments):
        curve = found.curve(name, measure)
        change = 100 * np.array([one.change for one in curve])
        half = 100 * np.array([one.half_always for one in curve])
        colour = figures.colour(number)
        marker = figures.marker(number)
        panel.plot(days, change, color=colour, marker=marker, markersize=3, label=name)
        panel.fill_between(
            days, change - half, change + half, color=colour, alpha=0.15, linewidth=0
        )
    panel.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.set_title(f"{title_of(measure)}, % by day", fontsize=figures.TEXT_SIZE)
    panel.tick_params(labelsize=figures.SMALL_SIZE)
    panel.locator_params(axis="x", integer=True, nbins=8)
    panel.locator_params(axis="y", nbins=5)
    figures.tidy(panel, "y")


def _draw_tasks(panel: Axes, found: Experiment) -> None:
    """A row a task, a dot a treatment, with the interval of the last day's look."""
    names = [task.name for task in found.measures.tasks]
    step = 0.8 / len(found.treatments)
    for number, treatment in enumerate(found.treatments):
        for row, name in enumerate(names):
            one = found.effect(treatment, name)
            gain = Gain(
                mean=100 * one.change,
                low=100 * one.low,
                high=100 * one.high,
                pairs=found.design.users,
            )
            at = row + (number - (len(found.treatments) - 1) / 2) * step
            colour, marker = figures.colour(number), figures.marker(number)
            figures.draw_gain(panel, gain, at, colour, marker)
    figures.finish_gains(panel, [title_of(name) for name in names], "Tasks, %")

"""The curves of an experiment: effects as they stood at the end of each day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.experiment.measures import ENJOYMENT
from pipeline.experiment.page import title_of
from pipeline.experiment.result import Experiment
from pipeline.reporting import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 3
_SHOWN = (ENJOYMENT, "days_present", "minutes_well_spent", "minutes_watched")


def draw_curves(found: Experiment) -> Figure:
    """A panel a measure: change over the control, with the interval of daily looks."""
    names = [*_SHOWN, *(task.name for task in found.measures.tasks)]
    lines = -(-len(names) // _MOST_COLUMNS)
    figure = figures.new_figure(4.2 * _MOST_COLUMNS, 2.5 * lines)
    panels = figure.subplots(lines, _MOST_COLUMNS, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw(panel, found, name)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    panels[0].legend(fontsize=figures.SMALL_SIZE, frameon=False)
    return figure


def _draw(panel: Axes, found: Experiment, measure: str) -> None:
    days = np.arange(1, found.design.days + 1)
    for number, name in enumerate(found.treatments):
        curve = found.curve(name, measure)
        change = 100 * np.array([one.change for one in curve])
        half = 100 * np.array([one.half_always for one in curve])
        colour = figures.colour(number)
        panel.plot(
            days,
            change,
            color=colour,
            marker=figures.marker(number),
            markersize=3,
            label=name,
        )
        panel.fill_between(
            days, change - half, change + half, color=colour, alpha=0.15, linewidth=0
        )
    panel.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.set_title(f"{title_of(measure)}, % by day", fontsize=figures.TEXT_SIZE)
    panel.tick_params(labelsize=figures.SMALL_SIZE)
    panel.locator_params(axis="x", integer=True)
    figures.tidy(panel, "y")

"""The figures: what the found weights change, and the front of some tasks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pipeline.fusion_search.judging import is_known
from pipeline.fusion_search.pareto import Front
from pipeline.fusion_search.result import FusionSearch
from pipeline.reporting import figures
from pipeline.reporting.intervals import LEVEL, Gain
from pipeline.reporting.tables import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_rates(found: FusionSearch) -> Figure:
    """The change of each task's rate, in percent, with its interval.

    Rates of too few events to tell are left out.
    """
    known = {
        name: rate.change
        for name, rate in found.judged.rates.items()
        if is_known(rate.change)
    }
    figure = figures.new_figure(5.2, 1.2 + 0.28 * max(1, len(known)))
    panel = figure.subplots()
    for row, change in enumerate(known.values()):
        shown = Gain(
            mean=100 * change.mean,
            low=100 * change.low,
            high=100 * change.high,
            pairs=change.pairs,
        )
        figures.draw_gain(panel, shown, row, figures.BLUE)
    title = f"Rates among the first {found.k}, found against default weights"
    figures.finish_gains(panel, list(known), title)
    panel.set_xlabel(
        f"change in percent, {percent(LEVEL)} intervals over users",
        fontsize=figures.TEXT_SIZE,
    )
    return figure


def draw_front(found: FusionSearch, front: Front) -> Figure:
    """Rates of all weights tried, a panel a pair of tasks; front and knee marked."""
    pairs = list(itertools.combinations(range(len(front.tasks)), 2))
    figure = figures.new_figure(1.4 + 3.9 * len(pairs), 3.9, wspace=0.08)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, (x, y) in zip(panels, pairs, strict=True):
        _draw_pair(panel, found, front, x, y)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right center",
        frameon=False,
        fontsize=figures.TEXT_SIZE,
    )
    days = ", ".join(found.searched_days)
    title = f"Discounted rates among the first {found.k}, rows searched ({days})"
    figure.suptitle(title, fontsize=figures.TITLE_SIZE)
    return figure


def _draw_pair(panel: Axes, found: FusionSearch, front: Front, x: int, y: int) -> None:
    rates, members = front.rates, front.members
    panel.scatter(rates[:, x], rates[:, y], s=7, color="0.8", label="tried")
    line = "-" if len(front.tasks) == 2 else ""  # three tasks have a surface
    panel.plot(
        rates[members, x],
        rates[members, y],
        marker="o",
        markersize=4,
        linestyle=line,
        linewidth=1.2,
        color=figures.BLUE,
        label="front",
    )
    best = [found.searched.rates[task].found for task in front.tasks]
    marks = {
        "default": (front.rates[0], figures.BLACK, "s"),
        "knee": (front.rates[front.knee], figures.VERMILLION, "D"),
        "found by value": (best, figures.GREEN, "^"),
    }
    for label, (point, colour, marker) in marks.items():
        panel.plot(
            point[x],
            point[y],
            marker=marker,
            markersize=7,
            linestyle="",
            color=colour,
            label=label,
        )
    for axis, place in (("x", x), ("y", y)):
        less = " (less is better)" if front.directions[place] < 0 else ""
        getattr(panel, f"set_{axis}label")(f"rate of {front.tasks[place]}{less}")
    panel.tick_params(labelsize=figures.SMALL_SIZE)
    panel.locator_params(nbins=5)
    figures.tidy(panel, "both")

"""The figures: how the search went, and which keys mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.reporting.figures import (
    BLUE,
    GREY,
    SMALL_SIZE,
    TEXT_SIZE,
    VERMILLION,
    new_figure,
    tidy,
)
from pipeline.tune.importance import gain_of
from pipeline.tune.search import Tried

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_KEYS = 12
_BELOW = 0.15  # of the height: where what lies below the figure is drawn


def draw_history(tried: Sequence[Tried]) -> Figure:
    """Each trial's gain over the preset after the same days, and the best so far.

    Trials far below the complete ones stand at the lower edge, as triangles.
    """
    figure = new_figure(6.4, 3.4)
    panel = figure.subplots()
    gains = {t.number: g for t in tried if (g := gain_of(t, tried[0])) is not None}
    complete = [t.number for t in tried if t.state == "complete"]
    early = [n for n in gains if n not in complete]
    top = max(gains.values())
    bottom = min(gains[n] for n in complete)
    edge = bottom - _BELOW * max(top - bottom, 1e-6) - (top - bottom)
    inside = [n for n in early if gains[n] > edge]
    below = [n for n in early if gains[n] <= edge]
    panel.axhline(0, color="0.4", linewidth=0.8, zorder=1, label="the preset")
    best = [max(gains[m] for m in complete if m <= n) for n in complete]
    panel.step(
        [*complete, tried[-1].number],
        [*best, best[-1]],
        where="post",
        color=BLUE,
        linewidth=1.2,
        label="best so far",
    )
    panel.plot(
        complete, [gains[n] for n in complete], "o", color=BLUE, label="complete"
    )
    panel.plot(
        inside,
        [gains[n] for n in inside],
        "o",
        color=VERMILLION,
        markerfacecolor="white",
        label="given up early",
    )
    panel.plot(below, [edge] * len(below), "v", color=GREY, label="... far below")
    panel.set_xlabel("trial", fontsize=TEXT_SIZE)
    panel.set_ylabel("gain over the preset after the same days", fontsize=TEXT_SIZE)
    panel.locator_params(axis="x", integer=True)
    panel.tick_params(labelsize=SMALL_SIZE)
    tidy(panel, "both")
    figure.legend(
        loc="outside upper left",
        ncols=5,
        frameon=False,
        fontsize=SMALL_SIZE,
        columnspacing=1.2,
    )
    return figure


def draw_importance(shares: Mapping[str, float]) -> Figure:
    """A bar a key, the largest above: its share of the trials' spread."""
    shown = list(shares.items())[:_MOST_KEYS]
    figure = new_figure(6.4, 0.8 + 0.26 * len(shown))
    panel = figure.subplots()
    panel.barh([key for key, _ in shown], [share for _, share in shown], color=BLUE)
    panel.invert_yaxis()
    panel.set_xlabel(
        "share of the trials' spread (functional ANOVA)", fontsize=TEXT_SIZE
    )
    panel.tick_params(labelsize=SMALL_SIZE)
    tidy(panel, "x")
    return figure

"""What all figures have in common: palette, markers, sizes, panels, PNG.

Matplotlib is the extra `report`; nothing here imports it before a figure is made.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from feature_specs.errors import TrailrankError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.reporting.intervals import Gain

# Okabe and Ito's palette for colour-blind readers, its yellow replaced by darker ones.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
WINE, OLIVE, GREY, BLACK = "#882255", "#999933", "#777777", "#000000"
COLOURS = (
    *(BLUE, VERMILLION, GREEN, PINK, ORANGE, SKY),
    *(WINE, OLIVE, GREY, BLACK),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 10, 9, 8  # points
DPI = 160


class NoMatplotlibError(TrailrankError, RuntimeError):
    """A figure was asked for, and matplotlib is not installed."""


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """NoMatplotlibError if no figure can be drawn."""
    if not is_possible():
        raise NoMatplotlibError(
            "The figure needs matplotlib, which is not installed. Install it: pip "
            "install matplotlib (the extra `report` of trailrank)."
        )


def new_figure(
    width: float,
    height: float,
    *,
    wspace: float | None = None,
    hspace: float | None = None,
) -> Figure:
    """An empty figure whose parts make room for each other.

    Args:
        width: In inches.
        height: In inches.
        wspace: Between panels side by side, as a share of their width.
        hspace: Between panels above each other, as a share of their height.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(wspace=wspace, hspace=hspace)
    return Figure(figsize=(width, height), layout=layout)


def png(figure: Figure, *, is_tight: bool = False) -> bytes:
    """A figure as a file's bytes; a tight one is cut to what is drawn."""
    with io.BytesIO() as file:
        figure.savefig(
            file, format="png", dpi=DPI, bbox_inches="tight" if is_tight else None
        )
        return file.getvalue()


def colour(number: int) -> str:
    """Of the series with this number; from the eleventh on they come again."""
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    """Of the series with this number; seven, so that colour and marker tell 70."""
    return MARKERS[number % len(MARKERS)]


def tidy(panel: Axes, grid: Literal["x", "y", "both"]) -> None:
    """A light grid behind the data, no frame above and on the right."""
    panel.grid(axis=grid, color="0.93", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def draw_gain(
    panel: Axes, gain: Gain, row: float, colour: str, marker: str = "o"
) -> None:
    """A dot with its interval; filled where the interval leaves 0 out."""
    panel.errorbar(
        gain.mean,
        row,
        xerr=gain.half if gain.has_interval else None,
        color=colour,
        marker=marker,
        markersize=5,
        markerfacecolor=None if gain.is_significant else "white",
        linestyle="",
        elinewidth=1.2,
        capsize=2.5,
    )


def finish_gains(panel: Axes, rows: Sequence[str], title: str, ticks: int = 5) -> None:
    """Names of the rows from the top, a line at 0, a light grid.

    Args:
        panel: With a gain a row, drawn by `draw_gain`.
        rows: Their names.
        title: Of the panel.
        ticks: Most steps on the axis of gains.
    """
    panel.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.set_yticks(range(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_title(title, fontsize=TEXT_SIZE)
    panel.tick_params(labelsize=SMALL_SIZE)
    panel.locator_params(axis="x", nbins=ticks)
    tidy(panel, "x")

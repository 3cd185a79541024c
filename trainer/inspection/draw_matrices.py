"""Heat maps: experts that repeat each other, tasks that pull apart.

Up to `_MOST` matrices are drawn; of more, those with the most to see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pipeline.reporting.figures import (
    SMALL_SIZE,
    TEXT_SIZE,
    colour,
    marker,
    new_figure,
    tidy,
)
from trainer.inspection.drawing import short
from trainer.inspection.inspection import ExpertUse, Inspection, LayerGradients

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_MOST = 9
_COLUMNS = 3
_CELL = 0.17  # inches
_SMALLEST, _LARGEST = 1.7, 5.2  # inches of a matrix
_LETTER = 0.075  # inches, of a name
_BESIDE, _ABOVE, _TITLE, _MARGIN = 0.15, 0.35, 0.35, 1.5  # inches around matrices
_LEAST_TOP = 0.3  # of the colours: small correlations look small


def draw_experts(inspection: Inspection) -> Figure:
    """A matrix a level: how the outputs of every two experts correlate."""
    levels = [level for level in inspection.experts if len(level.names) > 1]
    shown = _first(levels, [level.overlap for level in levels])
    side = _side(max(len(level.names) for level in shown))
    columns = min(_COLUMNS, len(shown), max(1, int(16 // (side + 1.3))))
    rows = math.ceil(len(shown) / columns)
    width, height = 1.2 + columns * (side + 1.3), 0.6 + rows * (side + 1.2)
    figure = new_figure(width, height, wspace=0.02, hspace=0.03)
    panels = figure.subplots(rows, columns, squeeze=False)
    top = max(_LEAST_TOP, *(_largest(level.correlation) for level in shown))
    for panel, level in zip(panels.flat, shown, strict=False):
        image = _draw_level(panel, level, top)
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.02)
    bar.set_label("root mean square of correlations", fontsize=SMALL_SIZE)
    bar.ax.tick_params(labelsize=7)
    _name(figure, "Correlation of experts' outputs", inspection.rows, shown, levels)
    return figure


def draw_conflicts(inspection: Inspection) -> Figure:
    """A matrix a layer: cosines between tasks' gradients; and their norms."""
    first, *layers = inspection.layers
    shown = [first, *_first(layers, [layer.conflict_share for layer in layers])]
    tasks, count = inspection.tasks, len(shown) + 1
    grid = _Grid(count, _side(len(tasks)), _LETTER * max(map(len, tasks)) + 0.1)
    figure = Figure(figsize=grid.size)
    for index, layer in enumerate(shown):
        panel = figure.add_axes(grid.place(index))
        below = tasks if index + grid.columns >= count else ()
        beside = tasks if index % grid.columns == 0 else ()
        image = _draw_layer(panel, layer, below, beside)
    panel = figure.add_axes(grid.place(len(shown)))
    _draw_norms(panel, shown, tasks, with_names=len(shown) % grid.columns == 0)
    figure.legend(*panel.get_legend_handles_labels(), **grid.legend)
    bar = figure.colorbar(image, cax=figure.add_axes(grid.bar))
    bar.set_label("cosine; conflict below 0", fontsize=SMALL_SIZE)
    bar.ax.tick_params(labelsize=7)
    name = "Gradients of the tasks' weighted losses"
    _name(figure, name, inspection.gradient_rows, shown, inspection.layers, grid.top)
    return figure


class _Grid:
    """Square panels that share their names: sizes in inches, places in shares.

    Args:
        count: Panels.
        side: Of one.
        names: Room for the names at the left and below.

    Attributes:
        columns: Panels side by side.
        size: Of the figure.
        top: Where the title goes.
        bar: Place of the colour bar.
        legend: Where the legend goes, below it.
    """

    def __init__(self, count: int, side: float, names: float):
        # Three or four, whichever leaves fewer places empty.
        self.columns = min(count, _COLUMNS + (-count % 4 <= -count % 3))
        rows = math.ceil(count / self.columns)
        self._side, self._names = side, names
        width = names + self.columns * (side + _BESIDE) + _MARGIN
        height = _TITLE + rows * (side + _ABOVE) + names
        self.size, self.top = (width, height), 1 - 0.1 / height
        left, top = width - _MARGIN + 0.1, height - _TITLE - _ABOVE
        self.bar = self._shares(left, top - side, 0.14, side)
        self.legend: dict[str, Any] = {
            "loc": "upper left",
            "bbox_to_anchor": (left / width, (top - side - 0.2) / height),
            "borderaxespad": 0,
            "fontsize": 7,
            "frameon": False,
        }

    def place(self, index: int) -> tuple[float, float, float, float]:
        """Of a panel: left, bottom, width, height."""
        row, column = divmod(index, self.columns)
        left = self._names + column * (self._side + _BESIDE)
        below = self.size[1] - _TITLE - (row + 1) * (self._side + _ABOVE)
        return self._shares(left, below, self._side, self._side)

    def _shares(
        self, left: float, below: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        across, up = self.size
        return left / across, below / up, width / across, height / up


def _first(items: Sequence[Any], sizes: Sequence[float]) -> list[Any]:
    """All, or those with the largest sizes, in their own order."""
    order = np.argsort(-np.nan_to_num(np.array(sizes, float), nan=-1.0), kind="stable")
    kept = {int(index) for index in order[:_MOST]}
    return [item for index, item in enumerate(items) if index in kept]


def _side(count: int) -> float:
    return min(max(_CELL * count, _SMALLEST), _LARGEST)


def _name(
    figure: Figure,
    what: str,
    rows: int,
    shown: Sequence[Any],
    known: Sequence[Any],
    y: float | None = None,
) -> None:
    left = len(known) - len(shown)
    more = f" The JSON has {left} more." if left else ""
    figure.suptitle(f"{what} over {rows:,} rows.{more}", fontsize=TEXT_SIZE, y=y)


def _draw_level(panel: Axes, level: ExpertUse, top: float) -> AxesImage:
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="0.88")
    image = panel.imshow(level.correlation, cmap=colours, vmin=0, vmax=top)
    names = [short(name).removeprefix("expert ") for name in level.names]
    panel.set_title(f"{level.title}: mean {level.overlap:.2f}", fontsize=TEXT_SIZE)
    _name_cells(panel, names, names)
    dead = {*level.constant, *level.unused}
    for name, *labels in zip(
        level.names, panel.get_xticklabels(), panel.get_yticklabels(), strict=True
    ):
        if name in dead:
            for label in labels:
                label.set_color("#D00000")
                label.set_fontweight("bold")
    if len(names) <= 10:
        _write_values(panel, level.correlation, top)
    return image


def _draw_layer(
    panel: Axes, layer: LayerGradients, below: Sequence[str], beside: Sequence[str]
) -> AxesImage:
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="0.88")
    cosines = layer.cosines.copy()
    np.fill_diagonal(cosines, math.nan)
    image = panel.imshow(cosines, cmap=colours, vmin=-1, vmax=1)
    share = layer.conflict_share
    said = f"{share:.0%} of pairs conflict" if math.isfinite(share) else "no pair"
    panel.set_title(f"{layer.name}: {said}", fontsize=TEXT_SIZE)
    _name_cells(panel, below, beside)
    return image


def _draw_norms(
    panel: Axes,
    layers: Sequence[LayerGradients],
    tasks: Sequence[str],
    with_names: bool,
) -> None:
    """A marker a layer, on a logarithmic axis, tasks as in the matrices."""
    for number, layer in enumerate(layers):
        norms = np.where(layer.norms > 0, layer.norms, math.nan)
        panel.plot(
            norms,
            range(len(tasks)),
            marker(number),
            color=colour(number),
            markersize=4,
            alpha=0.8,
            label=layer.name,
        )
    panel.set_xscale("log")
    panel.set_ylim(len(tasks) - 0.5, -0.5)
    names = tasks if with_names else [""] * len(tasks)
    panel.set_yticks(range(len(tasks)), names, fontsize=_letters(len(tasks)))
    panel.tick_params(axis="x", which="both", labelsize=7)
    tidy(panel, "both")
    panel.set_title("norm of the gradient", fontsize=TEXT_SIZE)


def _name_cells(panel: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    size = _letters(max(len(columns), len(rows)))
    panel.set_xticks(range(len(columns)), columns, fontsize=size, rotation=90)
    panel.set_yticks(range(len(rows)), rows, fontsize=size)
    panel.tick_params(length=0)
    if all(len(name) <= 2 for name in columns):
        panel.tick_params(axis="x", rotation=0)


def _letters(count: int) -> float:
    """Size of letters for so many names on one side of a matrix."""
    return min(7.0, 0.6 * 72 * _side(count) / max(count, 1))


def _write_values(panel: Axes, values: npt.NDArray[Any], top: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            ink = "white" if value < 0.6 * top else "black"
            text = f"{value:.2f}".lstrip("0")
            panel.text(
                column, row, text, ha="center", va="center", fontsize=6, color=ink
            )


def _largest(values: npt.NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else 1.0

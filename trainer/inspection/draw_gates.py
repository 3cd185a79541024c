"""Expert utilisation as PLE fig. 8 draws it: a group of bars a gate, a bar an expert.

Up to six nodes are drawn whole; of more, as nested structures have, all in one summary
and then those whose gates are the most skewed and the most even.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt

from pipeline.reporting.figures import COLOURS, SMALL_SIZE, TEXT_SIZE, new_figure, tidy
from trainer.inspection.drawing import short
from trainer.inspection.inspection import GateUse, Inspection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WHOLE = 6  # nodes that are drawn one by one
_ENDS = 3  # most skewed and most even ones, where there are more
_MAP_ENDS = 1  # where they are heat maps
_ROOM = 108  # bars and gaps in one row of the figure, at most
_MOST_BARS = 432  # of one node; its gates become a heat map above
_WIDTH = 13.0  # inches
_STRIP, _CELL = 1.9, 0.13  # inches: height of a row of bars, of a cell
_LINE = 0.22  # of a line of the summary
_LETTER, _PATCH = 0.07, 0.3  # of a letter, of a colour in the legend
_LEGEND = (
    " Bars: mean; lines: standard deviation; dashed: even share; "
    "grey: entropy / log(experts)"
)


class _Panel(NamedTuple):
    """Some gates of one node, next to each other.

    Attributes:
        use: Of the node.
        first: The first reader.
        last: The one after the last.
    """

    use: GateUse
    first: int
    last: int

    @property
    def is_map(self) -> bool:
        """Whether it is drawn as a heat map, a row of its own."""
        return _is_map(self.use)

    @property
    def room(self) -> int:
        """In bars and gaps."""
        if self.is_map:
            return _ROOM
        gates = self.last - self.first
        bars = gates * (self.use.width + 1) if gates > 1 else 2 * self.use.width
        return min(max(bars, _head_room(self.use)), _ROOM)

    @property
    def height(self) -> float:
        """In inches."""
        return 1.5 + _CELL * self.use.width if self.is_map else _STRIP


def draw(inspection: Inspection) -> Figure:
    """All gates, or a summary and its ends."""
    gates = inspection.gates
    rows = _rows([panel for use in chosen(gates) for panel in _panels(use)])
    families = _families(gates) if len(gates) > _WHOLE else []
    heights = [0.8 + _LINE * len(families)] if families else []
    heights += [max(panel.height for panel in row) for row in rows]
    figure = new_figure(_WIDTH, 0.5 + sum(heights), hspace=0.03)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    if families:
        _draw_summary(figure.add_subplot(grid[0]), families)
    room = max(sum(panel.room for panel in row) for row in rows)
    for place, row in enumerate(rows, start=len(heights) - len(rows)):
        _draw_row(figure, grid[place], row, room)
    said = f"Weights of experts over {inspection.rows:,} rows."
    if not all(panel.is_map for row in rows for panel in row):
        said += _LEGEND
    figure.suptitle(said, fontsize=TEXT_SIZE)
    return figure


def chosen(gates: Sequence[GateUse]) -> list[GateUse]:
    """The nodes to draw one by one."""
    known = [use for use in gates if np.isfinite(use.entropy_share).any()]
    if len(gates) <= _WHOLE or not known:
        return list(gates[:_WHOLE])
    ordered = sorted(known, key=lambda use: float(np.nanmean(use.entropy_share)))
    ends = _MAP_ENDS if any(_is_map(use) for use in gates) else _ENDS
    return [*ordered[:ends], *ordered[max(ends, len(ordered) - ends) :]]


def _is_map(use: GateUse) -> bool:
    return use.mean.size > _MOST_BARS


def _panels(use: GateUse) -> Iterator[_Panel]:
    """As few as fit, of about equal length."""
    readers = len(use.readers)
    if _is_map(use):
        yield _Panel(use, 0, readers)
        return
    fitting = max(1, _ROOM // (use.width + 1))
    size = math.ceil(readers / math.ceil(readers / fitting))
    for first in range(0, readers, size):
        yield _Panel(use, first, min(first + size, readers))


def _rows(panels: Sequence[_Panel]) -> list[list[_Panel]]:
    """Panels side by side as long as they fit."""
    rows: list[list[_Panel]] = []
    for panel in panels:
        if rows and sum(p.room for p in rows[-1]) + panel.room <= _ROOM:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def _head_room(use: GateUse) -> int:
    """What a panel's title and legend take, in bars."""
    labels = _labels(use)[: len(COLOURS)] if len(use.readers) > 1 else []
    letters = len(_title(use)) * 1.2 + sum(map(len, labels))
    inches = letters * _LETTER + len(labels) * _PATCH + 0.6
    return math.ceil(inches * _ROOM / _WIDTH)


def _draw_row(figure: Figure, place: Any, row: list[_Panel], room: int) -> None:
    if row[0].is_map:
        _draw_maps(figure, place, row[0].use)
        return
    rooms = [panel.room for panel in row]
    left = room - sum(rooms)
    ratios = [*rooms, left] if left else rooms
    grid = place.subgridspec(1, len(ratios), width_ratios=ratios)
    for column, panel in enumerate(row):
        axes = figure.add_subplot(grid[column])
        if len(panel.use.readers) == 1:
            _draw_single(axes, panel.use)
        else:
            _draw_groups(axes, panel)
        _finish(axes, panel.use, with_title=panel.first == 0)


def _draw_groups(axes: Axes, panel: _Panel) -> None:
    """A group of bars a reader."""
    use, colours = panel.use, _colours(panel.use.width)
    labels = _labels(use)
    readers = range(panel.first, panel.last)
    starts = np.arange(len(readers)) * (use.width + 1)
    mean, sd = use.mean[panel.first : panel.last], use.sd[panel.first : panel.last]
    for expert in range(use.width):
        label = labels[expert] if panel.first == 0 else None
        places = starts + expert
        _draw_bars(axes, places, mean[:, expert], sd[:, expert], colours[expert], label)
    middles = starts + (use.width - 1) / 2
    names = [use.readers[reader] for reader in readers]
    spacing = panel.room / (panel.last - panel.first)
    _name_ticks(axes, middles, names, spacing)
    for middle, reader in zip(middles, readers, strict=True):
        _write_entropy(axes, middle, use, reader)
    axes.set_xlim(-1, starts[-1] + use.width)
    if panel.first == 0:
        _add_legend(axes, use)


def _draw_single(axes: Axes, use: GateUse) -> None:
    """One gate: its bars have the names of the experts."""
    places = np.arange(use.width)
    _draw_bars(axes, places, use.mean[0], use.sd[0], COLOURS[0], None)
    _name_ticks(axes, places, [short(name) for name in use.experts[0]], spacing=2)
    _write_entropy(axes, (use.width - 1) / 2, use, 0)
    axes.set_xlim(-1, use.width)


def _draw_bars(
    axes: Axes,
    places: npt.NDArray[Any],
    mean: npt.NDArray[Any],
    sd: npt.NDArray[Any],
    colour: str,
    label: str | None,
) -> None:
    axes.bar(places, np.nan_to_num(mean), width=0.9, color=colour, label=label)
    low, high = np.maximum(mean - sd, 0), mean + sd
    axes.vlines(places, low, high, color="white", linewidth=2.2)
    axes.vlines(places, low, high, color="black", linewidth=0.9)


def _finish(axes: Axes, use: GateUse, with_title: bool) -> None:
    axes.axhline(1 / use.width, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(0, _top(use))
    axes.tick_params(axis="y", labelsize=7)
    axes.tick_params(axis="x", length=0)
    axes.locator_params(axis="y", nbins=4)
    axes.spines[["top", "right"]].set_visible(False)
    if with_title:
        axes.set_title(_title(use), fontsize=TEXT_SIZE, loc="left", pad=14)


def _top(use: GateUse) -> float:
    tops = (use.mean + use.sd)[np.isfinite(use.mean)]
    return min(1.0, 1.08 * float(tops.max())) if tops.size else 1.0


def _draw_maps(figure: Figure, place: Any, use: GateUse) -> None:
    """Too many for bars: means and standard deviations as colours."""
    grid = place.subgridspec(1, 2)
    for column, (name, values) in enumerate(
        (("mean", use.mean), ("standard deviation", use.sd))
    ):
        axes = figure.add_subplot(grid[column])
        image = axes.imshow(values.T, aspect="auto", cmap="viridis", vmin=0)
        names = [
            f"{reader} {share:.2f}"
            for reader, share in zip(use.readers, use.entropy_share, strict=True)
        ]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axes.set_yticks(range(use.width), _labels(use), fontsize=6)
        axes.tick_params(length=0)
        axes.set_title(
            f"{_title(use)}: {name} (after the names: entropy / log(experts))",
            fontsize=TEXT_SIZE,
            loc="left",
        )
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
        bar.ax.tick_params(labelsize=7)
        if not column:
            even = 1 / use.width
            bar.ax.axhline(even, color="white", linewidth=1.2)


def _draw_summary(axes: Axes, families: list[tuple[str, npt.NDArray[Any]]]) -> None:
    """A line for each kind of gate, a dot a gate."""
    for line, (_, shares) in enumerate(families):
        places = np.full(len(shares), line)
        axes.plot(shares, places, "o", color=COLOURS[0], alpha=0.45, markersize=5)
        axes.plot(np.nanmean(shares), line, "|", color="black", markersize=11)
    axes.set_yticks(
        range(len(families)), [name for name, _ in families], fontsize=SMALL_SIZE
    )
    axes.set_ylim(len(families) - 0.4, -0.6)
    axes.set_xlim(-0.01, 1.02)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(
        "Entropy / log(experts) of every gate: 0 reads one expert, 1 reads all alike "
        "(line: mean)",
        fontsize=TEXT_SIZE,
        loc="left",
    )
    tidy(axes, "x")


def _families(gates: Sequence[GateUse]) -> list[tuple[str, npt.NDArray[Any]]]:
    """Gates with the same readers: their name and their shares of entropy."""
    families = []
    for (level, readers, width), same in itertools.groupby(
        gates, lambda use: (use.level, use.readers, use.width)
    ):
        uses = list(same)
        shares = np.concatenate([use.entropy_share for use in uses])
        if np.isfinite(shares).any():
            nodes = _some([use.node or "input" for use in uses], "nodes")
            to = _some(list(readers), "gates")
            name = f"{nodes}, level {level}: {to}, of {width} experts"
            families.append((name, shares))
    return families


def _some(names: list[str], what: str) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{len(names)} {what}"


def _title(use: GateUse) -> str:
    if len(use.readers) == 1:
        return f"{use.title}: {use.readers[0]} gate"
    return use.title


def _labels(use: GateUse) -> list[str]:
    """Of the experts, by their place: a reader's own ones are called so."""
    labels = []
    for place in range(use.width):
        names = {own[place] for own in use.experts}
        name = use.experts[0][place]
        if len(names) > 1:
            name = name.replace(use.readers[0], "own", 1)
        labels.append(short(name))
    return labels


def _colours(count: int) -> list[Any]:
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.95, count)))


def _add_legend(axes: Axes, use: GateUse) -> None:
    """Above the panel, at its right; of many experts the first and the last."""
    handles, labels = axes.get_legend_handles_labels()
    if use.width > len(COLOURS):
        handles, labels = [handles[0], handles[-1]], [labels[0], f"to {labels[-1]}"]
    axes.legend(
        handles,
        labels,
        loc="lower right",
        bbox_to_anchor=(1, 1.06),
        ncols=len(handles),
        frameon=False,
        fontsize=7,
        borderpad=0,
        handlelength=0.9,
        handletextpad=0.4,
        columnspacing=0.9,
    )


def _name_ticks(
    axes: Axes, places: npt.NDArray[Any], names: Sequence[str], spacing: float
) -> None:
    """Level where the names fit between the ticks, else at an angle."""
    fits = max(map(len, names)) * _LETTER <= spacing * _WIDTH / _ROOM
    axes.set_xticks(
        places,
        names,
        fontsize=7,
        rotation=0 if fits else 35,
        ha="center" if fits else "right",
        rotation_mode="anchor",
    )


def _write_entropy(axes: Axes, place: float, use: GateUse, reader: int) -> None:
    share = float(use.entropy_share[reader])
    if use.rows[reader] and not math.isfinite(share):
        return
    axes.text(
        place,
        1.02,
        f"{share:.2f}" if use.rows[reader] else "no rows",
        transform=axes.get_xaxis_transform(),
        ha="center",
        fontsize=6.5,
        color="0.45",
    )

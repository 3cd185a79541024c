"""The figures: the seesaw scatter (PLE fig. 3), and every gain with its interval."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.compare.findings import Findings
from pipeline.compare.gains import LEVEL, Gain
from pipeline.compare.metrics import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette for colour-blind readers, its yellow replaced by a darker one.
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255"),
    *("#999933", "#777777"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_PANELS = 4  # of `draw_gains`, side by side
_DPI = 160


def png(figure: Figure) -> bytes:
    """A figure as a file's bytes."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()


def draw_seesaw(findings: Findings) -> Figure:
    """Gain on one task against gain on another; the baseline is in the middle.

    Only above and right of it both tasks win. Above left and below right is the seesaw.
    """
    figure = _figure(6.2, 4.6)
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
    panel.grid(color="0.93", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside right center",
        frameon=False,
        fontsize=9,
        title=_bars(findings),
        title_fontsize=9,
        alignment="left",
    )
    return figure


def draw_gains(findings: Findings) -> Figure:
    """A panel a task: the gain of each preset, with its interval."""
    tasks, rivals = findings.tasks, findings.rivals
    columns = min(_PANELS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = _figure(1.3 + 2.5 * columns, 0.7 + rows * (0.75 + 0.24 * len(rivals)))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, task in zip(panels.flat, tasks, strict=False):
        _draw_task(panel, findings, task)
    for panel in panels.flat[len(tasks) :]:
        panel.set_visible(False)
    bars = _bars(findings)
    figure.supxlabel(
        f"gain over {findings.comparison.baseline}, right of 0 is better"
        + (f"; {bars}, filled where they leave 0 out" if bars else ""),
        fontsize=9,
    )
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine())


def _draw_point(panel: Axes, preset: str, x: Gain, y: Gain, number: int) -> None:
    panel.errorbar(
        x.mean,
        y.mean,
        xerr=x.half if x.has_interval else None,
        yerr=y.half if y.has_interval else None,
        label=preset,
        color=_COLOURS[number % len(_COLOURS)],
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=6,
        linestyle="",
        elinewidth=1,
        capsize=2.5,
    )


def _draw_task(panel: Axes, findings: Findings, task: str) -> None:
    rivals = findings.rivals
    for number, preset in enumerate(rivals):
        gain = _known_gain(findings, preset, task)
        panel.errorbar(
            gain.mean,
            number,
            xerr=gain.half if gain.has_interval else None,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=5,
            markerfacecolor=None if gain.is_significant else "white",
            linestyle="",
            elinewidth=1.2,
            capsize=2.5,
        )
    panel.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    panel.set_yticks(range(len(rivals)), rivals)
    panel.set_ylim(len(rivals) - 0.5, -0.5)
    panel.set_title(f"{task} ({NAMES[findings.headline(task)]})", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.locator_params(axis="x", nbins=4)
    panel.grid(axis="x", color="0.93", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


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
            fontsize=8,
        )


def _axis_label(findings: Findings, task: str) -> str:
    return f"gain on {task} ({NAMES[findings.headline(task)]})"


def _bars(findings: Findings) -> str:
    return f"bars: {LEVEL:.0%}" if len(findings.comparison.seeds) > 1 else ""

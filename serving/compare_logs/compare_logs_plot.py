"""The picture of a comparison: order, drift of predictions, latency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.figures import (
    BLUE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    VERMILLION,
    draw_gain,
    finish_gains,
    new_figure,
    tidy,
)
from pipeline.reporting.intervals import Gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from serving.compare_logs.compare_logs import LogReport
    from serving.compare_logs.measures import Estimate

_BINS = 40


def draw(report: LogReport) -> Figure:
    """Of a shadow if there is one, else of a canary."""
    figure = new_figure(11, 3.6, wspace=0.06)
    panels = figure.subplots(1, 3)
    shadow, canary = report.shadow, report.canary
    if shadow is not None:
        _draw_order(panels[0], shadow.taus)
        changes = {n: _less_one(d.ratio) for n, d in shadow.drift.items()}
        _draw_changes(panels[1], changes, "mean prediction, shadow / served - 1")
        _draw_latency(panels[2], shadow.latency_ms)
    elif canary is not None:
        _draw_changes(panels[0], _gains(canary.outcomes), "outcome, change")
        _draw_changes(panels[1], _gains(canary.predictions), "prediction, change")
        both = {
            "control": canary.control.latency_ms,
            "canary": canary.canary.latency_ms,
        }
        _draw_latency(panels[2], both)
    figure.suptitle(
        f"{report.model}, {report.signature}: {report.requests:,} requests",
        fontsize=TITLE_SIZE,
    )
    return figure


def _draw_order(panel: Axes, taus: np.ndarray) -> None:
    panel.set_title("order of both, each request", fontsize=TEXT_SIZE)
    panel.set_xlabel("Kendall's tau")
    panel.set_ylabel("requests")
    panel.hist(taus, bins=np.linspace(-1, 1, _BINS + 1).tolist(), color=BLUE)
    tidy(panel, "y")


def _draw_changes(panel: Axes, gains: Mapping[str, Gain], title: str) -> None:
    known = {name: gain for name, gain in gains.items() if math.isfinite(gain.mean)}
    if not known:
        panel.set_visible(False)
        return
    for row, gain in enumerate(known.values()):
        draw_gain(panel, gain, row, BLUE)
    finish_gains(panel, list(known), title)


def _draw_latency(panel: Axes, latency_ms: Mapping[str, Mapping[str, float]]) -> None:
    panel.set_title("latency of the model", fontsize=TEXT_SIZE)
    panel.set_ylabel("ms")
    width = 0.8 / len(latency_ms)
    for place, (name, colour) in enumerate(
        zip(latency_ms, (BLUE, VERMILLION), strict=False)
    ):
        found = latency_ms[name]
        where = np.arange(len(found)) + (place - 0.5) * width
        panel.bar(where, list(found.values()), width, color=colour, label=name)
        panel.set_xticks(range(len(found)), list(found))
    panel.legend(frameon=False, fontsize=SMALL_SIZE, loc="upper left")
    tidy(panel, "y")


def _gains(found: Mapping[str, Estimate]) -> dict[str, Gain]:
    return {name: _gain(one, 0.0) for name, one in found.items()}


def _less_one(found: Estimate) -> Gain:
    return _gain(found, 1.0)


def _gain(found: Estimate, less: float) -> Gain:
    return Gain(
        mean=found.value - less,
        low=found.low - less,
        high=found.high - less,
        pairs=found.clusters,
    )

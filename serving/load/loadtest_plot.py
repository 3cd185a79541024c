"""The picture of a load test: latencies, and over several rates how they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.reporting.figures import (
    BLUE,
    GREY,
    SMALL_SIZE,
    TITLE_SIZE,
    VERMILLION,
    new_figure,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from serving.load.loadtest import LoadReport, LoadStep

_BINS = 60
_MARKED = ("p50", "p90", "p99", "p99.9")


def draw(report: LoadReport) -> Figure:
    """A histogram of the latencies; of several rates also their percentiles by rate.

    The histogram is that of the knee's rate, else that of the last one.
    """
    has_rates = len(report.steps) > 1
    figure = new_figure(9.6 if has_rates else 5.4, 3.6, wspace=0.06)
    panels = figure.subplots(1, 1 + has_rates, squeeze=False)[0]
    _draw_histogram(panels[0], shown_step(report))
    if has_rates:
        _draw_rates(panels[1], report)
    figure.suptitle(
        f"{report.model}, {report.signature}, {report.url}", fontsize=TITLE_SIZE
    )
    return figure


def shown_step(report: LoadReport) -> LoadStep:
    """The step that stands for the report."""
    if report.knee and report.knee.rate:
        rate = report.knee.rate
        return next(step for step in report.steps if step.rate == rate)
    return report.steps[-1]


def _draw_histogram(panel: Axes, step: LoadStep) -> None:
    """Both axes logarithmic: the few slow ones are what matters."""
    panel.set_title(f"{step.rate:.4g} requests/s", fontsize=TITLE_SIZE)
    panel.set_xlabel("latency from when it was due, ms")
    panel.set_ylabel("requests")
    latency_ms = 1000 * step.latencies_s
    if not len(latency_ms):
        told = "the generator was too slow" if step.missed == "generator" else "none"
        panel.text(0.5, 0.5, told, ha="center", transform=panel.transAxes)
        return
    low, high = latency_ms.min(), latency_ms.max()
    edges = np.geomspace(low / 1.01, high * 1.01, _BINS + 1)
    panel.hist(latency_ms, bins=edges, color=BLUE)  # type: ignore[arg-type]
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(bottom=0.7)
    _number(panel.xaxis)
    marked = {step.latency_ms[name]: name for name in _MARKED}
    for value, name in marked.items():  # of those that are equal the last
        panel.axvline(value, color=GREY, linewidth=0.8)
        panel.annotate(
            name,
            (value, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="top",
            fontsize=SMALL_SIZE,
        )
    tidy(panel, "y")


def _draw_rates(panel: Axes, report: LoadReport) -> None:
    """Percentiles by rate; those that missed a limit are hollow."""
    steps = sorted(
        (step for step in report.steps if step.latency_ms), key=lambda step: step.rate
    )
    for name, colour in (("p50", BLUE), ("p99", VERMILLION)):
        rates = [step.rate for step in steps]
        values = [step.latency_ms[name] for step in steps]
        panel.plot(rates, values, color=colour, linewidth=1.2, label=name)
        for step, value in zip(steps, values, strict=True):
            face = "white" if step.missed else colour
            panel.plot(
                step.rate, value, "o", color=colour, markerfacecolor=face, markersize=4
            )
    if report.knee and report.knee.rate:
        panel.axvline(report.knee.rate, color=GREY, linewidth=0.8)
        panel.set_title(f"knee: {report.knee.rate:.4g} requests/s", fontsize=TITLE_SIZE)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        _number(axis)
    panel.set_xlabel("requests/s that were due (hollow: missed a limit)")
    panel.set_ylabel("latency, ms")
    panel.legend(frameon=False, fontsize=SMALL_SIZE)
    tidy(panel, "both")


def _number(axis: Axis) -> None:
    """A logarithmic one, with few and plain numbers, whatever it spans."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())

"""Runs and what became of them: a table for people, and a figure of their metrics."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from feature_specs.places import Place
from pipeline.ledger import Ledger, RunEntry, Version
from pipeline.operations.known import known_ledger, span
from pipeline.operations.rollback import Rollback, read_rollbacks
from pipeline.reporting import figures
from pipeline.reporting.files import write_bytes
from pipeline.reporting.tables import new_table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = os.path.join("report", "history.png")
_METRICS = ("auc", "ndcg_10", "gauc", "rmse", "calibration")  # of which one is drawn
_MOST_LINES = 8  # of a panel that can still be told apart
_LONGEST = 70
_SHOWN = {"pushed": ("o", True), "refused": ("X", True), "other": ("o", False)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """Of a run's directory, oldest first.

    Attributes:
        runs: What each did, measured, and what its gates said.
        versions: That were pushed, with their states.
        rollbacks: Returns to an earlier version.
    """

    runs: tuple[RunEntry, ...]
    versions: tuple[Version, ...]
    rollbacks: tuple[Rollback, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values; lists of log files are told by `lineage`."""
        values = dataclasses.asdict(self)
        for run in values["runs"]:
            del run["log_files"]
        return values


def history(root: Place) -> History:
    """The runs of a directory, whatever became of them.

    >>> found = trailrank.history("run")
    >>> found.runs[-1].outcome
    'pushed'

    Args:
        root: A run's directory.

    Raises:
        OperationError: Nothing was run there.
    """
    ledger: Ledger = known_ledger(root)
    rollbacks = tuple(read_rollbacks(root))
    return History(runs=ledger.runs, versions=ledger.versions, rollbacks=rollbacks)


def history_tables(found: History) -> list[Table]:
    """For people: runs with the metric that most tasks have, and rollbacks."""
    heads = ["run", "made", "trained to", "judged on", "AUC", "outcome", "version"]
    texts = [*heads[1:4], "outcome", "version"]
    runs = new_table("Runs", [*heads, "why"], texts=[*texts, "why"], folded=["why"])
    states = {version.version: version.state for version in found.versions}
    for run in found.runs:
        state = states.get(run.version, "live")
        runs.add_row(
            run.id,
            span(run.made),
            span(run.trained[-1:]),
            span(run.judged),
            number(_mean(run, "auc"), missing="-"),
            run.outcome,
            run.version + (f" ({state})" if state != "live" else ""),
            why(run),
        )
    runs.caption = "AUC: the mean of the tasks that have one."
    if not found.rollbacks:
        return [runs]
    back = new_table("Rollbacks", ["at", "from", "to", "who", "why"], texts=_ROLLBACK)
    for entry in found.rollbacks:
        back.add_row(entry.at, entry.left, entry.to, entry.who, entry.why)
    return [runs, back]


_ROLLBACK = ("from", "to", "who", "why")


def why(run: RunEntry) -> str:
    """What stopped a run, in a line: the gates that refused, or its message."""
    if run.outcome in ("pushed", "running", "measured"):
        return ""
    refused = [
        " ".join(filter(None, (gate["measure"], "of", gate["of"], gate["slice"])))
        for gate in run.gates
        if gate["outcome"] == "refused"
    ]
    line = next(iter(run.message.splitlines()), "")
    text = ", ".join(refused) or line
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def draw_history(found: History) -> bytes | None:
    """A panel for each metric, a line for each task over the runs; as PNG.

    Of many tasks those are drawn that moved most. None if nothing was measured.

    Raises:
        NoMatplotlibError: It is not installed.
    """
    figures.require_matplotlib()
    runs = [run for run in found.runs if run.metrics]
    names = [name for name in _METRICS if _has(runs, name)]
    if not names:
        return None
    height = 2.6 * len(names) + 0.6
    figure = figures.new_figure(max(6.0, min(14.0, 3 + 0.45 * len(runs))), height)
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    lines = {name: _tasks(runs, name) for name in names}
    every = list(dict.fromkeys(task for tasks in lines.values() for task in tasks))
    colours = {task: figures.colour(place) for place, task in enumerate(every)}
    for panel, name in zip(panels, names, strict=True):
        _draw(panel, runs, name, {task: colours[task] for task in lines[name]})
        _mark_rollbacks(panel, runs, found.rollbacks)
    ticks = [span(run.judged) for run in runs]
    panels[-1].set_xticks(range(len(runs)), ticks, rotation=45, ha="right")
    panels[-1].set_xlabel("judged on", fontsize=figures.SMALL_SIZE)
    figure.suptitle(
        "Models of the runs: pushed (filled), refused (cross), else empty",
        fontsize=figures.TITLE_SIZE,
    )
    return figures.png(figure)


def write_history(root: Place) -> str | None:
    """Draws `RUN/report/history.png`; returns its path, None if nothing was measured.

    Raises:
        NoMatplotlibError: It is not installed.
    """
    picture = draw_history(history(root))
    if picture is None:
        return None
    path = os.path.join(root, FIGURE)
    write_bytes(path, picture)
    return path


def _draw(
    panel: Axes, runs: Sequence[RunEntry], metric: str, colours: Mapping[str, str]
) -> None:
    """A line for each task with a colour."""
    for task, colour in colours.items():
        values = [run.metrics.get(task, {}).get(metric) for run in runs]
        known = [(x, y) for x, y in enumerate(values) if y is not None]
        panel.plot(
            *zip(*known, strict=True), color=colour, linewidth=1.1, label=task, zorder=2
        )
        for x, y in known:
            outcome = runs[x].outcome
            shape, is_filled = _SHOWN.get(outcome, _SHOWN["other"])
            face = colour if is_filled else "white"
            panel.plot(
                *(x, y),
                marker=shape,
                color=colour,
                markerfacecolor=face,
                markersize=5 if outcome != "refused" else 8,
                zorder=3,
            )
    panel.set_title(metric, fontsize=figures.TEXT_SIZE, loc="left")
    panel.tick_params(labelsize=figures.SMALL_SIZE)
    panel.legend(
        fontsize=figures.SMALL_SIZE,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )
    figures.tidy(panel, "both")


def _mark_rollbacks(
    panel: Axes, runs: Sequence[RunEntry], rollbacks: Sequence[Rollback]
) -> None:
    """A line behind the last run before each return to an earlier version."""
    for entry in rollbacks:
        before = sum(run.began <= entry.at for run in runs)
        if before:
            place = before - 0.5
            panel.axvline(place, color=figures.GREY, linestyle="--", linewidth=0.9)
            panel.annotate(
                f"back to {entry.to}",
                (place, 1.0),
                xycoords=("data", "axes fraction"),
                fontsize=figures.SMALL_SIZE - 1,
                ha="right",
                va="bottom",
                color=figures.GREY,
            )


def _tasks(runs: Sequence[RunEntry], metric: str) -> list[str]:
    """Tasks that have a metric, in order; of many those whose value moved most."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for task, known in run.metrics.items():
            value = known.get(metric)
            if value is not None:
                values.setdefault(task, []).append(value)
    moved = sorted(values, key=lambda t: (min(values[t]) - max(values[t]), t))
    kept = set(moved[:_MOST_LINES])
    return [task for task in values if task in kept]


def _has(runs: Sequence[RunEntry], metric: str) -> bool:
    return any(m.get(metric) is not None for r in runs for m in r.metrics.values())


def _mean(run: RunEntry, metric: str) -> float | None:
    known = [m[metric] for m in run.metrics.values() if m.get(metric) is not None]
    return sum(k for k in known if k is not None) / len(known) if known else None

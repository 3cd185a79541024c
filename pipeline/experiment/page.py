"""An experiment for people and programs: JSON, Markdown and one HTML page."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from typing import Any

import rich.table

from pipeline.experiment.design import Arm
from pipeline.experiment.effects import FEWEST, MIXTURE_SD, Effect
from pipeline.experiment.measures import DAILY, ENJOYMENT
from pipeline.experiment.result import Experiment
from pipeline.reporting import figures
from pipeline.reporting.files import to_json
from pipeline.reporting.tables import SIGNIFICANT, markdown_table, new_table, number

JSON, MARKDOWN, PAGE = "experiment.json", "report.md", "report.html"
_ALWAYS = "*" * 2  # behind a change that holds whenever one stops


def files(found: Experiment) -> dict[str, bytes]:
    """Name -> content of all files; without matplotlib the page has no curves."""
    return {
        JSON: to_json(summary(found), figures=6),
        MARKDOWN: markdown(found).encode(),
        PAGE: page(found).encode(),
    }


def summary(found: Experiment) -> dict[str, Any]:
    """All effects of all days; without what differs from run to run."""
    design = found.design
    return {
        "control": found.control,
        "arms": {arm.name: _arm(found, arm) for arm in design.arms},
        "days": design.days,
        "pre_days": design.pre_days,
        "first_day": f"{design.date(design.pre_days):%Y%m%d}",
        "users": design.users,
        "seed": design.seed,
        "candidates": design.candidates,
        "rows_per_user_day": design.rows_per_user_day,
        "impressions": found.impressions,
        "left_out": found.measures.left_out,
        "mixture_sd": MIXTURE_SD,
        "effects": {
            treatment: {
                name: [_effect(one) for one in found.curve(treatment, name)]
                for name in found.measures.names
            }
            for treatment in found.treatments
        },
        "values": {
            arm.name: {
                name: [
                    found.on_day(arm.name, name, day) for day in range(design.played)
                ]
                for name in found.measures.names
            }
            for arm in design.arms
        },
    }


def _arm(found: Experiment, arm: Arm) -> dict[str, Any]:
    return {
        "kind": arm.kind,
        "weights": arm.weights,
        "users": found.users_of(arm.name),
        "is_control_again": arm.name != found.control and found.is_same(arm.name),
    }


def _effect(one: Effect) -> dict[str, float]:
    return {
        "change": one.change,
        "low": one.low,
        "high": one.high,
        "always_low": one.change - one.half_always,
        "always_high": one.change + one.half_always,
        "control": one.control,
        "treatment": one.treatment,
        "variance_left": one.variance_left,
    }


# --- tables ---------------------------------------------------------------------------


def title_of(measure: str) -> str:
    """`Overall enjoyment` of `overall_enjoyment`."""
    return measure.replace("_", " ").capitalize()


def cell(one: Effect) -> str:
    """`+1.25 % ±0.80*`: a relative change and half of its interval.

    One star where the interval of one look leaves 0 out, two where that of daily looks
    does.
    """
    if math.isnan(one.change):
        return "-"
    stars = _ALWAYS if one.is_always_significant else SIGNIFICANT * one.is_significant
    return f"{100 * one.change:+.2f} % ±{100 * one.half:.2f}{stars}"


def rows(found: Experiment, measures: Sequence[str]) -> list[list[str]]:
    """A row a treatment: its name, then its effect on each measure."""
    table = []
    for name in found.treatments:
        told = f"{name} (A/A)" if found.is_same(name) else name
        table.append([told, *(cell(found.effect(name, m)) for m in measures)])
    return table


def console_table(found: Experiment) -> rich.table.Table:
    """A row a measure, a column a treatment: it fits a console."""
    names = [row[0] for row in rows(found, [])]
    title = f"Relative change over {found.control}, day 1 to {found.design.days}"
    table = new_table(title, ["measure", found.control, *names], caption=_CAPTION)
    for measure in found.measures.names:
        effects = [cell(found.effect(name, measure)) for name in found.treatments]
        value = number(found.value(found.control, measure))
        table.add_row(title_of(measure), value, *effects)
    return table


_CAPTION = (
    "95 % intervals over users, CUPED. * leaves 0 out on the last day, "
    "** on any day that one looks at"
)


def sentences(found: Experiment) -> list[str]:
    """What a reader should know, a sentence each."""
    design = found.design
    counts = ", ".join(
        f"{arm.name} {found.users_of(arm.name):,}" for arm in design.arms
    )
    before = ""
    if design.pre_days:
        before = f" after {design.pre_days} on which {found.control} served all"
    told = [
        f"{design.users:,} users ({counts}), {design.days} days{before}, "
        f"{found.impressions:,} impressions; seed {design.seed}.",
        "Overall enjoyment is the simulator's: the mean over days, 0 for a day away, "
        "of log(1 + minutes well spent). No label shows it.",
    ]
    for name in found.treatments:
        told.append(_verdict(found, name))
    if found.measures.left_out:
        told.append(
            f"Not measured, as their labels need more than the log's columns: "
            f"{', '.join(found.measures.left_out)}."
        )
    if len(found.treatments) > 1:
        told.append("Each interval is by itself: none allows for the number of arms.")
    return told


def _verdict(found: Experiment, name: str) -> str:
    one = found.effect(name)
    if math.isnan(one.change):
        return (
            f"{name}: not told. Fewer than {FEWEST} users of it, or of "
            f"{found.control}, ever came: take more --users."
        )
    is_same = found.is_same(name)
    if is_same:
        holds = "differs: look for a fault, or for one A/A in twenty"
        return (
            f"{name} serves as {found.control} does (A/A), and "
            f"{holds if one.is_significant else 'does not differ, as it should'}."
        )
    if not one.is_significant:
        return f"{name} is not shown to differ from {found.control}."
    way = "better" if one.change > 0 else "worse"
    sooner = [
        day
        for day, then in enumerate(found.curve(name), start=1)
        if then.is_always_significant and (then.change > 0) == (one.change > 0)
    ]
    since = f"; daily looks show it from day {sooner[0]} on" if sooner else ""
    return f"{name} is {way} than {found.control}{since}."


def markdown(found: Experiment) -> str:
    """Tables in the shape of SFV's table 1."""
    tasks = [task.name for task in found.measures.tasks]
    parts = [f"# {', '.join(found.treatments)} against {found.control}\n"]
    parts += [f"- {sentence}" for sentence in sentences(found)]
    blocks = [
        ("Users, of their days", [m for m in DAILY if m != ENJOYMENT]),
        ("Tasks, rates of impressions", tasks),
    ]
    parts.append("")
    for head, measures in blocks:
        heads = ["arm", *map(title_of, [ENJOYMENT, *measures])]
        values = [found.value(found.control, m) for m in [ENJOYMENT, *measures]]
        base = [found.control, *(number(value) for value in values)]
        table = markdown_table(heads, [base, *rows(found, [ENJOYMENT, *measures])])
        parts += [f"## {head}\n", table]
    parts.append(
        f"{_CAPTION.replace('*', chr(92) + '*')}. The control's row has values."
    )
    return "\n".join(parts) + "\n"


# --- page -----------------------------------------------------------------------------


def page(found: Experiment) -> str:
    """One HTML page that needs no other file."""
    names = found.measures.names
    heads = ["arm", *map(title_of, names)]
    base = [found.control, *(number(found.value(found.control, m)) for m in names)]
    table = [base, *rows(found, names)]
    told = "".join(f"<li>{html.escape(text)}</li>" for text in sentences(found))
    title = html.escape(f"{', '.join(found.treatments)} against {found.control}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><ul>{told}</ul>"
        f"{_html_table(heads, table)}<p>{html.escape(_CAPTION)}.</p>{_curves(found)}"
        "</html>\n"
    )


_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:120em}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{padding:.3em .7em;border-bottom:1px solid #ddd;text-align:right;"
    "white-space:nowrap}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%}"
)


def _html_table(heads: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    lines = [
        "".join(f"<th>{html.escape(head)}</th>" for head in heads),
        *("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in table),
    ]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _curves(found: Experiment) -> str:
    if not figures.is_possible():
        return ""
    from pipeline.experiment.plot import draw

    data = base64.b64encode(figures.png(draw(found))).decode()
    return f'<img alt="Effects by day" src="data:image/png;base64,{data}">'

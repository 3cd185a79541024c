"""An estimate as tables, sentences and plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from pipeline.fusion_search.estimate import VALUE, FusionEstimate, OrderEstimate
from pipeline.fusion_search.judging import is_known
from pipeline.reporting.intervals import LEVEL, Gain
from pipeline.reporting.tables import markdown_table, new_table, number

_HEADS = ("mean of", "random", "against", "found", "change")


def sentences(found: FusionEstimate) -> list[str]:
    """The verdict, and what it rests on."""
    said = [
        f"Where videos are drawn at random: {found.verdict}. Value "
        f"{number(found.found.snips[VALUE].mean)} an impression, against "
        f"{number(found.against.snips[VALUE].mean)}: {_change(found, VALUE)} "
        f"({LEVEL:.0%} interval over {found.users:,} users).",
        f"{found.rows:,} random impressions of {', '.join(found.days)}, "
        f"{found.items:,} different videos. Effective sample size: "
        f"{_size(found.found)}, against {_size(found.against)}.",
        f"By replay: {_change(found, VALUE, found.replayed)}, of "
        f"{found.found.matched:,.0f} and {found.against.matched:,.0f} impressions that "
        "the two orders would have shown.",
        f"The policy: {found.candidates} candidates drawn as the random ones are, the "
        "first by the score shown. What users see around it stays as it was: neither "
        "what the order does to the rest of a trail nor to returning is estimated.",
    ]
    if found.paired:
        said.append(
            f"Left out of all candidates: {', '.join(found.paired)}, known only of "
            "what was logged."
        )
    if found.trained_days:
        said.append(
            f"The model was trained on {', '.join(found.trained_days)}: it predicts "
            "these days better than new ones."
        )
    return said


def table(found: FusionEstimate) -> Table:
    """For a console."""
    made = new_table(
        "Means of an impression, by inverse propensities",
        _HEADS,
        caption=f"In brackets: {LEVEL:.0%} intervals over users.",
    )
    for row in _rows(found):
        made.add_row(*row)
    return made


def markdown(found: FusionEstimate) -> str:
    """The same for a page."""
    said = "\n".join(f"- {sentence}" for sentence in sentences(found))
    return f"{said}\n\n{markdown_table(_HEADS, _rows(found))}"


def summary(found: FusionEstimate) -> dict[str, Any]:
    """As plain JSON values."""
    values = dataclasses.asdict(found)
    for side in ("found", "against"):
        del values[side]["fusion"]
    return {**values, "verdict": found.verdict, "in_words": sentences(found)}


def _rows(found: FusionEstimate) -> list[list[str]]:
    return [
        [
            name,
            number(found.shown[name].mean),
            number(found.against.snips[name].mean),
            number(found.found.snips[name].mean),
            _change(found, name),
        ]
        for name in found.change
    ]


def _change(
    found: FusionEstimate, name: str, changes: Mapping[str, Gain] | None = None
) -> str:
    change = (changes or found.change)[name]
    if not found.is_known(name):
        return "too few"
    if name == VALUE:
        return _gain(change)
    if not is_known(change):
        return "too few"
    return f"{change.mean:+.1%} ({change.low:+.1%} to {change.high:+.1%})"


def _gain(gain: Gain) -> str:
    if not gain.has_interval:
        return number(gain.mean, missing="-")
    return f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def _size(order: OrderEstimate) -> str:
    return f"{order.ess:,.0f} impressions of {order.ess_users:,.0f} users"

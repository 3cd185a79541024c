"""A search -> the section to paste, the spec with it, a page and JSON."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import yaml
from rich.table import Table

from feature_specs import SpecError, read_spec, views
from pipeline.fusion_search import estimate_report
from pipeline.fusion_search.judging import is_known
from pipeline.fusion_search.pareto import Front
from pipeline.fusion_search.result import BETTER, FusionSearch, Judgement
from pipeline.reporting.files import to_json
from pipeline.reporting.intervals import LEVEL, Gain
from pipeline.reporting.tables import markdown_table, new_table, number

_SECTION = re.compile(r"^fusion:.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_HEADS = ("weight of", "default", "found")
_RATES = ("rate of", "default", "found", "change")


def files(found: FusionSearch) -> dict[str, bytes]:
    """Name -> content of all files but figures."""
    return {
        "fusion.yaml": section(found).encode(),
        "spec.yaml": spec_text(found).encode(),
        "report.md": page(found).encode(),
        "search.json": to_json(summary(found)),
    }


def section(found: FusionSearch) -> str:
    """The `fusion` section of the spec."""
    fusion = views.values(found.spec, views.EVERYTHING)["fusion"]
    return yaml.safe_dump({"fusion": fusion}, sort_keys=False, allow_unicode=True)


def spec_text(found: FusionSearch) -> str:
    """The run's spec with the section in place, as it was written where that can be."""
    text = _SECTION.sub(lambda _: section(found) + "\n", found.spec.text, count=1)
    try:
        if views.digest(read_spec(text)) == views.digest(found.spec):
            return text
    except SpecError:  # the section has another form, such as an anchor's
        pass
    return views.written(found.spec)


def sentences(found: FusionSearch) -> list[str]:
    """The verdict, and what it rests on."""
    value = found.judged.value
    said = [
        f"On rows not searched: {found.verdict}. NDCG@{found.k} {number(value.found)}, "
        f"with the default weights {number(value.default)}: {_gain(value.change)} "
        f"({LEVEL:.0%} interval over {found.judged.users:,} users).",
        f"On the rows searched: {number(found.searched.value.found)} and "
        f"{number(found.searched.value.default)}. There the found weights were chosen, "
        "so that their lead is too large.",
        _guard(found),
    ]
    if found.verdict != BETTER:
        said.append("Keep the default weights, or search more days.")
    if found.trained_days:
        said.append(
            f"The model was trained on {', '.join(found.trained_days)}: it predicts "
            "these days better than new ones."
        )
    if found.scale_free:
        said.append(
            "A multiple of all weights is the same order. The sum of their sizes is "
            "kept at the default's."
        )
    return [*said, *_by_partition(found), *_kept(found)]


def _guard(found: FusionSearch) -> str:
    days = ", ".join(found.searched_days)
    if found.by_users:
        return (
            f"Searched on half of the users of {days}, judged on the other half: the "
            "same day, which is the weaker guard. With two evaluation days the last "
            "one judges."
        )
    return (
        f"Searched on half of the users, {days}, judged on the other half, "
        f"{', '.join(found.judged_days)}: neither these users nor the day were seen."
    )


def _by_partition(found: FusionSearch) -> Iterator[str]:
    """Whose weights are their own, and what that is worth."""
    parted = found.parted
    if parted is None:
        return
    for name, why in parted.kept.items():
        yield f"{parted.facet} {name} keeps the common weights: {why}."
    if parted.own:
        yield (
            f"By {parted.facet}, NDCG@{found.k} is {_gain(parted.change)} more than "
            "with the common weights found, on the rows not searched. Where that is "
            "not above 0, leave --by out."
        )


def _kept(found: FusionSearch) -> Iterator[str]:
    """What each constraint came to on the rows not searched."""
    for text in found.constraints:
        task = text.partition(" ")[0]
        on_searched = found.searched.rates[task].change.mean
        yield (
            f"Constraint {text}: {on_searched:+.1%} where searched, "
            f"{_share(found.judged.rates[task].change)} where judged."
        )


def page(found: FusionSearch) -> str:
    """The report in Markdown."""
    parts = [
        f"# Weights of the fused score: {found.verdict}\n",
        "\n".join(f"- {sentence}" for sentence in sentences(found)) + "\n",
        markdown_table(_heads(found), list(_weights(found))),
        f"Discounted rates among the first {found.k}, on rows not searched:\n",
        markdown_table(_RATES, list(_rates(found))),
    ]
    if found.estimate is not None:
        title = "Under random exposure, the same days and users that judge:\n"
        parts += [title, estimate_report.markdown(found.estimate)]
    elif found.no_estimate:
        parts.append(f"No estimate by random exposure. {found.no_estimate}\n")
    if found.front is not None:
        names = [*found.front.tasks, *found.default]
        parts += [_front_text(found.front), markdown_table(names, _front_rows(found))]
    return "\n".join([*parts, method(found)])


def method(found: FusionSearch) -> str:
    """How the figures were made, in one paragraph."""
    gains = f"utility {found.utility!r}" if found.utility else "gains of the evaluation"
    return (
        f"Method: the mean over groups ({found.by}) of NDCG@{found.k} of the {gains}; "
        "groups whose gains are all the same do not count; in a group with a utility "
        "below 0 all are raised by the lowest. A rate is the sum of labels over the "
        "number of rows in the task's sample space among the first k, both discounted "
        f"by 1 / log2(1 + place). {found.trials:,} weights tried by CMA-ES from the "
        f"default, seed {found.seed}. Intervals: delta method over users, Student's t; "
        "each by itself. Users answered to the order that was shown: what an order "
        "would bring is for a live experiment to say.\n"
    )


def tables(found: FusionSearch) -> list[Table]:
    """Weights and rates, for a console."""
    weights = new_table("Weights", _heads(found))
    rates = new_table(
        f"Discounted rates among the first {found.k}, on rows not searched",
        _RATES,
        caption=f"In brackets: {LEVEL:.0%} intervals over users.",
    )
    for weight in _weights(found):
        weights.add_row(*weight)
    for rate in _rates(found):
        rates.add_row(*rate)
    return [weights, rates]


def _heads(found: FusionSearch) -> list[str]:
    own = found.parted.own if found.parted else {}
    return [*_HEADS, *own]


def _weights(found: FusionSearch) -> Iterator[list[str]]:
    own = found.parted.own if found.parted else {}
    for name, weight in found.found.items():
        each = (found.default[name], weight, *(by[name] for by in own.values()))
        yield [name, *(f"{one:g}" for one in each)]


def _rates(found: FusionSearch) -> Iterator[tuple[str, str, str, str]]:
    for name, rate in found.judged.rates.items():
        yield name, number(rate.default), number(rate.found), _share(rate.change)


def _front_text(front: Front) -> str:
    more = {1.0: "more", -1.0: "less"}
    ways = ", ".join(
        f"{more[float(way)]} {task}"
        for task, way in zip(front.tasks, front.directions, strict=True)
    )
    return (
        f"The front of {len(front.rates):,} weights tried ({ways}), rates on the rows "
        "searched; the knee has a star:\n"
    )


def _front_rows(found: FusionSearch) -> list[list[str]]:
    front, rows = found.front, []
    assert front is not None
    for place in front.members:
        star = "*" if place == front.knee else ""
        rates = [number(float(rate)) for rate in front.rates[place]]
        weights = [f"{weight:.3g}" for weight in front.weights[place]]
        rows.append([rates[0] + star, *rates[1:], *weights])
    return rows


def _gain(gain: Gain) -> str:
    if not gain.has_interval:
        return number(gain.mean, missing="-")
    return f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def _share(gain: Gain) -> str:
    if math.isnan(gain.mean):
        return "-"
    if not gain.has_interval:
        return f"{gain.mean:+.1%}"
    if not is_known(gain):
        return "too few"
    return f"{gain.mean:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"


# --- for programs ---------------------------------------------------------------------


def summary(found: FusionSearch) -> dict[str, Any]:
    """The search as plain JSON values."""
    left = ("spec", "searched", "judged", "front", "estimate", "parted")
    values = {
        field.name: getattr(found, field.name)
        for field in dataclasses.fields(found)
        if field.name not in left
    }
    return {
        "spec": found.spec.name,
        "spec_digest": views.digest(found.spec),
        **values,
        "verdict": found.verdict,
        "searched": _judgement(found.searched),
        "judged": _judgement(found.judged),
        "front": _front(found.front),
        "parted": dataclasses.asdict(found.parted) if found.parted else None,
        "estimate": estimate_report.summary(found.estimate) if found.estimate else None,
        "in_words": sentences(found),
        "method": method(found),
    }


def _judgement(found: Judgement) -> dict[str, Any]:
    return dataclasses.asdict(found)


def _front(front: Front | None) -> dict[str, Any] | None:
    if front is None:
        return None
    return {
        "tasks": front.tasks,
        "directions": front.directions,
        "knee": int(np.flatnonzero(front.members == front.knee)[0]),
        "weights": front.weights[front.members],
        "rates": front.rates[front.members],
    }

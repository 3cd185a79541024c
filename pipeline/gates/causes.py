"""What a finding looks like, in words, and what several have in common."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from feature_specs import Spec, expressions, label_key, mask_key
from feature_specs.past import (
    HISTORY,
    TRAIL_COLUMNS,
    TRAIL_LAST,
    CounterSpec,
    QuantileSpec,
    StatisticSpec,
)
from pipeline.gates import levels
from pipeline.reporting.tables import percent

_LONGEST = 24  # characters of a value
_FEWEST = 2  # findings that may have something in common
_MOST_SHOWN = 3


def number(value: float) -> str:
    """A number of any size, for people."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"


def empty(share: float) -> str:
    """No row has a value."""
    return f"no row has a value; {percent(1 - share, 1)} had one before"


def constant(value: Any) -> str:
    """All rows have one value."""
    return f"every row has the value {_short(value)}"


def always(share: float) -> str:
    """A label is the same in all rows."""
    return "it never happens" if not share else "it always happens"


def flipped(usual: float) -> str:
    """0 and 1 are exchanged."""
    return f"0 and 1 look exchanged: one minus this is about the {number(usual)} before"


def mix(moved: Iterable[tuple[Any, float, float]], pair: tuple[Any, Any] | None) -> str:
    """Which values moved."""
    told = ", ".join(
        f"{_short(value)} {percent(now)} (was {percent(before)})"
        for value, now, before in moved
    )
    if pair is None:
        return told
    return f"{_short(pair[0])} and {_short(pair[1])} look exchanged: {told}"


def gap(now: Sequence[float], before: Sequence[float]) -> str:
    """Which quantiles moved: 10, 50 and 90 %."""
    shown = (0, len(now) // 2, -1)
    is_now, was = (" / ".join(number(q[p]) for p in shown) for q in (now, before))
    return f"10 / 50 / 90 % are {is_now} (were {was})"


def unseen(values: Sequence[Any]) -> str:
    """The most frequent of them."""
    told = ", ".join(_short(value) for value in values[:_MOST_SHOWN])
    more = len(values) - _MOST_SHOWN
    return f"no day before has {told}" + (f" and {more:,} more" if more > 0 else "")


def moved(measure: str, value: float, expected: float) -> str:
    """By which factor, or by how much."""
    if measure == levels.MISSING_SHARE:
        less = "more" if value > expected else "fewer"
        return f"{less} rows without a value"
    if measure == levels.ROWS and value < expected:
        return f"{percent(1 - value / expected)} of the rows are not there"
    if measure == levels.REJECTS:
        return "unreadable rows: the report of the examples says why"
    if expected > 0 and value > 0:
        factor = value / expected
        often = f"{factor:.3g}" if factor >= 1 else f"1/{1 / factor:.3g}"
        return f"{often} times what it was"
    much = number(abs(value - expected))
    return f"{much} {'more' if value > expected else 'less'} than it was"


# --- what findings have in common -----------------------------------------------------


def common_source(spec: Spec, found: Collection[str], judged: Collection[str]) -> str:
    """The log column that most of the findings read, a sentence; "" if there is none.

    Args:
        spec: Says what each column is made of.
        found: Columns of the examples that stand out.
        judged: All columns that were compared.
    """
    if len(found) < _FEWEST:
        return ""
    read = {column: sources(spec, column) for column in judged}
    hits: collections.Counter[str] = collections.Counter()
    readers: collections.Counter[str] = collections.Counter()
    for column, names in read.items():
        readers.update(names)
        if column in found:
            hits.update(names)
    if not hits:
        return ""
    # What most findings read, and few columns beside them.
    best = min(hits, key=lambda name: (-(hits[name] ** 2) / readers[name], name))
    if hits[best] < _FEWEST or 2 * hits[best] < len(found):
        return ""
    return (
        f"{hits[best]} of the {len(found)} columns that moved read `{best}`, as "
        f"{_others(readers[best] - hits[best])}."
    )


def sources(spec: Spec, column: str) -> set[str]:
    """The columns of the log and its joins that a column of the examples is made of."""
    texts = {f.name: f.expr or f'"{f.name}"' for f in spec.features}
    for task in spec.tasks:
        texts[label_key(task.name)] = task.label
        texts[mask_key(task.name)] = task.sample_space
    found: set[str] = set()
    seen: set[str] = set()
    todo = _names(texts.get(column, ""))
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        inside = _inside(spec, name)
        found |= {name} if inside is None else set()
        todo |= inside or set()
    return found


def _inside(spec: Spec, name: str) -> set[str] | None:
    """What a column that is made of others reads; None for one of the files."""
    if name in spec.derived:
        return _names(spec.derived[name])
    made: tuple[CounterSpec | StatisticSpec | QuantileSpec, ...]
    made = (*spec.counters, *spec.statistics, *spec.quantiles)
    for entry in made:
        if entry.name == name:
            texts = [getattr(entry, key, "") for key in ("match", "where", "by")]
            return set().union(*map(_names, [*texts, entry.value]))
    if name in TRAIL_COLUMNS or name.startswith((HISTORY, TRAIL_LAST)):
        return set()  # of many columns, and of which rows there are
    return None


def _names(text: str) -> set[str]:
    return expressions.columns_of(text) if text else set()


def _others(count: int) -> str:
    if not count:
        return "no other does"
    return f"{count} other{'s do' if count > 1 else ' does'}"


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, (int, float)) else repr(value)
    if value == "all others":
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

"""How large what a spec or a preset describes may be, told with the memory it takes.

Ceilings of single numbers stand at their fields (`fields.py`); here is what several
say together. All lie far above what has been found useful: they are there for the
slip of a finger, and for files of unknown origin.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from feature_specs.build import Problems, SpecError
from feature_specs.model import ModelConfig, SwitcherConfig
from feature_specs.spec import TableSpec

_MOST_ENTRIES = {
    "features": 5_000,
    "tasks": 200,
    "tables": 1_000,
    "counters": 1_000,
    "statistics": 1_000,
    "quantiles": 100,
    "derived": 2_000,
    "facets": 20,
    "histories": 100,
}
_MOST_OF_LOG = {"columns": 10_000, "outcomes": 10_000, "joins": 100, "header": 10_000}
_FLOAT_BYTES = 4
MOST_TABLE_BYTES = 10**12  # the memory of the largest shipped slice
MOST_DENSE_BYTES = 40 * 10**9  # what one chip's memory may hold, and more


def check_entries(raw: dict[str, Any], source: str) -> None:
    """SpecError if a section has more entries than can be meant; none is read then."""
    log = raw.get("log")
    counted = [(key, raw.get(key), most) for key, most in _MOST_ENTRIES.items()]
    if isinstance(log, dict):
        counted += [(f"log.{k}", log.get(k), most) for k, most in _MOST_OF_LOG.items()]
    problems = Problems(source)
    for path, value, most in counted:
        if isinstance(value, (list, dict)) and len(value) > most:
            problems.add(path, f"may have {most:,} entries, and has {len(value):,}.")
    if problems.found:
        raise SpecError(source, problems.found)


def check_tables(tables: dict[str, TableSpec], problems: Problems) -> None:
    """That the embedding tables fit the memory of the largest machines."""
    sizes = {t.name: t.buckets * t.width * _FLOAT_BYTES for t in tables.values()}
    most = f"at most {bytes_as_text(MOST_TABLE_BYTES)} in all"
    for name, size in sizes.items():
        if size > MOST_TABLE_BYTES:
            rows = f"{tables[name].buckets:,} rows x {tables[name].width:,} floats"
            rule = f"{rows} take {bytes_as_text(size)}; {most}. Take fewer buckets, or"
            problems.add(f"tables.{name}", f"{rule} a smaller dim.")
    if sum(sizes.values()) > MOST_TABLE_BYTES >= max(sizes.values()):
        taken = bytes_as_text(sum(sizes.values()))
        rule = f"take {taken}; {most}. Take fewer buckets, or a smaller dim."
        problems.add("tables", rule)


def check_weights(config: ModelConfig, problems: Problems) -> None:
    """That a preset's weights, apart from those of its inputs, fit a chip's memory."""
    unified = config.unified
    size = unified.buckets * unified.dim * unified.tables * _FLOAT_BYTES
    if size > MOST_TABLE_BYTES:
        rule = f"take {bytes_as_text(size)}; at most {bytes_as_text(MOST_TABLE_BYTES)}."
        problems.add("unified", rule + " Take fewer buckets or tables.")
    stacks = [("bottom", config.bottom), ("tower", config.tower)]
    stacks += [("trail.units", config.trail.units), ("bias.units", config.bias.units)]
    sizes = [(path, _weights(units)) for path, units in stacks]
    sizes.append(("switcher", _switcher_weights(config.switcher)))
    levels = enumerate(config.structure.levels)
    sizes += [(f"structure.levels[{i}]", _switcher_weights(s)) for i, s in levels]
    for path, weights in sizes:
        if weights * _FLOAT_BYTES > MOST_DENSE_BYTES:
            taken = bytes_as_text(weights * _FLOAT_BYTES)
            most = bytes_as_text(MOST_DENSE_BYTES)
            problems.add(path, f"takes up to {taken}; at most {most}. Take fewer.")


def _switcher_weights(switcher: SwitcherConfig) -> int:
    """If its kind has experts and levels; a level reads the one below it."""
    units = switcher.units
    again = units[:1] if switcher.levels > 1 else ()
    return switcher.experts * switcher.levels * _weights((*units, *again))


def _weights(units: Sequence[int]) -> int:
    return sum(a * b for a, b in itertools.pairwise(units))


def bytes_as_text(size: int) -> str:
    """A number of bytes for people: `35.2 TB`."""
    left = float(size)
    for unit in _UNITS:
        if left < 1000:
            return f"{left:.3g} {unit}"
        left /= 1000
    return f"{left:,.0f} EB"


_UNITS: Iterable[str] = ("bytes", "kB", "MB", "GB", "TB", "PB")

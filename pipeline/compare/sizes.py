"""How large a ranker is, and the same ranker with another size."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

from feature_specs import ModelConfig, Spec
from feature_specs.model import StructureConfig, SwitcherConfig

MATCHED = 0.05  # a match that is off by more is told

_STEP = 4  # widths stay multiples of it
_WIDEST = 8192  # where the search for a wider preset ends

Count = Callable[[ModelConfig], int]


def count_weights(spec: Spec, config: ModelConfig) -> int:
    """Trainable weights of a ranker outside its embedding tables, by building it."""
    from trainer.model.ranker import Ranker

    means = {task.name: 0.5 for task in spec.tasks}
    ranker = Ranker(_with_small_tables(spec), config, means)
    return sum(variable.shape.num_elements() for variable in ranker.dense_variables)


def remembering(count: Count) -> Count:
    """The same numbers; each preset is built once, however often it is asked for."""
    known: dict[str, int] = {}

    def counted(config: ModelConfig) -> int:
        key = repr(config)
        if key not in known:
            known[key] = count(config)
        return known[key]

    return counted


def match_size(config: ModelConfig, target: int, count: Count) -> ModelConfig:
    """The preset with its sharing part scaled until `count` is nearest to `target`.

    Scaled are `switcher.units` of `flat`, and `structure.levels[*].units`, `node` and
    `nodes` of the other structures; bottom, towers and numbers of experts stay. Widths
    become multiples of 4, those of `sluice` of its subspaces too. A `single` preset has
    no sharing part and comes back as it is.

    Args:
        config: The preset.
        target: Wanted number.
        count: Number of a preset, which may be asked for again (`remembering`); must
            not fall when a width grows.
    """
    if not _widths(config) or count(config) == target:
        return config
    low, high = _bracket(config, target, count)
    rungs = _rungs(config, low, high)
    first, last = 0, len(rungs) - 1
    while last - first > 1:  # the target lies between the two
        middle = (first + last) // 2
        if count(scaled(config, rungs[middle])) < target:
            first = middle
        else:
            last = middle
    candidates = [config, scaled(config, rungs[first]), scaled(config, rungs[last])]
    return min(candidates, key=lambda candidate: abs(count(candidate) - target))


def scaled(config: ModelConfig, factor: float) -> ModelConfig:
    """The preset with the widths of its sharing part times `factor`, rounded."""
    structure = config.structure
    if structure.of_kind.apart:
        return config
    if structure.of_kind.nested:
        scaled_structure = _scaled_structure(structure, factor)
        return dataclasses.replace(config, structure=scaled_structure)
    switcher = _scaled_switcher(config.switcher, factor)
    return dataclasses.replace(config, switcher=switcher)


def sharing_widths(config: ModelConfig) -> str:
    """The widths that `scaled` changes, for people; empty for `single`."""
    structure = config.structure
    if structure.of_kind.apart:
        return ""
    if not structure.of_kind.nested:
        return _joined(config.switcher.units)
    levels = " / ".join(_joined(level.units) for level in structure.levels)
    return f"{levels} / node {_joined(structure.node)}" if structure.node else levels


def _joined(units: tuple[int, ...]) -> str:
    return "-".join(map(str, units)) or "none"


def _scaled_switcher(switcher: SwitcherConfig, factor: float) -> SwitcherConfig:
    step = _step(switcher)
    units = tuple(_rounded(width * factor, step) for width in switcher.units)
    return dataclasses.replace(switcher, units=units)


def _scaled_structure(structure: StructureConfig, factor: float) -> StructureConfig:
    def node(units: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(_rounded(width * factor, _STEP) for width in units)

    return dataclasses.replace(
        structure,
        levels=tuple(_scaled_switcher(level, factor) for level in structure.levels),
        node=node(structure.node),
        nodes={code: node(units) for code, units in structure.nodes.items()},
    )


def _step(switcher: SwitcherConfig) -> int:
    return math.lcm(_STEP, switcher.subspaces if switcher.of_kind.in_subspaces else 1)


def _rounded(width: float, step: int) -> int:
    return max(step, step * round(width / step))


def _widths(config: ModelConfig) -> list[tuple[int, int]]:
    """(width, the step it is rounded to) of all that `scaled` changes."""
    structure = config.structure
    if structure.of_kind.apart:
        return []
    if not structure.of_kind.nested:
        return [(width, _step(config.switcher)) for width in config.switcher.units]
    nodes = [structure.node, *structure.nodes.values()]
    return [
        *((w, _step(level)) for level in structure.levels for w in level.units),
        *((width, _STEP) for units in nodes for width in units),
    ]


def _bracket(config: ModelConfig, target: int, count: Count) -> tuple[float, float]:
    """Two factors with the target's between them, as far as there is one."""
    low = high = 1.0
    while count(scaled(config, low)) > target:
        if scaled(config, low / 2) == scaled(config, low):
            break  # as narrow as it goes
        low /= 2
    widest = max(width for width, _ in _widths(config))
    while count(scaled(config, high)) < target and widest * high < _WIDEST:
        high *= 2
    return low, high


def _rungs(config: ModelConfig, low: float, high: float) -> list[float]:
    """One factor for each preset that `scaled` gives from `low` to `high`, in order."""
    breaks = {low, high}
    for width, step in _widths(config):
        begin, end = int(low * width / step), int(high * width / step) + 1
        halves = ((rung + 0.5) * step / width for rung in range(begin, end + 1))
        breaks.update(half for half in halves if low < half < high)
    ordered = sorted(breaks)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(ordered)]
    return [low, *middles, high]


def _with_small_tables(spec: Spec) -> Spec:
    """The spec with tables of two rows, as wide as they were: large ones take time."""
    tables = {
        name: dataclasses.replace(table, buckets=2, dim=table.width)
        for name, table in spec.tables.items()
    }
    return dataclasses.replace(spec, tables=tables)

"""Tables larger than this machine's memory: lowered small, compiled at full size.

TensorFlow lowers a step only with its variables in memory. A table's number of rows
shows nowhere but in shapes, so that a table of a few thousand rows, of a number that
nothing else has, can stand for one of millions until the program is text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from feature_specs import ModelConfig, Spec

# Tables up to 4096 rows are treated otherwise (`trainer.model.embeddings.SMALL_ROWS`).
_FIRST_ROWS = 5003
# Weights and slots above this are not made: lowering would only fill memory.
_LARGEST_GIB = 1.0
_COPIES = 2  # a table and its Adagrad slot
_BYTES = 4


class StandIns(NamedTuple):
    """A spec and a preset whose tables are small.

    Attributes:
        spec: With small tables, or as it was.
        config: The same for unified tables.
        resize: Rows of a stand-in -> rows of the table it stands for.
    """

    spec: Spec
    config: ModelConfig
    resize: dict[int, int]


def stand_in(
    spec: Spec, config: ModelConfig, largest_gib: float = _LARGEST_GIB
) -> StandIns:
    """Small tables for large ones, if all together are larger than `largest_gib`."""
    if _table_bytes(spec, config) <= largest_gib * 2**30:
        return StandIns(spec, config, {})
    rows = {t.buckets for t in spec.tables.values()} | {config.unified.buckets}
    large = sorted(r for r in rows if r > 2 * _FIRST_ROWS)
    small = dict(zip(large, _unused(spec, config), strict=False))
    tables = {
        name: dataclasses.replace(
            table, buckets=small.get(table.buckets, table.buckets), dim=table.width
        )
        for name, table in spec.tables.items()
    }
    unified = dataclasses.replace(
        config.unified,
        buckets=small.get(config.unified.buckets, config.unified.buckets),
    )
    return StandIns(
        dataclasses.replace(spec, tables=tables),
        dataclasses.replace(config, unified=unified),
        {stand: true for true, stand in small.items()},
    )


def _table_bytes(spec: Spec, config: ModelConfig) -> int:
    """Of all large tables and their slots."""
    unified = config.unified
    if unified.buckets:
        cells = unified.buckets * unified.dim * unified.tables
    else:
        cells = sum(t.buckets * t.width for t in spec.tables.values())
    return cells * _BYTES * _COPIES


def _unused(spec: Spec, config: ModelConfig) -> Iterator[int]:
    """Primes that no width, length or table of the model is."""
    taken = {t.buckets for t in spec.tables.values()} | {config.unified.buckets}
    for number in itertools.count(_FIRST_ROWS, 2):
        if number not in taken and all(number % d for d in range(3, 80, 2)):
            yield number

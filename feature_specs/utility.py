"""What an impression is worth: an SQL expression over the labels of tasks.

    watch_seconds + 20 * like + 60 * share - 30 * hate

A task's name stands for its label; outside the task's sample space that is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from feature_specs import expressions


def mistake_in(text: str, tasks: Sequence[str]) -> str:
    """What is wrong with a utility of tasks with these names; "" if nothing is."""
    try:
        used = expressions.columns_of(text)
        if unknown := sorted(used - set(tasks)):
            return (
                f"names {', '.join(unknown)}, which is no task; the tasks are "
                f"{', '.join(tasks)}"
            )
        schema: dict[str, pl.DataType] = {name: pl.Float64() for name in tasks}
        found = expressions.type_of(text, expressions.sample_rows(schema))
    except ValueError as error:  # it is no expression, or mixes rows
        return str(error)
    if not found.is_numeric() and found != pl.Boolean:
        return f"gives {found}; it must give a number"
    return "" if used else "names no task; each row would be worth the same"

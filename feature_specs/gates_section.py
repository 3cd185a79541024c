"""Reads and checks the section `data_gates`."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs.build import closest
from feature_specs.gates import DAY_MEASURES, DataGatesSpec
from feature_specs.reading import Reading
from feature_specs.spec import FeatureSpec, TaskSpec, label_key, mask_key


def read_data_gates(
    reading: Reading, features: Sequence[FeatureSpec], tasks: Sequence[TaskSpec]
) -> DataGatesSpec:
    """The gates' limits; the defaults where nothing, or nothing right, is said."""
    gates: DataGatesSpec | None = reading.section(DataGatesSpec, "data_gates")
    if gates is None:
        return DataGatesSpec()
    if gates.min_days > gates.window:
        rule = f"must be at most window, which is {gates.window}."
        reading.problems.add("data_gates.min_days", rule, gates.min_days)
    if len(gates.rows_ratio) == 2 and not gates.rows_ratio[0] < 1 < gates.rows_ratio[1]:
        rule = "must have 1 between them: a day like the days before it passes."
        reading.problems.add("data_gates.rows_ratio", rule, list(gates.rows_ratio))
    _check_names(reading, gates, features, tasks)
    return gates


def _check_names(
    reading: Reading,
    gates: DataGatesSpec,
    features: Sequence[FeatureSpec],
    tasks: Sequence[TaskSpec],
) -> None:
    """That every name is a column of the examples; broken entries are known as well."""
    named = {*reading.entry_names("features"), *(f.name for f in features)}
    of_tasks = {*reading.entry_names("tasks"), *(t.name for t in tasks)}
    columns = named | {key(t) for t in of_tasks for key in (label_key, mask_key)}
    places = [(f"data_gates.columns.{name}", name, columns) for name in gates.columns]
    places += [
        (f"data_gates.not_judged[{index}]", name, columns | {*DAY_MEASURES})
        for index, name in enumerate(gates.not_judged)
    ]
    for path, name, known in places:
        if name in of_tasks and name not in known:
            rule = f"is a task; its label is called {label_key(name)} in the examples."
            reading.problems.add(path, rule, name)
        elif name not in known:
            rule = f"must be a column of the examples.{closest(name, sorted(known))}"
            reading.problems.add(path, rule, name)

"""Checks `seconds` of tasks: a predicted rank that is served as seconds, too."""

from __future__ import annotations

import polars as pl

from feature_specs import missing
from feature_specs.build import closest
from feature_specs.past import QuantileSpec
from feature_specs.past_section import Past
from feature_specs.reading import Reading, names_of
from feature_specs.spec import FeatureSpec, SecondsSpec, TaskSpec

# Of every column that is read, to see whether two expressions are one: small and large.
_TRIED = (0, 1, 3, 60, 127, 7_000, 123_457, 98_765_432)
_ALIKE = 1e-9


def check_seconds(
    reading: Reading,
    past: Past,
    features: list[FeatureSpec],
    tasks: list[tuple[str, TaskSpec]],
) -> None:
    """That all ranks of tasks with `seconds` can be turned back for a candidate.

    Args:
        reading: Of the file.
        past: Its quantiles.
        features: Of the spec.
        tasks: Key path and task.
    """
    names = reading.entry_names("tasks")
    for path, task in tasks:
        if task.seconds is None:
            continue
        output = task.outputs[-1]
        if output in names:
            rule = f"is served as {output}, which is a task's name already; rename it."
            reading.problems.add(f"{path}.seconds", rule)
        if task.of_kind.is_probability:
            rule = "is for regressions of a quantile; remove it, or change kind."
            reading.problems.add(f"{path}.seconds", rule)
            continue
        quantile = _quantile(reading, past, path, task)
        if quantile is not None:
            _check_feature(
                reading, past, features, f"{path}.seconds", task.seconds, quantile
            )


def _quantile(
    reading: Reading, past: Past, path: str, task: TaskSpec
) -> QuantileSpec | None:
    """The quantile that the label is, as it stands; None and a problem without."""
    by_name = {quantile.name: quantile for quantile in past.quantiles}
    column = task.label_column
    known = reading.entry_names("quantiles")
    if column in known:
        return by_name.get(column)  # None: its own mistake is told
    rule = (
        "must be the column of a quantile, as it stands, for its ranks to be turned "
        f"back into `seconds`. Quantiles: {', '.join(known) or 'none'}."
    )
    reading.problems.add(f"{path}.label", rule, task.label)
    return None


def _check_feature(
    reading: Reading,
    past: Past,
    features: list[FeatureSpec],
    path: str,
    seconds: SecondsSpec,
    quantile: QuantileSpec,
) -> None:
    """The feature tells the group of each candidate."""
    if not quantile.by:
        if seconds.feature:
            rule = f"has no use: quantile {quantile.name!r} has no `by`; remove it."
            reading.problems.add(f"{path}.feature", rule, seconds.feature)
        return
    fitting = {
        f.name: f for f in features if f.of_kind.may_be_length and f.group != "trail"
    }
    broken = set(reading.entry_names("features")) - {f.name for f in features}
    if seconds.feature in broken:
        return
    if seconds.feature not in fitting:
        rule = (
            f"must be a served feature of kind number that holds {quantile.by!r}, by "
            f"which quantile {quantile.name!r} sorts rows into groups."
            f"{closest(seconds.feature, list(fitting))}"
        )
        reading.problems.add(f"{path}.feature", rule, seconds.feature)
        return
    feature = fitting[seconds.feature]
    read = names_of(feature.expr) | names_of(quantile.by)
    if not read <= set(past.scope.types) or seconds.factor <= 0:
        return  # which is told where it is read
    if not _is_multiple(past, feature.expr, seconds.factor, quantile.by):
        rule = (
            f"times {seconds.factor:g} must be {quantile.by}, by which quantile "
            f"{quantile.name!r} sorts rows into groups, and this one is "
            f"{feature.expr}. Mend factor, or name another feature."
        )
        reading.problems.add(f"{path}.feature", rule, seconds.feature)


def _is_multiple(past: Past, text: str, factor: float, wanted: str) -> bool:
    """Whether `text` times `factor` is `wanted`, in rows of made-up values."""
    names = names_of(text)
    if names != names_of(wanted):
        return False
    try:
        rows = pl.DataFrame(
            [
                pl.Series(name, _TRIED).cast(past.scope.types[name], strict=False)
                for name in sorted(names)
            ]
        )
        found = missing.compute(rows, {"own": text, "wanted": wanted})
        own = found["own"].cast(pl.Float64) * factor
        other = found["wanted"].cast(pl.Float64)
    except pl.exceptions.PolarsError:
        return False
    far = (own - other).abs() > _ALIKE * (1 + other.abs())
    known = own.is_not_null() & other.is_not_null()
    alike = (own.is_null() == other.is_null()).all()
    return bool(alike and known.any() and not (far & known).any())

"""The shadow beside what was answered, and the canary's requests beside others.

A shadow's comparisons are of the same candidates of the same requests; a canary's are
of requests of other users, so that they show what users do, and need more of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.reporting.metrics import auc
from serving.compare_logs.logged import LABEL, Logged
from serving.compare_logs.measures import (
    Estimate,
    change,
    kendall,
    mean,
    nearest_rank,
    overlap,
    ratio,
    spearman,
    stability_index,
)
from serving.server.sample_log import CANARY, CONTROL, SERVED, SHADOW, SHADOWED

PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "max": 1000}
_QUANTILES = {"p5": 0.05, "p50": 0.5, "p95": 0.95}
_MOST_ERRORS = 10  # kinds that are told
_Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Sum of predictions over sum of labels, of candidates whose outcome is known.

    Attributes:
        rows: Candidates.
        rate: Mean label.
        served: Of the version that answered.
        shadow: Of the shadow; None without one.
        served_auc: Of labels 0 and 1; NaN of others, or where all are alike.
        shadow_auc: Likewise.
    """

    rows: int
    rate: Estimate
    served: Estimate
    shadow: Estimate | None
    served_auc: float
    shadow_auc: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift:
    """One output of both versions on the same candidates.

    Attributes:
        rows: Candidates that both gave a finite number.
        served: Mean.
        shadow: Mean.
        ratio: Of the means, shadow over served; NaN where served is not above 0.
        difference: Mean of shadow less served.
        largest: Absolute difference.
        stability_index: PSI of the shadow's values on the served deciles.
        quantiles: Name -> of served, of shadow.
        calibration: With outcomes.
    """

    rows: int
    served: Estimate
    shadow: Estimate
    ratio: Estimate
    difference: Estimate
    largest: float
    stability_index: float
    quantiles: dict[str, tuple[float, float]]
    calibration: Calibration | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShadowReport:
    """Requests that were scored by both.

    Attributes:
        requests: That the shadow was asked.
        failed: Of those, without its answer.
        errors: Text -> requests, the most frequent first.
        served_versions: Version that answered -> requests.
        shadow_versions: Version of the shadow -> requests.
        order: `kendall`, `spearman`, `overlap@1` and `overlap@k` -> mean over requests;
            empty without a score.
        drift: Output -> what became of it.
        latency_ms: `served` and `shadow` -> percentile -> milliseconds of the model.
        taus: Kendall's, of each request, for a picture.
    """

    requests: int
    failed: int
    errors: dict[str, int]
    served_versions: dict[int, int]
    shadow_versions: dict[int, int]
    order: dict[str, Estimate]
    drift: dict[str, Drift]
    latency_ms: dict[str, dict[str, float]]
    taus: _Floats = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """Requests of the canary's users, or as many of others.

    Attributes:
        requests: Of the arm.
        clusters: Users, or requests of no one user.
        versions: Version that answered -> requests.
        errors: Why the canary did not, text -> requests.
        latency_ms: Percentile -> milliseconds of the model.
        predictions: Output -> mean over candidates.
        calibration: Task -> against outcomes, where there are some.
    """

    requests: int
    clusters: int
    versions: dict[int, int]
    errors: dict[str, int]
    latency_ms: dict[str, float]
    predictions: dict[str, Estimate]
    calibration: dict[str, Calibration]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CanaryReport:
    """The canary's requests beside others; whoever was drawn counts, also failed ones.

    Attributes:
        canary, control: The two.
        predictions: Output -> relative change of its mean.
        outcomes: Task -> relative change of the mean label.
    """

    canary: Arm
    control: Arm
    predictions: dict[str, Estimate]
    outcomes: dict[str, Estimate]


# --- a shadow -------------------------------------------------------------------------


def compare_shadow(logged: Logged, k: int) -> ShadowReport | None:
    """The shadow beside what was answered; None if none was asked."""
    requests = logged.requests.filter(arm=SHADOWED)
    if requests.is_empty():
        return None
    scored = requests.filter(pl.col("shadow_error").is_null())
    candidates = logged.candidates.filter(arm=SHADOWED)
    taus, order = _order(logged, scored, candidates, k)
    return ShadowReport(
        requests=requests.height,
        failed=requests.height - scored.height,
        errors=_counts(requests["shadow_error"], _MOST_ERRORS),
        served_versions=_counts(requests["version"]),
        shadow_versions=_counts(requests["shadow_version"]),
        order=order,
        drift=dict(_drifts(logged, candidates)),
        latency_ms={
            "served": _percentiles(scored["took_ms"]),
            "shadow": _percentiles(scored["shadow_took_ms"]),
        },
        taus=taus,
    )


def _order(
    logged: Logged, scored: pl.DataFrame, candidates: pl.DataFrame, k: int
) -> tuple[_Floats, dict[str, Estimate]]:
    """Kendall's tau of each request, and the means of all measures of order."""
    name = logged.score
    if name is None or f"{SHADOW}{name}" not in candidates.columns:
        return np.empty(0), {}
    both = candidates.select(
        "row", a=f"{SERVED}{name}", b=f"{SHADOW}{name}"
    ).drop_nulls()
    clusters = dict(zip(scored["row"], scored["cluster"], strict=True))
    found: dict[str, list[tuple[float, Any]]] = {"kendall": [], "spearman": []}
    for (row,), own in both.group_by("row", maintain_order=True):
        scores = own["a"].to_numpy(), own["b"].to_numpy()
        found["kendall"].append((kendall(*scores), clusters[row]))
        found["spearman"].append((spearman(*scores), clusters[row]))
    for top in dict.fromkeys((1, k)):
        found[f"overlap@{top}"] = [
            (overlap(one["order"], one["shadow_order"], top), one["cluster"])
            for one in scored.iter_rows(named=True)
            if one["order"] is not None and one["shadow_order"] is not None
        ]
    taus = np.array([value for value, _ in found["kendall"]], np.float64)
    return taus[np.isfinite(taus)], {n: _mean(v) for n, v in found.items()}


def _mean(values: list[tuple[float, Any]]) -> Estimate:
    known = [(value, cluster) for value, cluster in values if np.isfinite(value)]
    return mean([v for v, _ in known], np.array([c for _, c in known], str))


def _drifts(logged: Logged, candidates: pl.DataFrame) -> Iterator[tuple[str, Drift]]:
    for name in logged.outputs(SERVED):
        columns = [f"{SERVED}{name}", f"{SHADOW}{name}"]
        if name == "positions" or columns[1] not in candidates.columns:
            continue
        both = _finite(candidates, columns)
        if not both.is_empty():
            yield name, _drift(both, name)


def _drift(both: pl.DataFrame, name: str) -> Drift:
    served, shadow, label = (f"{prefix}{name}" for prefix in (SERVED, SHADOW, LABEL))
    a, b, cluster = both[served], both[shadow], both["cluster"]
    known = _finite(both, [label]) if label in both.columns else both.clear()
    nothing = ratio([], [], [])
    return Drift(
        rows=both.height,
        served=mean(a, cluster),
        shadow=mean(b, cluster),
        ratio=ratio(b, a, cluster) if a.sum() > 0 else nothing,
        difference=mean(b - a, cluster),
        largest=float(np.abs((b - a).to_numpy()).max()),
        stability_index=stability_index(a, b),
        quantiles={
            name: (float(np.quantile(a, share)), float(np.quantile(b, share)))
            for name, share in _QUANTILES.items()
        },
        calibration=None
        if known.is_empty()
        else _calibration(known, label, served, shadow),
    )


# --- a canary -------------------------------------------------------------------------


def compare_canary(logged: Logged) -> CanaryReport | None:
    """The canary's requests beside the others; None without those of one."""
    arms = {name: _arm(logged, name) for name in (CANARY, CONTROL)}
    canary, control = arms[CANARY], arms[CONTROL]
    if canary is None or control is None:
        return None
    return CanaryReport(
        canary=canary,
        control=control,
        predictions={
            name: change(canary.predictions[name], control.predictions[name])
            for name in canary.predictions
            if name in control.predictions
        },
        outcomes={
            name: change(canary.calibration[name].rate, control.calibration[name].rate)
            for name in canary.calibration
            if name in control.calibration
        },
    )


def _arm(logged: Logged, name: str) -> Arm | None:
    requests = logged.requests.filter(arm=name)
    if requests.is_empty():
        return None
    candidates = logged.candidates.filter(arm=name)
    predictions, calibration = {}, {}
    for task in logged.outputs(SERVED):
        known = _finite(candidates, [f"{SERVED}{task}"])
        if task == "positions" or known.is_empty():
            continue
        predictions[task] = mean(known[f"{SERVED}{task}"], known["cluster"])
        label = f"{LABEL}{task}"
        if label in known.columns:
            known = _finite(known, [label])
            if not known.is_empty():
                calibration[task] = _calibration(known, label, f"{SERVED}{task}", None)
    return Arm(
        requests=requests.height,
        clusters=requests["cluster"].n_unique(),
        versions=_counts(requests["version"]),
        errors=_counts(requests["canary_error"], _MOST_ERRORS),
        latency_ms=_percentiles(requests["took_ms"]),
        predictions=predictions,
        calibration=calibration,
    )


# --- both -----------------------------------------------------------------------------


def _calibration(
    known: pl.DataFrame, label: str, served: str, shadow: str | None
) -> Calibration:
    labels, cluster = known[label], known["cluster"]
    return Calibration(
        rows=known.height,
        rate=mean(labels, cluster),
        served=ratio(known[served], labels, cluster),
        shadow=ratio(known[shadow], labels, cluster) if shadow else None,
        served_auc=_auc(labels, known[served]),
        shadow_auc=_auc(labels, known[shadow]) if shadow else float("nan"),
    )


def _auc(labels: pl.Series, predictions: pl.Series) -> float:
    if not labels.is_in([0.0, 1.0]).all():
        return float("nan")
    return float(auc(labels.to_numpy(), predictions.to_numpy()))


def _finite(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Rows in which all these columns are numbers."""
    values = [pl.col(name).cast(pl.Float64) for name in columns]
    known = [pl.col(name).is_finite() for name in columns]
    return frame.drop_nulls(columns).with_columns(values).filter(known)


def _percentiles(values: pl.Series) -> dict[str, float]:
    known = values.drop_nulls()
    return {name: nearest_rank(known, place) for name, place in PERCENTILES.items()}


def _counts(values: pl.Series, most: int | None = None) -> dict[Any, int]:
    """Value -> how often, the most frequent first."""
    found: Mapping[Any, int] = dict(
        values.drop_nulls()
        .value_counts()
        .sort(["count", values.name], descending=[True, False])
        .iter_rows()
    )
    return dict(list(found.items())[:most])

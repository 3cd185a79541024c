"""What a metric is made of, summed by user: whole metrics, and draws of users.

Every metric of the evaluation table is a ratio of sums over users, or made of such. A
draw of users with replacement, as a bootstrap takes it, is the same ratio with weights:
how often each user was drawn. So a thousand draws are one product of matrices.

The AUC is the one whose rows do not add up: a pair has two users. Here it goes by
placements: the share of all negatives below a positive, and of all positives above a
negative (DeLong et al., 1988; summed by user as Obuchowski, 1997, does for clusters).
Unweighted that is the AUC, exactly; weighted, it is that of the draw to first order.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.evaluation import buckets

USER = "user"
SLICE = "slice"  # "" is all rows, else `column=value`
ALL = ""
FUSED = "score"  # instead of a task: the sums of the fused order
FOLDER = "user_sums"
CUTOFFS = (5, 10, 20, 50)  # of NDCG, precision and recall

_Floats: TypeAlias = "npt.NDArray[np.float64]"

# Metric -> (numerator, denominator), names of sums.
RATIOS = {
    "gauc": ("area", "mixed"),
    "request_gauc": ("request_area", "request_mixed"),
    "calibration": ("prediction", "label"),
    "label_mean": ("label", "rows"),
    "prediction_mean": ("prediction", "rows"),
    **{f"ndcg@{k}": (f"ndcg@{k}", "groups") for k in CUTOFFS},
}
_ROOTS = {"rmse": ("square", "rows"), "constant_rmse": ("spread", "rows")}


@dataclasses.dataclass(frozen=True)
class UserSums:
    """Sums of one task, or of the fused order, over each user's rows of one slice.

    Attributes:
        users: [U], sorted; the same ones for every model on the same rows.
        sums: Name -> [U].

    Of every task: `rows` in its sample space, `label`, `prediction`, `square` (of the
    prediction's error), `spread` (of the label mean's error). Of tasks with a
    probability also `positives`, `below` (pairs in order of the user's positives with
    anybody's negatives, ties half), `above` (of the user's negatives with anybody's
    positives), `area` (the user's own AUC times `mixed`), `mixed` (rows, if the user
    has both labels), `request_area`, `request_mixed` (the same over requests). Of the
    fused order: `groups`, and `ndcg@5` to `ndcg@50`, sums over these.
    """

    users: pl.Series
    sums: Mapping[str, _Floats]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that can be made of these sums."""
        known = ["auc"] if "below" in self.sums else []
        ratios = {**RATIOS, **_ROOTS}.items()
        known += [m for m, pair in ratios if set(pair) <= set(self.sums)]
        return tuple(known)

    def total(self, name: str) -> float:
        """One sum, over all users."""
        return float(self.sums[name].sum())

    def value(self, metric: str) -> float:
        """A metric of all users; NaN where they have none."""
        return float(self.draws(metric, np.ones((1, len(self))))[0])

    def draws(self, metric: str, weights: npt.NDArray[Any]) -> _Floats:
        """A metric of draws of users.

        Args:
            metric: One of `metrics`.
            weights: [D, U], how often a draw has each user; float32 is enough for
                whole numbers, and twice as fast.

        Returns:
            [D]; NaN where a draw has no such number.
        """
        if metric == "auc":
            return self._auc(weights)
        over, under = {**RATIOS, **_ROOTS}[metric]
        ratio = _ratio(self._weighted(weights, over), self._weighted(weights, under))
        return np.sqrt(ratio) if metric in _ROOTS else ratio

    def _auc(self, weights: npt.NDArray[Any]) -> _Floats:
        positives = self.total("positives")
        negatives = self.total("rows") - positives
        if not positives or not negatives:
            return np.full(len(weights), np.nan)
        area = self.total("below") / (positives * negatives)
        drawn = self._weighted(weights, "positives")
        others = self._weighted(weights, "rows") - drawn
        below = _ratio(self._weighted(weights, "below") / negatives, drawn)
        above = _ratio(self._weighted(weights, "above") / positives, others)
        return below + above - area

    def _weighted(self, weights: npt.NDArray[Any], name: str) -> _Floats:
        found: _Floats = np.asarray(weights) @ self.sums[name]
        return found


def _ratio(over: _Floats, under: _Floats) -> _Floats:
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under != 0)


def write(folder: str, name: str, frames: Sequence[pl.DataFrame]) -> None:
    """Keeps the sums of a task: one row a slice and user.

    Args:
        folder: Of a `ModelEvaluation`.
        name: A task, or `FUSED`.
        frames: As `task_sums.sums_by_user` gives them; a sum that one lacks is null.
    """
    content = io.BytesIO()
    pl.concat(frames, how="diagonal").write_parquet(content, compression="zstd")
    buckets.write_bytes(_path(folder, name), content.getvalue())


def read(folder: str, name: str, slices: Sequence[str] = (ALL,)) -> dict[str, UserSums]:
    """Slice -> the sums of a task, or of `FUSED`, as `evaluate_models` kept them.

    Args:
        folder: Of a `ModelEvaluation`.
        name: A task, or `FUSED`.
        slices: Those wanted; one without a row is left out.
    """
    frame = pl.read_parquet(io.BytesIO(buckets.read_bytes(_path(folder, name))))
    wanted = frame.filter(pl.col(SLICE).is_in(list(slices)))
    parts = wanted.partition_by(SLICE, as_dict=True)
    return {str(value): of_frame(rows) for (value,), rows in parts.items()}


def of_frame(frame: pl.DataFrame) -> UserSums:
    """The sums of a frame with a row a user; those that are null are left out."""
    columns = {
        column.name: column.to_numpy().astype(np.float64)
        for column in frame.iter_columns()
        if column.name not in (USER, SLICE) and not column.null_count()
    }
    return UserSums(frame[USER], columns)


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, FOLDER, f"{name}.parquet")

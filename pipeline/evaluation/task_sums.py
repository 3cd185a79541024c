"""The sums of one task by slice and user, made in two passes over its columns.

The first finds what all rows have to be known for: the label mean of a slice, and its
positives' and negatives' scores in order (eight bytes a row, of one task at a time).
The second compares each row with these. Scores are taken as float32, as models give
them; the AUC of these is exact, whatever the parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import TaskSpec, label_key
from feature_specs.spec import KEY_REQUEST, KEY_USER, NO_REQUEST, slice_key
from pipeline.evaluation.rows import Rows
from pipeline.evaluation.user_sums import ALL, SLICE, USER
from pipeline.reporting import metrics
from pipeline.reporting.ranking import Groups, Order, group_auc, ordered_bits

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_Keys: TypeAlias = "npt.NDArray[np.uint64]"
_CODE_BITS = np.uint64(32)  # the number of a slice stands above a score's bits


@dataclasses.dataclass(frozen=True)
class Slicing:
    """All rows, or the rows by the values of one of the spec's slices.

    Attributes:
        column: Example column; "" for all rows.
        names: Of the slices.
        values: What the column has in each, sorted.
    """

    column: str = ""
    names: tuple[str, ...] = (ALL,)
    values: tuple[Any, ...] = ()

    @classmethod
    def by(cls, column: str, rows: Rows) -> Slicing:
        """The slices that rows have of one column of the spec."""
        key = slice_key(column)
        values: set[Any] = set()
        for frame in rows.read([key]):
            values.update(frame[key].unique().to_list())
        known = tuple(sorted(values))
        return cls(key, tuple(f"{column}={value}" for value in known), known)

    def codes(self, frame: pl.DataFrame) -> npt.NDArray[np.int64]:
        """[N], the number of each row's slice."""
        if not self.column:
            return np.zeros(frame.height, np.int64)
        numbers = list(range(len(self.values)))
        column = frame[self.column]
        return column.replace_strict(
            list(self.values), numbers, return_dtype=pl.Int64
        ).to_numpy()


EVERYTHING = Slicing()


def sums_by_user(
    rows: Rows,
    task: TaskSpec,
    column: str,
    slicing: Slicing = EVERYTHING,
    *,
    with_areas: bool = True,
) -> pl.DataFrame:
    """The sums of `UserSums`, a row a slice and user, sorted.

    Args:
        rows: All rows.
        task: Whose labels and sample space.
        column: The scores.
        slicing: By what else than users.
        with_areas: Whether users and requests get AUCs of their own.

    Raises:
        NotFiniteError: A label or a score is NaN or infinite.
        MetricError: A label of a task with a probability is neither 0 nor 1.
    """
    pool = _Pool.of(rows, task, column, slicing)
    others = (column, KEY_USER, KEY_REQUEST, slicing.column)
    frames = [
        _part_sums(frame, task, column, slicing, pool, with_areas)
        for frame in rows.read_task(task.name, *others)
    ]
    return pl.concat(frames).sort(SLICE, USER)


def area(rows: Rows, task: TaskSpec, column: str) -> float:
    """The AUC of a task's labels by any column of scores.

    Scores may be infinite, and rows without one (null) are left out.
    """
    return _Pool.of(rows, task, column, EVERYTHING, is_strict=False).auc()


def _part_sums(
    frame: pl.DataFrame,
    task: TaskSpec,
    column: str,
    slicing: Slicing,
    pool: _Pool,
    with_areas: bool,
) -> pl.DataFrame:
    codes = slicing.codes(frame)
    if slicing.column:
        order = np.argsort(codes, kind="stable")
        frame, codes = frame[order], codes[order]
    users = frame[KEY_USER]
    groups = Groups.of(codes, users.rle_id().to_numpy())
    labels = frame[label_key(task.name)].to_numpy().astype(np.float64)
    scores = frame[column].to_numpy().astype(np.float32)
    sums = _errors(groups, labels, scores, pool.label_means[codes])
    if task.of_kind.is_probability:
        sums |= pool.placements(groups, codes, labels, scores)
    if task.of_kind.is_probability and with_areas:
        requests = frame[KEY_REQUEST] if KEY_REQUEST in frame.columns else None
        sums |= _all_areas(groups, requests, labels, scores)
    names = pl.Series(SLICE, slicing.names, dtype=pl.String)
    keys = {SLICE: names.gather(codes[groups.starts]), USER: users[groups.starts]}
    return pl.DataFrame({**keys, **sums})


def _errors(
    groups: Groups, labels: _Floats, scores: npt.NDArray[np.float32], means: _Floats
) -> dict[str, _Floats]:
    return {
        "rows": groups.sizes.astype(np.float64),
        "label": groups.sums(labels),
        "prediction": groups.sums(scores),
        "square": groups.sums((scores - labels) ** 2),
        "spread": groups.sums((labels - means) ** 2),
    }


def _all_areas(
    users: Groups,
    requests: pl.Series | None,
    labels: _Floats,
    scores: npt.NDArray[np.float32],
) -> dict[str, _Floats]:
    """Users' own AUCs, and those of their requests, if there are such."""
    area, mixed = _areas(users, labels, scores)
    found = {"area": area, "mixed": mixed}
    if requests is None:
        return found
    numbers = requests.to_numpy()
    known = numbers != NO_REQUEST
    inner = Groups.of(users.index[known], numbers[known])
    owners = users.index[known][inner.starts]
    names = ("request_area", "request_mixed")
    for name, sums in zip(
        names, _areas(inner, labels[known], scores[known]), strict=True
    ):
        found[name] = np.bincount(owners, sums, len(users)).astype(np.float64)
    return found


def _areas(
    groups: Groups, labels: _Floats, scores: npt.NDArray[np.float32]
) -> tuple[_Floats, _Floats]:
    """Each group's own AUC times its rows, and these rows, where it has both labels."""
    areas = group_auc(Order.of(groups, scores), labels)
    mixed = np.where(np.isnan(areas), 0, groups.sizes).astype(np.float64)
    return np.nan_to_num(areas) * mixed, mixed


@dataclasses.dataclass(frozen=True)
class _Pool:
    """What has to be known of all rows.

    V = slices. A key is the number of a row's slice, then its score.

    Attributes:
        label_means: [V].
        positives: Sorted keys of the rows with label 1; none if there is no such label.
        negatives: Those with label 0.
    """

    label_means: _Floats
    positives: _Keys
    negatives: _Keys

    @classmethod
    def of(
        cls,
        rows: Rows,
        task: TaskSpec,
        column: str,
        slicing: Slicing,
        is_strict: bool = True,
    ) -> _Pool:
        """Goes through the rows once; `is_strict` takes finite scores only."""
        parts = [
            cls._of_part(codes, labels, scores, len(slicing.names), task)
            for codes, labels, scores in _checked(
                rows, task, column, slicing, is_strict
            )
        ]
        counts, totals, positives, negatives = zip(*parts, strict=True)
        means = sum(totals) / np.maximum(sum(counts), 1)
        keys = np.concatenate(positives), np.concatenate(negatives)
        for found in keys:
            found.sort()
        return cls(means, *keys)

    @classmethod
    def _of_part(
        cls,
        codes: npt.NDArray[np.int64],
        labels: _Floats,
        scores: npt.NDArray[np.float32],
        slices: int,
        task: TaskSpec,
    ) -> tuple[_Floats, _Floats, _Keys, _Keys]:
        counts = np.bincount(codes, minlength=slices).astype(np.float64)
        totals = np.bincount(codes, labels, slices).astype(np.float64)
        if not task.of_kind.is_probability:
            none = np.zeros(0, np.uint64)
            return counts, totals, none, none
        keys, is_positive = _keys(codes, scores), labels > 0
        return counts, totals, keys[is_positive], keys[~is_positive]

    def auc(self) -> float:
        """Of all rows, where there is one slice; NaN without a pair."""
        pairs = len(self.positives) * len(self.negatives)
        if not pairs:
            return float("nan")
        return float(_below(self.negatives, self.positives).sum() / pairs)

    def placements(
        self,
        groups: Groups,
        codes: npt.NDArray[np.int64],
        labels: _Floats,
        scores: npt.NDArray[np.float32],
    ) -> dict[str, _Floats]:
        """By user: pairs that its rows make in order with anybody's of the slice."""
        keys = _keys(codes, scores)
        order = np.argsort(keys)  # neighbours look at the same memory
        is_positive = labels[order] > 0
        ups, downs = order[is_positive], order[~is_positive]
        # Where each slice begins among all positives, and among all negatives.
        begins = np.arange(len(self.label_means) + 1, dtype=np.uint64) << _CODE_BITS
        start = np.searchsorted(self.negatives, begins)[codes[ups]]
        end = np.searchsorted(self.positives, begins)[codes[downs] + 1]
        below, above = np.zeros(len(keys)), np.zeros(len(keys))
        below[ups] = _below(self.negatives, keys[ups]) - start
        above[downs] = end - _below(self.positives, keys[downs])
        return {
            "positives": groups.sums(labels),
            "below": groups.sums(below),
            "above": groups.sums(above),
        }


def _checked(
    rows: Rows, task: TaskSpec, column: str, slicing: Slicing, is_strict: bool
) -> Iterator[tuple[npt.NDArray[np.int64], _Floats, npt.NDArray[np.float32]]]:
    """Slices, labels and scores of each part; refused if they are no numbers."""
    count, bad_labels, bad_scores = 0, 0, 0
    for frame in rows.read_task(task.name, column, slicing.column):
        known = frame if is_strict else frame.drop_nulls(column)
        labels = known[label_key(task.name)].to_numpy().astype(np.float64)
        scores = known[column].to_numpy()
        is_bad = ~np.isfinite(scores) if is_strict else np.isnan(scores)
        count += len(labels)
        bad_labels += int((~np.isfinite(labels)).sum())
        bad_scores += int(is_bad.sum())
        if bad_labels or bad_scores:
            continue
        if task.of_kind.is_probability:
            metrics.require_binary(labels)
        yield slicing.codes(known), labels, scores.astype(np.float32)
    for what, bad in (("labels", bad_labels), ("predictions", bad_scores)):
        if bad:
            raise metrics.NotFiniteError(
                f"{what} must be numbers. Got {bad:,} of {count:,} that are "
                f"{'NaN or infinite' if is_strict else 'NaN'}."
            )


def _keys(codes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> _Keys:
    return (codes.astype(np.uint64) << _CODE_BITS) | ordered_bits(scores)


def _below(known: _Keys, keys: _Keys) -> _Floats:
    """How many known keys, sorted, are below each key, equal ones counting half."""
    left, right = (np.searchsorted(known, keys, side) for side in ("left", "right"))
    found: _Floats = (left + right) / 2
    return found

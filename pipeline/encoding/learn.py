"""Summaries of days -> an `Encoding`, or a longer one: what it learns, and when.

    encoding = learn(spec, [summary of day-20240101, ...])
    encoding = extend(encoding, [summary of day-20240102])

The base is learned once: the most frequent values of its days, equally frequent ones by
their text, and the moments or the range of each number. Days that follow append values
while there is room, and change nothing else. What is learned depends on the days alone,
not on how their rows were shared among workers and files.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

from absl import logging

from feature_specs import FeatureSpec, Spec
from feature_specs.errors import Status, TrailrankError
from feature_specs.feature_kinds import Category, FeatureKind, Number, Text
from feature_specs.registry import RoomTable
from feature_specs.values import AUTO, MOST_COUNTED
from pipeline.summaries.exact import Moments, merge_moments
from pipeline.summaries.summary import ColumnSummary, DaySummary
from trainer.days.encoding import Appended, Encoding, Scale, by_frequency, told_of

HEADROOM_SHARE = 4  # `size: auto` keeps room for a quarter more values,
LEAST_HEADROOM = 8  # and at least for so many
GREW = 0.05  # share of rows without an id beyond the base's that is warned of

Learns: TypeAlias = Literal["vocabulary", "scale", "nothing"]

# Kind of feature -> what is learned of it. A kind of your own learns what the kind does
# that it is derived from.
LEARNS: RoomTable[Callable[[FeatureSpec], Learns]] = RoomTable(
    "pipeline.encoding", "learns of", "@pipeline.encoding.learn.learns"
)
learns = LEARNS.register


class EncodingError(TrailrankError, ValueError):
    """An encoding does not fit the spec, or there is nothing to learn from."""

    exit_status = Status.REFUSED


@learns(FeatureKind)
def _nothing(feature: FeatureSpec) -> Learns:
    return "nothing"


@learns(Category)
def _always(feature: FeatureSpec) -> Learns:
    return "vocabulary"


@learns(Text)
def _with_size(feature: FeatureSpec) -> Learns:
    return "nothing" if feature.size is None else "vocabulary"


@learns(Number)
def _if_scaled(feature: FeatureSpec) -> Learns:
    return "nothing" if feature.scale == "none" else "scale"


def learn(
    spec: Spec, days: Sequence[DaySummary], *, keep: Encoding | None = None
) -> Encoding:
    """A new encoding, whose base is `days`.

    Args:
        spec: What the examples hold; its encoding view is enough.
        days: Summaries of the training days, in any order.
        keep: An earlier encoding whose scales are kept, and the room of `size: auto`
            while it suffices: so that a checkpoint on it can be mapped by value.

    Raises:
        EncodingError: There is no day, or a day lacks a feature.
    """
    if not days:
        raise EncodingError(
            "Encoding: needs one training day at least to learn from. Got none. Name "
            "days that are made."
        )
    days = sorted(days, key=lambda day: day.split)
    last = days[-1].split
    vocabularies, room, told = {}, {}, {}
    for feature in _features(spec, "vocabulary"):
        counts = _counts(_columns(days, feature))
        most = MOST_COUNTED if feature.size == AUTO else feature.count
        values = tuple(by_frequency(counts)[:most])
        vocabularies[feature.name] = values
        room[feature.name] = _room(feature, len(values), keep)
        rows = sum(column.values for column in _columns(days, feature))
        entry = told_of(last, counts, values, len(values))
        told[feature.name] = (_with_all(entry, rows),)
    found = Encoding(
        learned_through=last_day(last),
        vocabularies=vocabularies,
        room=room,
        base_sizes={name: len(values) for name, values in vocabularies.items()},
        scales=dict(keep.scales) if keep else _scales(spec, days),
        days=tuple(day.split for day in days),
        history=told,
    )
    check_fits(found, spec)
    return found


def extend(encoding: Encoding, days: Iterable[DaySummary]) -> Encoding:
    """With the new values of later days appended, day after day; told in the log.

    Args:
        encoding: Fits the spec of the examples: see `check_fits`.
        days: Summaries, in any order: the earliest goes first.

    Raises:
        EncodingError: A day lacks a feature.
    """
    for day in sorted(days, key=lambda day: day.split):
        columns = {name: _column(day, name) for name in encoding.vocabularies}
        counts = {name: _counts([column]) for name, column in columns.items()}
        encoding = encoding.extended_by(day.split, counts)
        history = dict(encoding.history)
        for name, column in columns.items():
            *earlier, last = history[name]
            history[name] = (*earlier, _with_all(last, column.values))
        encoding = dataclasses.replace(encoding, history=history)
        _tell(encoding, day.split)
    return encoding


def check_fits(encoding: Encoding, spec: Spec) -> None:
    """That an encoding is of the spec's features, as they are now.

    Raises:
        EncodingError: It is of others: the spec changed since.
    """
    found = _misfits(encoding, spec)
    if found:
        raise EncodingError(
            f"Encoding {encoding.base}: must fit the spec, which changed since it was "
            f"learned: {'; '.join(found)}. Take back the change, or make the encoding "
            f"anew with --refresh_encoding; the weights start anew with it."
        )


def last_day(split: str) -> str:
    """`day-20240102`, or the last day of a longer split -> `20240102`."""
    return split.rsplit("-", 1)[-1]


def _misfits(encoding: Encoding, spec: Spec) -> list[str]:
    found = []
    sized = {feature.name: feature for feature in _features(spec, "vocabulary")}
    scaled = {feature.name: feature for feature in _features(spec, "scale")}
    for what, has, wants in (
        ("vocabulary", encoding.vocabularies, sized),
        ("scale", encoding.scales, scaled),
    ):
        found += [f"{name} has no {what}" for name in sorted(set(wants) - set(has))]
        found += [f"{name} needs no {what}" for name in sorted(set(has) - set(wants))]
    for name, feature in sized.items():
        room = encoding.room.get(name)
        if room is not None and feature.size != AUTO and room != feature.count:
            found.append(f"{name} has room for {room:,} values, not {feature.count:,}")
    for name, feature in scaled.items():
        scale = encoding.scales.get(name)
        wanted = (feature.scale, feature.transform)
        if scale and (scale.kind, scale.transform) != wanted:
            told = f"scale: {scale.kind}, transform: {scale.transform}"
            found.append(f"{name} was learned with {told}")
    return found


def _features(spec: Spec, what: Learns) -> list[FeatureSpec]:
    return [f for f in spec.features if LEARNS[f.of_kind](f) == what]


def _room(feature: FeatureSpec, values: int, keep: Encoding | None) -> int:
    """Most values there will be: `size`, or what `size: auto` found and a quarter."""
    if feature.size != AUTO:
        return feature.count
    kept = keep.room.get(feature.name, 0) if keep else 0
    if kept >= values + LEAST_HEADROOM:
        return kept
    headroom = max(LEAST_HEADROOM, math.ceil(values / HEADROOM_SHARE))
    return min(values + headroom, MOST_COUNTED)


def _columns(days: Iterable[DaySummary], feature: FeatureSpec) -> list[ColumnSummary]:
    return [_column(day, feature.name) for day in days]


def _column(day: DaySummary, name: str) -> ColumnSummary:
    if name not in day.columns:
        raise EncodingError(
            f"{day.split}: its summary must have feature {name!r}. Got none. Make the "
            f"day's examples again, with this spec."
        )
    return day.columns[name]


def _counts(columns: Iterable[ColumnSummary]) -> dict[str, int]:
    """Value -> how often, as text: what the graph looks up."""
    total: Counter[str] = Counter()
    for column in columns:
        total.update({str(value): count for value, count in column.top.items()})
    return dict(total)


def _with_all(told: Appended, values: int) -> Appended:
    """Also of the values that a summary of bounded size does not name."""
    return dataclasses.replace(told, other_rows=values - told.known_rows)


def _scales(spec: Spec, days: Sequence[DaySummary]) -> dict[str, Scale]:
    found = {}
    for feature in _features(spec, "scale"):
        logs = feature.transform == "log1p"
        columns = _columns(days, feature)
        moments = merge_moments(c.log1p if logs else c.moments for c in columns)
        found[feature.name] = _scale(feature, moments)
    return found


def _scale(feature: FeatureSpec, moments: Moments | None) -> Scale:
    kind: Literal["z", "minmax"] = "minmax" if feature.scale == "minmax" else "z"
    if moments is None or moments.smallest is None or moments.largest is None:
        return Scale(kind, feature.transform, 0.0, 0.0)  # no number at all
    low, high = moments.smallest, moments.largest
    shift, width = (moments.mean, moments.std) if kind == "z" else (low, high - low)
    return Scale(kind, feature.transform, shift, width)


def _tell(encoding: Encoding, split: str) -> None:
    """One line a vocabulary that grew, and a warning where values find no row."""
    for name, entries in encoding.history.items():
        last, base = entries[-1], entries[0]
        if last.new:
            left = encoding.room[name] - len(encoding.vocabularies[name])
            logging.info(
                "%s: %s new values of %s, room for %s more.",
                *(split, f"{last.new:,}", name, f"{left:,}"),
            )
        if last.other_share > base.other_share + GREW:
            logging.warning(
                "%s: %.1f %% of the values of %s have no id of their own, and share "
                "one row; %.1f %% of the first days had none. Its vocabulary is full: "
                "make the encoding anew with --refresh_encoding, with a larger size.",
                *(split, 100 * last.other_share, name, 100 * base.other_share),
            )

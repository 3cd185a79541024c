"""From the rows that a model has scored to arrays that weights can be tried on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec, label_key, mask_key
from feature_specs.spec import KEY_REQUEST, KEY_USER
from pipeline.evaluation import fused
from pipeline.evaluation.rows import KEY_SPLIT, Rows, prediction_key, score_key
from pipeline.examples.hashing import bucket_of, hash_columns
from pipeline.fusion_search.candidates import Candidates
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.reporting.ranking import Groups

LENGTH = "(length)"  # the exponent of f(length); no name of a task
PARTITION = "partition"  # the column with the place of a row's partition, if any

_Floats: TypeAlias = "npt.NDArray[np.float64]"


class Scored(NamedTuple):
    """What was scored.

    Attributes:
        candidates: All rows that are in a group.
        day: [N] the number of each row's day.
        half: [N] 0 or 1, the half of the users that each row's user is in.
        by: What a group is: `request`, or `user and day`.
        places: [N] the partition of each row, where weights go by a facet; else 0.
    """

    candidates: Candidates
    day: npt.NDArray[np.int64]
    half: npt.NDArray[np.int64]
    by: str
    places: npt.NDArray[np.int64]


class Part(NamedTuple):
    """Some of the rows.

    Attributes:
        candidates: They.
        places: [N] the partition of each.
    """

    candidates: Candidates
    places: npt.NDArray[np.int64]


def searched_names(spec: Spec, tasks: Sequence[str], length: bool) -> list[str]:
    """Whose weights are searched: those tasks, or all that have a weight.

    Raises:
        FusionSearchError: There is no such task, a facet decides its weight, there is
            no length to weigh, or nothing is left to search.
    """
    by_facet = {
        name
        for by_partition in spec.fusion.facets.values()
        for weights in by_partition.values()
        for name in weights
    }
    known = [task.name for task in spec.tasks]
    for name in tasks:
        if name not in known:
            raise FusionSearchError(
                f"--tasks: there is no task {name!r}. The tasks are {', '.join(known)}."
            )
        if name in by_facet:
            raise FusionSearchError(
                f"--tasks: the weight of {name!r} goes by a facet (fusion.facets), and "
                "one weight for all rows is searched here. Leave it out."
            )
    weighted = [name for name in known if spec.fusion.weights.get(name)]
    found = [*dict.fromkeys(tasks)] or [n for n in weighted if n not in by_facet]
    if length:
        _check_length(spec)
        found.append(LENGTH)
    if len(found) < 2:
        raise FusionSearchError(
            f"--tasks: two weights at least are searched. Got {', '.join(found) or 0}. "
            f"Name more of {', '.join(known)}."
        )
    return found


def _check_length(spec: Spec) -> None:
    length = spec.fusion.length
    if length is None or not length.weight or spec.fusion.facets:
        raise FusionSearchError(
            "--length: the spec's fusion must have a `length` with a weight other than "
            "0, and no `facets`: f(length) is read from the served score, of which it "
            "is a factor. Leave --length out, or add it and export again."
        )


def default_weights(spec: Spec, names: Sequence[str]) -> _Floats:
    """[J] what the spec has for each."""
    return np.array(
        [
            spec.fusion.length.weight
            if name == LENGTH and spec.fusion.length
            else spec.fusion.weights.get(name, 0.0)
            for name in names
        ]
    )


def is_scale_free(spec: Spec, names: Sequence[str]) -> bool:
    """Whether twice all searched weights give the same order: nothing else weighs."""
    fixed = [n for n, w in spec.fusion.weights.items() if w and n not in names]
    length = spec.fusion.length
    has_length = length is not None and length.weight and LENGTH not in names
    return not (fixed or has_length or spec.fusion.facets)


def scored(
    spec: Spec, rows: Rows, names: Sequence[str], *, utility: str, k: int, seed: int = 0
) -> Scored:
    """The arrays of all rows, in memory: some 8 bytes a row, weight and label.

    Args:
        spec: Of the rows, and of the model that scored them.
        rows: See `model_evaluation.scored_rows`.
        names: See `searched_names`.
        utility: Of each row; "" are the gains that an evaluation goes by.
        k: Places that count.
        seed: Of the halves of users.

    Raises:
        FusionSearchError: The model has no score or task; the utility is no number.
    """
    _check_columns(spec, rows, names)
    frame = fused.grouped(pl.concat(rows.read(rows.columns)))
    if not frame.height:
        raise FusionSearchError(
            "No row of the evaluation days is of a known request, so there is nothing "
            "to put in order. Name other --days."
        )
    groups = fused.groups_of(frame)
    aim = dataclasses.replace(
        spec, evaluation=dataclasses.replace(spec.evaluation, utility=utility)
    )
    gains = fused.gains(aim, frame, fused.label_scales(aim, rows))
    rest, factors = _rest_and_factors(spec, frame, names)
    known = {t.name: _floats(frame[mask_key(t.name)]) > 0 for t in spec.tasks}
    labels = {t.name: _floats(frame[label_key(t.name)]) for t in spec.tasks}
    candidates = Candidates(
        users=Groups.of(frame[KEY_USER].rle_id()).index,
        group=groups.index,
        rest=rest,
        factors=factors,
        gains=gains,
        labels={name: np.where(known[name], labels[name], 0) for name in known},
        known={name: inside.astype(np.float64) for name, inside in known.items()},
        k=k,
    )
    by = fused.BY_REQUEST if KEY_REQUEST in frame.columns else fused.BY_DAY
    return Scored(
        candidates,
        day=frame[KEY_SPLIT].to_numpy().astype(np.int64),
        half=halves_of(frame[KEY_USER], seed),
        by=by,
        places=frame[PARTITION].to_numpy()
        if PARTITION in frame.columns
        else np.zeros(frame.height, np.int64),
    )


def halves_of(users: pl.Series, seed: int) -> npt.NDArray[np.int64]:
    """[N] the half, 0 or 1, that each row's user [N] is in."""
    found: npt.NDArray[np.int64] = bucket_of(hash_columns([users], seed), 2)
    return found


def _check_columns(spec: Spec, rows: Rows, names: Sequence[str]) -> None:
    wanted = [*spec.fusion.weights, *(n for n in names if n != LENGTH)]
    columns = [score_key(), *map(prediction_key, wanted)]
    if missing := [column for column in columns if column not in rows.columns]:
        raise FusionSearchError(
            f"The run's model has no {', '.join(missing)}: it was exported under "
            "another spec. Run the pipeline again."
        )


def _rest_and_factors(
    spec: Spec, frame: pl.DataFrame, names: Sequence[str]
) -> tuple[_Floats, _Floats]:
    """What is not searched of the log score [N], and the searched factors [N, J]."""
    from serving.export.fusion import log_factor_of  # TensorFlow

    tasks = {task.name: task for task in spec.tasks}

    def factor(name: str) -> _Floats:
        predictions = frame[prediction_key(name)].to_numpy()
        found: _Floats = log_factor_of(spec, tasks[name], predictions).numpy()
        return found

    rest = _floats(frame[score_key()])
    columns = {}
    for name in (name for name in names if name != LENGTH):
        columns[name] = factor(name)
        rest = rest - spec.fusion.weights.get(name, 0.0) * columns[name]
    if LENGTH in names and spec.fusion.length:
        of_length = rest  # once the tasks that are not searched are off, too
        for name, weight in spec.fusion.weights.items():
            if weight and name not in columns:
                of_length = of_length - weight * factor(name)
        columns[LENGTH] = of_length / spec.fusion.length.weight
        rest = rest - of_length
    return rest, np.stack([columns[name] for name in names], axis=1)


def _floats(column: pl.Series) -> _Floats:
    return column.cast(pl.Float64).to_numpy()

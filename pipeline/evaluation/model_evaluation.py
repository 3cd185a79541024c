"""Evaluates one model or several on the same rows, in one pass over the days.

Each model's evaluation is a directory: `evaluation.json`, and `user_sums/` with a file
a task, from which gates compare models in pairs (`user_sums.read`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from feature_specs import Spec, TaskSpec
from feature_specs.errors import TrailrankError
from pipeline.evaluation import buckets, fused, quality, user_sums
from pipeline.evaluation.fused import OrderQuality, Ranking, TopQuality
from pipeline.evaluation.quality import TaskQuality
from pipeline.evaluation.rows import Rows, collect, prediction_key, score_key
from pipeline.evaluation.task_sums import EVERYTHING, Slicing
from pipeline.evaluation.user_sums import FUSED, UserSums
from pipeline.reporting.files import to_json

FILE = "evaluation.json"


class EvaluationFileError(TrailrankError, ValueError):
    """A directory that holds no evaluation that can be read."""


class NoRowsError(TrailrankError, ValueError):
    """The days that models are to be measured on have no row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelEvaluation:
    """How good one model is.

    Attributes:
        model: Its directory.
        days: The splits whose rows it was measured on.
        rows: Their number.
        tasks: Of every task that the model has, in the spec's order.
        slices: `column=value` of each of the spec's slices -> the same on its rows.
        ranking: Of the fused score; None for a model without one.
        folder: Where `evaluation.json` and the sums by user lie; "" if nowhere.
    """

    model: str
    days: tuple[str, ...]
    rows: int
    tasks: tuple[TaskQuality, ...]
    slices: dict[str, tuple[TaskQuality, ...]]
    ranking: Ranking | None
    folder: str = ""

    def task(self, name: str) -> TaskQuality:
        """The quality of one task; KeyError if there is none."""
        for found in self.tasks:
            if found.task == name:
                return found
        raise KeyError(name)

    def user_sums(
        self, name: str, slices: Sequence[str] = (user_sums.ALL,)
    ) -> dict[str, UserSums]:
        """Slice -> sums by user of a task, or of `FUSED`, as kept in `folder`."""
        return user_sums.read(self.folder, name, slices)


def evaluate_models(
    spec: Spec,
    models: Sequence[str],
    days: Sequence[tuple[str, str]],
    out: str = "",
    *,
    truth: str | None = None,
    scratch: str | None = None,
) -> list[ModelEvaluation]:
    """Scores the days with all models in one pass, and measures each.

    The first one is measured in all ways, the others as far as gates compare them.

    Args:
        spec: Of the examples; says which tasks, slices and weights of the fusion.
        models: Directories of exported models, the one to judge first.
        days: (split, directory of examples) of each evaluation day.
        out: Directory, a bucket's too, for `model-<number>/` of each model; "" keeps
            nothing.
        truth: The log simulator's `truth/`, for the oracle.
        scratch: Local directory for the rows; the system's for temporary files if None.

    Raises:
        LoadError: A model cannot be loaded.
        MetricError: A prediction or a label is no number; names the task.
        DamagedExamplesError: A file of examples is damaged or missing.
        NoRowsError: The days have no row.
        NoTruthError: `truth` is not the truth of these logs.
    """
    with scored_rows(spec, models, days, truth=truth, scratch=scratch) as rows:
        return [
            evaluate_rows(
                spec, rows, number, model_of(path, days, out, number), alone=number > 0
            )
            for number, path in enumerate(models)
        ]


@contextlib.contextmanager
def scored_rows(
    spec: Spec,
    models: Sequence[str],
    days: Sequence[tuple[str, str]],
    *,
    truth: str | None = None,
    scratch: str | None = None,
    more: Callable[[Any], Mapping[str, pl.Series]] | None = None,
) -> Iterator[Rows]:
    """The rows of some days with what all models predict, while the block lasts.

    Memory does not grow with them: above some 260,000 they lie on disk, in about 8
    bytes a row and task and 4 more a model. Takes and raises what `evaluate_models`
    does; `more` as `scoring.score_days` does.
    """
    from pipeline.evaluation import scoring  # TensorFlow

    finish: Callable[[pl.DataFrame], pl.DataFrame] = _as_it_is
    if truth is not None:
        from pipeline.evaluation import truth_join  # Beam

        known = truth_join.read_truth(truth, spec)
        finish = functools.partial(quality.with_truth, truth=known)
    count = scoring.count_rows(days)
    if not count:
        raise NoRowsError(
            f"The evaluation days ({', '.join(split for split, _ in days) or 'none'}) "
            "have no example. Keep other days for evaluation, or look in the report of "
            "the examples for what their rows were dropped by."
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix="trailrank-") as folder:
        frames = scoring.score_days(spec, models, days, more or _nothing_more)
        yield collect(frames, count, folder, finish)


def model_of(
    path: str, days: Sequence[tuple[str, str]], out: str = "", number: int = 0
) -> ModelEvaluation:
    """What is known of a model before it is evaluated: see `evaluate_rows`."""
    return ModelEvaluation(
        model=path,
        days=tuple(split for split, _ in days),
        rows=0,
        tasks=(),
        slices={},
        ranking=None,
        folder=os.path.join(out, f"model-{number}") if out else "",
    )


def _nothing_more(serialized: Any) -> Mapping[str, pl.Series]:
    return {}


def _as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def evaluate_rows(
    spec: Spec,
    rows: Rows,
    number: int,
    empty: ModelEvaluation,
    *,
    alone: bool = False,
) -> ModelEvaluation:
    """Measures one model on scored rows.

    Args:
        spec: Of the rows.
        rows: See `scoring.score_days`.
        number: Of the model in these.
        empty: What is known before; with a `folder`, everything is kept there.
        alone: Whether to leave out what no gate compares, as of a model that another
            one is compared with: XAUC, GAUC by slice, orders but the fused one.
    """
    tasks = [t for t in spec.tasks if prediction_key(t.name, number) in rows.columns]
    slicings = [Slicing.by(column, rows) for column in spec.evaluation.slices]
    measured = {
        task.name: _measure(rows, task, number, [EVERYTHING, *slicings], alone, empty)
        for task in tasks
    }
    ranking = None
    if score_key(number) in rows.columns:
        ranking, sums = fused.measure_ranking(spec, rows, number, alone=alone)
        if empty.folder:
            user_sums.write(empty.folder, FUSED, [sums])
    names = [name for slicing in slicings for name in slicing.names]
    found = dataclasses.replace(
        empty,
        rows=rows.count,
        tasks=tuple(measured[t.name][user_sums.ALL] for t in tasks),
        slices={n: tuple(measured[t.name][n] for t in tasks) for n in names},
        ranking=ranking,
    )
    if found.folder:
        _write(found)
    return found


def _measure(
    rows: Rows,
    task: TaskSpec,
    number: int,
    slicings: Sequence[Slicing],
    alone: bool,
    model: ModelEvaluation,
) -> dict[str, TaskQuality]:
    """One task on all slices; keeps the sums of each."""
    found = [
        quality.measure_task(rows, task, number, slicing, alone=alone)
        for slicing in slicings
    ]
    if model.folder:
        user_sums.write(model.folder, task.name, [one.sums for one in found])
    return {name: of for one in found for name, of in one.qualities.items()}


# --- as a file ------------------------------------------------------------------------


def _write(found: ModelEvaluation) -> None:
    path = os.path.join(found.folder, FILE)
    values = dataclasses.asdict(found)
    del values["folder"]  # which may be moved
    buckets.write_bytes(path, to_json(values))


def read_evaluation(folder: str) -> ModelEvaluation:
    """The evaluation of a model that `evaluate_models` kept.

    Raises:
        EvaluationFileError: There is none, or it cannot be read any more.
    """
    path = os.path.join(folder, FILE)
    remedy = "Evaluate the model again."
    try:
        values = json.loads(buckets.read_bytes(path))
        return ModelEvaluation(
            model=values["model"],
            days=tuple(values["days"]),
            rows=values["rows"],
            tasks=tuple(map(read_quality, values["tasks"])),
            slices={
                name: tuple(map(read_quality, rows))
                for name, rows in values["slices"].items()
            },
            ranking=read_ranking(values["ranking"]),
            folder=folder,
        )
    except FileNotFoundError:
        raise EvaluationFileError(f"{path}: there is no such file. {remedy}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationFileError(
            f"{path}: is no evaluation of a model ({type(error).__name__}: {error}). "
            f"{remedy}"
        ) from None


def read_quality(values: Mapping[str, Any]) -> TaskQuality:
    """A task's quality from JSON."""
    return TaskQuality(**_with_nan(values))


def read_ranking(values: Mapping[str, Any] | None) -> Ranking | None:
    """A ranking from JSON; None is None."""
    if not values:
        return None
    orders = tuple(OrderQuality(**_with_nan(one)) for one in values["orders"])
    tasks = tuple(TopQuality(**_with_nan(one)) for one in values["tasks"])
    return Ranking(**{**values, "orders": orders, "tasks": tasks})


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a metric that the rows do not have is null there."""
    return {
        key: math.nan
        if value is None
        else _with_nan(value)
        if isinstance(value, Mapping)
        else value
        for key, value in values.items()
    }

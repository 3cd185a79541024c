"""What it changes that a model's large tables are stored in fewer bytes.

The model is exported a second time with tables as they were trained, and both score the
rows of a day.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from feature_specs import Spec
from feature_specs.spec import TaskSpec
from pipeline.evaluation import user_sums
from pipeline.evaluation.model_evaluation import scored_rows
from pipeline.evaluation.quality import measure_task
from pipeline.evaluation.rows import Rows, prediction_key
from pipeline.reporting.files import plain
from serving.export.export import export
from trainer.model.ranker import Ranker

_FIGURES = 6


def table_change(
    spec: Spec,
    ranker: Ranker,
    graph: str,
    days: Sequence[tuple[str, str]],
    quantiles: str | None = None,
) -> Callable[[str], dict[str, Any]]:
    """For `serving.export.export.export`'s `measure`.

    Args:
        spec: The model's.
        ranker: The model.
        graph: Directory of its encoding.
        days: (split, directory of examples) whose rows are scored.
        quantiles: As for `export`.

    Returns:
        Model directory -> `days`, `rows`, and of each of `tasks` a pair of `auc` and
        one of `gauc`, as trained and as stored (None for regressions), and the
        `largest_change` of a prediction.
    """

    def measure(model_dir: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="trailrank-") as folder:
            trained = os.path.join(folder, "1")
            export(ranker, graph, spec, trained, quantiles=quantiles)
            with scored_rows(spec, [trained, model_dir], days) as rows:
                tasks = {task.name: _of_task(rows, task) for task in spec.tasks}
                found = {"days": [d for d, _ in days], "rows": rows.count}
        return plain({**found, "tasks": tasks}, _FIGURES)  # type: ignore[no-any-return]

    return measure


def _of_task(rows: Rows, task: TaskSpec) -> dict[str, Any]:
    both = [
        measure_task(rows, task, number, alone=True).qualities[user_sums.ALL]
        for number in range(2)
    ]
    keys = [prediction_key(task.name, number) for number in range(2)]
    changes = [
        float(np.abs(frame[keys[0]] - frame[keys[1]]).max() or 0.0)
        for frame in rows.read(keys)
    ]
    return {
        "auc": [quality.auc for quality in both],
        "gauc": [quality.gauc for quality in both],
        "largest_change": max(changes),
    }

"""Selected weights in runs of the pipeline: the step `SparseWeights` without TFX.

A run that is asked for it selects the loss weight of new sparse tasks on its training
days, of which the last one judges: the evaluation days are for the model's gates. What
was selected stays, as the ledger has it, until somebody asks for another selection.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from feature_specs import ModelConfig, Spec
from feature_specs.places import as_glob, is_bucket
from feature_specs.preset import with_loss_weights
from pipeline.reporting.figures import require_matplotlib
from pipeline.reporting.files import DamagedFileError, json_object, to_json
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.options import WeightOptions
from pipeline.weight_selection.plan import make_plan
from tpu_configs import SliceConfig
from trainer.ownership import TensorFlowObjects

WEIGHTS_FILE = "loss_weights.json"
_NAME = "preset"  # of the run's, in tables
_LEAST_DAYS = 2
_REMEDY = "Run the pipeline again with --refresh_sparse_weights."


class RunSelection(NamedTuple):
    """What a run selects weights of, and on what.

    Attributes:
        spec: What the examples hold; its training view.
        preset: In which the tasks' weights are selected.
        slice: What a training runs on.
        days: Split and examples directory of the training days, in order.
        graph: Directory of their encoding; empty if they are encoded already.
        tasks: The new sparse tasks, in the order in which they are selected.
        sparse: All sparse tasks, which that view leaves out.
        known: Task -> its weight, of those that were selected before.
        options: See `options_of`.
        reports: Directory for tables, figures and finished trainings, a folder a task.
    """

    spec: Spec
    preset: ModelConfig
    slice: SliceConfig
    days: Sequence[tuple[str, str]]
    graph: str
    tasks: Sequence[str]
    sparse: Sequence[str]
    known: Mapping[str, float]
    options: Mapping[str, Any]
    reports: str


def options_of(values: Mapping[str, Any]) -> WeightOptions:
    """How weights are selected, from what is not as by default.

    Raises:
        WeightSelectionError: An unknown name, one that a run sets itself, or a value
            that cannot be.
    """
    own = {"days", "eval_days", "rivals"}  # a run's days; rivals are for people
    known = {field.name for field in dataclasses.fields(WeightOptions)} - own
    for name in values:
        if name not in known:
            raise WeightSelectionError(
                f"sparse_options {name!r}: must be of {', '.join(sorted(known))}."
            )
    return WeightOptions(**values)


def check_selection(
    spec: Spec, preset: ModelConfig, tasks: Sequence[str], options: Mapping[str, Any]
) -> None:
    """That weights of these tasks can be selected, before TensorFlow is loaded.

    Raises:
        WeightSelectionError: They cannot; or the preset says one already.
        RuntimeError: matplotlib is missing.
    """
    how = options_of(options)
    for task in tasks:
        if task in preset.loss_weights:
            raise WeightSelectionError(
                f"--sparse_weights {task}: must have no weight in the preset or "
                f"--loss_weights. Got {preset.loss_weights[task]:g}. Leave one out."
            )
        make_plan(spec, _NAME, preset, task, how)
    if tasks:
        require_matplotlib()


def select_weights(asked: RunSelection, out: str) -> dict[str, float]:
    """Task -> its weight, each with those before it in the preset; also in `out`.

    Args:
        asked: What is selected.
        out: Gets `loss_weights.json`.

    Raises:
        WeightSelectionError: There are too few days or positives.
    """
    weights = {task: asked.known[task] for task in asked.tasks if task in asked.known}
    for task in asked.tasks:
        if task not in weights:
            preset = with_loss_weights(asked.preset, weights)
            weights[task] = _select(asked, preset, task)
    TensorFlowObjects().write(os.path.join(out, WEIGHTS_FILE), to_json(weights))
    return weights


def read_weights(place: str) -> dict[str, float]:
    """What `select_weights` has written, in a bucket too.

    Raises:
        DamagedFileError: It cannot be read any more.
    """
    path = os.path.join(place, WEIGHTS_FILE)
    content = TensorFlowObjects().read(path)
    if content is None:
        raise DamagedFileError(f"{path}: is missing. {_REMEDY}")
    return json_object(content, path, _REMEDY)


def _select(asked: RunSelection, preset: ModelConfig, task: str) -> float:
    from pipeline.compare.examples import Examples
    from pipeline.weight_selection.run import select_on

    days = [(split, _files(split, folder)) for split, folder in asked.days]
    there = [(split, files) for split, files in days if files]
    if len(there) < _LEAST_DAYS:
        raise WeightSelectionError(
            f"--sparse_weights {task}: needs two training days, of which the last one "
            f"judges. Got {', '.join(split for split, _ in there) or 'none'}. Take "
            "more --days, or a weight of your own by --loss_weights."
        )
    sparse = {*asked.sparse}
    tasks = tuple(
        dataclasses.replace(t, sparse=t.name in sparse) for t in asked.spec.tasks
    )
    examples = Examples(
        spec=dataclasses.replace(asked.spec, tasks=tasks),
        encoding=asked.graph or None,
        train=tuple(there[:-1]),
        evaluation=tuple(there[-1:]),
    )
    with tempfile.TemporaryDirectory() as folder:  # no results are kept in a bucket
        reports = folder if is_bucket(asked.reports) else asked.reports
        found = select_on(
            examples,
            preset,
            _NAME,
            task,
            pathlib.Path(reports) / task,
            options_of(asked.options),
            asked.slice,
        )
    return float(found.weight)  # as options may say 10: one text for one weight


def _files(split: str, folder: str) -> list[str]:
    """Globs of a day's examples; none where they are gone."""
    import tensorflow as tf

    pattern = os.path.join(as_glob(folder), f"Split-{split}", "*.gz")
    return [pattern] if folder and tf.io.gfile.glob(pattern) else []

"""`RUN/run.json`: what a run read, made and measured, for people and other commands."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from feature_specs.errors import TrailrankError
from feature_specs.places import Place
from pipeline.reporting.files import DamagedFileError, read_json, write_json

RECORD = "run.json"
REFUSED = "refused.json"  # the record of a model that was not pushed

_AGAIN = "Run `trailrank pipeline run"


class NoRunError(TrailrankError, RuntimeError):
    """A directory holds no finished run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run.

    Attributes:
        spec: Name of the spec.
        spec_text: Its YAML.
        spec_digest: Twelve hex digits that change with what it means.
        preset: Name of the model preset.
        days: First and last day read.
        eval_splits: Splits kept for evaluation.
        logs: Directory of the raw logs.
        rows: Counts of example generation (in, examples, filtered, rejected).
        examples: Directory of the raw examples that this run made.
        model: Directory of the trained SavedModel.
        pushed: Whether the model passed the spec's gates and went to `models/`.
        metrics: The evaluation table, a mapping a task.
        slices: The same for each slice of the evaluation rows.
        versions: Versions of the libraries that made the run.
        transform_graph: Directory of the encoding that the model carries.
        checkpoints: Directory of the training's checkpoints.
        example_dirs: Split -> directory of its raw examples, of all days in order.
        ranking: How good the fused score orders; empty if nobody measured it.
        evaluation: Directory of what the Evaluator measured.
        version: The number that the model was pushed under; empty if it was not.
        refused: Why it was not pushed; empty if it was.
        loss_weights: Task -> weight, of those that the step SparseWeights gave.
    """

    spec: str
    spec_text: str
    spec_digest: str
    preset: str
    days: str
    eval_splits: tuple[str, ...]
    logs: str
    rows: dict[str, Any]
    examples: str
    model: str
    pushed: bool
    metrics: list[dict[str, Any]]
    slices: dict[str, list[dict[str, Any]]]
    versions: dict[str, str]
    transform_graph: str = ""  # no record of an older run has these
    checkpoints: str = ""
    example_dirs: dict[str, str] = dataclasses.field(default_factory=dict)
    ranking: dict[str, Any] = dataclasses.field(default_factory=dict)
    evaluation: str = ""
    version: str = ""
    refused: str = ""
    loss_weights: dict[str, float] = dataclasses.field(default_factory=dict)

    def examples_of(self, split: str) -> str:
        """Directory that holds a split's raw examples."""
        return self.example_dirs.get(split, self.examples)


def write_record(root: str, record: RunRecord, name: str = RECORD) -> pathlib.Path:
    """Writes `root/run.json` in one step, so that readers never see half of it."""
    path = pathlib.Path(root) / name
    write_json(path, dataclasses.asdict(record))
    return path


def read_record(root: Place) -> RunRecord:
    """What a finished run read, made and measured, from its `run.json`.

    >>> record = trailrank.read_record("run")
    >>> record.preset, record.days
    ('mmoe', '20220408:20220414')
    >>> sum(record.rows["examples"].values()) < record.rows["rows_in"]  # some filtered
    True

    Args:
        root: Directory of the run.

    Raises:
        NoRunError: There is no finished run.
        DamagedFileError: Its record cannot be read any more.
    """
    path = pathlib.Path(root) / "run.json"
    try:
        values = read_json(path, f"{_AGAIN} --root {root}`.")
    except FileNotFoundError:
        raise NoRunError(_no_run(pathlib.Path(root))) from None
    try:
        return RunRecord(**_typed(values))
    except (KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{path}: is no run's record ({error}). {_AGAIN} --root {root}`."
        ) from None


def _no_run(root: pathlib.Path) -> str:
    """Whether nothing has run there, or no model has passed its gates yet."""
    if (root / REFUSED).exists():
        return (
            f"{root}: no model has passed its gates here; {root / REFUSED} says what "
            "the last one was refused for. Mend that, and run the pipeline again."
        )
    return (
        f"{root}: no finished run here (run.json is missing). Run `trailrank pipeline "
        f"run --root {root}` first, or name another --root."
    )


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a record; KeyError or TypeError where they cannot be those."""
    values = {**values, "eval_splits": tuple(values["eval_splits"])}
    kinds = {"str": str, "bool": bool}
    for field in dataclasses.fields(RunRecord):
        kind = kinds.get(str(field.type).partition("[")[0], object)
        kind = dict if str(field.type).startswith("dict[") else kind
        kind = list if str(field.type).startswith("list[") else kind
        if field.name in values and not isinstance(values[field.name], kind):
            got = type(values[field.name]).__name__
            raise TypeError(f"{field.name} must be a {kind.__name__}, got {got}")
    return values

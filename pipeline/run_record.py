"""`RUN/run.json`: what a run read, made and measured, for people and other commands."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from feature_specs import TrailrankError
from pipeline.reporting.files import write_json


class NoRunError(TrailrankError, RuntimeError):
    """A directory holds no finished run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run.

    Attributes:
        spec: Name of the spec.
        spec_text: Its YAML.
        spec_digest: Twelve hex digits that change with it.
        preset: Name of the model preset.
        days: First and last day read.
        eval_splits: Splits kept for evaluation.
        logs: Directory of the raw logs.
        rows: Counts of example generation (in, examples, filtered, rejected).
        examples: Directory of the raw examples.
        model: Directory of the trained SavedModel.
        pushed: Whether the model was blessed and pushed to `models/`.
        metrics: The evaluation table, a mapping a task.
        slices: The same for each slice of the evaluation rows.
        versions: Versions of the libraries that made the run.
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


def write_record(root: str, record: RunRecord) -> pathlib.Path:
    """Writes `root/run.json` in one step, so that readers never see half of it."""
    path = pathlib.Path(root) / "run.json"
    write_json(path, dataclasses.asdict(record))
    return path


def read_record(root: str) -> RunRecord:
    """The record of the run in `root`; NoRunError if there is none."""
    path = pathlib.Path(root) / "run.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoRunError(
            f"{root}: no finished run here (run.json is missing). "
            "Run `trailrank pipeline run --root "
            f"{root}` first, or name another --root."
        ) from None
    values["eval_splits"] = tuple(values["eval_splits"])
    return RunRecord(**values)

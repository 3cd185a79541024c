"""What serving needs to know of a finished run, from its `run.json`."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from feature_specs import Spec, read_spec
from feature_specs.errors import TrailrankError
from feature_specs.places import Place, is_bucket


class RunError(TrailrankError, RuntimeError):
    """A directory without a finished run, or one that lacks something."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedRun:
    """A finished run.

    Attributes:
        root: Its directory.
        spec: What its examples and its model are of.
        examples: Directory of the raw examples that it made.
        example_dirs: Split -> directory of its raw examples, of all days in order.
        eval_splits: Those that the model was evaluated on.
        transform_graph: Directory of the encoding; empty in old records.
        model: Directory of the trained SavedModel; empty in old records.
        version: The number that it was pushed under; empty if it was not.
    """

    root: str
    spec: Spec
    examples: str
    example_dirs: dict[str, str] = dataclasses.field(default_factory=dict)
    eval_splits: tuple[str, ...] = ()
    transform_graph: str = ""
    model: str = ""
    version: str = ""

    def check_examples(self) -> None:
        """RunError if the examples are not on this machine; a bucket passes."""
        if not is_bucket(self.examples) and not os.path.isdir(self.examples):
            raise RunError(
                f"{self.examples}: the examples of {self.root} are not here, so no "
                "user or item can be looked up. Was the run's directory moved or "
                "cleaned?"
            )


def read_run(root: Place) -> ServedRun:
    """A run's record.

    Raises:
        RunError: There is none, or it is damaged.
    """
    path = pathlib.Path(root) / "run.json"
    again = f"Run `trailrank pipeline run --root {root}`"
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        return ServedRun(
            root=os.fspath(root),
            spec=read_spec(record["spec_text"], str(path)),
            examples=_text(record, "examples"),
            example_dirs=dict(record.get("example_dirs", {})),
            eval_splits=tuple(record.get("eval_splits", ())),
            transform_graph=_text(record, "transform_graph", ""),
            model=_text(record, "model", ""),
            version=_text(record, "version", ""),
        )
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: no finished run here. {again} first, or name another "
            "--root."
        ) from None
    except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, TrailrankError):
            raise
        raise RunError(
            f"{path} is no run's record: {error!r}. {again} again."
        ) from None


def _text(record: dict[str, Any], key: str, default: str | None = None) -> str:
    found = record[key] if default is None else record.get(key, default)
    if not isinstance(found, str):
        raise TypeError(f"`{key}` is no path")
    return found

"""What a network must beat: predictions that take no network, on the same rows.

`means` are the label mean and smoothed means of users and items; `trees` is one model
of gradient-boosted trees a task. They are made once: no seed moves them much.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from feature_specs import views
from pipeline.reporting.files import to_json, write_bytes

if TYPE_CHECKING:
    import polars as pl

    from pipeline.compare.examples import Examples
    from pipeline.compare.scores import Scores

YARDSTICKS_FILE = "yardsticks.json"
KINDS = ("means", "trees")


def measure_yardsticks(
    examples: Examples,
    kinds: Sequence[str],
    out: pathlib.Path,
    report: Callable[[str], None] = lambda kind: None,
) -> dict[str, Scores]:
    """Name -> task -> metric -> value; what `out` has of these rows is not made again.

    Args:
        examples: The rows that presets are trained and judged on.
        kinds: Of `KINDS`.
        out: Directory of the results.
        report: Is called with a kind before it is made.
    """
    file = out / YARDSTICKS_FILE
    kept = _read(file)
    found: dict[str, Scores] = {}
    for kind in kinds:
        key = _key(examples, kind)
        if key not in kept:
            report(kind)
            kept[key] = dict(_scores(examples, kind))
            write_bytes(file, to_json(kept))
        found |= kept[key]
    return found


def _scores(examples: Examples, kind: str) -> Iterator[tuple[str, Scores]]:
    from pipeline.compare.scores import score_frame
    from pipeline.compare.yardsticks import means, trees

    makers: dict[str, Callable[[Examples], Mapping[str, pl.DataFrame]]] = {
        "means": means.predict,
        "trees": trees.predict,
    }
    for name, frame in makers[kind](examples).items():
        yield name, score_frame(examples.spec, frame)[0]


def _read(file: pathlib.Path) -> dict[str, dict[str, Scores]]:
    """What was found before; nothing where the file is missing or cut off."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    # JSON has no NaN: a metric that the rows do not have is null.
    return {
        key: {
            name: {
                task: {m: float("nan") if v is None else v for m, v in own.items()}
                for task, own in scores.items()
            }
            for name, scores in names.items()
        }
        for key, names in found.items()
    }


def _key(examples: Examples, kind: str) -> str:
    decides = {
        "kind": kind,
        "spec": views.digest(examples.spec, views.TRAINING),
        "examples": examples.fingerprint,
        "days": examples.train_days,
        "evaluation": examples.evaluation_days,
    }
    text = json.dumps(decides, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

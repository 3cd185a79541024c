"""A few examples before and after encoding, by the very functions of a run."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER
from pipeline.dry_run.examples_frame import read_examples
from pipeline.dry_run.run import DryRun

_KEY = (KEY_USER, KEY_ITEM, KEY_TIME)


@dataclasses.dataclass(frozen=True)
class EncodedExample:
    """One example, as it is trained on.

    Attributes:
        raw: Key -> value, as `trailrank examples` writes it.
        encoded: Key -> value, as a model reads it; empty where nothing was encoded.
    """

    raw: dict[str, Any]
    encoded: dict[str, Any]


def some_examples(run: DryRun, count: int = 3) -> list[EncodedExample]:
    """Examples of training days, spread over them.

    Their vocabularies and scales are those of the sample's training days: with all rows
    the numbers are others, what is missing is not.
    """
    from pipeline.transform_examples import transform_examples

    train = list(run.report["train"])
    raw = read_examples(run.examples, train).sort(KEY_TIME)
    folder = _as_one_split(run, train)
    done = transform_examples(run.spec, folder, os.path.join(run.examples, "_encoded"))
    encoded = read_examples(done.examples)
    places = [place * (raw.height - 1) // max(count - 1, 1) for place in range(count)]
    return [_pair(raw, encoded, place) for place in dict.fromkeys(places)]


def _as_one_split(run: DryRun, train: Sequence[str]) -> str:
    """The training days' files as one split: a split costs a pass of its own."""
    folder = pathlib.Path(run.examples, "_training")
    split = folder / f"Split-{train[0]}"
    split.mkdir(parents=True)
    for number, name in enumerate(train):
        for file in sorted(pathlib.Path(run.examples, f"Split-{name}").glob("*.gz")):
            os.symlink(file, split / f"{number:05d}-{file.name}")
    rows = sum(run.report["examples"][name] for name in train)
    splits = {"train": [train[0]], "evaluation": [], "examples": {train[0]: rows}}
    report = {**run.report, **splits}
    (folder / "report.json").write_text(json.dumps(report))
    return str(folder)


def _pair(raw: pl.DataFrame, encoded: pl.DataFrame, place: int) -> EncodedExample:
    row = raw.row(place, named=True)
    same = [pl.col(name) == row[name] for name in _KEY]
    found = encoded.filter(pl.all_horizontal(same))
    return EncodedExample(row, found.row(0, named=True) if found.height else {})

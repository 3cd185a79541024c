"""A run's directory as four runs leave it, a day each, with all that they refer to."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import pytest

from feature_specs import read_spec, views
from pipeline.ledger import Ledger, MadeDay, RunEntry, Version, write_ledger
from pipeline.operations.log_files import describe_files
from pipeline.pushing import push
from tests.tiny_spec import TINY_SPEC

DAILY = TINY_SPEC.replace('files: "log_*.csv"', 'files: "log_{day}.csv"')
DAYS = ("day-20220408", "day-20220409", "day-20220410", "day-20220411", "day-20220412")
AUC = (0.70, 0.71, 0.69, 0.72)


@dataclasses.dataclass(frozen=True)
class KnownRun:
    """A directory of runs.

    Attributes:
        root: It.
        logs: Its logs, a file a day.
        models: Where versions are served from.
        versions: Numbers of the three that were pushed, oldest first.
    """

    root: pathlib.Path
    logs: pathlib.Path
    models: pathlib.Path
    versions: tuple[str, ...]


def written(path: pathlib.Path, text: str = "x") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def known_run(tmp_path) -> KnownRun:
    """Runs of 0409 to 0412, each judged on its own day; that of 0411 was refused."""
    root, logs = tmp_path / "run", tmp_path / "logs"
    for day in DAYS:
        written(logs / f"log_{day.removeprefix('day-')}.csv", day * 3)
    spec = read_spec(DAILY)
    models = root / "models" / spec.name
    ledger, versions = Ledger(), []
    for number in range(4):
        ledger, version = _run(ledger, number, root, logs, models)
        versions += [version] if version else []
    write_ledger(root, ledger)
    record = {"spec_text": spec.text, "spec_digest": views.digest(spec)}
    written(root / "run.json", json.dumps(record))
    return KnownRun(root, logs, models, tuple(versions))


def _run(ledger, number, root, logs, models) -> tuple[Ledger, str]:
    """The run of one day; its model is pushed unless it is the third."""
    spec = read_spec(DAILY)
    days, run = DAYS[: number + 2], f"2022041{number}-030000"
    made = days if number == 0 else days[-1:]
    examples = root / "artifacts" / "DayExampleGen" / "examples" / f"{number}1"
    for split in made:
        written(examples / f"Split-{split}" / "data_tfrecord-0.gz", split)
    state = written(root / "artifacts/DayExampleGen/state" / f"{number}1" / "users")
    model = root / "artifacts" / "Trainer" / "model" / f"{number}3"
    written(model / "Format-Serving" / "saved_model.pb", f"graph {number}")
    encoding = root / "artifacts" / "EncodingGen" / "transform_graph" / f"{number}2"
    head = {"base": "b" * 12, "digest": f"{number}" * 12, "learned_through": "20220408"}
    written(encoding / "encoding.json", json.dumps(head))
    checkpoints = root / "checkpoints" / "key-base"
    trained = days[:-1]
    written(checkpoints / "days" / trained[-1] / "ckpt-1.index", trained[-1])
    written(checkpoints / "ckpt-9.index", trained[-1])
    version = ""
    if number != 2:
        version = push(model / "Format-Serving", models).version
    for split in made:
        ledger = ledger.with_day(
            MadeDay(
                split=split,
                key="k",
                examples=str(examples),
                last=split.removeprefix("day-"),
                state=str(state.parent) if split == made[-1] else "",
                run=run,
            )
        )
    about = {"trained": trained, "judged": days[-1:], "checkpoints": str(checkpoints)}
    about["encoding"] = str(encoding)
    if version:
        ledger = ledger.with_version(
            Version(version=version, model=str(model), run=run, **about)
        )
    files = [logs / f"log_{day.removeprefix('day-')}.csv" for day in days]
    return ledger.with_run(
        RunEntry(
            id=run,
            began=f"2022-04-1{number}T03:00:00Z",
            spec=spec.name,
            spec_digest=views.digest(spec),
            views={"training": "abc"},
            preset="mmoe",
            logs=str(logs),
            log_files=describe_files(
                (str(f), f.stat().st_size, f.stat().st_mtime) for f in files
            ),
            made=made,
            version=version,
            outcome="pushed" if version else "refused",
            message="" if version else "like: AUC fell\nand more",
            metrics={"like": {"auc": AUC[number], "gauc": None}},
            **about,
        )
    ), version


def tree(folder: pathlib.Path) -> list[str]:
    """Paths of all files below, in order."""
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
    )

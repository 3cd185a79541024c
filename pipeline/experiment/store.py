"""The files of an experiment that goes on: what is finished, each written in one step.

    OUT/design.json                     what the files are of
    OUT/parts/day-003/shard-0001.pkl    one served day of one shard (`play.ShardDay`)
    OUT/parts/day-003/sums.pkl          what all users tell of keys up to that day
    OUT/logs/<arm>/log_standard_...csv  the day's log of the users that the arm serves
    OUT/logs/<arm>/user_features_pure.csv, video_features_basic_pure.csv

Day -1 is what the logs before the experiment tell. The logs are as `simulate` writes
them, a file a day, so that `examples` and `pipeline run` read an arm's directory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from feature_specs import Spec, views
from pipeline.experiment.design import Design
from pipeline.experiment.errors import ExperimentError
from pipeline.reporting.files import read_json, write_bytes, write_json
from pipeline.simulator.block import LOG_COLUMNS

DESIGN, WHOLE = "design.json", "whole"


@dataclasses.dataclass(frozen=True)
class Store:
    """An experiment's directory."""

    out: pathlib.Path

    def shard_file(self, day: int, shard: int) -> pathlib.Path:
        return self._day(day) / f"shard-{shard:04d}.pkl"

    def users_file(self, day: int, shard: int) -> pathlib.Path:
        return self._day(day) / f"users-{shard:04d}.pkl"

    def known_file(self, shard: int) -> pathlib.Path:
        return self._day(-1) / f"known-{shard:04d}.pkl"

    def sums_file(self, day: int) -> pathlib.Path:
        return self._day(day) / "sums.pkl"

    def _day(self, day: int) -> pathlib.Path:
        name = "before" if day < 0 else f"day-{day:03d}"
        return self.out / "parts" / name

    def day_is_whole(self, day: int) -> bool:
        """Whether a day's shards, sums and log are there."""
        return (self._day(day) / WHOLE).exists()

    def finish_day(self, day: int) -> None:
        """Says that a day's files are all there; the day before need not go on."""
        write_bytes(self._day(day) / WHOLE, b"")

    def write(self, path: pathlib.Path, value: Any) -> None:
        write_bytes(path, pickle.dumps(value, protocol=5))

    def read(self, path: pathlib.Path) -> Any:
        """What was written; ExperimentError if it cannot be read any more."""
        try:
            return pickle.loads(path.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError) as error:
            raise ExperimentError(
                f"{path}: cannot be read ({error}). Remove {self.out} and run the "
                "experiment again."
            ) from None

    def begin(self, design: Design, spec: Spec, world: str) -> None:
        """Says what the files are of; ExperimentError if they are of another one."""
        told = {
            "arms": [_arm(arm) for arm in design.arms],
            "days": design.days,
            "pre_days": design.pre_days,
            "history_days": design.history_days,
            "seed": design.seed,
            "candidates": design.candidates,
            "rows_per_user_day": design.rows_per_user_day,
            "retrain": design.retrain,
            "world": {k: str(v) for k, v in vars(design.settings).items()},
            "logs": world,
            "spec": views.digest(spec, views.EXAMPLES),
            "tasks": [task.name for task in spec.tasks],
        }
        told = json.loads(json.dumps(told))
        path = self.out / DESIGN
        if path.exists():
            found = read_json(path, "Name another --out.")
            changed = sorted(k for k in told if found.get(k) != told[k])
            if changed:
                raise ExperimentError(
                    f"{self.out}: has another experiment, which differs in "
                    f"{', '.join(changed)}. Name another --out, or the same arguments."
                )
            return
        if self.out.is_dir() and any(
            not entry.name.startswith(".") for entry in self.out.iterdir()
        ):
            raise ExperimentError(
                f"--out {self.out}: must be empty or hold an experiment. Name another."
            )
        write_json(path, told)

    # --- logs -------------------------------------------------------------------------

    def write_log(
        self, design: Design, day: int, parts: Sequence[pl.DataFrame]
    ) -> None:
        """Writes the log of a day, a file for each arm that serves on it."""
        log = pl.concat(parts).sort("user_id", "time_ms")
        arm = design.serving(log["user_id"].to_numpy(), day)
        date = design.date(day)
        name = f"{date.month}_{date.day:02d}"
        for number, one in enumerate(design.arms):
            if day < design.pre_days and number:
                continue
            lines = log.filter(pl.Series(arm == number)).select(LOG_COLUMNS)
            path = self.logs_of(one.name) / f"log_standard_{name}_to_{name}_pure.csv"
            write_bytes(path, lines.write_csv().encode())

    def write_tables(self, design: Design, tables: Mapping[str, pl.DataFrame]) -> None:
        """Puts the side files beside the log of each arm."""
        for arm in design.arms:
            for name, table in tables.items():
                path = self.logs_of(arm.name) / f"{name}_pure.csv"
                if not path.exists():
                    write_bytes(path, table.write_csv().encode())

    def logs_of(self, arm: str) -> pathlib.Path:
        """Directory of an arm's logs."""
        return self.out / "logs" / arm


def _arm(arm: Any) -> dict[str, Any]:
    return {
        "name": arm.name,
        "kind": arm.kind,
        "model": model_digest(arm.model) if arm.model else "",
        "weights": dict(arm.weights),
    }


def model_digest(path: str) -> str:
    """Of a SavedModel's graph and weights."""
    hashed = hashlib.sha256()
    for folder, _, names in sorted(os.walk(path)):
        for name in sorted(names):
            if name == "saved_model.pb" or os.path.basename(folder) == "variables":
                hashed.update(name.encode())
                hashed.update(pathlib.Path(folder, name).read_bytes())
    return hashed.hexdigest()[:16]

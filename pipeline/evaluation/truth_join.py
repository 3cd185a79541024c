"""The log simulator's truth, in the form the evaluation table compares with.

Only studies, tests and `trailrank evaluate --truth` read it; the pipeline never does.
"""

from __future__ import annotations

import pathlib

import polars as pl

from feature_specs import Spec, TrailrankError
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER

# Task of kuairand.yaml -> the truth's column: the probability without the trail effect.
_ORACLES = {
    "valid_play": "u_is_click",
    "long_view": "u_long_view",
    "finish": "u_complete",
    "skip": "u_skip",
    "like": "u_is_like",
    "follow": "u_is_follow",
    "comment": "u_is_comment",
    "share": "u_is_forward",
    "hate": "u_is_hate",
    "profile_enter": "u_is_profile_enter",
}


class NoTruthError(TrailrankError, RuntimeError):
    """A directory holds no truth of the log simulator."""


def read_truth(folder: str, spec: Spec) -> pl.DataFrame:
    """The keys and `oracle_<task>` of every impression the simulator wrote."""
    files = sorted(pathlib.Path(folder).glob("*.parquet"))
    if not files:
        raise NoTruthError(
            f"{folder}: no *.parquet here. Give the truth/ directory that "
            "`trailrank simulate` wrote beside its data/."
        )
    truth = pl.concat([pl.read_parquet(path) for path in files])
    tasks = {task.name for task in spec.tasks}
    oracles = {
        f"oracle_{task}": column
        for task, column in _ORACLES.items()
        if task in tasks and column in truth.columns
    }
    return truth.select(
        pl.col("user_id").cast(pl.Int64).alias(KEY_USER),
        pl.col("video_id").cast(pl.Int64).alias(KEY_ITEM),
        pl.col("time_ms").cast(pl.Int64).alias(KEY_TIME),
        **oracles,
    )

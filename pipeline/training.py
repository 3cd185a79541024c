"""The Trainer step's `run_fn`: transformed days in, an exported model out."""

from __future__ import annotations

import os
from collections.abc import Collection

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from feature_specs import read_preset, read_spec
from serving.export import export
from tpu_configs import read_slice
from trainer.days.checkpoints import CheckpointError, finished_days
from trainer.days.encoding import Encoding, read_encoding
from trainer.days.loop import train


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the days in order and exports the three signatures.

    `fn_args.custom_config` holds the texts of `spec`, `preset` and `slice`, the names
    of the training `splits` in order, the `checkpoints` directory and the `seed`. If
    the same was trained before on all of these days, it only restores and exports.
    TensorBoard summaries, and figures of experts and conflicts (`inspection/`), go to
    `logs/` of the step's `model_run`.
    """
    settings = fn_args.custom_config
    spec = read_spec(settings["spec"])
    days = [
        (split, [pattern])
        for split, pattern in zip(settings["splits"], fn_args.train_files, strict=True)
    ]
    encoding = read_encoding(fn_args.transform_output)
    directory = encoded_dir(settings["checkpoints"], encoding)
    check_days(directory, settings["splits"])
    ranker = train(
        spec,
        read_preset(settings["preset"]),
        days,
        checkpoint_dir=directory,
        slice=read_slice(settings["slice"]),
        seed=settings["seed"],
        log_dir=os.path.join(fn_args.model_run_dir, "logs"),
        encoding=encoding,
    )
    transform = tft.TFTransformOutput(fn_args.transform_output)
    export(ranker, transform, spec, fn_args.serving_model_dir)


def encoded_dir(checkpoints: str, encoding: Encoding) -> str:
    """Of `dag.checkpoints_dir`, the directory of a training on one encoding: examples
    that were encoded anew, with another outcome, are another training's."""
    return f"{checkpoints}-{encoding.base}"


def check_days(directory: str, splits: Collection[str]) -> None:
    """That the weights there have seen no other days than this run trains on.

    Raises:
        CheckpointError: They have.
    """
    others = [day for day in finished_days(directory) if day not in splits]
    if others:
        raise CheckpointError(
            f"Checkpoints {directory}: must have trained no other days than this run, "
            f"which may only add later ones. Got {', '.join(others)}. Add these days "
            f"to the run's, or remove that directory to train anew."
        )

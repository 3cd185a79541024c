"""The Trainer step's `run_fn`: transformed days in, an exported model out."""

from __future__ import annotations

import os

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from feature_specs import read_preset, read_spec
from serving.export import export
from tpu_configs import read_slice
from trainer.days.loop import train


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the days in order and exports the three signatures.

    `fn_args.custom_config` holds the texts of `spec`, `preset` and `slice`, the names
    of the training `splits` in order, the `checkpoints` directory and the `seed`.
    TensorBoard summaries, and figures of experts and conflicts (`inspection/`), go to
    `logs/` of the step's `model_run`.
    """
    settings = fn_args.custom_config
    spec = read_spec(settings["spec"])
    days = [
        (split, [pattern])
        for split, pattern in zip(settings["splits"], fn_args.train_files, strict=True)
    ]
    ranker = train(
        spec,
        read_preset(settings["preset"]),
        days,
        checkpoint_dir=settings["checkpoints"],
        slice=read_slice(settings["slice"]),
        seed=settings["seed"],
        log_dir=os.path.join(fn_args.model_run_dir, "logs"),
    )
    transform = tft.TFTransformOutput(fn_args.transform_output)
    export(ranker, transform, spec, fn_args.serving_model_dir)

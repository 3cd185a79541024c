"""Which slice a training runs on, from what was asked for and what is here."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Literal

from feature_specs.errors import UsageError
from tpu_configs import SliceConfig, load_slice, shipped_slices

SliceLike = str | os.PathLike[str] | SliceConfig
Precision = Literal["float32", "bfloat16"]


def choose_slice(accelerator: str, wanted: SliceLike | None) -> SliceConfig:
    """The slice that is wanted; without one, the accelerator's default.

    Args:
        accelerator: `auto`, `tpu`, `gpu` or `cpu`.
        wanted: A shipped name, a file or a slice. Only without one is TensorFlow
            loaded, which knows what `auto` finds on this machine.

    Raises:
        SpecError: There is no such slice, or it has mistakes.
        ValueError: Slice and accelerator do not agree, or a TPU's slice is missing.
    """
    if wanted is not None:
        config = wanted
        if not isinstance(config, SliceConfig):
            config = load_slice(os.fspath(config))
        if accelerator not in ("auto", config.accelerator):
            raise UsageError(
                f"--accelerator {accelerator}: must agree with --tpu_config "
                f"{config.name}, which is for {config.accelerator}. Leave "
                f"--accelerator out."
            )
        return config
    if accelerator == "tpu":
        raise _no_slice()
    from trainer import strategy

    found = strategy.resolve(accelerator)
    if found == "tpu":
        raise _no_slice()
    return load_slice(found)


def changed(
    config: SliceConfig, batch_size: int | None, precision: Precision | None
) -> SliceConfig:
    """The slice with another batch size and precision, where they are given."""
    changes: dict[str, Any] = {"batch_size": batch_size, "precision": precision}
    given = {key: value for key, value in changes.items() if value is not None}
    if given.get("batch_size", 1) < 1:
        raise UsageError(f"--batch_size: must be 1 or more. Got {batch_size}.")
    return dataclasses.replace(config, **given)


def _no_slice() -> UsageError:
    tpus = ", ".join(name for name in shipped_slices() if name not in ("cpu", "gpu"))
    return UsageError(f"--accelerator tpu: needs --tpu_config, one of {tpus}.")

"""Slices: which chips a training runs on, and what suits them.

`load_slice("v5litepod-8")` reads a shipped one, `load_slice("mine.yaml")` your own file
with the same keys.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

from feature_specs.build import (
    Problems,
    SpecError,
    build,
    parse_yaml,
    shipped_names,
    shipped_text,
)

_FOLDER = pathlib.Path(__file__).parent / "slices"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceConfig:
    """One kind of machine.

    Attributes:
        name: The file's name without `.yaml`.
        accelerator: What the steps run on.
        topology: The TPU compiler's name of the slice (`v5e:2x4`); none elsewhere.
        chips: TPU chips or GPUs; 1 for a CPU.
        hbm_gib: Memory of one chip; 0 where nothing depends on it.
        batch_size: Rows of one step over all chips.
        steps_per_call: Steps between two returns to Python.
        precision: Type of the dense products; tables, losses and statistics stay
            float32.
    """

    name: str
    accelerator: Literal["cpu", "gpu", "tpu"]
    topology: str = ""
    chips: int = 1
    hbm_gib: float = 0.0
    batch_size: int = 512
    steps_per_call: int = 50
    precision: Literal["float32", "bfloat16"] = "float32"


def shipped_slices() -> list[str]:
    """Names of the slices that come with the package."""
    return shipped_names(_FOLDER)


def load_slice(name_or_path: str) -> SliceConfig:
    """The checked slice of a shipped name or of a file; SpecError lists mistakes."""
    return read_slice(slice_text(name_or_path), name_or_path)


def slice_text(name_or_path: str) -> str:
    """The YAML text of a shipped slice or of a file; SpecError if there is none."""
    return shipped_text(_FOLDER, name_or_path, "slice")


def read_slice(text: str, source: str = "slice") -> SliceConfig:
    """The checked slice that a YAML text holds; `source` names it in errors."""
    problems = Problems()
    config: SliceConfig | None = build(
        SliceConfig, parse_yaml(text, source), "", problems
    )
    if config is not None:
        _check(config, problems)
    if config is None or problems.found:
        raise SpecError(source, problems.found)
    return config


def _check(config: SliceConfig, problems: Problems) -> None:
    for key in ("chips", "batch_size", "steps_per_call"):
        if getattr(config, key) < 1:
            problems.add(key, "must be at least 1.", getattr(config, key))
    if config.hbm_gib < 0:
        problems.add("hbm_gib", "must be 0 or more.", config.hbm_gib)
    if config.chips >= 1 and config.batch_size % config.chips:
        rule = f"must be a multiple of the {config.chips} chips, one share each."
        problems.add("batch_size", rule, config.batch_size)
    if config.accelerator == "tpu" and not config.topology:
        problems.add("topology", "is required for a TPU, like v5e:2x4; add it.")
    if config.accelerator != "tpu" and config.topology:
        problems.add("topology", "is a TPU's; leave it out.", config.topology)
    if config.accelerator == "cpu" and config.chips > 1:
        problems.add("chips", "must be 1 for a CPU.", config.chips)

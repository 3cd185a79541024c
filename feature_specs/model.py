"""The ranker's shape and optimizer: presets of a few lines, read and checked.

A preset names a switcher (MFH fig. 1) with its sizes, the shared bottom, the towers and
the trail towers. `load_preset("mmoe")` reads a shipped one, `load_preset("mine.yaml")`
your own file with the same keys.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwitcherConfig:
    """One input, K outputs (MFH fig. 1).

    Attributes:
        kind: `shared_bottom` gives every task the same output (PLE fig. 1 a); `mmoe`
            mixes `experts` by one softmax gate a task.
        units: Widths of the layers of the shared part, or of each expert.
        experts: Number of experts of `mmoe`.
    """

    kind: Literal["shared_bottom", "mmoe"]
    units: tuple[int, ...] = (64,)
    experts: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrailConfig:
    """The shallow towers of the trail features (SFV sec. 4.2).

    Attributes:
        units: Widths of the hidden layers; none makes the tower linear.
        dim: Width of each trail feature's embedding, shared by all tasks.
        dropout: Share of training rows whose trail features are dropped.
        tasks: Tasks with a trail tower; none named means all.
    """

    units: tuple[int, ...] = (16,)
    dim: int = 8
    dropout: float = 0.1
    tasks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights move.

    Attributes:
        kind: Optimizer of towers, experts and bottom.
        learning_rate: Its rate.
        table_learning_rate: Adagrad's rate for the embedding tables.
        clip_norm: Largest global norm of the dense gradients; 0 leaves them.
        average_steps: Steps over which the weights are averaged that training
            returns; 0 returns the last ones.
    """

    kind: Literal["adam", "adagrad"] = "adam"
    learning_rate: float = 1e-3
    table_learning_rate: float = 0.05
    clip_norm: float = 0.0
    average_steps: int = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole ranker.

    Attributes:
        switcher: The sharing structure.
        bottom: Widths of the shared bottom's layers, below the switcher.
        tower: Widths of the hidden layers of each task's tower.
        trail: The trail towers; they need trail features in the spec.
        disentangle: Weight lambda of the disentangle loss (SFV sec. 5.1); 0 is off.
        optimizer: See `OptimizerConfig`.
        epochs_per_day: Passes over each day.
        dropout: Share of the bottom's outputs dropped in training.
        embedding_l2: Weight of the squared norm of the looked-up embeddings.
    """

    switcher: SwitcherConfig
    bottom: tuple[int, ...] = (128,)
    tower: tuple[int, ...] = (32,)
    trail: TrailConfig = TrailConfig()
    disentangle: float = 0.0
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs_per_day: int = 1
    dropout: float = 0.0
    embedding_l2: float = 0.0


def shipped_presets() -> list[str]:
    """Names of the presets that come with the package."""
    return shipped_names(pathlib.Path(__file__).parent / "presets")


def load_preset(name_or_path: str) -> ModelConfig:
    """The checked preset of a shipped name or of a file; SpecError lists mistakes."""
    return read_preset(preset_text(name_or_path), name_or_path)


def preset_text(name_or_path: str) -> str:
    """The YAML text of a shipped preset or of a file; SpecError if there is none."""
    return shipped_text(
        pathlib.Path(__file__).parent / "presets", name_or_path, "preset"
    )


def read_preset(text: str, source: str = "preset") -> ModelConfig:
    """The checked preset that a YAML text holds; `source` names it in errors."""
    problems = Problems()
    config: ModelConfig | None = build(
        ModelConfig, parse_yaml(text, source), "", problems
    )
    if config is not None:
        _check(config, problems)
    if config is None or problems.found:
        raise SpecError(source, problems.found)
    return config


def _check(config: ModelConfig, problems: Problems) -> None:
    for path, units in (
        ("bottom", config.bottom),
        ("tower", config.tower),
        ("switcher.units", config.switcher.units),
        ("trail.units", config.trail.units),
    ):
        if any(width < 1 for width in units):
            problems.add(path, "must be positive widths.", list(units))
    for path, share in (
        ("trail.dropout", config.trail.dropout),
        ("dropout", config.dropout),
    ):
        if not 0 <= share < 1:
            problems.add(path, "must be at least 0 and below 1.", share)
    for path, number in (
        ("switcher.experts", config.switcher.experts),
        ("epochs_per_day", config.epochs_per_day),
    ):
        if number < 1:
            problems.add(path, "must be at least 1.", number)
    for path, weight in (
        ("disentangle", config.disentangle),
        ("embedding_l2", config.embedding_l2),
        ("optimizer.learning_rate", config.optimizer.learning_rate),
        ("optimizer.table_learning_rate", config.optimizer.table_learning_rate),
        ("optimizer.clip_norm", config.optimizer.clip_norm),
        ("optimizer.average_steps", config.optimizer.average_steps),
    ):
        if weight < 0:
            problems.add(path, "must be 0 or more.", weight)

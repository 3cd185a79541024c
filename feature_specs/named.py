"""Specs and presets as users give them: by a shipped name, by a file, or as objects."""

from __future__ import annotations

import json
import os
import pathlib

from feature_specs.model import ModelConfig, plain_values
from feature_specs.preset import load_preset
from feature_specs.reader import load_spec
from feature_specs.spec import Spec

SpecLike = str | os.PathLike[str] | Spec
PresetLike = str | os.PathLike[str] | ModelConfig


def as_spec(spec: SpecLike) -> Spec:
    """The spec of a shipped name or of a file; a spec stays as it is.

    Raises:
        SpecError: There is no such spec, or it has mistakes.
    """
    return spec if isinstance(spec, Spec) else load_spec(os.fspath(spec))


def as_preset(preset: PresetLike) -> ModelConfig:
    """The preset of a shipped name or of a file; a preset stays as it is.

    Raises:
        SpecError: There is no such preset, or it has mistakes.
    """
    if isinstance(preset, ModelConfig):
        return preset
    return load_preset(os.fspath(preset))


def name_of_preset(preset: PresetLike) -> str:
    """What results call it: the shipped name, or its file's; `preset` of an object."""
    if isinstance(preset, ModelConfig):
        return "preset"
    return pathlib.PurePath(os.fspath(preset)).stem


def preset_as_text(preset: ModelConfig) -> str:
    """A preset as YAML that `read_preset` reads back, in its JSON form."""
    return json.dumps(plain_values(preset))

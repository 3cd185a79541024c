"""One preset with several values of a key, as presets of their own.

    --vary "loss_weights.share=[1, 10, 100]"

Each value is put where the key says, as if it stood in the preset's file, and the
preset is checked again. Several keys are varied together: every value with every other.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from feature_specs import ModelConfig, SpecError, read_preset
from feature_specs.model import plain_values
from feature_specs.yaml_text import YamlMistake, read_yaml
from pipeline.compare.errors import CompareError

Varied = Mapping[str, Sequence[Any]]  # key of a preset, like `optimizer.kind` -> values


@dataclasses.dataclass(frozen=True)
class Variant:
    """A preset with some values of its own.

    Attributes:
        preset: Name of the preset that it is one of.
        values: Key -> value.
    """

    preset: str
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`mmoe share=10`, for tables and figures."""
        told = [f"{short(key)}={as_text(v)}" for key, v in self.values.items()]
        return " ".join([self.preset, *told])

    def apart_from(self, key: str) -> str:
        """The name without one key: what variants along this key have in common."""
        values = {k: v for k, v in self.values.items() if k != key}
        return Variant(self.preset, values).name


def short(key: str) -> str:
    """The last word of a key."""
    return key.rpartition(".")[2]


def as_text(value: Any) -> str:
    """A value in a name: a number as short as it can be, others as JSON."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def parse_varied(texts: Sequence[str]) -> dict[str, list[Any]]:
    """`KEY=[VALUE, ...]` of each `--vary`.

    Raises:
        CompareError: One has another form.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, _, listed = text.partition("=")
        try:
            values = read_yaml(listed)
        except YamlMistake:
            values = None
        if not key.strip() or not isinstance(values, list):
            raise CompareError(
                f"--vary {text!r}: must be a key of a preset and a list of its values, "
                'like "loss_weights.share=[1, 10, 100]".'
            )
        if key.strip() in found:
            raise CompareError(f"--vary {key.strip()}: is there twice; list all values")
        found[key.strip()] = values
    return found


def vary(
    presets: Mapping[str, ModelConfig], varied: Varied, kept: str | None
) -> tuple[dict[str, ModelConfig], dict[str, Variant]]:
    """Every preset with all values of the keys.

    Args:
        presets: Name -> preset.
        varied: Keys and their values.
        kept: Name of a preset that stays as it is, which the others are compared with;
            if there is no other, with variants of it.

    Returns:
        Name -> preset, in order; name -> which variant it is, of those that are one.

    Raises:
        CompareError: No preset may have such a value; or there is a value twice.
    """
    configs: dict[str, ModelConfig] = {}
    variants: dict[str, Variant] = {}
    for preset, config in presets.items():
        if preset == kept or not varied:
            configs[preset] = config
            if not varied or len(presets) > 1:
                continue
        for values in itertools.product(*varied.values()):
            variant = Variant(preset, dict(zip(varied, values, strict=True)))
            if variant.name in variants:
                raise CompareError(f"--vary: gives {variant.name!r} twice")
            configs[variant.name] = with_values(config, variant)
            variants[variant.name] = variant
    return configs, variants


def with_values(
    config: ModelConfig, variant: Variant, flag: str = "--vary"
) -> ModelConfig:
    """The preset with the variant's values, checked as if they stood in its file.

    Raises:
        CompareError: It may not have them; the message begins with the flag.
    """
    raw = copy.deepcopy(plain_values(config))
    for key, value in variant.values.items():
        *path, last = key.split(".")
        place: Any = raw
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise CompareError(
                    f"{flag} {key}: {part!r} of preset {variant.preset!r} has no keys "
                    "of its own"
                )
        place[last] = value
    try:
        return read_preset(json.dumps(raw), variant.name)
    except SpecError as error:
        raise CompareError(f"{flag}: {error}") from None

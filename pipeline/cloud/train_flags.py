"""The flags of `trailrank train` in a job: checked here, for paths that are seen there.

A typing mistake would otherwise be told by a machine that took minutes to come. A
container sees no disk of the machine that submits: data and checkpoints lie in a
bucket, YAML files of one's own travel with the job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from feature_specs import ModelConfig, SpecError, load_preset, load_spec, shipped_specs
from feature_specs.build import Problems
from feature_specs.errors import UsageError
from feature_specs.preset import (
    check_preset,
    preset_text,
    shipped_presets,
    with_loss_weights,
)
from pipeline import train_flags
from pipeline.train_flags import TrainSettings
from tpu_configs import shipped_slices

_Loaded = TypeVar("_Loaded")

_JOBS_OWN = {
    "accelerator": "--accelerator follows from --tpu_config; leave it out.",
    "tpu_config": "--tpu_config belongs before --; the job passes it on.",
    "tpu": "--tpu is filled in by the job; leave it out.",
}
_IN_BUCKETS = (
    *("examples", "encoding", "checkpoints"),
    *("warm_start", "tensorboard", "export"),
)


@dataclasses.dataclass(frozen=True)
class TrainFlags:
    """Checked arguments of `trailrank train`.

    Attributes:
        words: As they stand in the container.
        spec_name: Name of the spec, for people.
        batch_size: Rows of a step, if not the slice's.
    """

    words: tuple[str, ...]
    spec_name: str
    batch_size: int | None


class JobFiles:
    """YAML files of this machine's disk that travel with a job.

    Attributes:
        texts: Name in the container -> text.
    """

    def __init__(self, place: str):
        self.texts: dict[str, str] = {}
        self._place = place

    def argument(self, kind: str, name: str, read: Callable[[str], str]) -> str:
        """`name` if it is shipped with the package, else the file's path there.

        Args:
            kind: `spec`, `preset` or `slice`.
            name: As the user gave it.
            read: Gives the text of a shipped name or of a file.
        """
        shipped = {
            "spec": shipped_specs,
            "preset": shipped_presets,
            "slice": shipped_slices,
        }
        if name in shipped[kind]():
            return name
        self.texts[f"{kind}.yaml"] = read(name)
        return f"{self._place}/{kind}.yaml"


def read_train_flags(
    words: Sequence[str], files: JobFiles, problems: Problems
) -> TrainFlags | None:
    """The train flags of a job, or None after noting what is wrong with them."""
    values = _parse(words, problems)
    if values is None:
        return None
    before = len(problems.found)
    _check_owners(words, problems)
    settings = _settings(values, problems)
    _check_buckets(values, problems)
    spec = _load(load_spec, values["spec"], "--spec", problems)

    def fitting_preset(name: str) -> ModelConfig:
        preset = with_loss_weights(load_preset(name), values["loss_weights"])
        if spec is not None:
            check_preset(preset, spec)
        return preset

    _load(fitting_preset, values["preset"], "--preset", problems)
    if settings is None or spec is None or len(problems.found) > before:
        return None
    there = {
        "--spec": files.argument(
            "spec", settings.spec, lambda name: load_spec(name).text
        ),
        "--preset": files.argument("preset", settings.preset, preset_text),
    }
    return TrainFlags(tuple(_replaced(words, there)), spec.name, settings.batch_size)


def _parse(words: Sequence[str], problems: Problems) -> dict[str, Any] | None:
    """Flag -> value, or None after noting what argparse says."""
    if not words:
        problems.add("--", "must come before the flags of trailrank train; add both.")
        return None
    parser = train_flags.parser()

    def refuse(message: str) -> None:  # argparse would print a usage and end
        raise UsageError(message)

    parser.error = refuse
    try:
        values: dict[str, Any] = vars(parser.parse_args(list(words)))
        return values
    except UsageError as error:
        problems.add("after --", f"{error}. See trailrank train --help.")
        return None


def _check_owners(words: Sequence[str], problems: Problems) -> None:
    for name, rule in _JOBS_OWN.items():
        if any(w == f"--{name}" or w.startswith(f"--{name}=") for w in words):
            problems.add("after --", rule)


def _settings(values: Mapping[str, Any], problems: Problems) -> TrainSettings | None:
    try:
        return TrainSettings(**values)
    except UsageError as error:
        problems.found.append(str(error))
        return None


def _check_buckets(values: Mapping[str, Any], problems: Problems) -> None:
    for name in _IN_BUCKETS:
        value = values.get(name) or []
        for place in [value] if isinstance(value, str) else value:
            if not place.startswith("gs://"):
                rule = (
                    "must lie in a bucket, gs://BUCKET/DIR: the job's machines see no "
                    "disk of this one. Copy it with gcloud storage cp --recursive."
                )
                problems.add(f"--{name}", rule, place)


def _load(
    read: Callable[[str], _Loaded], name: str, flag: str, problems: Problems
) -> _Loaded | None:
    try:
        return read(name)
    except SpecError as error:
        problems.found.extend(f"{flag} {name}: {text}" for text in error.problems)
        return None


def _replaced(words: Sequence[str], values: dict[str, str]) -> list[str]:
    """`words` with the values of some flags exchanged; a flag left out is added."""
    replaced, missing = [], dict(values)
    rest = iter(words)
    for word in rest:
        flag = word.partition("=")[0]
        if flag in values:
            replaced += [flag, values[flag]]
            missing.pop(flag, None)
            if "=" not in word:
                next(rest)
        else:
            replaced.append(word)
    return replaced + [part for pair in missing.items() for part in pair]

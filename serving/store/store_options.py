"""Which models a server serves, and which of their versions: settings without a model.

`StoreOptions` is what `trailrank serve` was told; `ModelSettings` is what a source, a
directory or a `model_config_file`, says of one model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from feature_specs.errors import UsageError

LARGEST_VERSION = 2**63 - 1
_LABEL = re.compile(r"[A-Za-z0-9_]+")


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which versions of a model are served.

    Attributes:
        most: At most so many, the highest that load; None for as many as there are.
        only: None of any other number; None for every number.
    """

    most: int | None = 1
    only: frozenset[int] | None = None

    def wanted(self, found: Iterable[int]) -> list[int]:
        """The versions to serve, the highest first; `most` is up to the caller.

        Args:
            found: Those on disk. One that is asked for by its number is wanted even if
                it is not among them.
        """
        return sorted(found if self.only is None else self.only, reverse=True)

    def __str__(self) -> str:
        if self.only is not None:
            return "specific " + ", ".join(str(v) for v in sorted(self.only))
        return "all" if self.most is None else f"latest {self.most}"


LATEST = VersionPolicy()
ALL = VersionPolicy(most=None)


def specific(versions: Iterable[int]) -> VersionPolicy:
    """The policy that serves just these versions."""
    return VersionPolicy(most=None, only=frozenset(versions))


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """What a source says of one model.

    Attributes:
        path: Holds `<version>/`; may be in a bucket.
        policy: Which of them are served.
        labels: Label -> version.
    """

    path: str
    policy: VersionPolicy = LATEST
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Retries:
    """How a version that cannot be loaded is tried again while its files are the same.

    Attributes:
        most: So often after the first try; as soon as its files change it counts anew.
        wait_s: Seconds between two tries at least.
    """

    most: int = 5
    wait_s: float = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where models come from and how they are followed; one of the first two is given.

    Attributes:
        models_dir: Holds `<name>/<version>/`; every model of it is served.
        model_config_file: Or TensorFlow Serving's own file, which names the models,
            their versions and labels.
        policy: Of every model of `models_dir`.
        labels: Label -> version, of every model of `models_dir`.
        poll_s: Seconds between looks for versions; 0 looks once.
        config_poll_s: Seconds between looks at `model_config_file`; 0 reads it once.
        allow_early_labels: A label that is new may name a version that is not
            available (yet).
        retries: Of versions that cannot be loaded.
        beside: Versions on trial, numbers or labels: those of a number are loaded
            beside what the policies ask for, and none of them is a model's newest.

    Raises:
        UsageError: A value that cannot be, or two that do not go together.
    """

    models_dir: str | None = None
    model_config_file: str | None = None
    policy: VersionPolicy = LATEST
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poll_s: float = 1.0
    config_poll_s: float = 0.0
    allow_early_labels: bool = False
    retries: Retries = Retries()
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.models_dir is None) == (self.model_config_file is None):
            raise UsageError(
                "serve: give a directory of models or a model_config_file, not both."
            )
        if self.model_config_file is not None and (
            self.labels or self.policy != LATEST
        ):
            raise UsageError(
                "serve: versions and labels stand in the model_config_file. Leave out "
                "--versions and --label."
            )
        for name in ("poll_s", "config_poll_s"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise UsageError(
                    f"serve: {name} must be 0 or more seconds. Got {value}."
                )


def read_policy(text: str) -> VersionPolicy:
    """`latest`, `latest:2`, `all` or numbers: `41,42`.

    Raises:
        UsageError: It is none of these.
    """
    if text == "all":
        return ALL
    if text == "latest":
        return LATEST
    kind, _, count = text.partition(":")
    if kind == "latest" and (number := _version(count)):
        return VersionPolicy(most=number)
    versions = [_version(part) for part in text.split(",")]
    if None in versions:
        raise UsageError(
            "--versions must be latest:N with N of 1 or more, all, or version numbers "
            f"like 41,42. Got {text!r}."
        )
    return specific(version for version in versions if version is not None)


def read_labels(texts: Iterable[str]) -> dict[str, int]:
    """`["stable=41", "canary=42"]` -> label -> version.

    Raises:
        UsageError: One is not of this form, or a label is there twice.
    """
    labels: dict[str, int] = {}
    for text in texts:
        label, _, number = text.partition("=")
        version = _version(number)
        if not _LABEL.fullmatch(label) or version is None:
            raise UsageError(
                "--label must be LABEL=VERSION, the label of letters, digits and _. "
                f"Got {text!r}."
            )
        if label in labels:
            raise UsageError(f"--label: {label!r} is given twice. Leave one out.")
        labels[label] = version
    return labels


def _version(text: str) -> int | None:
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        return None
    number = int(text)
    return number if number <= LARGEST_VERSION else None

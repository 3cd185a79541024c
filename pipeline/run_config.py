"""What a run of the pipeline is asked for; light, so that mistakes are told at once."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from feature_specs import ModelConfig, Spec
from feature_specs.durations import seconds_of
from feature_specs.errors import TrailrankError
from feature_specs.named import (
    PresetLike,
    SpecLike,
    as_preset,
    as_spec,
    preset_as_text,
)
from feature_specs.places import (
    Place,
    absolute,
    check_is_no_glob,
    check_writable_directory,
    is_bucket,
)
from feature_specs.preset import (
    SPARSE,
    check_preset,
    preset_text,
    read_preset,
    separate_tasks,
    with_loss_weights,
)
from pipeline.log_places import check_logs
from tpu_configs import SliceConfig, read_slice, slice_text
from trainer.slices import SliceLike

_DAY = re.compile(r"\d{8}")
METADATA = "metadata.sqlite"  # in a run's directory
_METADATA_WAIT_S = 2.0


class LaunchError(TrailrankError, RuntimeError):
    """A run that cannot begin; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run of the pipeline, from raw logs to a pushed model.

    >>> config = trailrank.RunConfig(spec="kuairand", logs="logs/data", root="run")
    >>> config.preset, config.eval_days
    ('mmoe', 1)

    Attributes:
        spec: What the logs hold: a shipped name, a file or a spec.
        logs: Directory with the raw logs; may lie in a bucket.
        root: Directory of everything the run writes; a bucket on Vertex.
        preset: The ranker's shape: a shipped name, a file or a preset.
        loss_weights: Task -> its weight, instead of the preset's and the spec's.
        slice: What training runs on: a shipped name, a file or a slice.
        days: First and last day, `20220408:20220414`; by default all in the logs.
        eval_days: How many of the last days are kept for evaluation.
        context_days: Days before `days` that are read for history and statistics; by
            default all that the logs have.
        label_delay: How long labels wait for their events, `1d`: so many of the newest
            days are left out.
        allow_small_days: Whether a day with unusually few rows passes.
        seed: Of shuffles and initial weights.
        replace: A day whose examples are made again, and all after it, `20220412`; the
            weights go back to the day before.
        missing_days: Days that the logs lack, which are passed over.
        accept_days: Days that the data gate has stopped, and that are let pass.
        accept_reason: Why; it is recorded with the user's name.
        encoding: Directory of an encoding that is taken as it is, of another run.
        refresh_encoding: What is learned anew: `all` of an encoding, or its
            `vocabularies`, with the scales as they were; training begins anew then.
        map_encoding: Whether the weights of another encoding are mapped by value.
        sparse_weights: New sparse tasks whose loss weight a meta learner selects, once:
            later runs take what the ledger has.
        sparse_options: How, where it is not as by default: a field of `WeightOptions`
            and its value.
        refresh_sparse_weights: Whether it is selected again.
        beam_args: Options of every Beam step; by default they run in this process.
    """

    spec: SpecLike
    logs: Place
    root: Place
    preset: PresetLike = "mmoe"
    loss_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    slice: SliceLike = "cpu"
    days: str | None = None
    eval_days: int = 1
    context_days: int | None = None
    label_delay: str = ""
    allow_small_days: bool = False
    seed: int = 0
    replace: str = ""
    missing_days: tuple[str, ...] = ()
    accept_days: tuple[str, ...] = ()
    accept_reason: str = ""
    encoding: Place = ""
    refresh_encoding: Literal["none", "all", "vocabularies"] = "none"
    map_encoding: bool = False
    sparse_weights: tuple[str, ...] = ()
    sparse_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    refresh_sparse_weights: bool = False
    beam_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.context_days is not None and self.context_days < 0:
            raise LaunchError(
                f"--context_days must be 0 or more, got {self.context_days}. Leave it "
                "out to read all earlier days."
            )
        try:
            _ = self.label_delay and seconds_of(self.label_delay)
        except ValueError as error:
            raise LaunchError(f"--label_delay {self.label_delay!r}: {error}") from None
        self._check_days()
        if len(set(self.sparse_weights)) < len(self.sparse_weights):
            raise LaunchError("--sparse_weights: must name each task once.")
        if self.refresh_sparse_weights and not self.sparse_weights:
            raise LaunchError(
                "--refresh_sparse_weights: must come with --sparse_weights, which says "
                "of which tasks."
            )

    def _check_days(self) -> None:
        """That single days are days, and that who accepts one says why."""
        named = {
            "--replace": (self.replace,) if self.replace else (),
            "--missing_day": self.missing_days,
            "--accept_day": self.accept_days,
        }
        for flag, days in named.items():
            for day in days:
                if not _DAY.fullmatch(day):
                    raise LaunchError(f"{flag} {day!r}: must be a day, like 20220415.")
        if self.accept_days and not self.accept_reason:
            raise LaunchError(
                f"--accept_day {self.accept_days[0]}: must come with --reason, which "
                "is recorded beside your name."
            )

    @property
    def preset_name(self) -> str:
        """Of a shipped preset or of its file, for people."""
        if isinstance(self.preset, ModelConfig):
            return "a preset given as an object"
        return os.fspath(self.preset)


class Texts(NamedTuple):
    """A run's YAML texts, each read once and found right.

    Attributes:
        spec: The read spec, which has its text.
        preset: The preset's text.
        slice: The slice's text.
    """

    spec: Spec
    preset: str
    slice: str


def read_texts(config: RunConfig) -> Texts:
    """The spec, and the texts of preset and slice; SpecError lists mistakes."""
    texts = Texts(as_spec(config.spec), _preset(config), _slice(config.slice))
    preset = read_preset(texts.preset, config.preset_name)
    check_preset(preset, texts.spec)
    if SPARSE not in preset.separate:
        return texts
    # A training's view of the spec leaves out which tasks are called sparse.
    named = dataclasses.replace(preset, separate=separate_tasks(preset, texts.spec))
    return texts._replace(preset=preset_as_text(named))


def check_local(config: RunConfig) -> Texts:
    """What `read_texts` gives, if the run can begin on this machine.

    Raises:
        SpecError: Spec, preset or slice have mistakes.
        LaunchError: The run's directory is no local one.
        PlaceError: There are no logs, or a file is in the way.
    """
    if is_bucket(config.root):
        raise LaunchError(
            f"--root {config.root}: a run on this machine keeps its metadata in a "
            "local directory. Name one, or compile the pipeline for Vertex."
        )
    texts = read_texts(config)
    check_writable_directory("--root", config.root)
    check_is_no_glob("--root", config.root)
    check_logs(texts.spec, absolute(config.logs))
    return texts


def check_metadata(root: Place) -> None:
    """That the database of a run's earlier steps can be used, if there is one.

    Raises:
        LaunchError: It is damaged, or another program holds it.
    """
    path = os.path.join(absolute(root), METADATA)
    if not os.path.exists(path):
        return
    database = sqlite3.connect(path, timeout=_METADATA_WAIT_S, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        database.execute("ROLLBACK")
    except sqlite3.Error as error:
        found = str(error)
    finally:
        database.close()
    if found == "database is locked":
        raise LaunchError(
            f"{path}: another program holds it ({found}). End that program, such as a "
            "database browser, and give the same command."
        )
    if found != "ok":
        raise LaunchError(
            f"{path}: is damaged ({found}). Bring it back from a copy, or delete it: "
            "all steps run again then."
        )


def _preset(config: RunConfig) -> str:
    """Its text, a file's as it is unless a weight of a task is another one."""
    if isinstance(config.preset, ModelConfig) or config.loss_weights:
        preset = as_preset(config.preset)
        return preset_as_text(with_loss_weights(preset, config.loss_weights))
    return preset_text(os.fspath(config.preset))


def _slice(slice: SliceLike) -> str:
    if isinstance(slice, SliceConfig):
        return json.dumps(dataclasses.asdict(slice))
    name = os.fspath(slice)
    text = slice_text(name)
    read_slice(text, name)
    return text

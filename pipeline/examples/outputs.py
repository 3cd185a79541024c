"""The files of a run: nothing half-made is ever in their place.

EXAMPLES/Split-day-YYYYMMDD/data_tfrecord-*.gz
EXAMPLES/Split-day-YYYYMMDD/evaluation_only-*.gz   of days kept for evaluation
EXAMPLES/summaries/<split>.json.gz   see `pipeline.summaries`
EXAMPLES/quantiles.json    of a spec with quantiles: `serving.export.quantile_tables`
EXAMPLES/_unfinished/      what is in the making, and frames between steps
REJECTS/*.jsonl            file, line, reason and text of what could not be read
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from apache_beam.io.filesystems import FileSystems

from pipeline.examples import file_systems
from pipeline.examples.errors import RequestError
from pipeline.examples.report import Limits, check, made_of, read_report
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.shard import EVALUATION_ONLY
from pipeline.examples.shuffle import Shuffle
from pipeline.examples.state_files import StateOutput
from pipeline.examples.tfrecords import (
    TRAINED,
    UNTRAINED,
    split_path,
    write_examples,
    write_whole,
)
from pipeline.summaries.store import FOLDER, summary_path
from serving.export.quantile_tables import QUANTILES_FILE


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Room for what is in the making.

    Attributes:
        out_dir: Where the finished files go; every worker sees it.
        spill: Whether frames travel between steps in files of this machine: for the
            runner of this process, which shuffles in memory.
    """

    out_dir: str
    spill: bool = False

    @property
    def folder(self) -> str:
        """Directory for what is in the making."""
        return _join(self.out_dir, "_unfinished")

    @property
    def shuffle_dir(self) -> str | None:
        """Directory of frames between steps; None leaves them to Beam.

        It is on this machine: a bucket would be asked for each of many small frames.
        """
        if not self.spill:
            return None
        if "://" not in self.folder:
            return os.path.join(self.folder, "shuffle")
        name = hashlib.sha256(self.out_dir.encode()).hexdigest()[:16]
        return os.path.join(tempfile.gettempdir(), f"trailrank-shuffle-{name}")

    @property
    def shuffle(self) -> Shuffle:
        """How frames get from one step to the next."""
        return Shuffle(self.shuffle_dir)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Empty at first; removed in the end, whatever happens."""
        folders = [self.folder]
        if self.shuffle_dir:
            folders.insert(0, self.shuffle_dir)
        for folder in folders:  # of a run that was killed
            file_systems.remove(folder)
        try:
            yield
        finally:
            for folder in folders:
                file_systems.remove(folder)


@dataclasses.dataclass(frozen=True)
class SplitWriter:
    """Writes files of splits where they wait for the others; goes to the workers.

    Attributes:
        splits_dir: Gets `Split-<name>/data_tfrecord-*.gz`, and the summaries.
        unfinished_dir: Holds a file until it is whole.
    """

    splits_dir: str
    unfinished_dir: str

    def write(self, split: str, number: int, files: int, rows: pl.DataFrame) -> None:
        """Writes one of a split's files, of `shard.Shard.examples`.

        Rows that only evaluation reads are a file of their own beside it, so that this
        one is what a training split has.
        """
        untrained = pl.col(EVALUATION_ONLY)
        for kind, chosen in ((TRAINED, ~untrained), (UNTRAINED, untrained)):
            part = rows.filter(chosen)
            if part.height:
                path = split_path(self.splits_dir, split, number, files, kind)
                write_examples(path, part, self.unfinished_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where a run writes, and when what it wrote may take its place.

    Made once from the request, by the process that starts the run. Steps get of it what
    they need: the shuffle, the writer, a path.

    Attributes:
        examples_dir: Gets the splits.
        rejects_dir: Gets the unreadable lines.
        report_path: Of the report.
        splits: The splits that are written.
        replaces: Whether they replace those of a finished run, whose others stay.
        made_of: See `report.made_of`; of finished splits it must be the same.
        limits: What the report must keep to.
        workspace: For what is in the making.
        state: Where the state of the last day goes; None if it is not asked for.
    """

    examples_dir: str
    rejects_dir: str
    report_path: str
    splits: tuple[str, ...]
    replaces: bool
    made_of: Mapping[str, Any]
    limits: Limits
    workspace: Workspace
    state: StateOutput | None = None

    @classmethod
    def of(cls, request: ExamplesRequest, spill: bool = False) -> Outputs:
        """The outputs that are asked for.

        Args:
            request: Of the run.
            spill: See `Workspace`.

        Raises:
            ValueError: No day is left to train on.
        """
        log, plan = request.spec.log, request.plan
        every_day_passes = request.allow_small_days or log.days_per_split > 1
        return cls(
            examples_dir=request.examples_dir,
            rejects_dir=request.rejects_dir,
            report_path=request.report_path,
            splits=request.written,
            replaces=request.only is not None,
            state=StateOutput.of(request),
            made_of=made_of(request.spec, plan, request.seed),
            limits=Limits(
                max_reject_share=log.max_reject_share,
                min_day_share=0.0 if every_day_passes else log.min_day_share,
                days=tuple(request.only or plan.days),
                earlier_rows=request.state.rows_per_day if request.state else {},
                empty_days=request.empty_days,
            ),
            workspace=Workspace(request.examples_dir, spill),
        )

    @property
    def writer(self) -> SplitWriter:
        """Writes the splits, for the time being into the workspace."""
        folder = self.workspace.folder
        return SplitWriter(_join(folder, "new"), folder)

    @property
    def new_report_path(self) -> str:
        """Where the run's own report goes before it is checked."""
        return _join(self.workspace.folder, "report.json")

    @property
    def new_quantiles_path(self) -> str:
        """Where what was learned of quantiles waits."""
        return _join(self.workspace.folder, QUANTILES_FILE)

    def prepare(self) -> None:
        """Nothing old may be taken for this run's.

        Raises:
            ValueError: The directory holds examples already, or, where splits are
                replaced, none that the new ones fit to.
        """
        if self.replaces:
            self._check_replaceable()
        elif file_systems.match(self.examples_dir, "Split-*/*"):
            raise RequestError(
                f"{self.examples_dir} holds examples already. Give an empty directory, "
                "or name the days to replace."
            )
        elif FileSystems.exists(self.report_path):
            file_systems.delete([self.report_path])
        if not self.replaces:  # of splits that are gone
            file_systems.remove(_join(self.examples_dir, FOLDER))
            self._remove_quantiles()
        file_systems.delete(file_systems.match_paths(self.rejects_dir, "*.jsonl"))
        if self.state is not None:
            self.state.prepare()

    def finish(self, wall_s: float) -> dict[str, Any]:
        """Checks a run and puts its splits in their place.

        Args:
            wall_s: How long the run took, for the report.

        Returns:
            The report of all splits that are there.

        Raises:
            ExamplesError: The examples must not be used; see `report.check`.
        """
        report = {**read_report(self.new_report_path), "wall_s": round(wall_s, 1)}
        if not self.replaces:  # a failed run's report too, but not over a good one's
            write_json(self.report_path, report)
        check(report, self.limits, self.rejects_dir)
        self._place_splits()
        self._place_quantiles()
        if self.state is not None:
            self.state.finish(report)
        if not self.replaces:
            return report
        merged = self._merged(report)
        write_json(self.report_path, merged)
        return merged

    def _place_splits(self) -> None:
        for split in self.splits:
            name = f"Split-{split}"
            place = _join(self.examples_dir, name)
            summary = summary_path(self.examples_dir, split)
            if self.replaces:  # the summary first: none is better than another's
                if FileSystems.exists(summary):
                    file_systems.delete([summary])
                _move(place, _join(self.workspace.folder, f"old-{split}"))
            _move(_join(self.writer.splits_dir, name), place)
            _move_file(summary_path(self.writer.splits_dir, split), summary)

    def _place_quantiles(self) -> None:
        """Of replaced days too: the newest counts are what ranks stand for."""
        if FileSystems.exists(self.new_quantiles_path):
            self._remove_quantiles()
            _move_file(
                self.new_quantiles_path, _join(self.examples_dir, QUANTILES_FILE)
            )

    def _remove_quantiles(self) -> None:
        place = _join(self.examples_dir, QUANTILES_FILE)
        if FileSystems.exists(place):
            file_systems.delete([place])

    def _merged(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The new report, with what the old one says of the splits that stay."""
        old = read_report(self.report_path)
        merged = {**report, "replaced": list(self.splits)}
        for key in ("examples", "label_means_per_split"):
            new = {split: report[key][split] for split in self.splits}
            merged[key] = {**old[key], **new}
        return merged

    def _check_replaceable(self) -> None:
        """ValueError if the splits that stay come from another request."""
        if not FileSystems.exists(self.report_path):
            raise RequestError(
                f"{self.examples_dir}: no finished examples here (no "
                f"{self.report_path}), so no day of them can be replaced. Generate all "
                "days first."
            )
        old = read_report(self.report_path)
        for key in ("spec_digest", "days", "evaluation", "seed"):
            value = self.made_of[key]
            if old[key] != value:
                raise RequestError(
                    f"{self.examples_dir}: its examples were made with {key} = "
                    f"{old[key]}, and this run has {value}. Replace days with the "
                    "settings of the whole, or generate all days into another "
                    "directory."
                )


def write_json(path: str, values: Mapping[str, Any]) -> None:
    """Writes one JSON file; it appears when it is whole."""
    text = json.dumps(values, indent=2) + "\n"
    write_whole(path, iter([text.encode()]))


def _join(folder: str, *names: str) -> str:
    path: str = FileSystems.join(folder, *names)
    return path


def _move_file(source: str, target: str) -> None:
    with contextlib.suppress(OSError):  # its directory exists
        FileSystems.mkdirs(posixpath.dirname(target))
    FileSystems.rename([source], [target])


def _move(source: str, target: str) -> None:
    """Moves a directory: whole on a disk, and name by name in a bucket."""
    if "://" not in source:
        with contextlib.suppress(OSError):  # it exists
            FileSystems.mkdirs(posixpath.dirname(target))
        FileSystems.rename([source], [target])
        return
    files = file_systems.match_paths(source, "**")
    names = [path.removeprefix(source).lstrip("/") for path in files]
    FileSystems.rename(files, [_join(target, name) for name in names])

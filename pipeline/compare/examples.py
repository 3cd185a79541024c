"""Which transformed examples are compared on: of a run, or of a directory."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_specs import Spec, read_spec
from pipeline.compare.errors import CompareError
from pipeline.examples.days import DayRange
from pipeline.run_record import read_record
from trainer.days.folders import find_days

if TYPE_CHECKING:
    from trainer.days.loop import Day


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Transformed examples of one spec.

    Attributes:
        spec: What they hold.
        folder: Output of the Transform step.
        train: Name and file globs of the days to train on, oldest first.
        evaluation: The days after them.
        notes: What a reader of the results should know of these days.
    """

    spec: Spec
    folder: str
    train: tuple[Day, ...]
    evaluation: tuple[Day, ...]
    notes: tuple[str, ...] = ()

    @property
    def train_days(self) -> list[str]:
        """Names of the training days."""
        return [name for name, _ in self.train]

    @property
    def evaluation_days(self) -> list[str]:
        """Names of the evaluation days."""
        return [name for name, _ in self.evaluation]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with the files, not with where they lie."""
        import tensorflow as tf

        files = [
            (day, pathlib.PurePath(path).name, tf.io.gfile.stat(path).length)
            for day, patterns in (*self.train, *self.evaluation)
            for pattern in patterns
            for path in sorted(tf.io.gfile.glob(pattern))
        ]
        return hashlib.sha256(repr(files).encode()).hexdigest()[:12]


def examples_of_run(
    root: str, days: Sequence[str] = (), eval_days: int | None = None
) -> Examples:
    """The newest transformed examples of the run in `root`.

    Args:
        root: Directory of a finished run.
        days: Days or ranges FIRST:LAST; by default the run's.
        eval_days: Last days kept for evaluation; by default as many as the run's.

    Raises:
        NoRunError: There is no run.
        ValueError: The run's days are not all there, or the days asked for.
    """
    record = read_record(root)
    splits = [*record.rows["train"], *record.eval_splits]
    folder = _newest_transform(root, splits)
    train, evaluation = _part(
        folder, _chosen(days, splits, folder), eval_days or len(record.eval_splits)
    )
    spec = read_spec(record.spec_text, f"the spec of {root}")
    return Examples(
        spec=spec,
        folder=folder,
        train=train,
        evaluation=evaluation,
        notes=_seen_before(evaluation, record.eval_splits),
    )


def examples_of_folder(
    spec: Spec, folder: str, days: Sequence[str] = (), eval_days: int | None = None
) -> Examples:
    """The transformed examples in `folder`.

    Args:
        spec: What they hold.
        folder: Holds a folder `Split-day-YYYYMMDD` for each day.
        days: Days or ranges FIRST:LAST; by default all.
        eval_days: Last days kept for evaluation; by default one.
    """
    known = [name for name, _ in find_days(folder)]
    train, evaluation = _part(folder, _chosen(days, known, folder), eval_days or 1)
    return Examples(spec=spec, folder=folder, train=train, evaluation=evaluation)


def _newest_transform(root: str, splits: Sequence[str]) -> str:
    """The newest output of Transform that holds all of the run's days."""
    parent = pathlib.Path(root) / "artifacts" / "Transform" / "transformed_examples"
    found = [path for path in parent.glob("*") if path.name.isdecimal()]
    for path in sorted(found, key=lambda path: int(path.name), reverse=True):
        if all((path / f"Split-{split}").is_dir() for split in splits):
            return str(path)
    got = f"{len(found)} without all of them" if found else "none"
    raise CompareError(
        f"--root {root}: must have an output of the Transform step with the run's days "
        f"({splits[0]} to {splits[-1]}) in {parent}. Got {got}. Run `trailrank "
        f"pipeline run --root {root}` again, or name examples by --spec and "
        "--transformed."
    )


def _chosen(days: Sequence[str], known: Sequence[str], folder: str) -> list[str]:
    """The days of `days`, each a day or a range; all known ones if none is named."""
    if not days:
        return list(known)
    chosen: set[str] = set()
    for text in days:
        span = DayRange.parse(text.removeprefix("day-"))
        found = [name for name in known if _is_in(name, span)]
        if not found:
            raise CompareError(
                f"--days {text}: must be days of {folder}. Got none of them. It has "
                f"{known[0]} to {known[-1]}."
            )
        chosen.update(found)
    return sorted(chosen)


def _is_in(name: str, span: DayRange) -> bool:
    day = name.removeprefix("day-")
    return f"{span.first:%Y%m%d}" <= day <= f"{span.last:%Y%m%d}"


def _part(
    folder: str, names: Sequence[str], eval_days: int
) -> tuple[tuple[Day, ...], tuple[Day, ...]]:
    """(training days, evaluation days)."""
    if not 1 <= eval_days < len(names):
        raise CompareError(
            f"--eval_days {eval_days}: must be at least 1 and leave one of the "
            f"{len(names)} days to train on. Change it or --days."
        )
    days = tuple(find_days(folder, names))
    return days[:-eval_days], days[-eval_days:]


def _seen_before(
    evaluation: Sequence[Day], eval_splits: Sequence[str]
) -> tuple[str, ...]:
    seen = [name for name, _ in evaluation if name not in eval_splits]
    if not seen:
        return ()
    return (
        f"{', '.join(seen)}: a training day of the run, so that its vocabularies, "
        "scales and filters have seen it.",
    )

"""Which examples are compared on: of a run, or of directories."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_specs import Spec, read_spec
from feature_specs.places import as_glob
from pipeline.compare.errors import CompareError
from pipeline.examples.days import DayRange
from pipeline.run_record import RunRecord, read_record
from trainer.days.folders import Places, as_directories, find_days

if TYPE_CHECKING:
    from trainer.days.loop import Day


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of one spec.

    Attributes:
        spec: What they hold.
        encoding: Directory of their encoding; None if they are encoded already.
        train: Name and file globs of the days to train on, oldest first.
        evaluation: The days after them.
        notes: What a reader of the results should know of these days.
    """

    spec: Spec
    encoding: str | None
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
    """The examples of the run in `root`, with the encoding of its model.

    Args:
        root: Directory of a finished run.
        days: Days or ranges FIRST:LAST; by default the run's.
        eval_days: Last days kept for evaluation; by default as many as the run's.

    Raises:
        NoRunError: There is no run.
        ValueError: The run's days are not all there, or the days asked for.
    """
    record = read_record(root)
    places = _places(root, record)
    chosen = _chosen(days, list(places), root)
    train, evaluation = _part(
        [(name, [_files(places[name], name)]) for name in chosen],
        eval_days or len(record.eval_splits),
    )
    spec = read_spec(record.spec_text, f"the spec of {root}")
    return Examples(
        spec=spec,
        encoding=record.transform_graph,
        train=train,
        evaluation=evaluation,
        notes=_seen_before(evaluation, record.eval_splits),
    )


def examples_of_folder(
    spec: Spec,
    places: Places,
    days: Sequence[str] = (),
    eval_days: int | None = None,
    *,
    encoding: str | None = None,
) -> Examples:
    """The examples in some directories.

    Args:
        spec: What they hold.
        places: One or several; each holds a folder `Split-day-YYYYMMDD` a day.
        days: Days or ranges FIRST:LAST; by default all.
        eval_days: Last days kept for evaluation; by default one.
        encoding: Directory of their encoding; None if they are encoded already.
    """
    known = [name for name, _ in find_days(places)]
    where = ", ".join(as_directories(places))
    chosen = find_days(places, _chosen(days, known, where))
    train, evaluation = _part(chosen, eval_days or 1)
    return Examples(spec=spec, encoding=encoding, train=train, evaluation=evaluation)


def _places(root: str, record: RunRecord) -> dict[str, str]:
    """Day of a run -> directory of its examples, in order; those that are left.

    Raises:
        CompareError: There are none, or their encoding is gone.
    """
    splits = record.example_dirs or (*record.rows["train"], *record.eval_splits)
    known = {split: record.examples_of(split) for split in splits}
    found = {
        split: known[split]
        for split in sorted(known)
        if os.path.isdir(os.path.join(known[split], f"Split-{split}"))
    }
    gone = sorted(set(record.eval_splits) - set(found))
    if not found or gone:
        raise CompareError(
            f"--root {root}: must have the examples of the run's days. Got none of "
            f"{gone[0] if gone else 'them'}. Run `trailrank pipeline run --root "
            f"{root}` again, or name examples by --spec, --examples and --encoding."
        )
    if not os.path.isdir(record.transform_graph):
        raise CompareError(
            f"--root {root}: must have the encoding of the run's model. Got none in "
            f"{record.transform_graph or 'its run.json'}. Run `trailrank pipeline run "
            f"--root {root}` again."
        )
    return found


def _files(folder: str, day: str) -> str:
    return os.path.join(as_glob(folder), f"Split-{day}", "*.gz")


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
    days: Sequence[Day], eval_days: int
) -> tuple[tuple[Day, ...], tuple[Day, ...]]:
    """(training days, evaluation days)."""
    if not 1 <= eval_days < len(days):
        raise CompareError(
            f"--eval_days {eval_days}: must be at least 1 and leave one of the "
            f"{len(days)} days to train on. Change it or --days."
        )
    return tuple(days[:-eval_days]), tuple(days[-eval_days:])


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

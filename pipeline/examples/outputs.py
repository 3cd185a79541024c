"""The files of a run: nothing half-made is ever in their place.

EXAMPLES/Split-day-YYYYMMDD/data_tfrecord-*.gz
EXAMPLES/_unfinished/      what is in the making, and frames between steps
REJECTS/*.jsonl            file, line, reason and text of what could not be read
"""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from pipeline.examples.reading.blocks import Reject
from pipeline.examples.reading.readers import FileRange
from pipeline.examples.report import Counts, read_report
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.tfrecords import write_whole


def splits_dir(request: ExamplesRequest) -> str:
    """Where the run writes its splits, until all of them are whole and checked."""
    return FileSystems.join(request.unfinished_dir, "new")


def prepare(request: ExamplesRequest) -> None:
    """Nothing old may be taken for this run's.

    Raises:
        ValueError: The directory holds examples already, or, with `request.only`,
            none that the new ones fit to.
    """
    if request.only is not None:
        _check_replaceable(request)
    elif _match(FileSystems.join(request.examples_dir, "Split-*", "*")):
        raise ValueError(
            f"{request.examples_dir} holds examples already. Give an empty directory, "
            "or name the days to replace."
        )
    elif FileSystems.exists(request.report_path):
        FileSystems.delete([request.report_path])
    old = _match(FileSystems.join(request.rejects_dir, "*.jsonl"))
    if old:
        FileSystems.delete(old)


@contextlib.contextmanager
def unfinished(request: ExamplesRequest) -> Iterator[None]:
    """Room for what is in the making; removed in the end, whatever happens."""
    folders = [request.unfinished_dir]
    if request.shuffle_dir:
        folders.insert(0, request.shuffle_dir)
    for folder in folders:  # of a run that was killed
        _remove(folder)
    try:
        yield
    finally:
        for folder in folders:
            _remove(folder)


def report_file(request: ExamplesRequest) -> str:
    """Where the run's own report goes before it is checked."""
    return FileSystems.join(request.unfinished_dir, "report.json")


def keep_report(request: ExamplesRequest, report: Mapping[str, Any]) -> None:
    """Puts the report in its place; a failed run's too, but not over a good one's."""
    if request.only is None:
        write_json(request.report_path, report)


def place_splits(request: ExamplesRequest, report: Mapping[str, Any]) -> dict[str, Any]:
    """Moves the new splits to their place; returns the report of all that is there."""
    for split in request.written:
        name = f"Split-{split}"
        place = FileSystems.join(request.examples_dir, name)
        if request.only is not None:
            _move(place, FileSystems.join(request.unfinished_dir, f"old-{split}"))
        _move(FileSystems.join(splits_dir(request), name), place)
    if request.only is None:
        return dict(report)
    old = read_report(request.report_path)
    merged = {**report, "replaced": list(request.written)}
    for key in ("examples", "label_means_per_split"):
        new = {split: report[key][split] for split in request.written}
        merged[key] = {**old[key], **new}
    write_json(request.report_path, merged)
    return merged


def write_json(path: str, values: Mapping[str, Any]) -> None:
    """Writes one JSON file; it appears when it is whole."""
    text = json.dumps(values, indent=2) + "\n"
    write_whole(path, iter([text.encode()]))


class WriteRejects(beam.DoFn):
    """((range, block), rejects) -> a JSON lines file with lines as in the file."""

    def __init__(self, request: ExamplesRequest):
        self._folder = request.rejects_dir

    def process(
        self, element: tuple[FileRange, int, Sequence[Reject]], read_counts: Counts
    ) -> None:
        part, block, rejects = element
        earlier = part.first_line + sum(
            int(read_counts["lines", part.path, number])
            for number in range(part.number)
        )
        lines = [
            {
                "file": part.path,
                "line": earlier + reject.line + 1,
                "reason": reject.reason,
                "text": reject.text,
            }
            for reject in rejects
        ]
        name = f"{part.source}-{part.file:05d}-{part.number:05d}-{block:05d}"
        base = posixpath.basename(part.path)
        target = FileSystems.join(self._folder, f"{name}-{base}.jsonl")
        write_whole(target, (json.dumps(line).encode() + b"\n" for line in lines))


def _check_replaceable(request: ExamplesRequest) -> None:
    """ValueError if the splits beside the replaced ones come from another request."""
    if not FileSystems.exists(request.report_path):
        raise ValueError(
            f"{request.examples_dir}: no finished examples here (no "
            f"{request.report_path}), so no day of them can be replaced. Generate all "
            "days first."
        )
    old = read_report(request.report_path)
    plan = request.plan
    new = {
        "spec_digest": request.spec.digest,
        "days": str(plan.days),
        "evaluation": list(plan.evaluation),
        "seed": request.seed,
    }
    for key, value in new.items():
        if old[key] != value:
            raise ValueError(
                f"{request.examples_dir}: its examples were made with {key} = "
                f"{old[key]}, and this run has {value}. Replace days with the settings "
                "of the whole, or generate all days into another directory."
            )


def _match(pattern: str) -> list[str]:
    return [file.path for file in FileSystems.match([pattern])[0].metadata_list]


def _move(source: str, target: str) -> None:
    """Moves a directory: whole on a disk, and name by name in a bucket."""
    if "://" not in source:
        with contextlib.suppress(OSError):  # it exists
            FileSystems.mkdirs(posixpath.dirname(target))
        FileSystems.rename([source], [target])
        return
    files = _match(FileSystems.join(source, "**"))
    names = [path.removeprefix(source).lstrip("/") for path in files]
    FileSystems.rename(files, [FileSystems.join(target, name) for name in names])


def _remove(folder: str) -> None:
    files = _match(FileSystems.join(folder, "**"))
    if files:
        FileSystems.delete(files)
    if FileSystems.exists(folder):
        FileSystems.delete([folder])

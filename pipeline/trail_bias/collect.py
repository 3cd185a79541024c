"""The Beam graph of the analysis: ranges of files -> rows by user -> sums.

It reads as example generation does, but the log alone, and ends with sums of one size.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.examples.build import runs_here, with_runner
from pipeline.examples.log_checks import check_folders
from pipeline.examples.log_counts import report_folders
from pipeline.examples.outputs import Workspace, write_json
from pipeline.examples.read_logs import COUNTS, ROWS, ReadLogs, plan_reading
from pipeline.examples.reading.sources import LOG
from pipeline.examples.report import Counts, merge_counts
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.examples.shuffle import Parcel, Shuffle
from pipeline.trail_bias.errors import TrailBiasError
from pipeline.trail_bias.study import Study
from pipeline.trail_bias.sums import Sums, add_up, sum_rows


def collect(
    study: Study,
    logs_dir: str,
    out_dir: str,
    beam_args: Sequence[str] = (),
    shards: int | None = None,
) -> Sums:
    """Reads the logs; returns the sums over all users.

    Args:
        study: What is asked.
        logs_dir: Directory of the logs.
        out_dir: Every worker sees it; what is written there is gone in the end.
        beam_args: Beam's options; without `--runner` it runs in this process.
        shards: Parts that users are hashed into; chosen from the log's size if None.

    Raises:
        FileNotFoundError: No log matches.
        ValueError: A log lacks a declared column, too many of its lines are unreadable,
            or a file cannot be read to its end.
    """
    args = with_runner(beam_args)
    workspace = Workspace(out_dir, spill=runs_here(args))
    request = _request(study, logs_dir, workspace, shards)
    check_runner_options(request, args)
    with workspace.opened():
        with beam.Pipeline(options=PipelineOptions(args)) as pipeline:
            _sum_users(pipeline, study, request, workspace.shuffle)
        with FileSystems.open(request.report_path) as file:
            found = json.loads(file.read())
    _check_reading(found["reading"], study)
    lengths = {int(length): count for length, count in found["lengths"].items()}
    return Sums(np.array(found["cells"], np.int64), lengths, found["cut"])


def _request(
    study: Study, logs_dir: str, workspace: Workspace, shards: int | None
) -> ExamplesRequest:
    """What example generation would read, but of earlier days and other files."""
    log = dataclasses.replace(study.spec.log, joins={})
    return ExamplesRequest(
        spec=dataclasses.replace(study.spec, log=log, histories={}, events={}),
        logs_dir=logs_dir,
        examples_dir=workspace.out_dir,
        rejects_dir=workspace.folder,
        report_path=FileSystems.join(workspace.folder, "sums.json"),
        days=study.days,
        context_days=0,
        shards=shards,
    )


def _sum_users(
    pipeline: beam.Pipeline, study: Study, request: ExamplesRequest, shuffle: Shuffle
) -> None:
    read = pipeline | ReadLogs(plan_reading(request), shuffle)
    reading = read[COUNTS] | "Add up counts" >> beam.CombineGlobally(merge_counts)
    _ = (
        read[ROWS]
        | "Shuffle by user" >> beam.GroupByKey()
        | "Sum over users" >> beam.ParDo(_SumUsers(study, shuffle))
        | "Add up sums" >> beam.CombineGlobally(functools.partial(add_up, study=study))
        | "Write sums"
        >> beam.Map(_write, beam.pvalue.AsSingleton(reading), request.report_path)
    )


class _SumUsers(beam.DoFn):
    """All rows of some users -> their sums."""

    def __init__(self, study: Study, shuffle: Shuffle) -> None:
        self._study, self._shuffle = study, shuffle

    def process(self, element: tuple[int, Iterable[Parcel]]) -> Iterator[Sums]:
        _, parcels = element
        rows = self._shuffle.receive(parcels)
        assert rows is not None  # a group has one parcel at least
        yield sum_rows(rows, self._study)


def _write(sums: Sums, reading: Counts, path: str) -> None:
    unread = [(key[1], key[2]) for key in reading if key[0] == "broken"]
    write_json(
        path,
        {
            "cells": sums.cells.tolist(),
            "lengths": sums.lengths,
            "cut": sums.cut,
            "reading": {
                "rows": _total(reading, "rows"),
                "rejected": _total(reading, "reject"),
                "broken": [f"{file}: {reason}" for file, reason in sorted(unread)],
                "folders": report_folders(reading),
            },
        },
    )


def _total(counts: Counts, kind: str) -> int:
    return int(sum(n for key, n in counts.items() if key[:2] == (kind, LOG)))


def _check_reading(reading: dict[str, Any], study: Study) -> None:
    if reading["broken"]:
        files = "\n  - ".join(reading["broken"])
        raise TrailBiasError(f"Not all rows of these files could be read:\n  - {files}")
    check_folders(reading["folders"], "log")
    share = reading["rejected"] / max(1, reading["rows"])
    limit = study.spec.log.max_reject_share
    if share > limit:
        raise TrailBiasError(
            f"{share:.2%} of the log's rows are unreadable, more than "
            f"log.max_reject_share = {limit:.2%}. `trailrank examples` writes each of "
            "them with its reason; repair the logs, or raise the limit in the spec."
        )

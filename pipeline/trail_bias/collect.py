"""The Beam graph of the analysis: ranges of files -> rows by user -> sums.

It reads as example generation does, but the log alone, and ends with sums of one size.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.examples import outputs
from pipeline.examples.build import LOCAL_RUNNER, runs_here
from pipeline.examples.read_logs import COUNTS, ROWS, ReadLogs, plan_parts
from pipeline.examples.reading.readers import LOG
from pipeline.examples.report import Counts, merge_counts
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.examples.shuffle import Parcel, Shuffle
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
    args = list(beam_args)
    if not any(arg.split("=")[0] == "--runner" for arg in args):
        args.append(f"--runner={LOCAL_RUNNER}")
    request = _reading(study, logs_dir, out_dir, shards, runs_here(args))
    check_runner_options(request, args)
    with outputs.unfinished(request):
        with beam.Pipeline(options=PipelineOptions(args)) as pipeline:
            _sum_users(pipeline, study, request)
        with FileSystems.open(request.report_path) as file:
            found = json.loads(file.read())
    _check_reading(found["reading"], study)
    lengths = {int(length): count for length, count in found["lengths"].items()}
    return Sums(np.array(found["cells"], np.int64), lengths, found["cut"])


def _reading(
    study: Study, logs_dir: str, out_dir: str, shards: int | None, spill: bool
) -> ExamplesRequest:
    """What example generation would read, side files and earlier days left out."""
    log = dataclasses.replace(study.spec.log, joins={})
    making = FileSystems.join(out_dir, "_unfinished")
    return ExamplesRequest(
        spec=dataclasses.replace(study.spec, log=log),
        logs_dir=logs_dir,
        examples_dir=out_dir,
        rejects_dir=making,
        report_path=FileSystems.join(making, "sums.json"),
        days=study.days,
        context_days=0,
        shards=shards,
        spill=spill,
    )


def _sum_users(pipeline: beam.Pipeline, study: Study, request: ExamplesRequest) -> None:
    parts, sources, shards = plan_parts(request)
    read = pipeline | ReadLogs(request, parts, sources, shards)
    reading = read[COUNTS] | "Add up counts" >> beam.CombineGlobally(merge_counts)
    _ = (
        read[ROWS]
        | "Shuffle by user" >> beam.GroupByKey()
        | "Sum over users" >> beam.ParDo(_SumUsers(study, request.shuffle_dir))
        | "Add up sums" >> beam.CombineGlobally(functools.partial(add_up, study=study))
        | "Write sums"
        >> beam.Map(_write, beam.pvalue.AsSingleton(reading), request.report_path)
    )


class _SumUsers(beam.DoFn):
    """All rows of some users -> their sums."""

    def __init__(self, study: Study, shuffle_dir: str | None):
        self._study, self._shuffle = study, Shuffle(shuffle_dir)

    def process(self, element: tuple[int, Iterable[Parcel]]):
        _, parcels = element
        rows = self._shuffle.receive(parcels)
        assert rows is not None  # a group has one parcel at least
        yield sum_rows(rows, self._study)


def _write(sums: Sums, reading: Counts, path: str) -> None:
    unread = [(key[1], key[2]) for key in reading if key[0] == "broken"]
    outputs.write_json(
        path,
        {
            "cells": sums.cells.tolist(),
            "lengths": sums.lengths,
            "cut": sums.cut,
            "reading": {
                "rows": _total(reading, "rows"),
                "rejected": _total(reading, "reject"),
                "broken": [f"{file}: {reason}" for file, reason in sorted(unread)],
            },
        },
    )


def _total(counts: Counts, kind: str) -> int:
    return int(sum(n for key, n in counts.items() if key[:2] == (kind, LOG)))


def _check_reading(reading: dict[str, Any], study: Study) -> None:
    if reading["broken"]:
        files = "\n  - ".join(reading["broken"])
        raise ValueError(f"Not all rows of these files could be read:\n  - {files}")
    share = reading["rejected"] / max(1, reading["rows"])
    limit = study.spec.log.max_reject_share
    if share > limit:
        raise ValueError(
            f"{share:.2%} of the log's rows are unreadable, more than "
            f"log.max_reject_share = {limit:.2%}. `trailrank examples` writes each of "
            "them with its reason; repair the logs, or raise the limit in the spec."
        )

"""A run whose arguments are right: on this machine, or compiled for Vertex.

Importing this module brings TensorFlow, Beam and TFX; `run` and `run_config` are light.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import shutil
import time

from feature_specs import Spec, views
from feature_specs.places import Place, absolute
from pipeline.dag import IN_PROCESS_BEAM_ARGS, DagConfig, DagDays, checkpoints_dir
from pipeline.examples.days import DayRange, without_newest
from pipeline.examples.read_logs import all_sources
from pipeline.examples.reading.log_files import find_logs, match_files
from pipeline.examples.reading.readers import discover_days
from pipeline.ledger import Ledger, read_ledger
from pipeline.reporting.files import read_json
from pipeline.run_book import RunBook
from pipeline.run_config import LaunchError, RunConfig, Texts, read_texts
from pipeline.run_plan import Days, RunPlan, plan_run
from pipeline.run_record import RunRecord, write_record
from pipeline.runners import local
from pipeline.runners.local import OnStep
from pipeline.steps.day_example_gen import ALL_EARLIER_DAYS, REPORT_FILE
from pipeline.training import encoded_dir
from trainer.days.encoding import read_encoding

_LIBRARIES = (
    "trailrank",
    "tensorflow",
    "tfx",
    "apache-beam",
    "tensorflow-recommenders",
)
_REMEDY = "Bring it back from a copy, or run the pipeline into a new directory."


def run(
    config: RunConfig, texts: Texts, truth: Place | None, on_step: OnStep | None
) -> RunRecord:
    """Runs the DAG here and writes `run.json` and the ledger.

    See `pipeline.run.run_pipeline`; `texts` are those of `check_local`.
    """
    config = with_days(config, texts.spec)
    book = RunBook.opened(absolute(config.root))
    plan = make_plan(config, texts.spec, book.ledger)
    dag = _dag_config(config, texts, plan, truth)
    dag = dataclasses.replace(
        dag,
        fingerprint=fingerprint(texts.spec, dag.logs),
        baselines=book.baselines(texts.spec.evaluation.baselines),
        accepted=book.accepted(config, plan),
    )
    days = DagDays.of(plan, config.eval_days, texts.spec.log.days_per_split)
    with book.run(config, texts.spec, dag, days) as entry:
        outputs = local.run(dag, on_step or (lambda event: None))
        record = _record(config, texts.spec, dag, days, outputs)
        return entry.end(record, outputs)

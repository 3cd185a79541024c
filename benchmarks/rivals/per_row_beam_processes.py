"""The per-row pipeline with a worker process a core."""

from __future__ import annotations

import os

import per_row_beam

from feature_specs import Spec
from pipeline.examples.days import SplitPlan


def run(spec: Spec, logs_dir: str, out_dir: str, plan: SplitPlan) -> None:
    """Writes `out_dir/<split>-*.gz`."""
    # The workers import this folder's modules too.
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    processes = ["--direct_running_mode=multi_processing"]
    processes.append(f"--direct_num_workers={os.cpu_count()}")
    per_row_beam.run(spec, logs_dir, out_dir, plan, processes)

"""Trailrank's own pipeline, with events of a file of their own joined in."""

from __future__ import annotations

import trailrank_pipeline
from engaged_logs import with_events

from feature_specs import Spec, read_spec
from pipeline.examples.days import SplitPlan


def run(spec: Spec, logs_dir: str, out_dir: str, plan: SplitPlan) -> None:
    """Writes what `trailrank_pipeline` writes."""
    spec = read_spec(with_events(spec.text))
    trailrank_pipeline.run(spec, logs_dir, out_dir, plan)

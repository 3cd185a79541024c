"""Trailrank's own pipeline, as `trailrank examples` runs it."""

from __future__ import annotations

from feature_specs import Spec
from pipeline.examples.build import ExamplesRequest, run_examples
from pipeline.examples.days import SplitPlan


def run(spec: Spec, logs_dir: str, out_dir: str, plan: SplitPlan) -> None:
    """Writes `out_dir/examples/Split-<name>/`, the report and the rejects."""
    run_examples(
        ExamplesRequest(
            spec=spec,
            logs_dir=logs_dir,
            examples_dir=f"{out_dir}/examples",
            rejects_dir=f"{out_dir}/rejects",
            report_path=f"{out_dir}/report.json",
            days=plan.days,
            eval_days=plan.eval_days,
        )
    )

"""From raw short-video impression logs to a served multi-task ranker, from Python.

    import trailrank

    config = trailrank.RunConfig(spec="my_logs.yaml", logs="LOGS", root="RUN")
    record = trailrank.run_pipeline(config)
    with trailrank.serve("RUN") as server:
        ranking = trailrank.rank("RUN", user=42, url=server.url)

This is the contents page. Each name lives in the room it belongs to, and is imported
when it is first asked for; TensorFlow only when there is work for it.

Specs and presets: `load_spec`, `read_spec`, `Spec`, `load_preset`, `ModelConfig`;
slices: `load_slice`
Own logs: `propose_spec`, `ProposedSpec`; `dry_run`, `DryRun`
Logs and examples: `simulate`, `trail_bias`, `make_examples`, `make_encoding`
A whole run: `RunConfig`, `run_pipeline`, `RunRecord`, `read_record`, `evaluate`,
`fusion_search`, `fusion_estimate`, `EstimateOptions`;
day by day: `status`, `history`, `lineage`, `rollback`, `prune`
Rankers: `train`, `LoopOptions`, `load_ranker`, `Ranker`, `inspect`;
`compare`, `CompareOptions`; `select_weight`, `WeightOptions`
Live, on simulated users: `experiment`, `Arm`
Serving: `export`, `serve`, `Client`, `AsyncClient`, `rank`; `loadtest`, `LoadOptions`,
`skew`, `compare_logs`
Errors: `TrailrankError` is the base of every error that is meant for a user
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_specs import ModelConfig, Spec, load_preset, load_spec, read_spec
    from feature_specs.errors import TrailrankError
    from pipeline.compare.run import CompareOptions, compare
    from pipeline.dry_run.run import DryRun, dry_run
    from pipeline.encoding.make import make_encoding
    from pipeline.evaluate import evaluate
    from pipeline.examples.make import make_examples
    from pipeline.experiment.design import Arm
    from pipeline.experiment.run import experiment
    from pipeline.fusion_search.estimate import EstimateOptions, fusion_estimate
    from pipeline.fusion_search.run import fusion_search
    from pipeline.operations.history import history
    from pipeline.operations.lineage import lineage
    from pipeline.operations.prune import prune
    from pipeline.operations.rollback import rollback
    from pipeline.operations.status import status
    from pipeline.proposing.propose import ProposedSpec, propose_spec
    from pipeline.run import run_pipeline
    from pipeline.run_config import RunConfig
    from pipeline.run_record import RunRecord, read_record
    from pipeline.simulator import simulate
    from pipeline.trail_bias.run import trail_bias
    from pipeline.tune.run import TuneOptions, tune
    from pipeline.weight_selection.options import WeightOptions
    from pipeline.weight_selection.run import select_weight
    from serving.client.client import AsyncClient, Client
    from serving.compare_logs.compare_logs import compare_logs
    from serving.export.export import export
    from serving.load.loadtest import LoadOptions, loadtest
    from serving.options import ServerOptions
    from serving.ranking.rank import rank
    from serving.server.serve import serve
    from serving.skew.skew import skew
    from tpu_configs import load_slice
    from trainer.days.options import LoopOptions
    from trainer.inspect import inspect
    from trainer.model.ranker import Ranker
    from trainer.train import load_ranker, train

    __version__: str

__all__ = [
    "Arm",
    "AsyncClient",
    "Client",
    "CompareOptions",
    "DryRun",
    "EstimateOptions",
    "LoadOptions",
    "LoopOptions",
    "ModelConfig",
    "ProposedSpec",
    "Ranker",
    "RunConfig",
    "RunRecord",
    "ServerOptions",
    "Spec",
    "TrailrankError",
    "TuneOptions",
    "WeightOptions",
    "__version__",
    "compare",
    "compare_logs",
    "dry_run",
    "evaluate",
    "experiment",
    "export",
    "fusion_estimate",
    "fusion_search",
    "history",
    "inspect",
    "lineage",
    "load_preset",
    "load_ranker",
    "load_slice",
    "load_spec",
    "loadtest",
    "make_encoding",
    "make_examples",
    "propose_spec",
    "prune",
    "rank",
    "read_record",
    "read_spec",
    "rollback",
    "run_pipeline",
    "select_weight",
    "serve",
    "simulate",
    "skew",
    "status",
    "trail_bias",
    "train",
    "tune",
]

# Where each name lives; the imports above say the same to type checkers and editors.
_HOMES = {
    "Arm": "pipeline.experiment.design",
    "AsyncClient": "serving.client.client",
    "Client": "serving.client.client",
    "CompareOptions": "pipeline.compare.run",
    "DryRun": "pipeline.dry_run.run",
    "EstimateOptions": "pipeline.fusion_search.estimate",
    "LoadOptions": "serving.load.loadtest",
    "LoopOptions": "trainer.days.options",
    "ModelConfig": "feature_specs",
    "ProposedSpec": "pipeline.proposing.propose",
    "Ranker": "trainer.model.ranker",
    "RunConfig": "pipeline.run_config",
    "RunRecord": "pipeline.run_record",
    "Spec": "feature_specs",
    "TrailrankError": "feature_specs.errors",
    "TuneOptions": "pipeline.tune.run",
    "WeightOptions": "pipeline.weight_selection.options",
    "compare": "pipeline.compare.run",
    "compare_logs": "serving.compare_logs.compare_logs",
    "dry_run": "pipeline.dry_run.run",
    "evaluate": "pipeline.evaluate",
    "experiment": "pipeline.experiment.run",
    "export": "serving.export.export",
    "fusion_estimate": "pipeline.fusion_search.estimate",
    "fusion_search": "pipeline.fusion_search.run",
    "history": "pipeline.operations.history",
    "inspect": "trainer.inspect",
    "lineage": "pipeline.operations.lineage",
    "load_preset": "feature_specs",
    "load_ranker": "trainer.train",
    "load_slice": "tpu_configs",
    "load_spec": "feature_specs",
    "loadtest": "serving.load.loadtest",
    "make_encoding": "pipeline.encoding.make",
    "make_examples": "pipeline.examples.make",
    "propose_spec": "pipeline.proposing.propose",
    "prune": "pipeline.operations.prune",
    "rank": "serving.ranking.rank",
    "read_record": "pipeline.run_record",
    "read_spec": "feature_specs",
    "rollback": "pipeline.operations.rollback",
    "run_pipeline": "pipeline.run",
    "ServerOptions": "serving.options",
    "select_weight": "pipeline.weight_selection.run",
    "serve": "serving.server.serve",
    "simulate": "pipeline.simulator",
    "skew": "serving.skew.skew",
    "status": "pipeline.operations.status",
    "train": "trainer.train",
    "trail_bias": "pipeline.trail_bias.run",
    "tune": "pipeline.tune.run",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and keeps it."""
    if name == "__version__":
        metadata = importlib.import_module("importlib.metadata")
        value = metadata.version("trailrank")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'trailrank' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

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
from pipeline.components import ALL_EARLIER_DAYS, REPORT_FILE
from pipeline.dag import IN_PROCESS_BEAM_ARGS, DagConfig, checkpoints_dir
from pipeline.evaluate import Evaluation, evaluate, with_evaluation
from pipeline.examples.days import DayRange, plan_splits, without_newest
from pipeline.examples.reading.log_files import find_logs, match_files
from pipeline.examples.reading.readers import all_sources, discover_days
from pipeline.reporting.files import read_json
from pipeline.run_config import LaunchError, RunConfig, Texts, read_texts
from pipeline.run_record import RunRecord, write_record
from pipeline.runners import local
from pipeline.runners.local import OnStep, StepEvent
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
_SCORING = "Evaluation table"  # of `run.json`; it is no step of the DAG


def run(
    config: RunConfig, texts: Texts, truth: Place | None, on_step: OnStep | None
) -> RunRecord:
    """Runs the DAG here, scores the last days and writes `run.json`.

    See `pipeline.run.run_pipeline`; `texts` are those of `check_local`.
    """
    on_step = on_step or (lambda event: None)
    config = with_days(config, texts.spec)
    dag = _dag_config(config, texts)
    dag = dataclasses.replace(dag, fingerprint=fingerprint(texts.spec, dag.logs))
    outputs = local.run(dag, on_step)
    record = _record(config, texts.spec, dag, outputs)
    write_record(dag.root, record)
    _keep_figures(pathlib.Path(outputs["Trainer"]["model_run"]), dag.root)
    found = _scored(dag.root, truth, on_step)
    return with_evaluation(record, found)


def with_days(config: RunConfig, spec: Spec) -> RunConfig:
    """The run with the directory that holds the logs, and with days.

    Raises:
        FileNotFoundError, ValueError: There are no logs, or no days to be found in
            them.
    """
    logs = find_logs(spec, absolute(config.logs))
    days = config.days or str(discover_days(spec, logs))
    return _without_open_days(dataclasses.replace(config, logs=logs, days=days))


def _without_open_days(config: RunConfig) -> RunConfig:
    """The run without the days that wait for their labels; it has days."""
    if not config.label_delay:
        return config
    assert config.days is not None
    days = without_newest(DayRange.parse(config.days), config.label_delay)
    return dataclasses.replace(config, days=str(days), label_delay="")


def compile_vertex(config: RunConfig, image: str, out: Place) -> int:
    """Writes the DAG as a Vertex pipeline spec; returns the number of its steps.

    Each compilation has a fingerprint of its own: the logs in a bucket may have changed
    since the last one, and cached examples would be old ones.

    Args:
        config: What to run; with its days, as nobody looks at the logs.
        image: Container image with trailrank installed, in which every step runs.
        out: JSON file to write.

    Raises:
        LaunchError: The days are missing, or libraries.
        ValueError: The result is no valid pipeline spec.
    """
    try:
        from pipeline.cloud import vertex_pipeline as vertex
    except ImportError as error:
        raise LaunchError(
            f"compiling for Vertex needs more libraries ({error.name} is missing): "
            "pip install 'trailrank[vertex]'."
        ) from None
    if config.days is None:
        raise LaunchError("days: must be named for Vertex, like 20220408:20220421.")
    dag = _dag_config(_without_open_days(config), read_texts(config))
    dag = dataclasses.replace(dag, fingerprint=f"compiled-{time.time():.0f}")
    return vertex.compile_spec(dag, image, pathlib.Path(out).resolve())


def fingerprint(spec: Spec, logs: str) -> str:
    """Changes when a file that the spec reads in `logs` changes."""
    files = [
        (file.path, file.size_in_bytes, file.last_updated_in_seconds)
        for source in all_sources(spec).values()
        for file in match_files(source, logs)
    ]
    return hashlib.sha256(repr(files).encode()).hexdigest()[:12]


def _dag_config(config: RunConfig, texts: Texts) -> DagConfig:
    context = config.context_days
    assert config.days is not None
    return DagConfig(
        spec=views.written(texts.spec),
        preset=texts.preset,
        slice=texts.slice,
        logs=absolute(config.logs),
        root=absolute(config.root),
        days=config.days,
        eval_days=config.eval_days,
        context_days=ALL_EARLIER_DAYS if context is None else context,
        allow_small_days=config.allow_small_days,
        seed=config.seed,
        beam_args=config.beam_args or IN_PROCESS_BEAM_ARGS,
    )


def _record(
    config: RunConfig, spec: Spec, dag: DagConfig, outputs: local.Outputs
) -> RunRecord:
    examples = outputs["DayExampleGen"]["examples"]
    days = DayRange.parse(dag.days)
    plan = plan_splits(days, dag.eval_days, spec.log.days_per_split)
    pushed = pathlib.Path(outputs["Pusher"]["pushed_model"])
    encoding = read_encoding(outputs["Transform"]["transform_graph"])
    return RunRecord(
        spec=spec.name,
        spec_text=views.written(spec),
        spec_digest=views.digest(spec),
        preset=config.preset_name,
        days=dag.days,
        eval_splits=plan.evaluation,
        logs=dag.logs,
        rows=read_json(pathlib.Path(examples) / REPORT_FILE, _REMEDY),
        examples=examples,
        model=os.path.join(outputs["Trainer"]["model"], "Format-Serving"),
        pushed=pushed.exists() and any(pushed.iterdir()),
        metrics=[],
        slices={},
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        transformed=outputs["Transform"]["transformed_examples"],
        transform_graph=outputs["Transform"]["transform_graph"],
        checkpoints=encoded_dir(checkpoints_dir(dag), encoding),
    )


def _keep_figures(model_run: pathlib.Path, root: str) -> None:
    """What is inside the trained model goes where a reader looks: `RUN/report/`."""
    made = model_run / "logs" / "inspection"
    if made.exists():
        target = pathlib.Path(root) / "report" / "inspection"
        shutil.copytree(made, target, dirs_exist_ok=True)


def _scored(root: str, truth: Place | None, on_step: OnStep) -> Evaluation:
    """The evaluation table, reported as if it were a step of its own."""
    began = time.monotonic()
    on_step(StepEvent(_SCORING, "running"))
    found = evaluate(root, truth)
    on_step(StepEvent(_SCORING, "done", time.monotonic() - began))
    return found

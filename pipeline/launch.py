"""A run whose arguments are right: on this machine, or compiled for Vertex.

Importing this module brings TensorFlow, Beam and TFX; `run` and `run_config` are light.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterable
from typing import Any

from apache_beam.io.filesystem import FileMetadata

from feature_specs import Spec, views
from feature_specs.errors import UsageError
from feature_specs.places import Place, absolute
from feature_specs.release import code_version
from pipeline.cloud.pipeline_place import PipelinePlace
from pipeline.dag import (
    IN_PROCESS_BEAM_ARGS,
    DagConfig,
    DagDays,
    checkpoints_dir,
    gate_reports,
)
from pipeline.day_state.state import read_state
from pipeline.evaluate import Evaluation, with_evaluation
from pipeline.evaluation.model_evaluation import read_evaluation
from pipeline.examples.days import DayRange, without_newest
from pipeline.examples.read_logs import marks_of, new_days
from pipeline.examples.reading.log_files import find_logs, has_days
from pipeline.examples.reading.marks import fingerprint, read_files
from pipeline.examples.reading.readers import discover_days, log_source
from pipeline.gates.accept import accept
from pipeline.gates.infra import RefusedExportError
from pipeline.gates.infra import read_report as read_infra_report
from pipeline.gates.store import read_report
from pipeline.gates.verdict import Verdict, read_verdict
from pipeline.ledger import RunEntry, Version, read_ledger
from pipeline.operations.known import record_path
from pipeline.operations.log_files import describe_files
from pipeline.operations.rollback import settle_rollbacks
from pipeline.pushing import read_push
from pipeline.reporting.files import plain, read_json
from pipeline.run_book import RunBook, Writing, now, owner
from pipeline.run_config import METADATA, LaunchError, RunConfig, Texts, read_texts
from pipeline.run_plan import Days, RunPlan, plan_run
from pipeline.run_record import REFUSED, RunRecord, write_record
from pipeline.runners import local
from pipeline.runners.local import OnStep
from pipeline.steps.day_example_gen import ALL_EARLIER_DAYS, REPORT_FILE
from pipeline.training import encoded_dir
from trainer.days.day_ends import go_back, restore_day_end
from trainer.days.encoding import read_encoding

_LIBRARIES = (
    "trailrank",
    "tensorflow",
    "tfx",
    "apache-beam",
    "tensorflow-recommenders",
)
_REMEDY = "Bring it back from a copy, or run the pipeline into a new directory."
_SPLIT = "day-"


def run(
    config: RunConfig, texts: Texts, truth: Place | None, on_step: OnStep | None
) -> RunRecord:
    """Runs the DAG here, and writes the ledger and `run.json`.

    See `pipeline.run.run_pipeline`; `texts` are those of `check_local`.
    """
    config = with_days(config, texts.spec)
    operation = _Operation.begun(config, texts, truth)
    with operation.written() as writing:
        try:
            outputs = local.run(operation.dag, on_step or (lambda event: None))
        except BaseException:
            with contextlib.suppress(Exception):  # on a full disk: what is told first
                operation.note_made(writing)
            raise
        operation.note_made(writing)
        return operation.finish(writing, outputs)


def with_days(config: RunConfig, spec: Spec) -> RunConfig:
    """The run with the directory that holds the logs, and with days.

    Raises:
        FileNotFoundError, ValueError: There are no logs, or no days to be found in
            them.
    """
    logs = find_logs(spec, absolute(config.logs))
    days = config.days or str(_all_days(config, spec, logs))
    return _without_open_days(dataclasses.replace(config, logs=logs, days=days))


def _all_days(config: RunConfig, spec: Spec, logs: str) -> DayRange:
    """The days that the run has made, and those that the logs have beyond them.

    Logs of days that are made may be gone.
    """
    ledger, key = read_ledger(absolute(config.root)), examples_key(config, spec)
    made = [
        Days(first=d.split.removeprefix(_SPLIT), last=d.last) for d in ledger.made(key)
    ]
    missing = [*config.missing_days, *ledger.empty_days(key)]
    known = [DayRange.parse(str(days)) for days in [*made, *map(Days.parse, missing)]]
    dates = {date for days in known for date in days}
    state = ledger.made(key)[-1].state if made else ""
    if not state or has_days(log_source(spec)):
        return discover_days(spec, logs, known=dates)
    try:
        last = new_days(spec, logs, read_state(state)).last
    except UsageError:  # nothing is new
        last = max(dates)
    return DayRange(min(dates), last)


def _without_open_days(config: RunConfig) -> RunConfig:
    """The run without the days that wait for their labels; it has days."""
    if not config.label_delay:
        return config
    assert config.days is not None
    days = without_newest(DayRange.parse(config.days), config.label_delay)
    return dataclasses.replace(config, days=str(days), label_delay="")


def compile_vertex(config: RunConfig, place: PipelinePlace, out: Place) -> int:
    """Writes the DAG as a Vertex pipeline spec; returns the number of its steps.

    Each compilation has a fingerprint of its own: the logs in a bucket may have changed
    since the last one, and cached examples would be old ones. It is a first run of its
    days: the ledger, by which a run goes on, is kept by this machine's runner.

    Args:
        config: What to run; with its days, as nobody looks at the logs.
        place: Images, and on what the steps run; it has passed
            `pipeline_place.check`.
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
    config = _without_open_days(config)
    plan = RunPlan(new=str(config.days), new_eval_days=config.eval_days)
    beam_args = (*place.beam_args(absolute(config.root)), *config.beam_args)
    config = dataclasses.replace(config, beam_args=beam_args)
    dag = _dag_config(config, read_texts(config), plan, None)
    dag = dataclasses.replace(dag, fingerprint=f"compiled-{time.time():.0f}")
    return vertex.compile_spec(dag, place, pathlib.Path(out).resolve())


def examples_key(config: RunConfig, spec: Spec) -> str:
    """Of what a run's examples are made, beside the logs: days of another key, of
    another spec or seed, are no days of the run."""
    parts = [views.text(spec, views.EXAMPLES), config.seed, config.eval_days]
    text = json.dumps([*parts, config.context_days])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- one run --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Operation:
    """One run between its beginning and its end.

    Attributes:
        config: What was asked for.
        spec: Its spec.
        book: The ledger.
        dag: What is run.
        days: Its splits.
        entry: Its line in the ledger.
        key: Of the examples.
    """

    config: RunConfig
    spec: Spec
    book: RunBook
    dag: DagConfig
    days: DagDays
    entry: RunEntry
    key: str

    @classmethod
    def begun(cls, config: RunConfig, texts: Texts, truth: Place | None) -> _Operation:
        """The run that goes on from what its directory has already."""
        spec, root = texts.spec, absolute(config.root)
        settle_rollbacks(root, restore_day_end)
        book, key = RunBook.opened(root), examples_key(config, texts.spec)
        plan = _plan(config, spec, book, key)
        days = DagDays.of(plan, config.eval_days, spec.log.days_per_split)
        _accept(config, book, key)
        _go_back(config, book, key)
        dag = _going_on(_dag_config(config, texts, plan, truth), spec, book, days, key)
        files = _log_files(dag, spec)
        dag = dataclasses.replace(dag, fingerprint=fingerprint(files))
        entry = _entry(config, spec, book, dag, days, files)
        return cls(config, spec, book, dag, days, entry, key)

    @property
    def database(self) -> pathlib.Path:
        """TFX's metadata."""
        return pathlib.Path(self.dag.root) / METADATA

    def written(self) -> Any:
        """Keeps the ledger while the run goes on; a context."""
        last = {split: split.removeprefix(_SPLIT) for split in self.days.new}
        last[self.days.new[-1]] = Days.parse(self.dag.plan.new).last
        return self.book.run(self.entry, last, self.key)

    def note_made(self, writing: Writing) -> None:
        """What has been made counts, however the run ends."""
        made = local.last_outputs(self.database, since=self.entry.began)
        writing.made(made, passed="DataGate" in made)

    def finish(self, writing: Writing, outputs: local.Outputs) -> RunRecord:
        """Notes what was measured and pushed; the record of the run."""
        folder = os.path.join(outputs["Evaluator"]["evaluation"], "model-0")
        found = Evaluation.of(read_evaluation(folder), self.spec)
        verdict = read_verdict(outputs["Evaluator"]["evaluation"])
        pushed = read_push(outputs["Pusher"]["pushed_model"])
        version = pushed.version if pushed else ""
        refused = self._rolled_back(version) if pushed else _why(verdict, outputs)
        record = dataclasses.replace(
            with_evaluation(self._record(outputs), found),
            pushed=not refused,
            version="" if refused else version,
            refused=refused,
        )
        if record.pushed:
            self._note_version(writing, record, outputs)
        self._write(record, outputs["Trainer"]["model_run"])
        writing.end(
            "pushed" if record.pushed else "refused",
            refused,
            metrics=_metrics(found),
            gates=json.loads(verdict.to_json())["gates"],
            encoding=record.transform_graph,
            checkpoints=record.checkpoints,
        )
        return record

    def _rolled_back(self, version: str) -> str:
        """Why a version is not to serve that an earlier run pushed; "" if it is."""
        known = [v for v in self.book.ledger.versions if v.version == version]
        if not known or known[0].state == "live":
            return ""
        return (
            f"Version {version} is this very model, and was rolled back: nothing is "
            f"new, and it does not come back by itself. `trailrank pipeline rollback "
            f"{version}` brings it back."
        )

    def _record(self, outputs: local.Outputs) -> RunRecord:
        examples = outputs["DayExampleGen"]["examples"]
        graph = outputs["EncodingGen"]["transform_graph"]
        places = {s: place or examples for s, place in self.days.places.items()}
        first = next(iter(places)).removeprefix(_SPLIT)
        return RunRecord(
            spec=self.spec.name,
            spec_text=views.written(self.spec),
            spec_digest=views.digest(self.spec),
            preset=self.config.preset_name,
            days=f"{first}:{Days.parse(self.dag.plan.new).last}",
            eval_splits=self.days.judged,
            logs=self.dag.logs,
            rows=read_json(pathlib.Path(examples) / REPORT_FILE, _REMEDY),
            examples=examples,
            model=os.path.join(outputs["Trainer"]["model"], "Format-Serving"),
            pushed=False,
            metrics=[],
            slices={},
            versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
            transform_graph=graph,
            checkpoints=encoded_dir(checkpoints_dir(self.dag), read_encoding(graph)),
            example_dirs=places,
            evaluation=outputs["Evaluator"]["evaluation"],
        )

    def _note_version(
        self, writing: Writing, record: RunRecord, outputs: local.Outputs
    ) -> None:
        """A version that is pushed for the first time; one from the cache is known."""
        if any(v.version == record.version for v in self.book.ledger.versions):
            return
        writing.pushed(
            Version(
                version=record.version,
                model=record.model,
                run=self.entry.id,
                trained=self.days.train,
                judged=self.days.judged,
                checkpoints=record.checkpoints,
                encoding=record.transform_graph,
                evaluation=outputs["Evaluator"]["evaluation"],
                pushed_at=now(),
            )
        )

    def _write(self, record: RunRecord, model_run: str) -> None:
        """`run.json` describes what serves; a refused model has a file of its own."""
        if record.refused:
            write_record(self.dag.root, record, REFUSED)
            return
        (pathlib.Path(self.dag.root) / REFUSED).unlink(missing_ok=True)
        kept = pathlib.Path(record_path(self.dag.root, record.version))
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_record(str(kept.parent), record, kept.name)  # for a way back
        write_record(self.dag.root, record)
        _keep_figures(pathlib.Path(model_run), self.dag.root)


def _plan(config: RunConfig, spec: Spec, book: RunBook, key: str) -> RunPlan:
    assert config.days is not None
    return plan_run(
        book.ledger,
        key,
        Days.parse(config.days),
        eval_days=config.eval_days,
        encoding=_last_encoding(spec, book),
        fixed_encoding=absolute(config.encoding) if config.encoding else "",
        refresh_encoding=config.refresh_encoding,
        missing=config.missing_days,
        replace_from=config.replace,
    )


def _last_encoding(spec: Spec, book: RunBook) -> str:
    """Of the newest run whose spec encodes alike; empty if there is none."""
    view = views.digest(spec, views.ENCODING)
    for entry in reversed(book.ledger.runs):
        alike = entry.encoding and entry.views.get(views.ENCODING) == view
        if alike and os.path.isdir(entry.encoding):
            return entry.encoding
    return ""


def _accept(config: RunConfig, book: RunBook, key: str) -> None:
    """Notes the days that are let pass, as their reports tell what was found."""
    for day in config.accept_days:
        report = read_report(gate_reports(absolute(config.root)), day)
        found = accept(report, config.accept_reason)
        book.accept(f"{_SPLIT}{day}", key, dataclasses.asdict(found))


def _go_back(config: RunConfig, book: RunBook, key: str) -> None:
    """Takes the weights back to before a day that is made again, if they know it."""
    if not config.replace:
        return
    split = f"{_SPLIT}{config.replace}"
    book.write(book.ledger.without_days(key, split))
    for directory in {entry.checkpoints for entry in book.ledger.runs}:
        if directory and os.path.isdir(directory):
            go_back(directory, split)


def _going_on(
    dag: DagConfig, spec: Spec, book: RunBook, days: DagDays, key: str
) -> DagConfig:
    """The DAG with what the directory knows: its encoding, models and acceptances."""
    known = read_encoding(dag.plan.encoding) if dag.plan.encoding else None
    baselines = book.baselines(
        spec.evaluation.baselines, checkpoints_dir(dag), days.train
    )
    models = os.path.join(dag.root, "models", spec.name)
    return dataclasses.replace(
        dag,
        learned=tuple(s for s in known.days if s not in days.new) if known else (),
        encoding_digest=known.digest if known else "",
        baselines=tuple(os.path.join(models, v.version) for v in baselines),
        accepted=json.dumps(book.acceptances(key, days.places)),
    )


def _log_files(dag: DagConfig, spec: Spec) -> list[FileMetadata]:
    """The log files that are read."""
    days, state = DayRange.parse(dag.plan.new), dag.plan.state_from
    if state:
        return read_files(spec, dag.logs, days, 0, marks_of(read_state(state)))
    context = None if dag.context_days == ALL_EARLIER_DAYS else dag.context_days
    return read_files(spec, dag.logs, days, context)


def _entry(
    config: RunConfig,
    spec: Spec,
    book: RunBook,
    dag: DagConfig,
    days: DagDays,
    files: Iterable[FileMetadata],
) -> RunEntry:
    return RunEntry(
        id=book.next_id(),
        began=now(),
        owner=owner(),
        spec=spec.name,
        spec_digest=views.digest(spec),
        views={name: views.digest(spec, name) for name in views.VIEWS},
        preset=config.preset_name,
        seed=config.seed,
        logs=dag.logs,
        log_files=describe_files(
            (file.path, file.size_in_bytes, file.last_updated_in_seconds)
            for file in files
        ),
        trained=days.train,
        judged=days.judged,
        code=code_version(),
        plan=dag.plan.to_json(),
    )


def _dag_config(
    config: RunConfig, texts: Texts, plan: RunPlan, truth: Place | None
) -> DagConfig:
    context = config.context_days
    return DagConfig(
        spec=views.written(texts.spec),
        preset=texts.preset,
        slice=texts.slice,
        logs=absolute(config.logs),
        root=absolute(config.root),
        plan=plan,
        eval_days=config.eval_days,
        context_days=ALL_EARLIER_DAYS if context is None else context,
        allow_small_days=config.allow_small_days,
        seed=config.seed,
        truth="" if truth is None else absolute(truth),
        map_encoding=config.map_encoding,
        beam_args=config.beam_args or IN_PROCESS_BEAM_ARGS,
    )


def _why(verdict: Verdict, outputs: local.Outputs) -> str:
    """Which gate refused a model that was not pushed, and what to do."""
    if not verdict.blessed:
        return verdict.told()
    report = read_infra_report(outputs["InfraValidator"]["blessing"])
    try:
        report.check()
    except RefusedExportError as error:
        return str(error)
    return f"Nothing was pushed: see {outputs['Pusher']['pushed_model']}."


def _metrics(found: Evaluation) -> dict[str, dict[str, float | None]]:
    """The figures of a history, of each task."""
    return {
        task.task: {
            name: plain(getattr(task, name))
            for name in ("auc", "gauc", "calibration", "rmse")
        }
        for task in found.tasks
    }


def _keep_figures(model_run: pathlib.Path, root: str) -> None:
    """What is inside the trained model goes where a reader looks: `RUN/report/`."""
    made = model_run / "logs" / "inspection"
    if made.exists():
        target = pathlib.Path(root) / "report" / "inspection"
        shutil.copytree(made, target, dirs_exist_ok=True)

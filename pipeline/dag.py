"""The TFX DAG: which steps run, in what order, with what settings.

    raw logs -> DayExampleGen -> StatisticsGen -> ExampleValidator -> DataGate
             -> EncodingGen -> Trainer -> Evaluator -> InfraValidator -> Pusher

One run of it makes the examples of the days that are new (`run_plan`), trains what the
weights lack, and is judged on the newest days. Earlier days stay where they were made:
steps are given their directories.

Each step is given its view of the spec, as text (`feature_specs.views`), so that its
cached result stands until something changes that it depends on.

The same DAG runs locally (`runners/local.py`) and compiles for Vertex
(`cloud/vertex_pipeline.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable

from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel

from feature_specs import Spec, read_preset, read_spec, views
from feature_specs.model import plain_values
from feature_specs.named import preset_as_text
from pipeline.examples.build import LOCAL_RUNNER
from pipeline.examples.days import DayRange, plan_splits
from pipeline.run_plan import RunPlan, judged_of
from pipeline.steps.data_gate import DataGate
from pipeline.steps.day_example_gen import ALL_EARLIER_DAYS, DayExampleGen
from pipeline.steps.encoding_gen import REFRESH, EncodingGen
from pipeline.steps.evaluator import Evaluator
from pipeline.steps.example_validator import ExampleValidator
from pipeline.steps.infra_validator import InfraValidator
from pipeline.steps.model_pusher import Pusher
from pipeline.steps.ranker_trainer import Trainer
from pipeline.steps.spec_schema import SpecSchema
from pipeline.steps.statistics_gen import StatisticsGen
from tpu_configs import read_slice

# In one process a state cache saves nothing, and to weigh its entries Beam walks
# through every module loaded, which is a lot after TensorFlow. No image is started: but
# where none is named, TFX copies and packs its own source for the workers, in a Python
# of its own, and leaves both behind in the temporary directory.
IN_PROCESS_BEAM_ARGS = (
    f"--runner={LOCAL_RUNNER}",
    "--max_cache_memory_usage_mb=0",
    "--sdk_container_image=none",
)
HERE = ""  # in place of a directory: that of the examples made in this run


@dataclasses.dataclass(frozen=True, kw_only=True)
class DagConfig:
    """One run, as its steps take it; texts, so that none needs a file of this machine.

    Attributes:
        spec: The spec's YAML text.
        preset: The model preset's YAML text.
        slice: The accelerator slice's YAML text.
        logs: Directory with the raw logs; may lie in a bucket.
        root: Directory of everything the run writes; a bucket on Vertex.
        plan: Which days are made, and where the others lie.
        eval_days: How many of the newest days are kept for evaluation.
        context_days: Days before the first that are read for history and statistics,
            where no `DayState` tells; by default all that the logs have.
        allow_small_days: Whether a day with unusually few rows passes.
        seed: Of shuffles and initial weights.
        fingerprint: State of the log files; a new one makes new examples.
        learned: Splits that the plan's encoding knows already.
        encoding_digest: Of that encoding.
        baselines: Directories of models that the new one is compared with.
        accepted: JSON list of what was let through the data gate, and by whom.
        truth: The log simulator's `truth/`, for the oracle; empty for none.
        map_encoding: Whether weights of another encoding are mapped by value.
        beam_args: Options of every Beam step.
    """

    spec: str
    preset: str
    slice: str
    logs: str
    root: str
    plan: RunPlan
    eval_days: int = 1
    context_days: int = ALL_EARLIER_DAYS
    allow_small_days: bool = False
    seed: int = 0
    fingerprint: str = ""
    learned: tuple[str, ...] = ()
    encoding_digest: str = ""
    baselines: tuple[str, ...] = ()
    accepted: str = "[]"
    truth: str = ""
    map_encoding: bool = False
    beam_args: tuple[str, ...] = IN_PROCESS_BEAM_ARGS


@dataclasses.dataclass(frozen=True, kw_only=True)
class DagDays:
    """The splits of a run, in order, and where their examples lie.

    Attributes:
        places: Split -> directory of its examples; `HERE` for one that is made now.
        new: Splits that are made.
        train: In the weights when the run has ended.
        judged: Kept for evaluation.
    """

    places: dict[str, str]
    new: tuple[str, ...]
    train: tuple[str, ...]
    judged: tuple[str, ...]

    @classmethod
    def of(cls, plan: RunPlan, eval_days: int, days_per_split: int) -> DagDays:
        """Those that a plan says."""
        days = DayRange.parse(plan.new)
        new = plan_splits(
            days,
            plan.new_eval_days,
            days_per_split,
            continues=not plan.is_first,
        ).splits
        places = {**dict(plan.earlier), **dict.fromkeys(new, HERE)}
        judged = judged_of(list(places), f"{days.last:%Y%m%d}", eval_days)
        train = tuple(split for split in places if split not in judged)
        return cls(places=places, new=new, train=train, judged=judged)

    def pairs(self, splits: Iterable[str]) -> str:
        """JSON `[[split, directory], ...]`, as steps take days."""
        return json.dumps([[split, self.places[split]] for split in splits])


def create_pipeline(
    config: DagConfig,
    metadata_config: object = None,
    trainer: Callable[..., BaseNode] = Trainer,
) -> Pipeline:
    """The whole DAG of a run; TFX orders its nodes by what they read.

    Args:
        config: What to run.
        metadata_config: Where the metadata lies, for a runner that keeps its own.
        trainer: Makes the step that trains; takes what `Trainer` takes.
    """
    spec = read_spec(config.spec)
    return Pipeline(
        pipeline_name=f"trailrank-{spec.name.replace('_', '-')}",
        pipeline_root=os.path.join(config.root, "artifacts"),
        components=_components(spec, config, trainer),
        enable_cache=True,
        metadata_connection_config=metadata_config,
        beam_pipeline_args=list(config.beam_args),
    )


def checkpoints_dir(config: DagConfig) -> str:
    """Of a run's training; the name has what decides the weights, but no days.

    The same days are restored there, and later ones are gone on with. What the encoding
    began with, which nobody knows before `EncodingGen` has run, is the last part of the
    name: see `pipeline.training.encoded_dir`.
    """
    spec, slice = read_spec(config.spec), read_slice(config.slice)
    decides = {
        "spec": views.text(spec, views.TRAINING),
        "preset": plain_values(read_preset(config.preset)),
        "slice": [slice.batch_size, slice.precision, slice.embedding],
        "seed": config.seed,
    }
    text = json.dumps(decides, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    return os.path.join(config.root, "checkpoints", key)


def _components(
    spec: Spec, config: DagConfig, train: Callable[..., BaseNode]
) -> list[BaseNode]:
    days = DagDays.of(config.plan, config.eval_days, spec.log.days_per_split)
    example_gen = _example_gen(spec, config)
    examples = example_gen.outputs["examples"]
    schema = SpecSchema(spec=views.step_text(spec, "SpecSchema"))
    statistics = StatisticsGen(examples=examples, schema=schema.outputs["schema"])
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    gate = DataGate(
        examples=examples,
        spec=views.step_text(spec, "DataGate"),
        new_days=days.pairs(days.new),
        earlier_days=json.dumps(config.plan.earlier),
        accepted=config.accepted,
        reports_dir=gate_reports(config.root),
    )
    gate.add_upstream_node(validator)
    encoding = _encoding(spec, config, days, examples)
    encoding.add_upstream_node(gate)
    trainer = _trainer(train, spec, config, days, example_gen, encoding)
    checks = _checks(spec, config, days, example_gen, trainer)
    return [
        example_gen,
        schema,
        statistics,
        validator,
        gate,
        encoding,
        trainer,
        *checks,
    ]


def _example_gen(spec: Spec, config: DagConfig) -> DayExampleGen:
    return DayExampleGen(
        spec=views.step_text(spec, "DayExampleGen"),
        logs=config.logs,
        days=config.plan.new,
        eval_days=config.plan.new_eval_days,
        context_days=config.context_days,
        allow_small_days=config.allow_small_days,
        seed=config.seed,
        rejects_dir=os.path.join(config.root, "rejects"),
        fingerprint=config.fingerprint,
        state_from=config.plan.state_from,
        learned_through=config.plan.learned_through,
        empty_days=",".join(config.plan.empty_days),
    )


def gate_reports(root: str) -> str:
    """Where the data gate leaves what it found of each day, refused or not."""
    return os.path.join(root, "report", "gates")


def _encoding(
    spec: Spec, config: DagConfig, days: DagDays, examples: Channel
) -> BaseNode:
    plan = config.plan
    learned = config.learned if plan.refresh_encoding == "none" else ()
    return EncodingGen(
        examples=examples,
        spec=views.step_text(spec, "EncodingGen"),
        train_days=days.pairs(split for split in days.train if split not in learned),
        earlier=plan.encoding,
        digest_of_earlier=config.encoding_digest,
        fixed=int(plan.fixed_encoding),
        refresh=REFRESH.index(plan.refresh_encoding),
    )


def _trainer(
    train: Callable[..., BaseNode],
    spec: Spec,
    config: DagConfig,
    days: DagDays,
    example_gen: BaseNode,
    encoding: BaseNode,
) -> BaseNode:
    return train(
        examples=example_gen.outputs["examples"],
        transform_graph=encoding.outputs["transform_graph"],
        spec=views.step_text(spec, "Trainer"),
        preset=preset_as_text(read_preset(config.preset)),
        slice=json.dumps(dataclasses.asdict(read_slice(config.slice))),
        days=days.pairs(days.train),
        checkpoints=checkpoints_dir(config),
        seed=config.seed,
        map_encoding=int(config.map_encoding),
    )


def _checks(
    spec: Spec,
    config: DagConfig,
    days: DagDays,
    example_gen: BaseNode,
    trainer: BaseNode,
) -> list[BaseNode]:
    """What a model has to pass, and its push."""
    model = trainer.outputs["model"]
    evaluator = Evaluator(
        model=model,
        examples=example_gen.outputs["examples"],
        spec=views.step_text(spec, "Evaluator"),
        days=days.pairs(days.judged),
        baselines=json.dumps(config.baselines),
        truth=config.truth,
    )
    infra = InfraValidator(model=model, spec=views.step_text(spec, "InfraValidator"))
    infra.add_upstream_node(evaluator)
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra.outputs["blessing"],
        destination=os.path.join(config.root, "models", spec.name),
        needs_blessing=int(spec.evaluation.gate != "none"),
    )
    return [evaluator, infra, pusher]

"""The TFX DAG: which steps run, in what order, with what settings.

    raw logs -> DayExampleGen -> StatisticsGen -> ExampleValidator -> ValidationGate
             -> Transform -> Trainer -> Evaluator (blessing) -> Pusher

Each step is given its view of the spec, as text (`feature_specs.views`), so that its
cached result stands until something changes that it depends on.

Where the spec sets no limit (`evaluation.min_auc`) there is no gate: the model is
measured, and pushed without a blessing.

The same DAG runs locally (`runners/local.py`) and compiles for Vertex
(`cloud/vertex_pipeline.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

from tensorflow_model_analysis.proto import config_pb2
from tfx.components import (
    Evaluator,
    ExampleValidator,
    Pusher,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from feature_specs import (
    Spec,
    TaskSpec,
    label_key,
    mask_key,
    read_preset,
    read_spec,
    views,
)
from feature_specs.model import plain_values
from feature_specs.named import preset_as_text
from pipeline.components import (
    ALL_EARLIER_DAYS,
    DayExampleGen,
    SpecSchema,
    ValidationGate,
)
from pipeline.examples.build import LOCAL_RUNNER
from pipeline.examples.days import DayRange, plan_splits
from tpu_configs import read_slice

# In one process a state cache saves nothing, and to weigh its entries Beam walks
# through every module loaded, which is a lot after TensorFlow. Batches of some MB are
# decoded faster than those that Beam grows from one row on.
IN_PROCESS_BEAM_ARGS = (
    f"--runner={LOCAL_RUNNER}",
    "--max_cache_memory_usage_mb=0",
    "--tfxio_use_byte_size_batching",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DagConfig:
    """One run, as its steps take it; texts, so that none needs a file of this machine.

    Attributes:
        spec: The spec's YAML text.
        preset: The model preset's YAML text.
        slice: The accelerator slice's YAML text.
        logs: Directory with the raw logs; may lie in a bucket.
        root: Directory of everything the run writes; a bucket on Vertex.
        days: First and last day, `20220408:20220414`.
        eval_days: How many of the last days are kept for evaluation.
        context_days: Days before `days` that are read for history and statistics; by
            default all that the logs have.
        allow_small_days: Whether a day with unusually few rows passes.
        seed: Of shuffles and initial weights.
        fingerprint: State of the log files; a new one makes new examples.
        beam_args: Options of every Beam step.
    """

    spec: str
    preset: str
    slice: str
    logs: str
    root: str
    days: str
    eval_days: int = 1
    context_days: int = ALL_EARLIER_DAYS
    allow_small_days: bool = False
    seed: int = 0
    fingerprint: str = ""
    beam_args: tuple[str, ...] = IN_PROCESS_BEAM_ARGS


def create_pipeline(
    config: DagConfig,
    metadata_config: object = None,
    baseline: type[LatestBlessedModelStrategy] = LatestBlessedModelStrategy,
) -> Pipeline:
    """The whole DAG of a run; TFX orders its nodes by what they read.

    Args:
        config: What to run.
        metadata_config: Where the metadata lies, for a runner that keeps its own.
        baseline: Which model the new one is compared with. Vertex knows no other
            strategy than the default.
    """
    spec = read_spec(config.spec)
    return Pipeline(
        pipeline_name=f"trailrank-{spec.name.replace('_', '-')}",
        pipeline_root=os.path.join(config.root, "artifacts"),
        components=_components(spec, config, baseline),
        enable_cache=True,
        metadata_connection_config=metadata_config,
        beam_pipeline_args=list(config.beam_args),
    )


def checkpoints_dir(config: DagConfig) -> str:
    """Of a run's training; the name has what decides the weights, but no days.

    The same days are restored there, and later ones are gone on with. The encoding,
    which nobody knows before Transform has run, is the last part of the name: see
    `pipeline.training.encoded_dir`.
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


def eval_config(spec: Spec) -> config_pb2.EvalConfig:
    """What the Evaluator measures, and when it blesses.

    TFMA judges the tasks that the spec sets a limit for. Every task's quality, by slice
    too, is in the evaluation table (`pipeline.evaluation`): TFMA walks through labels
    one by one, and with tens of tasks that takes longer than the training. Rows outside
    a task's sample space weigh nothing.
    """
    names = [task.name for task in spec.tasks]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name="score_examples",
                label_keys={name: label_key(name) for name in names},
                example_weight_keys={name: mask_key(name) for name in names},
            )
        ],
        metrics_specs=[
            _gate_metrics(spec, spec.task(name), minimum)
            for name, minimum in sorted(spec.evaluation.min_auc.items())
        ]
        or [
            config_pb2.MetricsSpec(
                metrics=[config_pb2.MetricConfig(class_name="ExampleCount")]
            )
        ],
    )


def _components(
    spec: Spec, config: DagConfig, baseline: type[LatestBlessedModelStrategy]
) -> list[BaseNode]:
    plan = plan_splits(
        DayRange.parse(config.days), config.eval_days, spec.log.days_per_split
    )
    train, evaluation = list(plan.train), list(plan.evaluation)
    example_gen = DayExampleGen(
        spec=views.step_text(spec, "DayExampleGen"),
        logs=config.logs,
        days=config.days,
        eval_days=config.eval_days,
        context_days=config.context_days,
        allow_small_days=config.allow_small_days,
        seed=config.seed,
        rejects_dir=os.path.join(config.root, "rejects"),
        fingerprint=config.fingerprint,
    )
    schema = SpecSchema(spec=views.step_text(spec, "SpecSchema"))
    examples = example_gen.outputs["examples"]
    checks = _validation(examples, schema.outputs["schema"])
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="pipeline.transform.preprocessing_fn",
        custom_config={"spec": views.step_text(spec, "Transform")},
        splits_config=transform_pb2.SplitsConfig(
            analyze=train, transform=train + evaluation
        ),
        disable_statistics=True,  # StatisticsGen describes the same rows
        disable_analyzer_cache=True,  # it would analyse every split on its own
    )
    transform.add_upstream_node(checks[-1])
    trainer = Trainer(
        run_fn="pipeline.training.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=trainer_pb2.TrainArgs(splits=train),
        eval_args=trainer_pb2.EvalArgs(splits=evaluation),
        custom_config={
            "spec": views.step_text(spec, "Trainer"),
            "preset": preset_as_text(read_preset(config.preset)),
            "slice": json.dumps(dataclasses.asdict(read_slice(config.slice))),
            "splits": train,
            "checkpoints": checkpoints_dir(config),
            "seed": config.seed,
        },
    )
    gate = _evaluation(spec, examples, trainer, baseline, evaluation)
    pusher = _pusher(spec, config.root, trainer, gate[-1])
    return [example_gen, schema, *checks, transform, trainer, *gate, pusher]


def _pusher(spec: Spec, root: str, trainer: Trainer, evaluator: BaseNode) -> Pusher:
    # The Evaluator blesses nothing where no limit is set, and the Pusher would wait for
    # a blessing for ever: a spec without a gate is pushed once it was measured.
    blessing = evaluator.outputs["blessing"] if spec.evaluation.min_auc else None
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=blessing,
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(
                base_directory=os.path.join(root, "models", spec.name)
            )
        ),
    )
    pusher.add_upstream_node(evaluator)
    return pusher


def _validation(examples: Channel, schema: Channel) -> list[BaseNode]:
    """Statistics of every day, compared with the spec's schema; anomalies stop."""
    statistics = StatisticsGen(examples=examples, schema=schema)
    validator = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema
    )
    gate = ValidationGate(anomalies=validator.outputs["anomalies"])
    return [statistics, validator, gate]


def _evaluation(
    spec: Spec,
    examples: Channel,
    trainer: Trainer,
    baseline: type[LatestBlessedModelStrategy],
    splits: list[str],
) -> list[BaseNode]:
    """The last blessed model, and the Evaluator that compares the new one with it."""
    blessed = Resolver(
        strategy_class=baseline,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")
    blessed.add_upstream_node(trainer)
    evaluator = Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=blessed.outputs["model"],
        eval_config=eval_config(spec),
        example_splits=splits,
    )
    return [blessed, evaluator]


def _gate_metrics(spec: Spec, task: TaskSpec, minimum: float) -> config_pb2.MetricsSpec:
    """A task's AUC, at least `minimum` and not far below the last blessed model's."""
    threshold = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(
            lower_bound={"value": minimum}
        ),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER,
            absolute={"value": -spec.evaluation.max_auc_drop},
        ),
    )
    return config_pb2.MetricsSpec(
        output_names=[task.name],
        metrics=[config_pb2.MetricConfig(class_name="AUC", threshold=threshold)],
        example_weights=config_pb2.ExampleWeightOptions(weighted=True),
    )

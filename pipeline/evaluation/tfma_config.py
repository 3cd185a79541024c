"""The same measurement by TensorFlow Model Analysis, for who wants its plots or Beam.

    import tensorflow_model_analysis as tfma

    config = tfma_eval_config(spec)
    shared = tfma.default_eval_shared_model("run/models/kuairand/7", eval_config=config)
    result = tfma.run_model_analysis(
        shared, config, data_location="run/.../Split-day-20220414/*", output_path="tfma"
    )

The pipeline's own Evaluator needs none of it: TFMA goes through labels one by one, and
with tens of tasks takes longer than the training. Its AUC has fixed thresholds, so that
it differs from the exact one in the fourth digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_specs import Spec, TaskSpec, label_key, mask_key
from feature_specs.spec import slice_key

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2


def tfma_eval_config(spec: Spec) -> config_pb2.EvalConfig:
    """TFMA's configuration for an exported model and raw examples.

    Rows outside a task's sample space weigh nothing.
    """
    from tensorflow_model_analysis.proto import config_pb2

    names = [task.name for task in spec.tasks]
    slices = [
        config_pb2.SlicingSpec(feature_keys=[slice_key(column)])
        for column in spec.evaluation.slices
    ]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name="score_examples",
                label_keys={name: label_key(name) for name in names},
                example_weight_keys={name: mask_key(name) for name in names},
            )
        ],
        slicing_specs=[config_pb2.SlicingSpec(), *slices],
        metrics_specs=[_metrics(task) for task in spec.tasks],
    )


def _metrics(task: TaskSpec) -> config_pb2.MetricsSpec:
    from tensorflow_model_analysis.proto import config_pb2

    own = "AUC" if task.of_kind.is_probability else "RootMeanSquaredError"
    names = (own, "Calibration", "MeanLabel", "MeanPrediction")
    return config_pb2.MetricsSpec(
        output_names=[task.name],
        metrics=[config_pb2.MetricConfig(class_name=name) for name in names],
        example_weights=config_pb2.ExampleWeightOptions(weighted=True),
    )

"""The step Evaluator: how good a model is, and whether it may serve.

No postponed annotations here: TFX reads those of its function components.
"""

import json
import os

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from feature_specs import read_spec
from pipeline.evaluation.model_evaluation import evaluate_models
from pipeline.gates import blessing as blessings
from pipeline.gates.model_gate import judge
from pipeline.gates.verdict import write_verdict


@component
def Evaluator(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    spec: Parameter[str],
    days: Parameter[str],
    baselines: Parameter[str],
    truth: Parameter[str],
) -> None:
    """Scores the evaluation days with the new model and others, in one pass.

    A model that is refused is a result, not a failure: the Pusher leaves it out.

    Args:
        model: The Trainer's.
        examples: Of the days made in this run.
        evaluation: Gets `model-0/` of the new model, `model-1/`... of the baselines
            (`evaluation.json`, sums by user), and `verdict.json`.
        blessing: Gets TFX's mark, and `verdict.json`.
        spec: The spec's evaluation view.
        days: JSON, [[split, examples directory], ...]: the days to judge on; "" in
            place of a directory is `examples`.
        baselines: JSON list of directories of exported models, the latest first.
        truth: The log simulator's `truth/`, or "".
    """
    known = read_spec(spec)
    others = json.loads(baselines)
    models = [path_utils.serving_model_path(model.uri), *others]
    places = [(split, folder or examples.uri) for split, folder in json.loads(days)]
    found = evaluate_models(known, models, places, evaluation.uri, truth=truth or None)
    # It has no version yet, which is what the others go by.
    names = ["of this run", *(os.path.basename(path.rstrip("/")) for path in others)]
    verdict = judge(known, found, names)
    for folder in (evaluation.uri, blessing.uri):
        write_verdict(folder, verdict)
    blessings.write_blessing(blessing.uri, verdict.blessed)
    blessings.mark(blessing, verdict.blessed, model)

"""The step SparseWeights: loss weights of new sparse tasks, for the Trainer to read.

It is in the DAG where a run asks for it (`--sparse_weights`). No postponed annotations
here: TFX reads those of its function components.
"""

import json

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, HyperParameters, TransformGraph

from feature_specs import read_preset, read_spec
from pipeline.weight_selection.in_runs import RunSelection, select_weights
from tpu_configs import read_slice


@component
def SparseWeights(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    loss_weights: OutputArtifact[HyperParameters],
    spec: Parameter[str],
    preset: Parameter[str],
    slice: Parameter[str],
    days: Parameter[str],
    tasks: Parameter[str],
    sparse: Parameter[str],
    known: Parameter[str],
    options: Parameter[str],
    reports: Parameter[str],
) -> None:
    """Writes `loss_weights.json`: task -> weight.

    Args:
        examples: Those that this run has made.
        transform_graph: Encodes them.
        loss_weights: Gets the file.
        spec: The spec's training view.
        preset: The model preset's YAML text.
        slice: The accelerator slice's YAML text.
        days: JSON `[[split, directory], ...]` of the training days, where weights are
            selected; an empty directory stands for `examples`. The last one judges.
        tasks: JSON list of the new sparse tasks.
        sparse: JSON list of all sparse tasks.
        known: JSON `{task: weight}` of tasks that are not selected again.
        options: JSON of `pipeline.weight_selection.in_runs.options_of`.
        reports: Directory of what was found, a folder a task.
    """
    asked = RunSelection(
        spec=read_spec(spec),
        preset=read_preset(preset),
        slice=read_slice(slice),
        days=[(split, place or examples.uri) for split, place in json.loads(days)],
        graph=transform_graph.uri,
        tasks=json.loads(tasks),
        sparse=json.loads(sparse),
        known=json.loads(known),
        options=json.loads(options),
        reports=reports,
    )
    select_weights(asked, loss_weights.uri)

"""The EncodingGen step: what is known of the days that are trained on -> a graph.

It reads the days' summaries, not their rows, and extends the last encoding: a value
keeps its id for ever, scales stay as they were learned first.
"""

import json

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, TransformGraph

from feature_specs import read_spec
from pipeline.encoding.make import Refresh, encode_days

# `refresh` as a number, which is what a parameter can be.
REFRESH: tuple[Refresh, ...] = ("none", "all", "vocabularies")


@component
def EncodingGen(
    examples: InputArtifact[Examples],
    transform_graph: OutputArtifact[TransformGraph],
    spec: Parameter[str],
    train_days: Parameter[str],
    earlier: Parameter[str],
    digest_of_earlier: Parameter[str],
    fixed: Parameter[int],
    refresh: Parameter[int],
) -> None:
    """Writes the encoding of the days, and its transform graph.

    Args:
        examples: Of the new days.
        transform_graph: Gets `transform_fn/`, `transformed_metadata/`, and
            `encoding.json`.
        spec: The spec's encoding view.
        train_days: JSON, [[split, examples directory], ...]: the days to learn, which
            the last encoding does not know; all days for a refresh. An empty directory
            stands for `examples`.
        earlier: Directory of the last encoding's graph; empty if there is none.
        digest_of_earlier: Of that encoding: TFX makes another one where it changes.
        fixed: 1 takes `earlier` as it is.
        refresh: 1 learns all anew, 2 the vocabularies, with the scales of `earlier`.
    """
    encode_days(
        read_spec(spec),
        [
            (split, directory or examples.uri)
            for split, directory in json.loads(train_days)
        ],
        transform_graph.uri,
        earlier=earlier,
        fixed=bool(fixed),
        refresh=REFRESH[refresh],
    )

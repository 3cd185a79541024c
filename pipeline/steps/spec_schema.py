"""The step that writes the spec's schema.

No postponed annotations here: TFX reads those of its function components.
"""

import os

import tensorflow_data_validation as tfdv
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from feature_specs import read_spec
from pipeline.schema import statistics_schema


@component
def SpecSchema(
    schema: OutputArtifact[standard_artifacts.Schema], spec: Parameter[str]
) -> None:
    """The spec's YAML text -> the schema that a day's statistics must keep to."""
    path = os.path.join(schema.uri, "schema.pbtxt")
    tfdv.write_schema_text(statistics_schema(read_spec(spec)), path)

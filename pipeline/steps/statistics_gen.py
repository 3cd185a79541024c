"""The step StatisticsGen: TFX's statistics from the summaries of days.

No postponed annotations here: TFX reads those of its function components.
"""

import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from pipeline.schema import SCHEMA_FILE
from pipeline.summaries.store import read_summary
from pipeline.summaries.tfdv_statistics import statistics_of

STATISTICS_FILE = "FeatureStats.pb"


@component
def StatisticsGen(
    examples: InputArtifact[standard_artifacts.Examples],
    schema: InputArtifact[standard_artifacts.Schema],
    statistics: OutputArtifact[standard_artifacts.ExampleStatistics],
) -> None:
    """Writes `Split-<name>/FeatureStats.pb` of each split; no example is read."""
    known = io_utils.SchemaReader().read(os.path.join(schema.uri, SCHEMA_FILE))
    for split in artifact_utils.decode_split_names(examples.split_names):
        found = statistics_of(read_summary(examples.uri, split), known)
        path = os.path.join(statistics.uri, f"Split-{split}", STATISTICS_FILE)
        io_utils.write_bytes_file(path, found.SerializeToString(deterministic=True))
    statistics.split_names = examples.split_names
    statistics.span = examples.span

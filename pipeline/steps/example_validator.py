"""The step ExampleValidator: statistics of days against the spec's schema.

No postponed annotations here: TFX reads those of its function components.
"""

import os

import tensorflow_data_validation as tfdv
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from pipeline.schema import SCHEMA_FILE, check_anomalies
from pipeline.steps.statistics_gen import STATISTICS_FILE

ANOMALIES_FILE = "SchemaDiff.pb"


@component
def ExampleValidator(
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    anomalies: OutputArtifact[standard_artifacts.ExampleAnomalies],
) -> None:
    """Writes `Split-<name>/SchemaDiff.pb` of each split; stops the run at an anomaly.

    Raises:
        AnomaliesError: A split does not fit the schema. The message tells everything
            that was found, as TFX removes what a step has written that fails.
    """
    known = io_utils.SchemaReader().read(os.path.join(schema.uri, SCHEMA_FILE))
    found = {}
    for split in artifact_utils.decode_split_names(statistics.split_names):
        name = f"Split-{split}"
        path = os.path.join(statistics.uri, name, STATISTICS_FILE)
        found[split] = tfdv.validate_statistics(tfdv.load_stats_binary(path), known)
        path = os.path.join(anomalies.uri, name, ANOMALIES_FILE)
        data = found[split].SerializeToString(deterministic=True)
        io_utils.write_bytes_file(path, data)
    anomalies.split_names = statistics.split_names
    anomalies.span = statistics.span
    check_anomalies(found)

"""The step DataGate: new days against the days before them.

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
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from feature_specs import read_spec
from pipeline.gates.accept import from_json
from pipeline.gates.anomalies import anomalies_of
from pipeline.gates.run import gate_days
from pipeline.steps.example_validator import ANOMALIES_FILE

REPORT_FILE = "data_gate.json"


@component
def DataGate(
    examples: InputArtifact[standard_artifacts.Examples],
    report: OutputArtifact[standard_artifacts.ExampleAnomalies],
    spec: Parameter[str],
    new_days: Parameter[str],
    earlier_days: Parameter[str],
    accepted: Parameter[str],
    reports_dir: Parameter[str],
) -> None:
    """Writes `Split-<name>/data_gate.json`, and the same as TFDV's anomalies.

    Args:
        examples: Of the new days.
        report: Gets a directory a new day.
        spec: The spec's data gates view.
        new_days: JSON, [[split, examples directory], ...]: the days to judge; an empty
            directory stands for `examples`.
        earlier_days: The same of days that were let pass before.
        accepted: JSON of `pipeline.gates.accept.to_json`: who let which day pass.
        reports_dir: Gets `<split>.json` too, of refused days as well: TFX removes what
            a step has written that fails.

    Raises:
        SuspiciousDayError: A day is too unlike the days before it.
    """
    new, earlier = (
        [(split, directory or examples.uri) for split, directory in json.loads(text)]
        for text in (new_days, earlier_days)
    )
    acceptances = from_json(accepted)
    reports = gate_days(read_spec(spec), new, earlier, acceptances, reports_dir)
    for found in reports:
        folder = os.path.join(report.uri, f"Split-{found.split}")
        io_utils.write_bytes_file(os.path.join(folder, REPORT_FILE), found.to_json())
        told = anomalies_of(found).SerializeToString(deterministic=True)
        io_utils.write_bytes_file(os.path.join(folder, ANOMALIES_FILE), told)
    report.split_names = artifact_utils.encode_split_names(
        [found.split for found in reports]
    )
    report.span = examples.span

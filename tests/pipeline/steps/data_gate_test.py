"""DataGate, as TFX calls it: what lies where, of days that pass and of refused ones."""

import json
import os

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from feature_specs import views
from pipeline.gates import accept, store
from pipeline.gates.errors import SuspiciousDayError
from pipeline.steps.data_gate import DataGate
from pipeline.summaries.store import summary_path, to_bytes
from tests.pipeline.summaries.days import SPEC, examples, summary_of

_DAYS = [f"day-202204{number:02d}" for number in range(1, 8)]


@pytest.fixture
def gate(tmp_path):
    """Runs the step on the last of some days of so many rows."""

    def call(rows, accepted="[]"):
        places = []
        for split, count in zip(_DAYS, rows, strict=True):
            folder = str(tmp_path / split)  # each of a run of its own
            path = summary_path(folder, split)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(to_bytes(summary_of(examples(count, seed=1), split)))
            places.append([split, folder])
        made, report = (
            standard_artifacts.Examples(),
            standard_artifacts.ExampleAnomalies(),
        )
        made.uri, report.uri = places[-1][1], str(tmp_path / "report")
        made.span = 19_089
        executor = DataGate.EXECUTOR_SPEC.executor_class()
        parameters = {
            "spec": views.text(SPEC, views.DATA_GATES),
            "new_days": json.dumps(places[-1:]),
            "earlier_days": json.dumps(places[:-1]),
            "accepted": accepted,
            "reports_dir": str(tmp_path / "gates"),
        }
        executor.Do({"examples": [made]}, {"report": [report]}, parameters)
        return report

    return call


def test_what_was_found_lies_beside_tfdvs_anomalies(gate):
    report = gate([400] * 7)
    assert report.split_names == f'["{_DAYS[-1]}"]'
    assert report.span == 19_089
    folder = os.path.join(report.uri, f"Split-{_DAYS[-1]}")
    with open(os.path.join(folder, "data_gate.json")) as file:
        found = json.load(file)
    assert (found["verdict"], found["before"]) == ("passed", _DAYS[:-1])
    with open(os.path.join(folder, "SchemaDiff.pb"), "rb") as file:
        diff = anomalies_pb2.Anomalies.FromString(file.read())
    assert not diff.anomaly_info


def test_a_refused_day_leaves_its_report_in_the_run_and_passes_once_accepted(
    gate, tmp_path
):
    rows = [*[400] * 6, 100]
    with pytest.raises(SuspiciousDayError, match="75 % of the rows are not there"):
        gate(rows)
    assert not os.path.exists(tmp_path / "report" / "Split-day-20220407")
    seen = store.read_report(str(tmp_path / "gates"), "20220407")
    assert ("day", "rows") in {(f.column, f.measure) for f in seen.findings}
    accepted = accept.accept(seen, "a holiday", "ada")
    report = gate(rows, accept.to_json([accepted]))
    folder = os.path.join(report.uri, "Split-day-20220407")
    with open(os.path.join(folder, "SchemaDiff.pb"), "rb") as file:
        diff = anomalies_pb2.Anomalies.FromString(file.read())
    info = diff.anomaly_info["day"]
    assert info.severity == anomalies_pb2.AnomalyInfo.Severity.WARNING
    assert "rows is 100, was 400" in info.description
    again = store.read_report(str(tmp_path / "gates"), "20220407")
    assert (again.verdict, again.accepted_by) == ("accepted", "ada")

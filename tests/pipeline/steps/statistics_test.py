"""StatisticsGen and ExampleValidator, as TFX runs them: what lies where."""

import os

import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from pipeline.examples.tfrecords import write_whole
from pipeline.schema import AnomaliesError, check_anomalies, statistics_schema
from pipeline.steps.example_validator import ExampleValidator
from pipeline.steps.statistics_gen import StatisticsGen
from pipeline.summaries.store import summary_path, to_bytes
from tests.pipeline.summaries.days import SPEC, examples, summary_of

_SPLITS = ("day-20220408", "day-20220409")


@pytest.fixture
def run(tmp_path):
    """Runs both steps on two days; returns the newest artifacts: type -> artifact."""

    def call(*days):
        folder, schema = str(tmp_path / "examples"), str(tmp_path / "schema")
        for split, rows in zip(_SPLITS, days, strict=True):
            data = to_bytes(summary_of(rows, split))
            write_whole(summary_path(folder, split), iter([data]))
        os.makedirs(schema, exist_ok=True)
        path = os.path.join(schema, "schema.pbtxt")
        tfdv.write_schema_text(statistics_schema(SPEC), path)
        names = '["day-20220408", "day-20220409"]'
        made = _import("made", folder, standard_artifacts.Examples, split_names=names)
        known = _import("known", schema, standard_artifacts.Schema)
        statistics = StatisticsGen(examples=made, schema=known)
        found = statistics.outputs["statistics"]
        validator = ExampleValidator(statistics=found, schema=known)
        connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "db"))
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="statistics",
                pipeline_root=str(tmp_path / "artifacts"),
                components=[
                    *(made.producer_component, known.producer_component),
                    *(statistics, validator),
                ],
                metadata_connection_config=connection,
            )
        )
        with metadata.Metadata(connection) as handle:
            artifacts = handle.store.get_artifacts()
        return {artifact.type: artifact for artifact in artifacts}

    return call


def _import(name, uri, kind, **properties):
    importer = Importer(
        source_uri=uri, artifact_type=kind, reimport=True, properties=properties
    ).with_id(name)
    return importer.outputs["result"]


def test_statistics_and_anomalies_lie_where_tfx_has_them(run):
    found = run(examples(40, seed=1), examples(50, seed=2))
    statistics, anomalies = found["ExampleStatistics"], found["ExampleAnomalies"]
    for artifact in (statistics, anomalies):
        names = artifact.properties["split_names"].string_value
        assert names == '["day-20220408", "day-20220409"]'
        assert artifact.custom_properties["tfx_version"].string_value
    for split, rows in zip(_SPLITS, (40, 50), strict=True):
        path = f"{statistics.uri}/Split-{split}/FeatureStats.pb"
        (data,) = tfdv.load_stats_binary(path).datasets
        assert data.num_examples == rows
        with open(f"{anomalies.uri}/Split-{split}/SchemaDiff.pb", "rb") as file:
            diff = anomalies_pb2.Anomalies.FromString(file.read())
        assert not diff.anomaly_info


def test_a_day_without_a_value_of_a_feature_stops_the_run(run):
    told = r"day-20220409: city: .*\n.*nothing was trained"
    with pytest.raises(Exception, match=told) as stopped:
        run(examples(40), {"city": ["", ""]})
    assert "day-20220408" not in str(stopped.value)


def test_all_that_was_found_is_told_and_refused():
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["b"].description = "is missing"
    found.anomaly_info[""].description = "is empty"
    with pytest.raises(AnomaliesError) as refused:
        check_anomalies({"day-1": anomalies_pb2.Anomalies(), "day-2": found})
    assert refused.value.exit_status == 3
    assert str(refused.value).splitlines()[1:3] == [
        "  - day-2: the data set: is empty",
        "  - day-2: b: is missing",
    ]
    check_anomalies({"day-1": anomalies_pb2.Anomalies()})

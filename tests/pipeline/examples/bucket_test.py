"""Logs from a bucket, examples into a bucket: the same bytes, and nothing left over."""

import dataclasses
import pathlib

import pytest

from feature_specs import load_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.outputs import Outputs
from pipeline.examples.request import ExamplesRequest
from pipeline.simulator import damage, simulate
from tests.pipeline.examples import bucket


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """Three simulated days in files, some lines damaged, and a request for them."""
    folder = tmp_path_factory.mktemp("bucket")
    simulate(str(folder / "logs"), users=6, days=3, seed=2, rows_per_user_day=60)
    for path in (folder / "logs" / "data").glob("log_standard_*.csv"):
        damage(str(path), share=0.01, seed=3)
    return ExamplesRequest(
        spec=load_spec("kuairand"),
        logs_dir=str(folder / "logs" / "data"),
        examples_dir=str(folder / "run" / "examples"),
        rejects_dir=str(folder / "run" / "rejects"),
        report_path=str(folder / "run" / "report.json"),
        days=DayRange.parse("20220408:20220410"),
        shards=2,
        file_rows=200,
    )


@pytest.fixture
def in_bucket(on_disk):
    """The same request, its logs and outputs in a bucket."""
    bucket.empty()
    yield dataclasses.replace(
        on_disk,
        logs_dir=bucket.upload(on_disk.logs_dir, "bucket://b/logs"),
        examples_dir="bucket://b/run/examples",
        rejects_dir="bucket://b/run/rejects",
        report_path="bucket://b/run/report.json",
    )
    bucket.empty()


def _on_disk(folder):
    root = pathlib.Path(folder)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_run_in_a_bucket_writes_the_same_bytes(on_disk, in_bucket):
    run_examples(on_disk)
    report = run_examples(in_bucket)
    examples = bucket.download(in_bucket.examples_dir)
    assert examples == _on_disk(on_disk.examples_dir)
    files = [-(-rows // 200) for rows in report["rows_per_day"].values()]
    # And a summary a day, and quantiles.json; what only evaluation reads is beside the
    # files of its day.
    others = [name for name in examples if "evaluation_only" not in name]
    assert len(others) == sum(files) + len(files) + 1 < len(examples)
    shuffled = Outputs.of(in_bucket, spill=True).workspace.shuffle_dir
    assert "://" not in shuffled
    assert not pathlib.Path(shuffled).exists()
    rejects = bucket.download(in_bucket.rejects_dir)
    assert list(rejects) == list(_on_disk(on_disk.rejects_dir))
    assert bucket.download("bucket://b/run").keys() == {
        *(f"examples/{name}" for name in examples),
        *(f"rejects/{name}" for name in rejects),
        "report.json",
    }


def test_a_day_in_a_bucket_is_replaced(in_bucket):
    run_examples(in_bucket)
    before = bucket.download(in_bucket.examples_dir)
    day = DayRange.parse("20220409:20220409")
    run_examples(dataclasses.replace(in_bucket, only=day))
    assert bucket.download(in_bucket.examples_dir) == before

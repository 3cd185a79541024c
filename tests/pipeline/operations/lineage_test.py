"""What a version is made of, from the ledger and the files beside it."""

import pytest

from pipeline.operations.errors import OperationError
from pipeline.operations.lineage import lineage, lineage_tables
from pipeline.pushing import content_digest


def test_a_version_is_followed_to_days_files_encoding_and_checkpoint(known_run):
    found = lineage(known_run.root, known_run.versions[1])  # of the run of 0410
    assert [(day["split"], day["for"], day["run"]) for day in found.days] == [
        ("day-20220408", "training", "20220410-030000"),
        ("day-20220409", "training", "20220410-030000"),
        ("day-20220410", "evaluation", "20220411-030000"),
    ]
    assert [file["path"][-12:-4] for file in found.log_files] == [
        "20220408",
        "20220409",
        "20220410",
    ]
    assert found.checkpoint.endswith("key-base/days/day-20220409")
    assert found.encoding == {
        "base": "b" * 12,
        "digest": "1" * 12,
        "learned_through": "20220408",
    }
    assert found.served == content_digest(known_run.models / known_run.versions[1])
    assert found.views == {"training": "abc"} and found.run["preset"] == "mmoe"


def test_a_day_made_again_later_is_told_as_it_was(known_run):
    """The newest making counts from the run on that made it, not before."""
    first = lineage(known_run.root, known_run.versions[0])
    assert [day["split"] for day in first.days] == ["day-20220408", "day-20220409"]
    assert {day["run"] for day in first.days} == {"20220410-030000"}


def test_tables_have_every_file_and_day(known_run):
    about, days, files = lineage_tables(lineage(known_run.root, known_run.versions[2]))
    assert (days.row_count, files.row_count) == (5, 5)
    assert "view training" in list(about.columns[0].cells)


def test_another_version_is_refused_with_those_there_are(known_run):
    with pytest.raises(OperationError, match=f"version 5: .*{known_run.versions[2]}"):
        lineage(known_run.root, "5")

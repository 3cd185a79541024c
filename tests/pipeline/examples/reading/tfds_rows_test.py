"""Data sets as TFDS writes them, made here with a handful of rows: every row, typed."""

import shutil

import numpy as np
import polars as pl
import pytest
import tensorflow_datasets as tfds

from feature_specs import SpecError, read_spec
from pipeline.examples.errors import LogsError
from pipeline.examples.make import make_examples
from pipeline.examples.reading.readers import (
    discover_days,
    log_source,
    plan_ranges,
    read_blocks,
)

_KINDS = ("drama", "comedy", "western")
_FIRST_S = 1_600_000_000  # 13 September 2020, 12:26 in UTC


def _event(number: int) -> dict:
    return {
        "user": f"u{number % 3}",
        "ts": _FIRST_S + 3600 * number,
        "stars": number / 2,
        "seen": number % 2 == 0,
        "film": {
            "id": 100 + number,
            "kind": _KINDS[number % 3],
            "kinds": _KINDS[: number % 3],
        },
        "cover": np.zeros([2, 2], np.float32),
    }


def _write(data_dir, rows, file_format="tfrecord") -> None:
    """A data set as TFDS keeps it, in the order of its own."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_events",
        version="1.2.3",
        features=tfds.features.FeaturesDict(
            {
                "user": tfds.features.Text(),
                "ts": np.int64,
                "stars": np.float32,
                "seen": np.bool_,
                "film": {
                    "id": np.int64,
                    "kind": tfds.features.ClassLabel(names=_KINDS),
                    "kinds": tfds.features.Sequence(
                        tfds.features.ClassLabel(names=_KINDS)
                    ),
                },
                "cover": tfds.features.Tensor(shape=(2, 2), dtype=np.float32),
            }
        ),
        split_datasets={
            "train": list(enumerate(rows)),
            "rest": list(enumerate(rows[:1])),
        },
        data_dir=data_dir,
        file_format=file_format,
    )


_SPEC = """
name: events
log:
  format: tfds
  tfds: {{name: tiny_events, split: {split}}}
  user: user
  item: film.id
  time: {{column: ts, unit: s}}
  columns: {{user: string, film.id: int64, ts: int64, stars: float64, seen: bool,
            film.kind: {kind}, film.kinds: "list<{kind}>", late: "int64?"}}
  outcomes: [stars]
tables: {{film: {{buckets: 50}}, user: {{buckets: 50}}}}
features:
  - {{name: user, group: query, kind: id, table: user}}
  - {{name: film, group: candidate, kind: id, table: film, expr: '"film.id"'}}
tasks: [{{name: good, kind: binary, label: "stars > 2"}}]
fusion: {{weights: {{good: 1}}}}
"""


def _spec(split="train", kind="string"):
    return read_spec(_SPEC.format(split=split, kind=kind))


def _read(spec, data_dir, range_bytes=10**6):
    """(rows by time, rejects, why a file is broken, number of ranges)."""
    source = log_source(spec)
    parts = plan_ranges(source, str(data_dir), range_bytes)
    blocks = [block for part in parts for block in read_blocks(part, source)]
    rows = pl.concat([block.rows.drop("_line", "_time_ms") for block in blocks]).sort(
        "ts"
    )
    rejects = [(r.line, r.reason) for block in blocks for r in block.rejects]
    return rows, rejects, [b.broken for b in blocks if b.broken], len(parts)


def _wanted(numbers, kind=lambda label: label) -> list[dict]:
    return [
        {
            "user": f"u{n % 3}",
            "film.id": 100 + n,
            "ts": _FIRST_S + 3600 * n,
            "stars": n / 2,
            "seen": n % 2 == 0,
            "film.kind": kind(_KINDS[n % 3]),
            "film.kinds": [kind(name) for name in _KINDS[: n % 3]],
            "late": None,  # may be empty, so a data set may lack it
        }
        for n in numbers
    ]


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Ten events as TFRecords."""
    data_dir = tmp_path_factory.mktemp("tfds")
    _write(data_dir, [_event(number) for number in range(10)])
    return data_dir


def test_every_record_is_a_row_of_the_declared_columns(events):
    rows, rejects, broken, _ = _read(_spec(), events)
    assert rows.to_dicts() == _wanted(range(10))
    assert (rejects, broken) == ([], [])


def test_a_label_is_its_number_where_it_is_declared_as_one(events):
    rows, _, _, _ = _read(_spec(kind="int64"), events)
    assert rows.to_dicts() == _wanted(range(10), kind=_KINDS.index)


def test_splits_are_read_as_they_are_named(events):
    assert _read(_spec("rest"), events)[0].height == 1
    assert _read(_spec("train+rest"), events)[0].height == 11
    with pytest.raises(FileNotFoundError, match="tiny_events-tests.*fetch tfds:tiny_e"):
        _read(_spec("tests"), events)
    with pytest.raises(LogsError, match="no split 'tests' .*Did you mean 'rest'"):
        _read(_spec("train+tests"), events)


def test_days_are_found_from_the_times(events):
    assert str(discover_days(_spec(), str(events))) == "20200913:20200913"


def test_a_data_set_becomes_examples_of_its_days(tmp_path):
    _write(tmp_path, [_event(number) for number in range(36)])
    report = make_examples(_spec(), tmp_path, tmp_path / "out")
    # From 12:26 on, one an hour: 12 on the first day, 24 on the next.
    assert report.rows_in == 36
    assert report.examples == {"day-20200913": 12, "day-20200914": 24}
    means = report.figures["label_means_per_split"]["day-20200913"]
    assert means["good"] == pytest.approx(7 / 12)  # the 5th to the 11th


def test_an_array_record_is_read_in_parts(tmp_path):
    _write(
        tmp_path, [_event(number) for number in range(10)], file_format="array_record"
    )
    rows, rejects, broken, parts = _read(_spec(), tmp_path, range_bytes=200)
    assert parts > 1
    assert rows.to_dicts() == _wanted(range(10))
    assert (rejects, broken) == ([], [])


def test_a_row_that_cannot_be_is_a_reject_with_its_number(tmp_path):
    rows = [_event(0), {**_event(1), "ts": 5}, _event(2)]
    _write(tmp_path, rows)
    found, rejects, _, _ = _read(_spec(), tmp_path)
    assert found["film.id"].to_list() == [100, 102]
    assert [reason for _, reason in rejects] == ["ts: not a plausible value"]


def test_a_shard_that_is_cut_off_is_told(events, tmp_path):
    shutil.copytree(events, tmp_path / "copy")
    (shard,) = (tmp_path / "copy").rglob("*-train.tfrecord*")
    shard.write_bytes(shard.read_bytes()[:-20])
    rows, _, broken, _ = _read(_spec(), tmp_path / "copy")
    assert rows.height == 9
    assert broken == ["the last record is cut off after record 9: copy again"]


def test_records_that_are_not_there_are_missed(events, tmp_path):
    """A file that ends between two records looks whole; TFDS has counted them."""
    shutil.copytree(events, tmp_path / "copy")
    (shard,) = (tmp_path / "copy").rglob("*-train.tfrecord*")
    data = shard.read_bytes()
    first = 16 + int.from_bytes(data[:8], "little")
    shard.write_bytes(data[:first])
    _, _, broken, _ = _read(_spec(), tmp_path / "copy")
    assert broken == ["ends after 1 of 10 records: prepare the data set again"]


def test_what_is_missing_is_told_before_anything_is_read(events, tmp_path):
    lacking = _SPEC.replace("stars: float64,", "stars: float64, score: float64,")
    with pytest.raises(LogsError, match="column 'score' is missing"):
        _read(read_spec(lacking.format(split="train", kind="string")), events)
    tensor = _SPEC.replace("stars: float64,", "stars: float64, cover: float64,")
    with pytest.raises(
        LogsError, match="feature 'cover' is neither one value nor a li"
    ):
        _read(read_spec(tensor.format(split="train", kind="string")), events)
    with pytest.raises(FileNotFoundError, match="No file matches"):
        _read(_spec(), tmp_path)
    (tmp_path / "tiny_events" / "1.0.0").mkdir(parents=True)
    shard = tmp_path / "tiny_events/1.0.0/tiny_events-train.tfrecord-00000-of-00001"
    shard.write_bytes(b"no records, and nothing beside them")
    with pytest.raises(LogsError, match="TensorFlow Datasets cannot read it"):
        _read(_spec(), tmp_path)


def test_of_several_versions_one_is_named(events, tmp_path):
    shutil.copytree(events, tmp_path / "copy")
    versions = tmp_path / "copy" / "tiny_events"
    shutil.copytree(versions / "1.2.3", versions / "1.2.4")
    with pytest.raises(LogsError, match=r"has the versions 1.2.3, 1.2.4. Name one in"):
        _read(_spec(), tmp_path / "copy")
    named = _SPEC.replace("split: {split}", "split: {split}, version: 1.2.3")
    spec = read_spec(named.format(split="train", kind="string"))
    assert _read(spec, tmp_path / "copy")[0].height == 10


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "  tfds: {{name: tiny_events, split: {split}}}\n",
            "",
            "log.tfds: is required",
        ),
        ("format: tfds", "format: csv", "log.tfds: has no use with format: csv"),
        (
            "user: user\n",
            "user: user\n  files: x\n",
            "log.files: follows from log.tfds",
        ),
        ("{split}", '"train[:10%]"', r"log.tfds.split: must be the name of a split"),
        ("name: tiny_events", "name: ../x", "log.tfds.name: must be a data set's name"),
    ],
)
def test_each_mistake_of_the_section_is_named(old, new, told):
    text = _SPEC.replace(old, new).format(split="train", kind="string")
    with pytest.raises(SpecError, match=told):
        read_spec(text)

"""What a disk or a copy may do to files of examples."""

import gzip
import json
import struct

import pytest
import tensorflow as tf

from trainer.days import shards
from trainer.days.shards import DamagedExamplesError, check_whole

_ROWS = [b"example %d" % n * 20 for n in range(50)]  # 190 or 200 bytes each


@pytest.fixture
def day(tmp_path):
    """A day of two files, 100 examples, with its report; written by TensorFlow."""
    folder = tmp_path / "Split-day-20240101"
    folder.mkdir()
    for number in range(2):
        path = folder / f"data_tfrecord-{number:05d}-of-00002.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for row in _ROWS:
                writer.write(row)
    (tmp_path / "report.json").write_text('{"examples": {"day-20240101": 100}}')
    return folder


def _files(folder):
    return sorted(map(str, folder.glob("*.gz")))


def test_whole_files_are_counted(day):
    assert check_whole(_files(day)) == 100
    assert check_whole(_files(day)[:1]) == 50  # a part of a day that is asked for


def _cut(share):
    return lambda data: data[: int(len(data) * share)]


def _repacked(change):
    """Another content in a right gzip file."""
    return lambda data: gzip.compress(change(gzip.decompress(data)))


def _flipped(place):
    """One bit of the content turned over."""

    def flip(data):
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


_HEAD = 12  # length and its checksum; the first record has 180 bytes, and 4 more follow
_FIRST = len(_ROWS[0])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut(0.5), "is damaged after .* examples"),
        (_cut(0.98), "is damaged after .* examples"),
        (lambda data: data[:-4], "is damaged after .* examples"),  # in gzip's trailer
        (lambda data: b"", r"is damaged after 0 examples \(the file is empty\)"),
        (lambda data: b"no gzip" * 9, r"damaged after 0 examples \(Not a gzipped file"),
        (_flipped(200), "is damaged after .* examples"),
        (_repacked(lambda data: data[:-1]), "cut off inside .* after the first 49"),
        # inside the next record's head, where TensorFlow ends without a word
        (_repacked(lambda data: data[: _HEAD + _FIRST + 4 + 5]), "after the first 1"),
        (_repacked(_flipped(3)), "0 examples .a record's length has a wrong checksum"),
        (
            _repacked(_flipped(_HEAD + 7)),
            "after 0 examples .a record has a wrong check",
        ),
        (
            _repacked(lambda data: data + b"\0" * 13),
            "after 0 examples|a record's length",
        ),
    ],
)
def test_a_damaged_file_is_named(day, damage, told):
    path = day / "data_tfrecord-00001-of-00002.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedExamplesError, match=told) as error:
        check_whole(_files(day))
    assert str(error.value).startswith(f"{path}: is ")
    assert str(error.value).endswith("from a copy, or make the examples again.")


def test_a_missing_file_is_told_by_its_number(day):
    (day / "data_tfrecord-00000-of-00002.gz").unlink()
    with pytest.raises(DamagedExamplesError, match="file 00000 of 00002 is missing"):
        check_whole(_files(day))


def test_fewer_rows_than_the_report_says_are_told(day):
    for path in day.iterdir():
        path.rename(path.with_name(path.name.partition("-")[0] + path.name[-12:]))
    (day / "data_tfrecord-of-00002.gz").rename(day / "one.gz")
    with pytest.raises(DamagedExamplesError) as error:
        check_whole(_files(day))
    report = day.parent / "report.json"
    told = f"{day}: must have the 100 examples that {report} tells of. Got 50. "
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("text", ["", '{"exam', "[]", '{"examples": 3}', "\udcff"])
def test_a_damaged_report_is_named(day, text):
    report = day.parent / "report.json"
    report.write_text(text, errors="surrogateescape")
    with pytest.raises(DamagedExamplesError, match="report.json: is no report of exam"):
        check_whole(_files(day))


def test_a_file_is_gone_through_again_only_if_it_changes(day, monkeypatch):
    looked = []
    real = shards._rows
    monkeypatch.setattr(shards, "_rows", lambda path: looked.append(path) or real(path))
    first, second = _files(day)
    check_whole([first, second])
    check_whole([first, second])
    assert looked == [first, second]
    with tf.io.TFRecordWriter(second, "GZIP") as writer:
        writer.write(b"another")
    (day.parent / "report.json").write_text(json.dumps({"examples": {}}))
    assert check_whole([first, second]) == 51
    assert looked == [first, second, second]


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "a.gz"
    length = struct.pack("<Q", 3)
    record = length + shards._masked_crc(length) + b"row" + shards._masked_crc(b"row")
    path.write_bytes(gzip.compress(record) + gzip.compress(record[:5]))
    with pytest.raises(DamagedExamplesError, match="cut off"):
        check_whole([str(path)])
    path.write_bytes(gzip.compress(record + record[:5]) + gzip.compress(record[5:]))
    assert check_whole([str(path)]) == 2
    read = tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
    assert list(read) == [b"row", b"row"]  # TensorFlow says so, too

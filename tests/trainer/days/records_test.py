"""A damaged file of examples is named, and how far it can be read."""

import gzip

import pytest
import tensorflow as tf

from trainer.days import records


def _write(path, count: int) -> bytes:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number in range(count):
            writer.write(b"%06d" % number * 500)
    return path.read_bytes()


def _read(files) -> int:
    with records.named(files):
        return sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP"))


@pytest.fixture
def files(tmp_path) -> list[str]:
    paths = [tmp_path / f"{name}.gz" for name in "ab"]
    for path in paths:
        _write(path, 40)
    return [str(path) for path in paths]


def test_whole_files_are_read(files):
    assert _read(files) == 80


def test_a_record_with_a_wrong_byte_is_placed(files):
    with gzip.open(files[1]) as read:
        data = bytearray(read.read())
    # A record is its length and that one's checksum (12), 3000 bytes, a checksum (4).
    data[7 * 3016 + 12 + 100] ^= 1
    with gzip.open(files[1], "w") as write:
        write.write(data)
    with pytest.raises(records.DamagedFileError) as damaged:
        _read(files)
    assert str(damaged.value).startswith(f"{files[1]}: is damaged after 7 records. ")


def test_a_file_that_is_gone_is_named(files):
    gone = files[0].replace("a.gz", "gone.gz")
    with pytest.raises(records.DamagedFileError, match=r"gone\.gz: is gone"):
        _read([files[0], gone])


def test_an_error_that_is_not_the_files_stays(files):
    with pytest.raises(tf.errors.InvalidArgumentError), records.named(files):
        tf.reshape(tf.zeros([3]), [2])

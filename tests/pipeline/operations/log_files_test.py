"""A log file that changed has another digest, and a big one is not read through."""

import hashlib

from pipeline.operations.log_files import END_BYTES, describe_files, ends_digest


def test_a_small_file_is_told_by_all_of_its_bytes(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"user,item\n1,2\n")
    (told,) = describe_files([(str(path), 14, 1649376000.5)])
    assert told == {
        "path": str(path),
        "bytes": 14,
        "changed": "2022-04-08T00:00:00Z",
        "ends_sha256": hashlib.sha256(b"14\nuser,item\n1,2\n").hexdigest(),
    }


def test_files_come_once_and_by_path(tmp_path):
    files = [(str(tmp_path / name), 1, 0.0) for name in ("b", "a", "b")]
    for path, _, _ in files:
        with open(path, "wb") as file:
            file.write(b"x")
    assert [told["path"][-1] for told in describe_files(files)] == ["a", "b"]
    assert describe_files([]) == []


def test_both_ends_and_the_size_of_a_big_file_make_its_digest(tmp_path):
    path = tmp_path / "log.csv"
    size = 3 * END_BYTES
    digests = set()
    for place in (None, 0, END_BYTES - 1, size - 1, size - END_BYTES):
        content = bytearray(size)
        if place is not None:
            content[place] = 1
        path.write_bytes(content)
        digests.add(ends_digest(str(path), size))
    path.write_bytes(bytes(size + 1))
    digests.add(ends_digest(str(path), size + 1))
    assert len(digests) == 6
    content = bytearray(size)
    content[END_BYTES] = 1  # the middle is not read
    path.write_bytes(content)
    assert ends_digest(str(path), size) in digests


def test_no_byte_of_a_file_of_two_ends_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    size = 2 * END_BYTES - 10  # the ends overlap
    content = bytes(range(256)) * (size // 256 + 1)
    path.write_bytes(content[:size])
    expected = hashlib.sha256(f"{size}\n".encode() + content[:size]).hexdigest()
    assert ends_digest(str(path), size) == expected

"""Which directories of a base path are versions."""

from serving.store.version_directories import (
    directories,
    files_of,
    find_versions,
    is_complete,
)


def test_names_that_are_no_whole_numbers_are_passed_by(tmp_path):
    names = ("00000042", "7", "-1", "+1", "1.tmp", "1e3", "x", "\u0663")
    for name in (*names, str(2**63 - 1), str(2**63), "1" * 200):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    assert find_versions(str(tmp_path)) == {
        42: str(tmp_path / "00000042"),
        7: str(tmp_path / "7"),
        2**63 - 1: str(tmp_path / str(2**63 - 1)),
    }


def test_of_two_names_of_a_number_it_is_always_the_same_one(tmp_path):
    for name in ("007", "7", "07"):
        (tmp_path / name).mkdir()
    assert find_versions(str(tmp_path)) == {7: str(tmp_path / "7")}


def test_what_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    assert find_versions(str(tmp_path / "none")) is None
    assert directories(str(tmp_path / "file")) is None


def test_a_version_is_whole_with_its_graph(tmp_path):
    (tmp_path / "variables").mkdir()
    assert not is_complete(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert is_complete(str(tmp_path))


def test_a_change_of_any_file_is_seen(tmp_path):
    (tmp_path / "variables").mkdir()
    file = tmp_path / "variables" / "index"
    file.write_bytes(b"1")
    before = files_of(str(tmp_path))
    assert [(name, size) for name, size, _ in before] == [(str(file), 1)]
    file.write_bytes(b"12")
    assert files_of(str(tmp_path)) != before

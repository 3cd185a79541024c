"""Directories of any legal name: only what is said to be a pattern is one."""

import gzip
import os

import pytest

from pipeline.examples import file_systems
from tests.tiny_spec import TINY_SPEC

# Each beside a neighbour that the name, read as a glob, would match as well or instead.
_NAMES = [
    ("a*b", "a-b"),
    ("a?b", "a-b"),
    ("a[x]b", "axb"),
    ("[!x]", "y"),
    ("a\\b", "ab"),
    ("[", "x"),
    ("two  words ", "x"),
    ("line\nbreak", "x"),
    ("it's \"%20#{}:;&|$HOME~é", "x"),
    ("-dash", "x"),
    ("l" * 255, "x"),
]


@pytest.fixture(params=_NAMES, ids=[repr(name)[:20] for name, _ in _NAMES])
def folder(request, tmp_path):
    """A directory with two days, and its neighbour with one of its own."""
    name, neighbour = request.param
    for place, files in (
        (name, ["a/1.gz", "b/2.gz", "c.txt"]),
        (neighbour, ["a/9.gz"]),
    ):
        for file in files:
            path = tmp_path / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
    return tmp_path / name, tmp_path / neighbour


def test_own_files_are_found_deleted_and_removed_and_no_others(folder):
    own, neighbour = map(str, folder)
    found = file_systems.match_paths(own, "*/*.gz")
    assert found == [f"{own}/a/1.gz", f"{own}/b/2.gz"]
    assert file_systems.match_paths(own, "**") == [*found, f"{own}/c.txt"]
    file_systems.delete(found)
    assert os.path.exists(f"{own}/c.txt")
    file_systems.remove(own)
    assert not os.path.exists(own)
    assert os.path.exists(f"{neighbour}/a/9.gz")
    file_systems.remove(own)  # which is not there any more


def test_as_glob_is_that_path_for_beam(folder):
    from apache_beam.io.filesystems import FileSystems

    from feature_specs.places import as_glob

    (match,) = FileSystems.match([f"{as_glob(folder[0])}/*/*.gz"])
    paths = sorted(file.path for file in match.metadata_list)
    assert paths == [f"{folder[0]}/a/1.gz", f"{folder[0]}/b/2.gz"]


def test_links_are_followed_and_circles_left(tmp_path):
    (tmp_path / "disk" / "day=1").mkdir(parents=True)
    (tmp_path / "disk" / "day=1" / "log.csv").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "day=1").symlink_to(tmp_path / "disk" / "day=1")
    (tmp_path / "logs" / "again").symlink_to(tmp_path / "logs")
    found = [f"{tmp_path}/logs/day=1/log.csv"]
    assert file_systems.match_paths(str(tmp_path / "logs"), "day=*", "*.csv") == found
    assert file_systems.match_paths(str(tmp_path / "logs"), "**.csv") == found
    assert (
        file_systems.match(str(tmp_path / "logs"), "day=1/log.csv")[0].size_in_bytes
        == 0
    )


def test_examples_are_made_in_a_directory_of_any_name(tmp_path, monkeypatch, capsys):
    """The command, with spec, logs and examples in it; its neighbour has logs too."""
    from trailrank import cli

    home = tmp_path / "-s*s [x][/b]? \\%20#'\"{}:\n é"
    for place, days in ((home, 2), (tmp_path / "-sXs x/b", 9)):
        (place / "logs").mkdir(parents=True)
        for day in range(days):
            time_ms = 1_704_067_200_000 + day * 86_400_000  # 2024-01-01, UTC
            lines = "".join(f"{user},7,{time_ms + user},1\n" for user in range(3))
            file = place / "logs" / f"log_{day}.csv"
            file.write_text(f"user,item,time_ms,good\n{lines}")
    (home / "tiny.yaml").write_text(TINY_SPEC)
    monkeypatch.chdir(home)
    words = ["--spec=tiny.yaml", f"--logs={home}/logs/", f"--out={home}/-out"]
    assert cli.main(["trailrank", "examples", *words]) == 0, capsys.readouterr().err
    splits = ["Split-day-20240101", "Split-day-20240102"]
    assert sorted(os.listdir("-out")) == [*splits, "report.json", "summaries"]
    for split in splits:
        (name,) = os.listdir(f"-out/{split}")
        with gzip.open(f"-out/{split}/{name}") as file:
            assert file.read().count(b"key_user") == 3
    assert "[/b]" in "".join(capsys.readouterr().out.split("\n"))


def test_the_lock_of_a_bucket_as_beam_has_it(monkeypatch):
    from feature_specs import locks
    from pipeline.examples.ownership import sole_making
    from tests.pipeline.examples import bucket

    monkeypatch.setattr(locks, "_SETTLE_S", 0.01)
    with sole_making("bucket://owned/examples"):
        assert list(bucket.download("bucket://owned/examples")) == [locks.NAME]
    assert bucket.download("bucket://owned/examples") == {}

"""Unpacking: only what is safe, and only whole."""

import gzip
import io
import pathlib
import shutil
import tarfile

import pytest

from pipeline.fetch import unpack as module
from pipeline.fetch.errors import FetchError
from pipeline.fetch.unpack import is_complete, unpack

SUM = "md5:00"
LOG = "KuaiRand-Pure/data/log_standard.csv"
ELSEWHERE = "/elsewhere"  # stands for a path outside of any folder


def _archive(path: pathlib.Path, *members: tarfile.TarInfo) -> pathlib.Path:
    """A log of two lines, then `members` (files of four bytes, links)."""
    log = tarfile.TarInfo(LOG)
    with tarfile.open(path, "w:gz") as archive:
        for member in (log, *members):
            member.size = 4 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"a\n1\n"))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = ""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def _unpack(archive, folder, bars) -> None:
    unpack(archive, folder, SUM, 0, bars)


def test_the_files_come_out_as_they_went_in(tmp_path, bars, logs, packed):
    (tmp_path / "a.tar.gz").write_bytes(packed)
    folder = tmp_path / "out" / "KuaiRand-Pure"
    folder.parent.mkdir()
    _unpack(tmp_path / "a.tar.gz", folder, bars)
    wanted = {path.name: path.read_bytes() for path in (logs / "data").iterdir()}
    assert len(wanted) == 5
    assert {p.name: p.read_bytes() for p in (folder / "data").iterdir()} == wanted
    assert (folder / "load_data_pure.py").read_text() == "print('KuaiRand')\n"
    assert is_complete(folder, SUM)
    assert [path.name for path in folder.parent.iterdir()] == ["KuaiRand-Pure"]


@pytest.mark.parametrize(
    "member",
    [
        _member("../evil"),
        _member("KuaiRand-Pure/../../evil"),
        _member(ELSEWHERE),
        _member("KuaiRand-Pure/link", tarfile.SYMTYPE, "/etc/passwd"),
        _member("KuaiRand-Pure/link", tarfile.SYMTYPE, "data"),
        _member("KuaiRand-Pure/link", tarfile.LNKTYPE, LOG),
        _member("KuaiRand-Pure/pipe", tarfile.FIFOTYPE),
        _member("KuaiRand-Pure/null", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.linkname}",
)
def test_a_member_that_is_no_file_inside_is_refused(tmp_path, bars, member):
    if member.name == ELSEWHERE:
        member = _member(str(tmp_path / "elsewhere"))
    archive = _archive(tmp_path / "a.tar.gz", member)
    with pytest.raises(FetchError, match="do not trust that archive") as told:
        _unpack(archive, tmp_path / "out", bars)
    assert member.name in str(told.value)
    assert list(tmp_path.iterdir()) == [archive]


def test_macos_attributes_and_modes_are_left(tmp_path, bars):
    strange = _member("KuaiRand-Pure/data/log_random.csv")
    strange.mode, strange.uid = 0o4777, 12345
    attributes = _member("KuaiRand-Pure/data/._log_random.csv")
    archive = _archive(tmp_path / "a.tar.gz", attributes, strange)
    _unpack(archive, tmp_path / "out", bars)
    names = [path.name for path in sorted((tmp_path / "out" / "data").iterdir())]
    assert names == ["log_random.csv", "log_standard.csv"]
    assert (tmp_path / "out/data/log_random.csv").stat().st_mode & 0o7111 == 0


def _bomb(path: pathlib.Path, *sizes: int) -> pathlib.Path:
    """An archive of files of zeros."""
    with tarfile.open(path, "w:gz") as archive:
        for number, size in enumerate(sizes):
            member = _member(f"KuaiRand-Pure/data/log_{number}.csv")
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    return path


def test_an_archive_that_unpacks_to_far_too_much_is_stopped(
    tmp_path, bars, monkeypatch
):
    monkeypatch.setattr(module, "_SPARE_BYTES", 1000)
    # Twice 500 and 1,000 to spare: 2,000 bytes come out, 2,001 do not.
    archive = _bomb(tmp_path / "a.tar.gz", 900, 900, 201)
    with pytest.raises(FetchError, match=r"a\.tar\.gz unpacks to .* 2\.0 kB, far more"):
        unpack(archive, tmp_path / "out", SUM, 500, bars)
    assert list(tmp_path.iterdir()) == [archive]
    _bomb(archive, 900, 900, 200)
    unpack(archive, tmp_path / "out", SUM, 500, bars)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out/data").iterdir())]
    assert sizes == [900, 900, 200]


def test_a_size_that_is_only_claimed_counts_before_it_is_written(tmp_path, bars):
    archive = tmp_path / "a.tar.gz"
    huge = _member(LOG)
    huge.size = 1 << 40
    with gzip.open(archive, "wb") as out:
        out.write(huge.tobuf() + bytes(1 << 20))
    with pytest.raises(FetchError, match="do not trust that archive"):
        unpack(archive, tmp_path / "out", SUM, 50_000, bars)
    assert list(tmp_path.iterdir()) == [archive]


def test_too_many_members_are_stopped(tmp_path, bars, monkeypatch):
    monkeypatch.setattr(module, "_MOST_MEMBERS", 3)
    archive = _bomb(tmp_path / "a.tar.gz", 0, 0, 0, 0)
    with pytest.raises(FetchError, match="more than 3 members"):
        _unpack(archive, tmp_path / "out", bars)
    assert list(tmp_path.iterdir()) == [archive]
    _unpack(_bomb(archive, 0, 0, 0), tmp_path / "out", bars)


def test_a_python_without_the_filter_is_told(tmp_path, bars, monkeypatch):
    archive = _archive(tmp_path / "a.tar.gz")
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(FetchError, match=r"needs Python 3\.10\.12, 3\.11\.4 or later"):
        _unpack(archive, tmp_path / "out", bars)
    assert list(tmp_path.iterdir()) == [archive]


def test_an_interrupted_unpacking_is_not_taken_for_a_finished_one(tmp_path, bars):
    archive = _archive(tmp_path / "a.tar.gz")
    left = tmp_path / ".out.unpacking" / "KuaiRand-Pure" / "data"
    left.mkdir(parents=True)
    (left / "log_random.csv").write_text("half a li")
    assert not is_complete(tmp_path / "out", SUM)
    _unpack(archive, tmp_path / "out", bars)
    assert not (tmp_path / "out/data/log_random.csv").exists()
    assert not (tmp_path / ".out.unpacking").exists()
    assert is_complete(tmp_path / "out", SUM)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_truncated_archive_is_told(tmp_path, bars, packed, share):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(FetchError, match="no complete tar.gz"):
        _unpack(archive, tmp_path / "out", bars)
    assert list(tmp_path.iterdir()) == [archive]


def test_what_is_no_archive_is_told(tmp_path, bars):
    archive = tmp_path / "a.tar.gz"
    archive.write_text("<html>Please log in</html>")
    with pytest.raises(FetchError, match="no complete tar.gz"):
        _unpack(archive, tmp_path / "out", bars)


def test_an_archive_without_logs_is_told(tmp_path, bars):
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        made.addfile(tarfile.TarInfo("KuaiRec/data/big_matrix.csv"))
    with pytest.raises(FetchError, match="must hold one folder with data/log_"):
        _unpack(archive, tmp_path / "out", bars)


def test_no_room_is_told(tmp_path, bars, monkeypatch):
    archive = _archive(tmp_path / "a.tar.gz")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(FetchError, match="a.tar.gz needs 1.5 kB of free disk"):
        unpack(archive, tmp_path / "out", SUM, 1500, bars)


def test_a_lost_or_shortened_file_is_told(tmp_path, bars):
    _unpack(_archive(tmp_path / "a.tar.gz"), tmp_path / "out", bars)
    log = tmp_path / "out" / "data" / "log_standard.csv"
    log.write_text("a\n")
    with pytest.raises(FetchError, match="should have 4 bytes, but has 2"):
        is_complete(tmp_path / "out", SUM)
    log.unlink()
    with pytest.raises(FetchError, match="log_standard.csv should have 4 bytes"):
        is_complete(tmp_path / "out", SUM)


def test_a_folder_of_another_archive_is_told(tmp_path, bars):
    _unpack(_archive(tmp_path / "a.tar.gz"), tmp_path / "out", bars)
    with pytest.raises(FetchError, match="came from an archive with md5:00, not md5:1"):
        is_complete(tmp_path / "out", "md5:1")


def test_a_folder_that_was_unpacked_by_hand_is_told(tmp_path):
    (tmp_path / "out" / "data").mkdir(parents=True)
    with pytest.raises(FetchError, match="was not put there by fetch"):
        is_complete(tmp_path / "out", SUM)

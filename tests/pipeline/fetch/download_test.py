"""Downloads from a real server that breaks off, cannot go on, or sends other bytes."""

import hashlib
import shutil
import time

import pytest

from pipeline.fetch.disk import sole_writer
from pipeline.fetch.download import Patience, RemoteFile, download
from pipeline.fetch.errors import FetchError

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(serve):
    return serve(CONTENT)


def _file(server, tries=3, pause_s=0.0, md5=MD5, folder="") -> RemoteFile:
    patience = Patience(tries=tries, pause_s=pause_s)
    url = f"{server.url}{folder}/big.tar.gz"
    return RemoteFile(url=url, checksum=f"md5:{md5}", patience=patience)


def _said(bars) -> str:
    return bars.console.file.getvalue()


def test_a_whole_file_in_one_request(server, tmp_path, bars):
    path = download(_file(server), tmp_path, bars)
    assert path == tmp_path / "big.tar.gz"
    assert path.read_bytes() == CONTENT
    assert [child.name for child in tmp_path.iterdir()] == ["big.tar.gz"]
    assert server.asked == [None]


def test_a_broken_connection_goes_on_where_it_broke(server, tmp_path, bars):
    server.cuts.extend([1000, 500])
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert "Broken off after 1.0 kB" in _said(bars)


def test_a_later_call_goes_on(server, tmp_path, bars):
    (tmp_path / "big.tar.gz.part").write_bytes(CONTENT[:2000])
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT
    assert server.asked == ["bytes=2000-"]
    assert "Going on after the 2.0 kB" in _said(bars)


def test_a_server_without_ranges_starts_over(server, tmp_path, bars):
    server.ranges = False
    server.cuts.append(1000)
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-"]
    assert "starting over" in _said(bars)


def test_starting_over_leaves_nothing_of_before(server, tmp_path, bars):
    server.ranges = False
    server.cuts.append(500)
    part = tmp_path / "big.tar.gz.part"
    part.write_bytes(b"x" * 2000)
    with pytest.raises(FetchError, match="gave up after 1 tries"):
        download(_file(server, tries=1), tmp_path, bars)
    assert part.read_bytes() == CONTENT[:500]


def test_a_range_that_begins_earlier_is_laid_over(server, tmp_path, bars):
    server.aligned_to = 512
    (tmp_path / "big.tar.gz.part").write_bytes(CONTENT[:1000])
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT


def test_a_part_that_is_whole_is_only_checked(server, tmp_path, bars):
    (tmp_path / "big.tar.gz.part").write_bytes(CONTENT)
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT
    assert server.asked == ["bytes=102400-"]  # answered with 416


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path, bars):
    (tmp_path / "big.tar.gz.part").write_bytes(CONTENT + b"more")
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT
    assert server.asked == ["bytes=102404-", None]


def test_a_redirect_is_followed(server, tmp_path, bars):
    file = _file(server, folder="/old")
    assert download(file, tmp_path, bars).read_bytes() == CONTENT


def test_wrong_bytes_are_removed_and_told(serve, tmp_path, bars):
    server = serve(b"<html>Please log in</html>")
    got = hashlib.md5(server.content).hexdigest()
    with pytest.raises(FetchError, match=f"26 bytes with md5:{got}.*md5:{MD5}"):
        download(_file(server), tmp_path, bars)
    assert list(tmp_path.iterdir()) == []


def test_a_spoilt_part_costs_one_more_download(server, tmp_path, bars):
    (tmp_path / "big.tar.gz.part").write_bytes(b"x" * 2000)
    with pytest.raises(FetchError, match="removed: run the same command again"):
        download(_file(server), tmp_path, bars)
    assert download(_file(server), tmp_path, bars).read_bytes() == CONTENT


def test_a_sha256_is_checked_too(server, tmp_path, bars):
    digest = hashlib.sha256(CONTENT).hexdigest()
    url = f"{server.url}/big.zip"
    good = RemoteFile(url=url, checksum=f"sha256:{digest}")
    assert download(good, tmp_path, bars).read_bytes() == CONTENT
    bad = RemoteFile(url=f"{server.url}/other.zip", checksum=f"sha256:{digest[::-1]}")
    with pytest.raises(FetchError, match=f"sha256:{digest}"):
        download(bad, tmp_path, bars)


def test_a_file_that_is_there_needs_no_server(tmp_path, bars):
    (tmp_path / "big.tar.gz").write_bytes(CONTENT)
    file = RemoteFile(url="http://127.0.0.1:1/big.tar.gz", checksum=f"md5:{MD5}")
    assert download(file, tmp_path, bars) == tmp_path / "big.tar.gz"


def test_a_wrong_file_that_is_there_is_told_and_left(server, tmp_path, bars):
    (tmp_path / "big.tar.gz").write_bytes(CONTENT[:-1])
    with pytest.raises(FetchError, match=r"incomplete, changed\s+or another file"):
        download(_file(server), tmp_path, bars)
    assert (tmp_path / "big.tar.gz").read_bytes() == CONTENT[:-1]
    assert server.asked == []


def test_no_network_says_what_to_do(tmp_path, bars):
    url = "http://127.0.0.1:1/big.tar.gz"  # nobody listens there
    patience = Patience(tries=3, pause_s=0)
    file = RemoteFile(url=url, checksum=f"md5:{MD5}", patience=patience)
    with pytest.raises(FetchError) as told:
        download(file, tmp_path, bars)
    for part in (url, MD5, str(tmp_path / "big.tar.gz"), "--archive", "3 tries"):
        assert part in str(told.value)
    assert "try 2 of 3" in _said(bars)


def test_only_tries_that_bring_nothing_are_counted(server, tmp_path, bars):
    server.cuts.extend([10, 10, 10, 10])
    download(_file(server, tries=2), tmp_path, bars)
    assert len(server.asked) == 5


def test_starting_over_again_and_again_is_given_up(server, tmp_path, bars):
    server.ranges = False
    server.cuts.extend([1000] * 10)  # each try gets as far as the first
    with pytest.raises(FetchError, match="gave up after 3 tries"):
        download(_file(server), tmp_path, bars)
    assert len(server.asked) == 3


def test_pauses_double_and_heed_the_server(server, tmp_path, bars, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.statuses.extend([(503, {}), (429, {"Retry-After": "7"}), (502, {})])
    download(_file(server, tries=4, pause_s=1.0), tmp_path, bars)
    assert pauses == [1.0, 7.0, 4.0]
    assert "503 Service Unavailable" in _said(bars)
    assert "Again in 7 s, try 3 of 4." in _said(bars)


def test_a_server_can_not_ask_for_hours(server, tmp_path, bars, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.statuses.append((429, {"Retry-After": "86400"}))
    download(_file(server), tmp_path, bars)
    assert pauses == [120.0]


def test_a_refusal_is_told_at_once(server, tmp_path, bars):
    server.statuses.append((404, {}))
    with pytest.raises(FetchError, match="404 Not Found"):
        download(_file(server), tmp_path, bars)
    assert len(server.asked) == 1


def test_no_room_is_told_before_anything_is_written(
    server, tmp_path, bars, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=150_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    # 102,400 bytes of the file and 47,601 for what comes out of it: one too many.
    with pytest.raises(FetchError, match=r"needs 150.0 kB of free disk"):
        download(_file(server), tmp_path, bars, room_bytes=47_601)
    assert list(tmp_path.iterdir()) == []
    download(_file(server), tmp_path, bars, room_bytes=47_600)


def test_what_is_there_needs_no_room_again(server, tmp_path, bars, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2400)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    (tmp_path / "big.tar.gz.part").write_bytes(CONTENT[:100_000])
    download(_file(server), tmp_path, bars)


def test_a_disk_that_fills_up_is_told(server, tmp_path, bars):
    (tmp_path / "big.tar.gz.part").symlink_to("/dev/full")
    with (
        pytest.raises(FetchError, match=r"disk of .* is full"),
        sole_writer(tmp_path),
    ):
        download(_file(server), tmp_path, bars)


def test_a_folder_has_one_writer(tmp_path):
    with (
        sole_writer(tmp_path / "out"),
        pytest.raises(FetchError, match="another fetch is writing"),
        sole_writer(tmp_path / "out"),
    ):
        pass
    with sole_writer(tmp_path / "out"):
        pass  # the first has let go


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FetchError, match="file.*--out must be a directory"),
        sole_writer(tmp_path / "file"),
    ):
        pass

"""`trailrank fetch kuairand-pure` on a small archive from a real server."""

import dataclasses
import signal
import subprocess
import sys
import time

import pytest

from feature_specs.reader import load_spec
from pipeline.fetch import kuairand, run
from pipeline.fetch.errors import FetchError
from trailrank import cli

_FETCH = """
import pathlib, sys
import rich.console
from pipeline.fetch import kuairand
from pipeline.fetch.download import progress_bars
release = kuairand.Release(
    name="KuaiRand-Pure", md5=sys.argv[1], unpacked_bytes=1, base_url=sys.argv[2]
)
with progress_bars(rich.console.Console()) as progress:
    print(kuairand.fetch(release, pathlib.Path(sys.argv[3]), progress))
"""


@pytest.fixture
def as_pure(served, monkeypatch):
    """The server of the archive, which `kuairand-pure` now means."""
    server, release = served
    monkeypatch.setitem(kuairand.RELEASES, "kuairand-pure", release)
    return server


def _contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data").iterdir()}


def test_the_published_archives():
    assert {name: r.file for name, r in kuairand.RELEASES.items()} == {
        f"kuairand-{size.lower()}": kuairand.RemoteFile(
            url=f"https://zenodo.org/records/10439422/files/KuaiRand-{size}.tar.gz",
            checksum=f"md5:{md5}",
        )
        for size, md5 in (
            ("Pure", "0820331067a3784d9691136f772b35a7"),
            ("1K", "6b0b9c8222d67fcd4c676218edca3f1f"),
            ("27K", "3e3c799a24e2d23a4d2c757fbf9adf59"),
        )
    }


def test_the_command_brings_what_the_spec_reads(as_pure, tmp_path, capsys, logs):
    out = tmp_path / "new" / "out"
    assert run(["kuairand-pure", "--out", str(out)]) == 0
    assert _contents(out / "KuaiRand-Pure") == _contents(logs)
    said = capsys.readouterr().out
    data = out / "KuaiRand-Pure" / "data"
    assert f"trailrank pipeline run --spec kuairand --logs {data} --root RUN" in said
    assert "CC BY-SA 4.0" in said
    pattern = load_spec("kuairand").log.files
    assert len(list(data.glob(pattern))) == 2


def test_a_second_fetch_does_nothing_and_says_so(as_pure, tmp_path, capsys):
    for _ in range(2):
        assert run(["kuairand-pure", "--out", str(tmp_path)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert len(as_pure.asked) == 1


def test_an_archive_from_elsewhere_needs_no_server(
    as_pure, tmp_path, capsys, packed, logs
):
    archive = tmp_path / "copied.tgz"
    archive.write_bytes(packed)
    flags = ["--out", str(tmp_path / "out"), "--archive", str(archive)]
    assert run(["kuairand-pure", *flags]) == 0
    assert _contents(tmp_path / "out" / "KuaiRand-Pure") == _contents(logs)
    assert archive.read_bytes() == packed
    assert as_pure.asked == []


def test_a_wrong_archive_is_told_and_left(release, tmp_path, bars, packed):
    archive = tmp_path / "copied.tgz"
    archive.write_bytes(packed[:-1])
    with pytest.raises(FetchError, match=f"{release.md5}.*{release.file.url}"):
        kuairand.fetch(release, tmp_path / "out", bars, archive)
    assert archive.exists()
    assert not (tmp_path / "out" / "KuaiRand-Pure").exists()


def test_a_missing_archive_is_told(release, tmp_path, bars):
    with pytest.raises(FetchError, match="nowhere.tgz: no such file"):
        kuairand.fetch(release, tmp_path, bars, tmp_path / "nowhere.tgz")


def test_a_killed_download_goes_on(served, tmp_path, packed, logs):
    server, release = served
    half = len(packed) // 2
    server.cuts.append(half)
    server.held.clear()  # after the half nothing comes, nor does the server hang up
    command = [sys.executable, "-c", _FETCH, release.md5, server.url, str(tmp_path)]
    part = tmp_path / "KuaiRand-Pure.tar.gz.part"
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _wait_until(lambda: part.exists() and part.stat().st_size == half)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert part.read_bytes() == packed[:half]

    server.held.set()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert server.asked == [None, f"bytes={half}-"]
    assert "Going on after" in done.stdout
    assert _contents(tmp_path / "KuaiRand-Pure") == _contents(logs)


def _wait_until(true, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_no_network_ends_in_one_message(release, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(kuairand.RELEASES, "kuairand-pure", release)
    argv = ["trailrank", "fetch", "kuairand-pure", "--out", str(tmp_path)]
    assert cli.main(argv) == 1
    told = capsys.readouterr().err
    assert "trailrank: fetch: http://127.0.0.1:1/KuaiRand-Pure.tar.gz" in told
    assert str(tmp_path / "KuaiRand-Pure.tar.gz") in told
    assert release.md5 in told
    assert "Traceback" not in told


def test_room_for_the_unpacked_files_is_asked_for_before_the_download(
    served, tmp_path, bars
):
    _, release = served
    release = dataclasses.replace(release, unpacked_bytes=10**18)  # a million TB
    with pytest.raises(FetchError, match="KuaiRand-Pure.tar.gz needs 1.0 EB of free"):
        kuairand.fetch(release, tmp_path, bars)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["kuairand"], "choose from kuairand-pure"),
        (["kuairand-1k", "--atomic", "x"], "--atomic is for movielens"),
        (["movielens", "--atomic", "x", "--archive", "y"], "give one of them"),
    ],
)
def test_wrong_arguments_are_told(capsys, argv, told):
    with pytest.raises(SystemExit):
        run([*argv, "--out", "out"])
    assert told in capsys.readouterr().err.replace("'", "")


def test_help_tells_terms_sizes_and_the_way_without_a_network(capsys):
    with pytest.raises(SystemExit):
        run(["--help"])
    told = capsys.readouterr().out
    for part in ("CC BY-SA 4.0", "GroupLens", "9.2 GB", "--archive", "10439422"):
        assert part in told


def test_neither_tensorflow_nor_its_datasets_are_imported():
    code = (
        "import sys, pipeline.fetch\n"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""One owner of a directory: real processes that are refused, end, or are killed."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from feature_specs import locks
from feature_specs.locks import LockedError, owned, owner_of
from feature_specs.places import PlaceError

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The package itself without what it imports, so that a process takes no time.
_LIGHT = f"""
import sys, types
package = types.ModuleType("feature_specs")
package.__path__ = [{str(ROOT / "feature_specs")!r}]
sys.modules["feature_specs"] = package
from feature_specs.locks import owned
"""
_HOLD = """
with owned(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
print("done", flush=True)
"""


@contextlib.contextmanager
def _holder(place, code=_HOLD):
    """A process that holds `place` until it is let go by `communicate`, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LIGHT + code, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def _lock_of(owner, beat=0):
    """The text of a lock of another machine."""
    values = {"process": 77, "host": owner, "command": "trailrank train --x"}
    values |= {"begin": "2024-01-02 03:04:05 UTC", "token": "t", "beat": beat}
    return json.dumps(values)


def test_second_process_is_told_who_and_since_when_and_the_first_ends_well(tmp_path):
    with _holder(tmp_path / "run") as process:
        with pytest.raises(LockedError) as refused, owned(tmp_path / "run"):
            pass
        out, err = process.communicate()
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'run'}: `-c {tmp_path}/run` (process ")
    assert f"process {process.pid} on {socket.gethostname()}, since 20" in message
    assert message.endswith("here. Wait for it to end, or name another directory.")
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_a_halted_owner_still_owns(tmp_path):
    with _holder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LockedError, match="is writing here"), owned(tmp_path):
            pass


def test_a_killed_owner_is_taken_over_and_that_is_told(tmp_path, capsys):
    with _holder(tmp_path / "run") as process:
        process.kill()
        process.wait()
        with owned(tmp_path / "run"):
            told = capsys.readouterr().err
            owner = json.loads((tmp_path / "run" / locks.NAME).read_text())
    assert told.startswith(f"trailrank: {tmp_path / 'run'}: taken over from `-c ")
    assert f"(process {process.pid} on " in told
    assert told.count("\n") == 1
    assert owner["process"] == os.getpid()


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    ],
)
def test_every_end_but_a_kill_lets_go(tmp_path, end, status):
    place = tmp_path / "a" / "b"
    code = (
        "import os, signal\n"
        f"with owned(sys.argv[1]):\n    open(sys.argv[1] + '/made', 'w')\n    {end}"
    )
    process = subprocess.run(
        [sys.executable, "-c", _LIGHT + code, place], stderr=subprocess.DEVNULL
    )
    assert process.returncode == status
    assert os.listdir(place) == ["made"]


def test_a_fork_that_outlives_its_parent_keeps_nobody_out(tmp_path, capsys):
    code = """
import os, time
with owned(sys.argv[1]):
    ready, told = os.pipe()
    if os.fork() == 0:
        os.write(told, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    print("held", flush=True)
    sys.stdin.read()
"""
    with _holder(tmp_path, code) as process:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (child,) = map(int, children.read_text().split())
        try:
            process.kill()
            process.wait()
            with owned(tmp_path):
                assert "taken over" in capsys.readouterr().err
            os.kill(child, 0)  # it lived all the while
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_fork_that_ends_takes_nothing_with_it(tmp_path):
    with owned(tmp_path):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)  # the parent's listener is its own
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
        assert (tmp_path / locks.NAME).exists()
        with _refused_elsewhere(tmp_path) as message:
            assert f"process {os.getpid()} on" in message


@contextlib.contextmanager
def _refused_elsewhere(place):
    """What another process is told."""
    found = subprocess.run(
        [sys.executable, "-c", _LIGHT + _HOLD, place],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1
    yield found.stderr


def test_a_step_may_ask_again_but_another_thread_may_not(tmp_path):
    found = []

    def ask():
        with contextlib.suppress(LockedError), owned(tmp_path):
            found.append("passed")

    with owned(tmp_path):
        with owned(f"{tmp_path}/"):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        assert (tmp_path / locks.NAME).exists()
    assert found == []
    assert os.listdir(tmp_path) == []


def test_a_link_is_the_directory_that_it_leads_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with (
        _holder(tmp_path / "real"),
        pytest.raises(LockedError),
        owned(tmp_path / "link"),
    ):
        pass


def test_a_directory_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(KeyError), owned(tmp_path / "a" / "b"):
        raise KeyError
    assert not (tmp_path / "a").exists()


def test_a_lock_beside_leaves_the_directory_empty(tmp_path):
    version = tmp_path / "models" / "1"
    with owned(version, beside=True):
        assert not version.exists()
        assert os.listdir(tmp_path / "models") == [".1.trailrank.lock"]


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").touch()
    told = pytest.raises(PlaceError, match=r"file/run: must be .* written to. Got: F")
    with told, owned(tmp_path / "file" / "run"):
        pass


@pytest.fixture
def quick(monkeypatch):
    """Beats in hundredths of a second instead of seconds."""
    monkeypatch.setattr(locks, "_BEAT_S", 0.02)
    monkeypatch.setattr(locks, "_SILENT_S", 0.5)
    monkeypatch.setattr(locks, "_SETTLE_S", 0.02)


def test_a_silent_owner_on_another_machine_is_taken_over(tmp_path, quick, capsys):
    (tmp_path / locks.NAME).write_text(_lock_of("far"))
    with owned(tmp_path):
        told = capsys.readouterr().err
    assert "from `trailrank train --x` (process 77 on far, since 2024-01-02 0" in told


def test_a_beating_owner_on_another_machine_is_not(tmp_path, quick):
    """Its disk is shared, and the locks of its system are not."""
    lock, ended = tmp_path / locks.NAME, threading.Event()
    lock.write_text(_lock_of("far"))

    def beat():
        while not ended.wait(0.01):
            os.utime(lock)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(LockedError) as refused, owned(tmp_path):
            pass
    finally:
        ended.set()
        thread.join()
    assert str(refused.value).endswith(f"If it is gone for good, delete {lock}.")
    assert json.loads(lock.read_text())["host"] == "far"


class _Bucket:
    """Objects in memory."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}

    def read(self, path):
        return self.objects.get(path)

    def write(self, path, data):
        self.objects[path] = data

    def remove(self, path):
        self.objects.pop(path, None)


def test_a_bucket_has_one_owner_who_beats(quick):
    bucket = _Bucket()
    with owned("gs://b/out/", objects=lambda: bucket):
        (first,) = bucket.objects.items()
        assert first[0] == f"gs://b/out/{locks.NAME}"
        refused = []

        def ask():
            try:
                with owned("gs://b/out", objects=lambda: bucket):
                    pass
            except LockedError as error:
                refused.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert f"(process {os.getpid()} on {socket.gethostname()}, since " in refused[0]
    assert bucket.objects == {}


def test_a_bucket_of_a_dead_owner_is_taken_over(quick, capsys):
    bucket = _Bucket()
    bucket.write(f"gs://b/out/{locks.NAME}", _lock_of("far").encode())
    with owned("gs://b/out", objects=lambda: bucket):
        assert "taken over from `trailrank train --x`" in capsys.readouterr().err
    assert bucket.objects == {}


def test_of_two_who_write_to_a_bucket_at_once_the_last_one_has_it(quick):
    class Raced(_Bucket):
        def write(self, path, data):
            super().write(path, _lock_of("far").encode())  # came right after

    bucket = Raced()
    told = pytest.raises(LockedError, match="process 77 on far")
    with told, owned("gs://b/out", objects=lambda: bucket):
        pass
    assert len(bucket.objects) == 1  # the other one's


def test_the_owner_is_told_without_asking_for_the_lock(tmp_path):
    assert owner_of(tmp_path) == ""
    with owned(tmp_path):
        assert f"process {os.getpid()} on " in owner_of(tmp_path)
    assert owner_of(tmp_path) == ""


def test_an_owner_elsewhere_is_told_while_it_shows_itself(tmp_path):
    path = tmp_path / ".trailrank.lock"
    owner = {"process": 7, "host": "elsewhere", "command": "trailrank pipeline run"}
    path.write_text(json.dumps({**owner, "begin": "today", "token": "t"}))
    assert "trailrank pipeline run" in owner_of(tmp_path)
    os.utime(path, (0, 0))
    assert owner_of(tmp_path) == ""
    path.write_text("half of")  # one that is being written
    assert owner_of(tmp_path) == ""

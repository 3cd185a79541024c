"""One owner of whatever a command writes: a run, checkpoints, examples, an export.

    with owned("run"):
        ...  # no other command writes to `run/` meanwhile

While it lasts, `run/.trailrank.lock` says who that is. Whether the owner lives is not
read from there: on its own machine the system knows (`flock` ends with the process,
however that ends), and from other machines one can see the file being touched every
some seconds. A lock whose owner is gone is taken over, and that is told.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import datetime
import errno
import fcntl
import functools
import json
import os
import pathlib
import shlex
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

from feature_specs.errors import TrailrankError
from feature_specs.places import Place, PlaceError, is_bucket

NAME = ".trailrank.lock"
_BEAT_S = 10.0  # an owner shows this often that it lives
_SILENT_S = 45.0  # this long without a beat, and an owner elsewhere is gone
_SETTLE_S = 1.0  # a bucket's writers of the same moment are all to be seen after this
_LONGEST_COMMAND = 200


class LockedError(TrailrankError, RuntimeError):
    """Another command writes there; the message says which, where and since when."""


class Objects(Protocol):
    """What a lock needs of a bucket."""

    def read(self, path: str) -> bytes | None:
        """An object's bytes; None if there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Puts an object there, over another one too."""

    def remove(self, path: str) -> None:
        """Removes an object, if it is there."""


@contextlib.contextmanager
def owned(
    place: Place,
    *,
    beside: bool = False,
    objects: Callable[[], Objects] | None = None,
) -> Iterator[None]:
    """Keeps other commands from writing to a directory; whoever only reads may.

    It is let go at the end, whatever that is; where the process is killed, the next
    owner takes over. The thread that holds it may ask for it again: a step of a command
    is no other command. Forked processes hold nothing.

    A path of this machine is locked for good, and over a network as far as its file
    system shares locks or files' times. A bucket has no locks: two commands of the same
    second may both pass where its answers are slow, and so may one that another machine
    has taken for dead, as it was halted for a minute.

    Args:
        place: A directory, which is made if it is not there; or a bucket's.
        beside: Whether the lock lies beside `place`, which must stay empty.
        objects: Reads and writes the bucket, if it is one.

    Raises:
        LockedError: Another command has it.
        PlaceError: Nothing can be written there.
    """
    path = _lock_path(place, beside)
    held = _HELD.get(path)
    if held and held.thread == threading.get_ident():
        yield
        return
    lock: _Lock
    if is_bucket(place):
        assert objects is not None, "a bucket's lock needs to be told how to read it"
        lock = _ObjectLock(os.fspath(place), path, objects())
    else:
        lock = _FileLock(os.fspath(place), path)
    with _sigterm_lets_go():
        lock.take()
        _HELD[path] = lock
        try:
            yield
        finally:
            _HELD.pop(path, None)
            lock.let_go()


def owner_of(place: Place) -> str:
    """Who writes to a directory of this machine now, in words; empty if nobody does.

    An owner that was killed is nobody. Of one on another machine its sign of life
    tells, which is some seconds old.
    """
    path = _lock_path(place, beside=False)
    try:
        owner = _Owner.read(pathlib.Path(path).read_bytes())
        silent_s = time.time() - os.stat(path).st_mtime
    except OSError:
        return ""
    if owner is None:
        return ""
    if owner.host != socket.gethostname():
        return str(owner) if silent_s < _SILENT_S else ""
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:  # another user's
        pass
    return str(owner)


def _lock_path(place: Place, beside: bool) -> str:
    text = os.fspath(place).rstrip("/") or "/"
    if not is_bucket(text):
        text = os.path.realpath(text)
    if not beside:
        return os.path.join(text, NAME)
    parent, name = os.path.split(text)
    return os.path.join(parent, f".{name[:40]}{NAME}")


# --- who owns -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Owner:
    """What a lock says of its owner; `token` is of one lock only."""

    process: int
    host: str
    command: str
    begin: str
    token: str

    @classmethod
    def this(cls) -> _Owner:
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, token = f"{now:%Y-%m-%d %H:%M:%S} UTC", uuid.uuid4().hex
        return cls(os.getpid(), socket.gethostname(), _command(), begin, token)

    @classmethod
    def read(cls, data: bytes) -> _Owner | None:
        """None of no text of ours, such as of one that is being written."""
        try:
            values = json.loads(data)
            return cls(*(values[field.name] for field in dataclasses.fields(cls)))
        except (ValueError, KeyError, TypeError):
            return None

    def to_bytes(self, beat: int = 0) -> bytes:
        values = {**dataclasses.asdict(self), "beat": beat}
        return f"{json.dumps(values, indent=2)}\n".encode()

    def __str__(self) -> str:
        where = f"process {self.process} on {self.host}"
        return f"`{self.command}` ({where}, since {self.begin})"


def _command() -> str:
    """The command line of this process, as a person gave it."""
    program = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    if program == "__main__.py":  # python -m trailrank
        program = os.path.basename(os.path.dirname(sys.argv[0]))
    text = shlex.join([program, *sys.argv[1:]])
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]}..."


def _refusal(place: str, path: str, owner: _Owner | None) -> LockedError:
    remedy = "Wait for it to end, or name another directory."
    if owner and owner.host != socket.gethostname():
        remedy += f" If it is gone for good, delete {path}."
    who = owner or "another command"
    return LockedError(f"{place}: {who} is writing here. {remedy}")


def _tell_taken_over(place: str, owner: _Owner | None) -> None:
    who = owner or "a command"
    print(
        f"trailrank: {place}: taken over from {who}, which has ended without letting "
        "go.",
        file=sys.stderr,
    )


# --- locks ----------------------------------------------------------------------------


class _Lock(abc.ABC):
    """What both kinds have: the thread that owns it, another that shows its life."""

    def __init__(self, place: str, path: str):
        self.place, self.path = place, path
        self.thread, self.process = threading.get_ident(), os.getpid()
        self._owner = _Owner.this()
        self._ended = threading.Event()

    @abc.abstractmethod
    def take(self) -> None:
        """Becomes the owner; LockedError if another one is."""

    @abc.abstractmethod
    def let_go(self) -> None:
        """Is the owner no more, if it was."""

    @abc.abstractmethod
    def close(self) -> None:
        """Forgets it, silently: in a forked process it is the parent's."""

    def _start_beating(self, beat: Callable[[int], None]) -> None:
        def run() -> None:
            number = 0
            while not self._ended.wait(_BEAT_S):
                number += 1
                with contextlib.suppress(Exception):  # the next one may pass
                    beat(number)

        threading.Thread(target=run, name="lock", daemon=True).start()

    def _is_alive(self, look: Callable[[], object]) -> bool:
        """Whether an owner elsewhere shows itself; waits until that is known."""
        first, until = look(), time.monotonic() + _SILENT_S
        while time.monotonic() < until:
            time.sleep(min(_BEAT_S / 4, _SILENT_S / 4))
            if look() != first:
                return True
        return False


class _FileLock(_Lock):
    """A file of this machine, or of one that shares its disk."""

    def __init__(self, place: str, path: str):
        super().__init__(place, path)
        self._file = -1
        self._made: list[str] = []  # directories
        self._system_knows = True  # who lives, on this machine

    def take(self) -> None:
        self._made = _make_directory(os.path.dirname(self.path), self.place)
        try:
            self._file = self._opened()
            self._replace_owner()
        except BaseException:
            self.close()
            _remove_empty(self._made)
            raise
        self._start_beating(lambda number: os.utime(self._file))

    def _opened(self) -> int:
        """The file, locked; it is the one that lies at `path`."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            try:
                file = os.open(self.path, flags, 0o666)
            except OSError as error:
                raise _not_writable(self.place, error) from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _owner_in(file)
                os.close(file)
                raise _refusal(self.place, self.path, owner) from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    os.close(file)
                    raise
                self._system_knows = False  # a file system without locks
            if _is_at(file, self.path):
                return file
            os.close(file)  # its owner has just let go, and removed it

    def _replace_owner(self) -> None:
        before = os.pread(self._file, 65536, 0)
        if before:
            owner = _Owner.read(before)
            is_here = owner is None or owner.host == self._owner.host
            ended = is_here and self._system_knows
            if not ended and self._is_alive(lambda: _mtime(self.path)):
                raise _refusal(self.place, self.path, owner)
            _tell_taken_over(self.place, owner)
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, self._owner.to_bytes(), 0)
        except OSError as error:
            raise _not_writable(self.place, error) from None

    def let_go(self) -> None:
        self._ended.set()
        if self.process != os.getpid():
            return
        if self._file >= 0 and _is_at(self._file, self.path):
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.close()
        _remove_empty(self._made)

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


class _ObjectLock(_Lock):
    """An object of a bucket, written if there is none; see `owned` for its limits."""

    def __init__(self, place: str, path: str, objects: Objects):
        super().__init__(place, path)
        self._objects = objects

    def take(self) -> None:
        before = self._objects.read(self.path)
        if before is not None:
            if self._is_alive(lambda: self._objects.read(self.path)):
                raise _refusal(self.place, self.path, _Owner.read(before))
            _tell_taken_over(self.place, _Owner.read(before))
        self._objects.write(self.path, self._owner.to_bytes())
        time.sleep(_SETTLE_S)
        winner = self._stored()
        if winner != self._owner:
            raise _refusal(self.place, self.path, winner)
        self._start_beating(self._beat)

    def _beat(self, number: int) -> None:
        if self._stored() == self._owner and not self._ended.is_set():
            self._objects.write(self.path, self._owner.to_bytes(number))

    def _stored(self) -> _Owner | None:
        return _Owner.read(self._objects.read(self.path) or b"")

    def let_go(self) -> None:
        self._ended.set()
        if self.process == os.getpid() and self._stored() == self._owner:
            self._objects.remove(self.path)

    def close(self) -> None:
        """A bucket holds nothing for a process."""


_HELD: dict[str, _Lock] = {}  # of this process, by path


# --- files ----------------------------------------------------------------------------


def _make_directory(directory: str, place: str) -> list[str]:
    """Makes it; returns the directories that were not there, the outermost first."""
    path, made = pathlib.Path(directory), list[str]()
    for part in (*reversed(path.parents), path):
        if part.is_dir():
            continue
        try:
            part.mkdir(exist_ok=True)
        except OSError as error:
            _remove_empty(made)
            raise _not_writable(place, error) from None
        made.append(str(part))
    return made


def _remove_empty(directories: list[str]) -> None:
    """Those that nothing was put in go as they came."""
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def _not_writable(place: str, error: OSError) -> PlaceError:
    return PlaceError(
        f"{place}: must be a directory that can be written to. Got: "
        f"{error.strerror or error}. Mend that, or name another."
    )


def _owner_in(file: int) -> _Owner | None:
    """The owner that a locked file names; it may be about to be written."""
    for _ in range(20):
        if owner := _Owner.read(os.pread(file, 65536, 0)):
            return owner
        time.sleep(0.05)
    return None


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _mtime(path: str) -> int:
    with open(path, "rb") as file:  # opened: a network's cache is asked anew
        return os.fstat(file.fileno()).st_mtime_ns


# --- the ends of a process ------------------------------------------------------------


@contextlib.contextmanager
def _sigterm_lets_go() -> Iterator[None]:
    """SIGTERM ends the process as ever, but removes its locks first.

    Whoever listens to the signal already sees to an orderly end.
    """
    _forks_hold_nothing()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    for lock in list(_HELD.values()):
        with contextlib.suppress(Exception):
            lock.let_go()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@functools.cache
def _forks_hold_nothing() -> None:
    """A child that outlives its parent must not keep the parent's lock."""

    def forget() -> None:
        for lock in _HELD.values():
            lock.close()
        _HELD.clear()

    os.register_at_fork(after_in_child=forget)

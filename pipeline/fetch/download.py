"""Downloads one published file: goes on where it stopped, tries again, checks it.

    FOLDER/NAME.part   what is there so far; a later call goes on from it
    FOLDER/NAME        the whole file, its checksum verified

TensorFlow Datasets' own download manager is not used: it puts each try into a fresh
directory and starts from the first byte, which is no way to get 9 GB.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re

import httpx
import rich.console
import rich.progress
import tenacity
from rich.filesize import decimal

from pipeline.fetch.disk import require_room
from pipeline.fetch.errors import FetchError

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30.0  # to connect, and between two pieces of the body
_LONGEST_PAUSE_S = 120.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # worth another try
# Kept as they come: a body that was compressed on the way would have other bytes.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "trailrank"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a silent or breaking server is asked.

    Attributes:
        tries: Failures in a row after which to give up; a try that brings bytes that
            were not there before starts the count anew.
        pause_s: Before the second try; doubled before each further one.
    """

    tries: int = 5
    pause_s: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A published file and how to know it.

    Attributes:
        url: Ends in the file's name.
        checksum: `md5:...` or `sha256:...`, in hexadecimal digits.
    """

    url: str
    checksum: str
    patience: Patience = Patience()

    @property
    def name(self) -> str:
        """The name it is saved under."""
        return self.url.rsplit("/", 1)[-1]


class _BrokenOff(Exception):
    """A try failed in a way that the next may not.

    Attributes:
        pause_s: What the server asked to wait.
    """

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


def progress_bars(console: rich.console.Console) -> rich.progress.Progress:
    """Bars with megabytes, speed and the time left."""
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
        console=console,
    )


def download(
    file: RemoteFile,
    folder: pathlib.Path,
    progress: rich.progress.Progress,
    room_bytes: int = 0,
) -> pathlib.Path:
    """Path of the whole file in `folder`, its checksum verified.

    A file of that name that is there already is taken, if it is the right one.

    Args:
        folder: An existing directory.
        room_bytes: Disk that is needed beside the file itself.

    Raises:
        FetchError: No connection, no room, or not the file that was published.
    """
    whole = folder / file.name
    if whole.exists():
        verify(whole, file, progress)
        return whole
    part = folder / f"{file.name}.part"
    task = progress.add_task(f"downloading {file.name}", total=None)
    with httpx.Client(
        headers=_HEADERS, timeout=_TIMEOUT_S, follow_redirects=True
    ) as client:
        transfer = _Transfer(client, file, part, progress, task, room_bytes)
        _download_patiently(transfer, whole)
    _verify_download(part, file, progress)
    part.rename(whole)
    return whole


def verify(
    path: pathlib.Path, file: RemoteFile, progress: rich.progress.Progress
) -> None:
    """Raises FetchError unless `path` holds exactly the published bytes."""
    if not path.is_file():
        raise FetchError(f"fetch: {path}: no such file.")
    found = checksum(path, file.checksum.split(":")[0], progress)
    if found != file.checksum:
        raise FetchError(
            f"fetch: {path} ({decimal(path.stat().st_size)}) has {found}, but "
            f"{file.name} as published has {file.checksum}: it is incomplete, changed "
            f"or another file. Remove it and get it again from {file.url}"
        )


def checksum(
    path: pathlib.Path, algorithm: str, progress: rich.progress.Progress
) -> str:
    """The file's `algorithm:digest`."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with progress.open(path, "rb", description=f"checking {path.name}") as blocks:
        while block := blocks.read(_BLOCK_BYTES):
            digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


@dataclasses.dataclass(frozen=True)
class _Transfer:
    """One file on its way, and the bar that shows it."""

    client: httpx.Client
    file: RemoteFile
    part: pathlib.Path
    progress: rich.progress.Progress
    task: rich.progress.TaskID
    room_bytes: int

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.progress.console.print(text, markup=False, soft_wrap=True)

    def have_bytes(self) -> int:
        """Bytes on the disk."""
        return self.part.stat().st_size if self.part.exists() else 0

    def go_on(self) -> None:
        """One request for all that is missing.

        Raises:
            _BrokenOff: Another try may bring the rest.
        """
        have = self.have_bytes()
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self.client.stream("GET", self.file.url, headers=headers) as response:
                if response.status_code == 416:
                    self._at_or_past_the_end(response, have)
                else:
                    self._save(response, have)
        except httpx.HTTPError as error:
            raise _BrokenOff(f"{type(error).__name__}: {error}") from None

    def _save(self, response: httpx.Response, have: int) -> None:
        """Writes the body where it belongs."""
        self._refuse_errors(response)
        start = self._start(response, have)
        total = _total_bytes(response, start)
        if have and not start:
            self.say(f"{self.file.url} cannot go on: starting over.")
        if total is not None:
            require_room(
                self.part.parent, total - start + self.room_bytes, self.file.name
            )
        self.progress.reset(self.task, total=total, completed=start)
        with self.part.open("r+b" if have else "wb") as out:
            out.seek(start)
            if start < have:
                out.truncate()
            for piece in response.iter_raw():
                out.write(piece)
                self.progress.advance(self.task, len(piece))

    def _refuse_errors(self, response: httpx.Response) -> None:
        status = f"{response.status_code} {response.reason_phrase}"
        if response.status_code in _BUSY:
            raise _BrokenOff(status, _asked_pause_s(response))
        if response.status_code not in (200, 206):
            raise FetchError(
                f"fetch: {self.file.url} answers {status}. Open it in a browser to "
                "see why; a copy of the file from anywhere can be given with --archive."
            )

    def _start(self, response: httpx.Response, have: int) -> int:
        """Position in the file of the body's first byte: 0 without Range support.

        The server's own word counts, not its Accept-Ranges: Zenodo has answered 206
        and `Accept-Ranges: none` at once.
        """
        if response.status_code == 200:
            return 0
        told = response.headers.get("Content-Range", "")
        match = re.match(r"bytes (\d+)-", told)
        if match is None or int(match[1]) > have:
            self.part.unlink(missing_ok=True)
            raise _BrokenOff(f"a part of the file that is not the next ({told!r})")
        return int(match[1])

    def _at_or_past_the_end(self, response: httpx.Response, have: int) -> None:
        """416: the part is the whole file already, or longer than the file."""
        if response.headers.get("Content-Range", "") == f"bytes */{have}":
            return
        self.part.unlink()
        raise _BrokenOff("the part that is here does not fit the file; starting over")


def _download_patiently(transfer: _Transfer, whole: pathlib.Path) -> None:
    """Tries until the file is whole, or until too many tries in a row brought nothing.

    Raises:
        FetchError: It was given up.
    """
    have = transfer.have_bytes()
    if have:
        transfer.say(f"Going on after the {decimal(have)} that are here.")
    patience = transfer.file.patience
    tries = _Tries(transfer, whole, furthest=have)
    tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_BrokenOff),
        after=tries.look,
        stop=tenacity.stop_after_attempt(patience.tries),
        wait=tries.pause_s,
        before_sleep=tries.tell,
        retry_error_callback=tries.give_up,
    )(transfer.go_on)


@dataclasses.dataclass
class _Tries:
    """What tenacity asks between two tries for one file.

    Attributes:
        transfer: What is tried.
        whole: Where the file will be.
        furthest: Most bytes that were there after any try.
    """

    transfer: _Transfer
    whole: pathlib.Path
    furthest: int

    def look(self, state: tenacity.RetryCallState) -> None:
        """After a try: one that brought new bytes starts the count anew.

        `attempt_number` is what stop and wait go by.
        """
        have = self.transfer.have_bytes()
        if have > self.furthest:
            self.furthest, state.attempt_number = have, 1

    def pause_s(self, state: tenacity.RetryCallState) -> float:
        """Doubled from try to try, or what the server asks for, if that is longer."""
        own = tenacity.wait_exponential(self.transfer.file.patience.pause_s)(state)
        return max(_failure(state).pause_s, own)

    def tell(self, state: tenacity.RetryCallState) -> None:
        """Says before a pause how things stand."""
        self.transfer.say(
            f"Broken off after {decimal(self.transfer.have_bytes())} "
            f"({_failure(state)}). Again in {state.upcoming_sleep:g} s, try "
            f"{state.attempt_number + 1} of {self.transfer.file.patience.tries}."
        )

    def give_up(self, state: tenacity.RetryCallState) -> None:
        """FetchError with what can be done."""
        raise FetchError(_given_up(self.transfer, self.whole, _failure(state)))


def _failure(state: tenacity.RetryCallState) -> _BrokenOff:
    """How the last try failed."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _BrokenOff)  # nothing else is tried again
    return error


def _given_up(transfer: _Transfer, whole: pathlib.Path, error: _BrokenOff) -> str:
    file = transfer.file
    return (
        f"fetch: {file.url} cannot be downloaded: gave up after {file.patience.tries} "
        f"tries without a new byte ({error}).\n"
        f"  With a network: run the same command again; it goes on from the "
        f"{decimal(transfer.have_bytes())} already here.\n"
        f"  Without one: download that address on another machine and put the file at\n"
        f"      {whole}\n"
        f"  or anywhere with --archive PATH, and run the same command again.\n"
        f"  Its checksum must be {file.checksum}"
    )


def _verify_download(
    part: pathlib.Path, file: RemoteFile, progress: rich.progress.Progress
) -> None:
    """Removes what was downloaded if it is not what was published."""
    found = checksum(part, file.checksum.split(":")[0], progress)
    if found == file.checksum:
        return
    size_bytes = part.stat().st_size
    part.unlink()
    raise FetchError(
        f"fetch: {file.url} gave {decimal(size_bytes)} with {found}, but {file.name} "
        f"as published has {file.checksum}. The wrong file was removed: run the same "
        "command again. If that happens twice, something on the way changes it "
        "(a proxy, a login page): download it in a browser and give it with --archive."
    )


def _total_bytes(response: httpx.Response, start: int) -> int | None:
    """Size of the whole file, where the server tells it."""
    length = response.headers.get("Content-Length")
    return start + int(length) if length else None


def _asked_pause_s(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdigit() else 0.0

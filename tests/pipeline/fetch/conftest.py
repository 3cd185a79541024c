"""A real web server in a thread, and a small archive in KuaiRand's layout."""

import collections
import dataclasses
import hashlib
import http.server
import io
import pathlib
import tarfile
import threading

import pytest
import rich.console

from pipeline.fetch.download import Patience, progress_bars
from pipeline.fetch.kuairand import RELEASES, Release

NO_PAUSES = Patience(tries=3, pause_s=0)


class FileServer:
    """Serves `content` at every path but `/old/...`, which redirects.

    Attributes:
        ranges: Whether it knows the Range header.
        aligned_to: Answers to a Range begin at a multiple of this.
        cuts: Of each answer to come, the body's bytes after which it hangs up.
        statuses: Answers (status, headers) to give before any content.
        held: Once set, answers that were cut hang up; until then they stay silent.
        asked: The Range header of each request, or None.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges = True
        self.aligned_to = 1
        self.cuts: collections.deque[int] = collections.deque()
        self.statuses: collections.deque[tuple[int, dict]] = collections.deque()
        self.held = threading.Event()
        self.held.set()
        self.asked: list[str | None] = []
        handler = type("Handler", (_Handler,), {"of": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    of: FileServer

    def do_GET(self) -> None:
        if self.path.startswith("/old/"):
            return self._head(302, {"Location": self.path.removeprefix("/old")})
        self.of.asked.append(self.headers["Range"])
        if self.of.statuses:
            return self._head(*self.of.statuses.popleft())
        self._body()

    def _body(self) -> None:
        size, asked = len(self.of.content), self.headers["Range"]
        start = 0
        if asked and self.of.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            start -= start % self.of.aligned_to
            if start >= size:
                return self._head(416, {"Content-Range": f"bytes */{size}"})
            told = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
            self._head(206, told | {"Content-Length": str(size - start)})
        else:
            self._head(200, {"Content-Length": str(size)})
        if self.of.cuts:
            self.wfile.write(self.of.content[start : start + self.of.cuts.popleft()])
            self.wfile.flush()
            self.of.held.wait()
        else:
            self.wfile.write(self.of.content[start:])

    def _head(self, status: int, headers: dict) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def serve():
    """Starts a FileServer of some bytes."""
    servers = []

    def start(content: bytes) -> FileServer:
        servers.append(FileServer(content))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def bars():
    """Progress bars whose lines can be read with `bars.console.file.getvalue()`."""
    with progress_bars(rich.console.Console(file=io.StringIO())) as progress:
        yield progress


@pytest.fixture(scope="session")
def logs(tmp_path_factory) -> pathlib.Path:
    """Some 200 impressions: a folder `KuaiRand-Pure` as the archive has it."""
    from pipeline.simulator import simulate

    made = tmp_path_factory.mktemp("few")
    simulate(str(made), users=5, days=2, rows_per_user_day=20, seed=1)
    folder = made / "KuaiRand-Pure"
    folder.mkdir()
    (made / "data").rename(folder / "data")
    (folder / "load_data_pure.py").write_text("print('KuaiRand')\n")
    return folder


@pytest.fixture(scope="session")
def packed(logs) -> bytes:
    """The folder as a tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(logs, arcname=logs.name)
    return out.getvalue()


@pytest.fixture
def release(packed) -> Release:
    """KuaiRand-Pure with the small archive's md5, at an address nobody listens at."""
    return dataclasses.replace(
        RELEASES["kuairand-pure"],
        md5=hashlib.md5(packed).hexdigest(),
        base_url="http://127.0.0.1:1",
        patience=NO_PAUSES,
    )


@pytest.fixture
def served(serve, packed, release) -> tuple[FileServer, Release]:
    """A server of the archive, and the release that is found there."""
    server = serve(packed)
    return server, dataclasses.replace(release, base_url=server.url)

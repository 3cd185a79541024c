"""Nothing that a client sends takes the server down, holds it, or fills its memory.

Some hundreds of requests; TRAILRANK_FUZZ_REQUESTS=10000 sends so many to a server in a
process of its own, and then another client's waiting time is judged, too.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.options import ServerOptions
from serving.server.server import Server
from tests.serving import fuzzer, grpc_fuzzer
from tests.serving.http_service import read_all

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("TRAILRANK_FUZZ_REQUESTS", "300"))
IS_LONG = COUNT > 1000
# In the suite the clients are in the same process.
MOST_GROWTH_BYTES = (100 if IS_LONG else 250) * 2**20
HANG_S = 60  # a reply that takes longer never comes
SEED = int(os.environ.get("TRAILRANK_FUZZ_SEED", "14"))
STATUS_LINE = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
UNIMPLEMENTED = 501  # of tensors that upstream reads from no JSON
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
GOOD = b'{"inputs": [1.0]}'
LIMITS = {"header_timeout_s": 1.0, "body_timeout_s": 1.0, "keep_alive_s": 30.0}
SERVER = """
import sys
from serving.options import ServerOptions
from serving.server.server import serve
rest, over_grpc = map(int, sys.argv[2:])
serve(sys.argv[1], ServerOptions(rest_port=rest, grpc_port=over_grpc, {limits}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, save_half_plus_two):
    """A server's address, that of its gRPC, and its process."""
    models = tmp_path_factory.mktemp("fuzz")
    save_half_plus_two(models / "half" / "1")
    if IS_LONG:
        with _process(str(models)) as found:
            yield found
        return
    options = ServerOptions(rest_port=0, grpc_port=0, **LIMITS)
    with Server(str(models), options) as found:
        yield _address(found.url), _address(found.grpc_address), os.getpid()


def _address(where: str) -> tuple[str, int]:
    return "127.0.0.1", int(where.rsplit(":", 1)[1])


@contextlib.contextmanager
def _process(models):
    with contextlib.ExitStack() as stack:
        free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        addresses = [stack.enter_context(one).getsockname() for one in free]
    limits = ", ".join(f"{name}={value}" for name, value in LIMITS.items())
    command = [sys.executable, "-c", SERVER.format(limits=limits), models]
    command += [str(port) for _, port in addresses]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(addresses[0]).close()
                break
            time.sleep(0.1)
        yield *addresses, process.pid
        process.terminate()
        assert process.wait(HANG_S) in (0, -15)


def resident_bytes(process: int) -> int:
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def send(address, attack: fuzzer.Attack) -> bytes:
    """What comes back, up to the server's end of the connection."""
    with socket.create_connection(address, HANG_S) as client:
        with contextlib.suppress(ConnectionError):
            for part in attack.parts:
                client.sendall(part)
        if attack.ends == "resets":
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        return read_all(client) if attack.ends == "reads" else b""


NEIGHBOUR = """
import http.client, json, sys, threading, time
host, port, body = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
waits_s, wrong, stop = [], [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
connection = http.client.HTTPConnection(host, port, timeout=60)
while not stop.wait(0.01):
    begin = time.perf_counter()
    connection.request("POST", "/v1/models/half:predict", body)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    waits_s.append(time.perf_counter() - begin)
    if found != (200, '{"outputs": [2.5]}'):
        wrong.append(found)
print(json.dumps([waits_s, wrong]))
"""


@contextlib.contextmanager
def neighbour(address):
    """A client in a process of its own that asks a good question again and again.

    Gives lists that are filled at the end: how long it waited, and answers that are
    wrong.
    """
    waits_s, wrong = [], []
    command = [sys.executable, "-c", NEIGHBOUR, address[0], str(address[1]), GOOD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield waits_s, wrong
        told, _ = process.communicate(timeout=HANG_S)
        for found, all_found in zip((waits_s, wrong), json.loads(told), strict=True):
            found.extend(all_found)


def failures(address, seed, count) -> list[tuple[object, bytes]]:
    """Attacks, from four threads, that got a 5xx, or no reply to a whole request."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        seeds = (f"{seed}-{part}" for part in range(4))
        parts = list(pool.map(lambda s: _failures(address, s, count // 4), seeds))
    return [failure for part in parts for failure in part]


def _failures(address, seed, count) -> list[tuple[object, bytes]]:
    draw, found = random.Random(seed), []
    for _ in range(count):
        attack = fuzzer.attack(draw)
        reply = send(address, attack)
        statuses = [int(status) for status in STATUS_LINE.findall(reply)]
        if any(status >= 500 and status != UNIMPLEMENTED for status in statuses):
            found.append((attack, reply))
        if attack.is_whole and not statuses and not _may_be_silent(attack):
            found.append((attack, reply))
    return found


def grpc_failures(address, seed, count) -> list[tuple[str, bytes, str, str]]:
    """Half as many calls, from two threads, whose end is the server's fault, or that had none."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        seeds = (f"{seed}-{part}" for part in range(2))
        parts = pool.map(lambda s: _grpc_failures(address, s, count // 4), seeds)
        return [failure for part in parts for failure in part]


def _grpc_failures(address, seed, count) -> list[tuple[str, bytes, str, str]]:
    draw, found = random.Random(seed), []
    with grpc.insecure_channel("{}:{}".format(*address)) as channel:
        for _ in range(count):
            method, sent = grpc_fuzzer.call(draw)
            try:
                channel.unary_unary(method)(sent, timeout=HANG_S)
            except grpc.RpcError as error:
                if error.code() not in REFUSALS:
                    found.append((method, sent, str(error.code()), error.details()))
            if draw.random() < 0.02:
                noise = draw.choice(grpc_fuzzer.NOISE)
                send(address, fuzzer.Attack((noise,), "leaves", is_whole=False))
    return found


def _may_be_silent(attack: fuzzer.Attack) -> bool:
    """Empty lines alone are no request; a reset may overtake the reply to a flood."""
    sent = b"".join(attack.parts)
    return not sent.strip() or len(sent) > 16_384


def test_bad_requests_get_a_4xx_while_others_are_served(server):
    address, over_grpc, process = server
    # Memory as after some work.
    assert failures(address, SEED, COUNT // 5) == []
    assert grpc_failures(over_grpc, SEED, COUNT // 5) == []
    before = resident_bytes(process)
    with neighbour(address) as (waits_s, wrong):
        found = failures(address, SEED + 1, COUNT)
        found_by_grpc = grpc_failures(over_grpc, SEED + 1, COUNT)
    grown_bytes = resident_bytes(process) - before
    waits_s.sort()
    late_s = waits_s[int(len(waits_s) * 0.99)]
    print(
        f"{COUNT} requests, and half as many over gRPC; the neighbour's {len(waits_s)}: 50 % in "
        f"{waits_s[len(waits_s) // 2] * 1e3:.1f} ms, 99 % in {late_s * 1e3:.0f} ms, "
        f"all in {waits_s[-1] * 1e3:.0f} ms; memory grew by "
        f"{grown_bytes / 2**20:.0f} MiB"
    )
    assert [(a.parts[0][:300], reply[:300]) for a, reply in found] == []
    assert found_by_grpc == []
    assert wrong == []
    assert grown_bytes < MOST_GROWTH_BYTES
    if IS_LONG:  # a suite on a loaded machine does not judge time
        assert late_s < 0.25


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(lambda b64: {"b64": b64}, st.text())
)
VALUES = st.recursive(
    LEAVES, lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=20
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(fuzzer.SIGNATURES) | VALUES,
        "instances": VALUES,
        "inputs": VALUES
        | st.dictionaries(st.sampled_from(("count", "text", "x")), VALUES),
        "examples": st.lists(st.dictionaries(st.text(), VALUES)) | VALUES,
        "context": VALUES,
    },
)


@given(BODIES, st.sampled_from(("predict", "classify", "regress")))
@settings(
    max_examples=max(100, COUNT // 10),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_any_json_gets_an_answer_or_a_400(server, body, verb):
    address, _, _ = server
    connection = http.client.HTTPConnection(*address, timeout=HANG_S)
    text = json.dumps(body).encode()
    connection.request("POST", f"/v1/models/half:{verb}", text)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    assert answer.status in (200, 400, 404, 501)
    assert set(found) <= {"predictions", "outputs", "results", "error"}

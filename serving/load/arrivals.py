"""Requests that are sent when they are due, whether or not others are answered.

Users do not wait for each other. A generator that sends its next request when it has
the last answer ("closed loop") sends fewest while the server is slow, and leaves out
the very waits that users see ("coordinated omission"). Here the times are drawn before,
as a Poisson process, and a request's latency counts from the time that it was due.

A generator has limits of its own: it, too, may be late. How late each request was sent
is kept. As the times are a Poisson process's, they see the generator as it is on
average (PASTA: Wolff, Operations Research 30, 1982, 223-231): what they waited to be
sent, answers waited to be read.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

TIMEOUT = "timeout"
_LEAD_S = 0.02  # until the first is due: nothing is late from the start
_COARSE_S = 0.001  # timers wake up so much late at most; the rest is waited for awake

Floats = npt.NDArray[np.float64]
Send = Callable[[int], Awaitable[str]]  # request's number -> kind of error, or ""


@dataclasses.dataclass(frozen=True, eq=False)
class Traffic:
    """What became of requests that were due at some times.

    Attributes:
        due_s: When each was due, from the start, [N].
        lag_s: How late those that were sent were sent.
        latency_s: From when it was due to its answer, of each that was answered, and of
            each that timed out: its wait until then, which was not the whole.
        answered: How many were.
        not_sent: As many were due while too many others waited for their answers.
        errors: Kind -> number of those that were sent.
        seconds: From the start to the last answer.
    """

    due_s: Floats
    lag_s: Floats
    latency_s: Floats
    answered: int
    not_sent: int
    errors: dict[str, int]
    seconds: float


def arrival_times(rate: float, seconds: float, most: int, seed: int) -> Floats:
    """Times of a Poisson process, in seconds from its start, rising.

    The gaps between them are exponential with mean 1 / rate.

    Args:
        rate: Arrivals a second, on average.
        seconds: None is later.
        most: There are no more.
        seed: Of the draws.
    """
    draws = np.random.default_rng(seed)
    parts, end, left = [], 0.0, most
    while left and end < seconds:
        count = min(left, int(rate * (seconds - end)) + 100)
        gaps = draws.exponential(1 / rate, count)
        parts.append(end + np.cumsum(gaps))
        end, left = float(parts[-1][-1]), left - count
    times = np.concatenate(parts) if parts else np.zeros(0)
    return times[times <= seconds]


async def send_when_due(send: Send, due_s: Floats, most_in_flight: int) -> Traffic:
    """Sends request n when it is due, and waits for the answers to all.

    Args:
        send: Sends a request and waits for its answer, or until it times out.
        due_s: When each is due, in seconds, rising.
        most_in_flight: That wait for their answers at a time; a request that is due
            while so many do is not sent.
    """
    counted = _Counted()
    loop = asyncio.get_running_loop()
    start = loop.time() + _LEAD_S
    running: set[asyncio.Task[None]] = set()
    not_sent = 0
    for number, due in enumerate((start + due_s).tolist()):
        await _until(due)
        if len(running) >= most_in_flight:
            not_sent += 1
            continue
        task = loop.create_task(counted.one(send, number, due))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(set(running))
    return Traffic(
        due_s=due_s,
        lag_s=np.array(counted.lag_s),
        latency_s=np.array(counted.latency_s),
        answered=counted.answered,
        not_sent=not_sent,
        errors=dict(counted.errors),
        seconds=max(counted.end - start, 0.0),
    )


class _Counted:
    """Sums over requests."""

    def __init__(self) -> None:
        self.lag_s: list[float] = []
        self.latency_s: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()
        self.answered = 0
        self.end = 0.0

    async def one(self, send: Send, number: int, due: float) -> None:
        """Sends a request and keeps what came of it."""
        loop = asyncio.get_running_loop()
        self.lag_s.append(loop.time() - due)
        error = await send(number)
        self.end = loop.time()
        if error:
            self.errors[error] += 1
        else:
            self.answered += 1
        if error in ("", TIMEOUT):  # what gave up had waited, too
            self.latency_s.append(self.end - due)


async def _until(due: float) -> None:
    """Waits for a time of the loop's clock; others get their turn in any case.

    A timer of the loop has steps of a millisecond, as long as a fast answer takes.
    """
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(due - loop.time() - _COARSE_S, 0))
    while loop.time() < due:
        await asyncio.sleep(0)

"""When a client asks again: calls change nothing on the server, so all may be repeated,
but only failures that may pass are."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any

import tenacity

from feature_specs.errors import UsageError
from serving.client.calls import ClientError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retries:
    """How often and how soon a call is repeated that was refused for the moment (HTTP
    429 and 503, gRPC UNAVAILABLE) or lost its connection.

    Attributes:
        tries: In all; 1 repeats nothing.
        first_pause_s: Before the second try; doubled from try to try, and up to as much
            again at random, so that many clients do not come back at once.
        longest_pause_s: Of these pauses. One that the server asks for (Retry-After) is
            kept if it is longer.

    Raises:
        UsageError: A number that cannot be.
    """

    tries: int = 3
    first_pause_s: float = 0.1
    longest_pause_s: float = 2.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise UsageError(f"Retries: tries must be at least 1. Got {self.tries}.")
        if not 0 <= self.first_pause_s <= self.longest_pause_s:
            raise UsageError(
                "Retries: must be 0 <= first_pause_s <= longest_pause_s. Got "
                f"{self.first_pause_s} and {self.longest_pause_s}."
            )

    def run(self, send: Callable[[float], Any], timeout_s: float) -> Any:
        """What `send(seconds that are left)` gives.

        A pause that would end after `timeout_s` is not begun.

        Raises:
            ClientError: The last try's.
        """
        left_s = _Countdown(timeout_s)
        return tenacity.Retrying(**self._rules(timeout_s))(lambda: send(left_s()))

    async def run_async(
        self, send: Callable[[float], Awaitable[Any]], timeout_s: float
    ) -> Any:
        """`run` for a coroutine function."""
        left_s = _Countdown(timeout_s)

        async def try_once() -> Any:
            return await send(left_s())

        return await tenacity.AsyncRetrying(**self._rules(timeout_s))(try_once)

    def _rules(self, timeout_s: float) -> dict[str, Any]:
        return {
            "retry": tenacity.retry_if_exception(_may_pass),
            "stop": tenacity.stop_after_attempt(self.tries)
            | tenacity.stop_before_delay(timeout_s),
            "wait": self._pause_s,
            "reraise": True,
        }

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        own = tenacity.wait_exponential_jitter(
            self.first_pause_s, self.longest_pause_s, jitter=self.first_pause_s
        )(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ClientError) else 0.0
        return max(own, asked)


class _Countdown:
    """Seconds that are left of a time that begins now; never 0, which some take for
    no limit."""

    def __init__(self, timeout_s: float):
        self._end = time.monotonic() + timeout_s

    def __call__(self) -> float:
        return max(self._end - time.monotonic(), 0.001)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ClientError) and error.may_pass

"""A version on trial: a canary answers a share of the requests, a shadow scores some.

The shadow runs off the path of requests, in a thread of its own behind a bounded
queue: where that is full, a sample is dropped and counted, and nobody waits. Whatever
fails on a version on trial is counted and logged; the client has the answer of the
version that serves.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.models.servable import named
from serving.options import TrialOptions
from serving.server.recorder import Recorder
from serving.server.sample_log import (
    CANARY,
    CONTROL,
    SHADOWED,
    Arrays,
    Sample,
    SampleLog,
    order_of,
)
from serving.server.sampling import content_of, place_of, pseudonym_of, user_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.server.service import Answer, Call, Loaded, Service

_LOG = logging.getLogger("trailrank.serving")
_MB = 2**20
_NOTHING: Arrays = {}
_TOP_K = "top_k"  # of `rank`: the shadow scores all candidates, however few are wanted


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A request, and what it is told apart by."""

    call: Call
    arrays: Arrays
    options: TrialOptions

    @functools.cached_property
    def request_id(self) -> str:
        call = self.call
        return call.request_id or content_of(call.model, call.signature, self.arrays)

    @functools.cached_property
    def user(self) -> str | None:
        return user_of(self.arrays, self.options.user_key)

    def place(self, purpose: str) -> float:
        """In [0, 1): a shadow goes by requests, a canary by users."""
        what = self.request_id
        if purpose == CANARY and self.user is not None:
            what = self.user
        return place_of(what, self.options.trial_seed, purpose)


class Trials:
    """The versions on trial of a service.

    Args:
        options: Which, and of what share.
        service: Finds and runs versions, and counts.
    """

    def __init__(self, options: TrialOptions, service: Service):
        self._options, self._service = options, service
        self._metrics = service.metrics.trial()
        self._shadow_share = options.share_of("shadow")
        self._canary_share = options.share_of("canary")
        self._recorder: Recorder[_Waiting] | None = None
        if options.shadow_log is not None:
            log = SampleLog(
                options.shadow_log,
                options.shadow_log_file_mb * _MB,
                options.shadow_log_most_mb * _MB,
                options.shadow_log_roll_s,
            )
            self._recorder = Recorder(
                log,
                self._recorded,
                self._metrics,
                most=options.shadow_queue,
                most_bytes=options.shadow_queue_mb * _MB,
            )

    def close(self) -> None:
        """Takes no more samples, and writes those that are there."""
        if self._recorder is not None:
            self._recorder.close()

    def run(
        self, loaded: Loaded, call: Call, arrays: Arrays, wanted: Sequence[str]
    ) -> Answer:
        """What the canary answers if it is its turn, else what `loaded` does.

        Raises:
            ServingError: The version that serves fails.
            Exception: Whatever it raises.
        """
        asked = _Asked(call, arrays, self._options)
        arm, error, answer = self._drawn(loaded, asked), "", None
        begin = time.perf_counter()
        if arm == CANARY:
            answer, error = self._from_canary(call, arrays, wanted)
        if answer is None:
            answer = self._service.run(loaded, call, arrays, wanted)
            if error:  # of a request that can be answered
                self._metrics.failed(CANARY)
        took_ms = 1000 * (time.perf_counter() - begin)
        self._note(asked, arm, answer, took_ms, error)
        return answer

    def _drawn(self, loaded: Loaded, asked: _Asked) -> str:
        try:
            return self._arm(loaded, asked)
        except Exception:  # whatever a request holds, it is answered
            _LOG.exception("canary: a request is not drawn")
            return ""

    def _note(
        self, asked: _Asked, arm: str, answer: Answer, took_ms: float, error: str
    ) -> None:
        try:
            if arm:
                self._keep(asked, arm, answer, took_ms, error)
            elif self._is_shadowed(answer, asked):
                self._keep(asked, SHADOWED, answer, took_ms, "")
        except Exception:  # whatever a request holds, its answer is sent
            _LOG.exception("shadow: a sample is lost")
            self._metrics.dropped("log_failed")

    # --- who is drawn -----------------------------------------------------------------

    def _arm(self, loaded: Loaded, asked: _Asked) -> str:
        """`canary`, as large a `control`, or neither, of requests for no version."""
        call, share = asked.call, self._canary_share
        if not share or call.version is not None or call.label is not None:
            return ""
        if loaded.version == self._number("canary", call.model):
            return ""  # there is no other
        place = asked.place(CANARY)
        if place < share:
            return CANARY
        is_control = place < 2 * share and self._recorder is not None
        return CONTROL if is_control else ""

    def _is_shadowed(self, answer: Answer, asked: _Asked) -> bool:
        if not self._shadow_share:
            return False
        if answer.version == self._number("shadow", asked.call.model):
            return False  # it has answered itself
        return asked.place(SHADOWED) < self._shadow_share

    def _number(self, trial: str, model: str) -> int | None:
        """The version on trial of a model, by now; None of an unknown label."""
        name, found = getattr(self._options, trial), self._service.store.get(model)
        return found.number_of(name) if found and name else None

    def _find(self, trial: str, model: str) -> Loaded:
        """It stays loaded as long as somebody has it, wherever its label moves."""
        name = getattr(self._options, trial)
        if name.isdecimal():
            return self._service.find(model, version=int(name))
        return self._service.find(model, label=name)

    # --- what they do -----------------------------------------------------------------

    def _from_canary(
        self, call: Call, arrays: Arrays, wanted: Sequence[str]
    ) -> tuple[Answer | None, str]:
        """Its answer, or why there is none."""
        try:
            loaded = self._find("canary", call.model)
            answer = self._service.run(loaded, call, arrays, wanted)
        except Exception as error:  # as many kinds as graphs have ops
            return None, named(error)
        self._metrics.answered(call.model)
        return answer, ""

    def _keep(
        self, asked: _Asked, arm: str, answer: Answer, took_ms: float, error: str
    ) -> None:
        """Into the queue, if there is room."""
        if self._recorder is None:
            return
        call, options = asked.call, self._options
        user = asked.user
        self._metrics.sampled(call.model, arm)
        values = {
            "request_id": asked.request_id,
            "time_ms": time.time_ns() // 1_000_000,
            "arm": arm,
            "model": call.model,
            "signature": answer.signature_name,
            "api": call.api,
            "user": None if user is None else pseudonym_of(user, options.trial_seed),
            "version": answer.version,
            "took_ms": took_ms,
            "canary_error": error or None,
        }
        call = dataclasses.replace(call, is_wanted=_always)  # lets its client go
        self._recorder.put(_Waiting(call, asked.arrays, answer.outputs, values))

    def _recorded(self, waiting: _Waiting) -> Sample:
        """The row of a request, which the shadow scores if it is for it."""
        values, shadow = dict(waiting.values), _NOTHING
        if values["arm"] == SHADOWED:
            shadow, more = self._scored(waiting)
            values |= more
        values["order"] = order_of(waiting.outputs)
        values["items"] = _items(waiting.arrays.get(self._options.item_key))
        inputs = waiting.arrays if self._options.shadow_log_features else {}
        return Sample(
            values=values, inputs=inputs, served=waiting.outputs, shadow=shadow
        )

    def _scored(self, waiting: _Waiting) -> tuple[Arrays, dict[str, Any]]:
        """The shadow's outputs, and the columns that tell of it."""
        call, arrays = waiting.call, dict(waiting.arrays)
        found: dict[str, Any] = {"shadow_version": self._number("shadow", call.model)}
        try:
            loaded = self._find("shadow", call.model)
            found["shadow_version"] = loaded.version
            signature = self._service.fitting(loaded, call, arrays)
            if _TOP_K in arrays and "positions" in signature.outputs:
                arrays[_TOP_K] = np.zeros_like(arrays[_TOP_K])
            begin = time.perf_counter()
            outputs = signature(arrays)
        except Exception as error:  # as many kinds as graphs have ops
            self._metrics.failed("shadow")
            return _NOTHING, {**found, "shadow_error": named(error)}
        took_s = time.perf_counter() - begin
        self._metrics.shadow_took(call.model, took_s)
        found |= {"shadow_took_ms": 1000 * took_s, "shadow_order": order_of(outputs)}
        return outputs, found


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request that was answered, before it is scored and logged."""

    call: Call
    arrays: Arrays
    outputs: Arrays
    values: dict[str, Any]

    @functools.cached_property
    def size_bytes(self) -> int:
        return Sample(values={}, inputs=self.arrays, served=self.outputs).size_bytes


def _always() -> bool:
    return True


def _items(values: Any) -> list[str] | None:
    """Ids of candidates as text; None if there is no list of them."""
    if values is None or np.ndim(values) != 1:
        return None
    return [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in np.asarray(values).tolist()
    ]

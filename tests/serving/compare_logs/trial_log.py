"""Logs of a trial made by hand: requests of three candidates, scored [3, 2, 1]."""

import dataclasses

import numpy as np

from serving.server.sample_log import Sample, SampleLog, order_of

SCORES = [3.0, 2.0, 1.0]
LIKES = [0.1, 0.2, 0.3]


@dataclasses.dataclass(frozen=True)
class Request:
    """One row; `shadow` are its scores, and it likes `times` as much."""

    request_id: str
    user: str | None = None
    arm: str = "shadow"
    shadow: list[float] | None = None
    times: float = 1.0
    error: str | None = None
    positions: list[int] | None = None
    took_ms: float = 1.0

    def sample(self) -> Sample:
        served = {"log_score": np.array(SCORES), "like": np.array(LIKES)}
        if self.positions:
            count = len(self.positions)
            served = {name: values[:count] for name, values in served.items()}
            served["positions"] = np.array(self.positions, np.int32)
        shadow = {}
        if self.shadow and not self.error:
            likes = self.times * np.array(LIKES)
            shadow = {"log_score": np.array(self.shadow), "like": likes}
        elif self.arm != "shadow":
            served["like"] = self.times * served["like"]
        is_canary = self.arm == "canary"
        values = {
            "request_id": self.request_id,
            "time_ms": 1_700_000_000_000 + int(self.took_ms),
            "arm": self.arm,
            "model": "m",
            "signature": "rank",
            "api": "REST",
            "user": self.user,
            "items": ["a", "b", "c"],
            "version": 2 if is_canary and not self.error else 1,
            "took_ms": self.took_ms,
            "order": order_of(served),
            "canary_error": self.error if is_canary else None,
        }
        if self.arm == "shadow":
            values |= {
                "shadow_version": 2,
                "shadow_error": self.error,
                "shadow_order": order_of(shadow) if shadow else None,
                "shadow_took_ms": 2 * self.took_ms if shadow else None,
            }
        inputs = {"x": np.zeros(3)}
        return Sample(values=values, inputs=inputs, served=served, shadow=shadow)


def write_log(path, requests) -> None:
    log = SampleLog(str(path), file_bytes=2**20, most_bytes=2**30, roll_s=60.0)
    for request in requests:
        log.add(request.sample())
    assert log.flush() == 0

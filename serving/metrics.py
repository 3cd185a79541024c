"""What the server counts, under TensorFlow Serving's names for Prometheus."""

from __future__ import annotations

import prometheus_client

# TensorFlow Serving's: 10 microseconds, times 1.8 a bucket.
_BUCKETS_US = tuple(10 * 1.8**power for power in range(33))
_PREFIX = ":tensorflow:serving:"


class Metrics:
    """Counters and histograms of one server, in a registry of their own."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            f"{_PREFIX}request_count",
            "The total number of requests, by model and status.",
            ("model_name", "status"),
            registry=self._registry,
        )
        self._request_latency = self._histogram(
            "request_latency", "Of requests that succeeded.", "entrypoint"
        )
        self._runtime_latency = self._histogram(
            "runtime_latency", "Of the model alone.", "runtime"
        )

    def _histogram(
        self, name: str, text: str, label: str
    ) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            f"{_PREFIX}{name}",
            f"Distribution of wall time (in microseconds). {text}",
            ("model_name", "API", label),
            buckets=_BUCKETS_US,
            registry=self._registry,
        )

    def count(self, model: str, status: str) -> None:
        """One request more; `status` is a code's name, like `OK`."""
        self._requests.labels(model, status).inc()

    def request_took(
        self, model: str, api: str, entrypoint: str, took_s: float
    ) -> None:
        """The time of a request that succeeded; `entrypoint` is like `Predict`."""
        self._request_latency.labels(model, api, entrypoint).observe(took_s * 1e6)

    def model_took(self, model: str, api: str, took_s: float) -> None:
        """The time of the model in a request."""
        self._runtime_latency.labels(model, api, "TF1").observe(took_s * 1e6)

    def text(self) -> bytes:
        """Prometheus' text format."""
        lines = prometheus_client.generate_latest(self._registry).splitlines(True)
        # TensorFlow Serving's counters have no suffix, and its metrics no birthday.
        named = ((line, line.partition(b"{")) for line in lines)
        return b"".join(
            name.replace(b"request_count_total", b"request_count") + brace + rest
            for _, (name, brace, rest) in named
            if b"_created" not in name
        )

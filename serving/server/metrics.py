"""What the server counts, under TensorFlow Serving's names for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

import prometheus_client

# TensorFlow Serving's: 10 microseconds, times 1.8 a bucket.
_BUCKETS_US = tuple(10 * 1.8**power for power in range(33))
_PREFIX = ":tensorflow:serving:"
_OUR_PREFIX = ":trailrank:serving:"
# Of its batching_session, too: 100 microseconds, times 1.2; rows, times 2.
_QUEUING_US = tuple(100 * 1.2**power for power in range(52))
_ROWS = tuple(2.0**power for power in range(14))


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

    def batching(self) -> BatchingMetrics:
        """Those of requests that run together; to be asked for once."""
        return BatchingMetrics(self._registry)

    def trial(self) -> TrialMetrics:
        """Those of a version on trial; to be asked for once."""
        return TrialMetrics(self._registry)

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
            name.replace(b"_count_total", b"_count") + brace + rest
            for _, (name, brace, rest) in named
            if b"_created" not in name
        )


class BatchingMetrics:
    """What upstream's `batching_session` counts, in the registry of a `Metrics`."""

    _pool = "batch_threads"  # upstream's name of the threads

    def __init__(self, registry: prometheus_client.CollectorRegistry):
        prefix = f"{_PREFIX}batching_session:"
        self._queuing = prometheus_client.Histogram(
            f"{prefix}queuing_latency",
            "Distribution of wall time spent (in microseconds) in queuing.",
            ("thread_pool_name",),
            buckets=_QUEUING_US,
            registry=registry,
        )
        self._runs = prometheus_client.Counter(
            f"{prefix}wrapped_run_count",
            "Total count of run calls on the wrapped session.",
            registry=registry,
        )
        self._input = prometheus_client.Histogram(
            f"{prefix}input_batch_size",
            "Tracks the batch size distribution on the inputs.",
            buckets=_ROWS,
            registry=registry,
        )
        self._processed = prometheus_client.Histogram(
            f"{prefix}processed_batch_size",
            "Tracks the batch size distribution on processing.",
            buckets=_ROWS,
            registry=registry,
        )
        self._padding = prometheus_client.Histogram(
            f"{prefix}padding_size",
            "Tracks the padding size distribution on batches.",
            ("execution_batch_size",),
            buckets=_ROWS,
            registry=registry,
        )

    def waited(self, took_s: float) -> None:
        """A task's time in the queue."""
        self._queuing.labels(self._pool).observe(took_s * 1e6)

    def ran(self, task_rows: Sequence[int], padded_rows: int) -> None:
        """A batch of tasks of so many rows ran with `padded_rows` in all."""
        self._runs.inc()
        for rows in task_rows:
            self._input.observe(rows)
        self._processed.observe(padded_rows)
        padding = padded_rows - sum(task_rows)
        self._padding.labels(str(padded_rows)).observe(padding)


class TrialMetrics:
    """Of a shadow and a canary, under our own name: TensorFlow Serving has none."""

    def __init__(self, registry: prometheus_client.CollectorRegistry):
        def counter(name: str, text: str, *labels: str) -> prometheus_client.Counter:
            return prometheus_client.Counter(
                f"{_OUR_PREFIX}{name}_count", text, labels, registry=registry
            )

        self._sampled = counter(
            "sampled", "Requests drawn for the log, by arm.", "model_name", "arm"
        )
        self._dropped = counter(
            "sample_dropped", "Of those, not logged, and why.", "reason"
        )
        self._failed = counter(
            "trial_failed", "Requests that a version on trial failed.", "trial"
        )
        self._answered = counter(
            "canary_answered", "Requests that the canary answered.", "model_name"
        )
        self.depth = prometheus_client.Gauge(
            f"{_OUR_PREFIX}sample_queue_depth", "Samples that wait.", registry=registry
        )
        self.log_bytes = prometheus_client.Gauge(
            f"{_OUR_PREFIX}sample_log_bytes", "Of the log's files.", registry=registry
        )
        self._latency = prometheus_client.Histogram(
            f"{_OUR_PREFIX}shadow_latency",
            "Distribution of wall time (in microseconds) of the shadow's model.",
            ("model_name",),
            buckets=_BUCKETS_US,
            registry=registry,
        )

    def sampled(self, model: str, arm: str) -> None:
        """One request is drawn; `arm` is `shadow`, `canary` or `control`."""
        self._sampled.labels(model, arm).inc()

    def dropped(self, reason: str, samples: int = 1) -> None:
        """Samples that the log never gets: `queue_full`, `log_failed`, `stopped`."""
        self._dropped.labels(reason).inc(samples)

    def failed(self, trial: str) -> None:
        """The `shadow` or the `canary` failed a request that was answered."""
        self._failed.labels(trial).inc()

    def answered(self, model: str) -> None:
        """The canary answered a request."""
        self._answered.labels(model).inc()

    def shadow_took(self, model: str, took_s: float) -> None:
        """The time of the shadow's model on a request that it scored."""
        self._latency.labels(model).observe(took_s * 1e6)

"""Options of the server: where it listens, and limits on everything a client can send.

Every limit has a default under which no honest request of a ranker comes near it, and
no single client can take the machine's memory, threads or sockets.
"""

from __future__ import annotations

import dataclasses
import os
import re

from feature_specs.errors import UsageError
from feature_specs.places import is_bucket

DEFAULT_REST_PORT = 8501
DEFAULT_GRPC_PORT = 8500
DEFAULT_MONITORING_PATH = "/monitoring/prometheus/metrics"
_MIB = 2**20
_MOST_NESTING = 32  # of an array in NumPy 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may hold; more is refused while it is parsed.

    Attributes:
        max_elements: Values in all tensors together; for classify and regress in all
            examples together.
        max_rows: Entries of `instances` or `examples`.
        max_nesting: Levels of lists in a tensor; at most 32.
    """

    max_elements: int = 1_000_000
    max_rows: int = 100_000
    max_nesting: int = _MOST_NESTING

    def __post_init__(self) -> None:
        _check_positive(self, "max_elements", "max_rows", "max_nesting")
        if self.max_nesting > _MOST_NESTING:
            raise UsageError(
                f"max_nesting must be at most {_MOST_NESTING}, the dimensions of an "
                f"array. Got {self.max_nesting}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """Requests that are run together; TensorFlow Serving's names and defaults.

    Attributes:
        max_batch_size: Rows of a batch.
        batch_timeout_micros: How long a request waits for others, in microseconds.
        num_batch_threads: Batches that run at a time.
        max_enqueued_batches: Batches that wait; a request beyond them is refused.
        allowed_batch_sizes: A batch is padded to the next of these; they increase, and
            the last is `max_batch_size`. Empty: no padding.
        enable_large_batch_splitting: Whether a request of more than
            `max_execution_batch_size` rows is split; without it, one of more than
            `max_batch_size` is refused.
        max_execution_batch_size: Rows of a batch that runs, where large ones are split;
            0 is `max_batch_size`.
        pad_variable_length_inputs: Whether inputs of unequal lengths are padded.
        unbatched_signatures: Signatures whose requests are never put together.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    num_batch_threads: int = os.cpu_count() or 1
    max_enqueued_batches: int = 10
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    pad_variable_length_inputs: bool = False
    unbatched_signatures: tuple[str, ...] = ("rank",)

    def __post_init__(self) -> None:
        _check_positive(
            self, "max_batch_size", "num_batch_threads", "max_enqueued_batches"
        )
        if self.batch_timeout_micros < 0:
            raise UsageError(
                "batch_timeout_micros must not be negative. Got "
                f"{self.batch_timeout_micros}."
            )
        sizes = self.allowed_batch_sizes
        if sizes and (
            list(sizes) != sorted(set(sizes))
            or sizes[0] < 1
            or sizes[-1] != self.max_batch_size
        ):
            raise UsageError(
                "allowed_batch_sizes must increase, from 1 or more to max_batch_size, "
                f"which is {self.max_batch_size}. Got {list(sizes)}."
            )
        if not 0 <= self.max_execution_batch_size <= self.max_batch_size:
            raise UsageError(
                "max_execution_batch_size must be between 0 and max_batch_size, which "
                f"is {self.max_batch_size}. Got {self.max_execution_batch_size}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """A version on trial beside the one that serves: a shadow, a canary, or both.

    A version is a number or a label, and is loaded beside what is served. Requests
    that name no version are answered by the newest other one.

    Attributes:
        shadow: Scores a share of the requests as well, after they are answered.
        canary: Answers a share of the requests that name no version.
        share: Of the requests, for whichever of the two has no share of its own; of
            both one needs its own.
        shadow_share: Of the requests that the shadow scores.
        canary_share: Of the requests, or of their users, that the canary answers.
        shadow_log: Directory of this machine that gets what both say, as Parquet files;
            needed for a shadow. Of a canary it gets as large a share without it.
        shadow_log_most_mb: Of all its files; the oldest go.
        shadow_log_file_mb: Of samples in memory that make a file.
        shadow_log_roll_s: Seconds after which they make a file in any case.
        shadow_log_features: Whether the request's inputs are logged.
        shadow_queue: Samples that wait to be scored and logged; one more is dropped.
        shadow_queue_mb: Of all samples that wait.
        trial_seed: Of the shares: another seed draws other requests.
        user_key: Input whose value is the user: a user keeps to the canary, or to what
            is served. A request without it goes by all that it says.
        item_key: Input whose values are the candidates' ids, by which outcomes are
            joined.

    Raises:
        UsageError: A value that cannot be, or two that do not go together.
    """

    shadow: str | None = None
    canary: str | None = None
    share: float | None = None
    shadow_share: float | None = None
    canary_share: float | None = None
    shadow_log: str | None = None
    shadow_log_most_mb: float = 1024.0
    shadow_log_file_mb: float = 32.0
    shadow_log_roll_s: float = 60.0
    shadow_log_features: bool = True
    shadow_queue: int = 64
    shadow_queue_mb: float = 64.0
    trial_seed: int = 0
    user_key: str = "user_id"
    item_key: str = "video_id"

    def __post_init__(self) -> None:
        for name in ("shadow", "canary"):
            version, own = getattr(self, name), getattr(self, f"{name}_share")
            if version is None:
                if own is not None:
                    raise UsageError(f"{name}_share needs {name}, a version.")
                continue
            _check_version(name, version)
            self._check_share(name, own)
        own_shares = (self.shadow_share, self.canary_share)
        if self.shadow and self.canary and own_shares == (None, None):
            raise UsageError(
                "share: of shadow or canary? Give shadow_share and canary_share."
            )
        if not self.versions:
            raise UsageError("A trial needs shadow or canary, a version.")
        self._check_log()
        _check_positive(
            self,
            *("shadow_log_most_mb", "shadow_log_file_mb", "shadow_log_roll_s"),
            *("shadow_queue", "shadow_queue_mb"),
        )

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions on trial, as numbers or labels."""
        return tuple(dict.fromkeys(v for v in (self.shadow, self.canary) if v))

    def share_of(self, name: str) -> float:
        """The share of `shadow` or `canary`; 0 if there is no such version."""
        if getattr(self, name) is None:
            return 0.0
        own: float | None = getattr(self, f"{name}_share")
        return own if own is not None else self.share or 0.0

    def _check_share(self, name: str, own: float | None) -> None:
        share = self.share if own is None else own
        if share is None or not 0 < share <= 1:
            where = "share" if own is None else f"{name}_share"
            raise UsageError(
                f"{where}: {name} needs a share of the requests above 0, at most 1. "
                f"Got {share}."
            )

    def _check_log(self) -> None:
        if self.shadow_log is None:
            if self.shadow is not None:
                raise UsageError(
                    "shadow needs shadow_log, the directory that gets what it says."
                )
        elif is_bucket(self.shadow_log):
            raise UsageError(
                f"shadow_log must be a directory of this machine. Got "
                f"{self.shadow_log}. Copy its files to the bucket as they come."
            )
        if 2 * self.shadow_log_file_mb > self.shadow_log_most_mb:
            raise UsageError(
                "shadow_log_most_mb must hold two files of shadow_log_file_mb, which "
                f"is {self.shadow_log_file_mb:g}. Got {self.shadow_log_most_mb:g}."
            )


def _check_version(name: str, version: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]+", version):
        raise UsageError(
            f"{name} must be a version's number, or a label of letters, digits and _. "
            f"Got {version!r}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where the server listens, and what it takes from clients.

    Attributes:
        host: `0.0.0.0` for every network; only this machine by default.
        rest_port: Of the REST API; 0 takes a free one.
        grpc_port: Of gRPC; 0 takes a free one, None serves no gRPC.
        enable_cors: Whether web pages of any origin may call (`Access-Control-Allow-*`
            headers).
        monitoring_path: Where the REST port serves Prometheus metrics; None: nowhere.
        batching: How requests are run together; None: each on its own.
        trial: A version on trial, a shadow or a canary; None: there is none.
        limits: What one request may hold.
        max_body_bytes: Of a request as it is sent.
        max_inflated_bytes: Of a gzip request as it was before gzip.
        max_buffered_bytes: Of all requests that are read or answered at a time.
        max_header_bytes: Of a request's line and headers.
        header_timeout_s: From a request's first byte (or the connection) to the end of
            its headers.
        body_timeout_s: From a request's headers to the end of its body.
        request_timeout_s: From the end of a request to its answer, waiting included.
        send_timeout_s: For a client to take its answer.
        keep_alive_s: How long an idle connection stays open.
        max_connections: Open at a time, over REST.
        workers: Requests that are in work at a time; 0 is two a processor.
        max_waiting: Requests that wait for a worker; one more is refused.
        large_body_bytes: A request of more, gzip undone, waits for a worker of its own
            kind, so that a few large ones do not hold up all others.
        large_workers: Large requests that are in work at a time, beside the others.
        tensorflow_intra_op_parallelism: Threads that share a large product of one
            request, as in TensorFlow Serving; 0 is one a processor, which answers a
            request of thousands of candidates sooner and costs more processor time.
            All models of a process share them, from TensorFlow's first use on: so it is
            `trailrank serve` that sets them, and a `Server` takes what is there.
        retry_after_s: When a refused client may come back, as it is told.
        drain_s: For running requests to end after SIGTERM.
    """

    host: str = "127.0.0.1"
    rest_port: int = DEFAULT_REST_PORT
    grpc_port: int | None = DEFAULT_GRPC_PORT
    enable_cors: bool = False
    monitoring_path: str | None = None
    batching: BatchingOptions | None = None
    trial: TrialOptions | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    max_body_bytes: int = 16 * _MIB
    max_inflated_bytes: int = 16 * _MIB
    max_buffered_bytes: int = 256 * _MIB
    max_header_bytes: int = 16 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    request_timeout_s: float = 30.0
    send_timeout_s: float = 30.0
    keep_alive_s: float = 75.0  # longer than most load balancers' 60
    max_connections: int = 1024
    workers: int = 0
    max_waiting: int = 64
    large_body_bytes: int = 256 * 1024
    large_workers: int = 1
    tensorflow_intra_op_parallelism: int = 1
    retry_after_s: int = 1
    drain_s: float = 25.0  # Kubernetes kills after 30

    def __post_init__(self) -> None:
        for name in ("rest_port", "grpc_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65535:
                raise UsageError(f"{name} must be between 0 and 65535. Got {port}.")
        if self.rest_port and self.rest_port == self.grpc_port:
            raise UsageError(
                f"rest_port and grpc_port must differ. Got {self.rest_port} for both."
            )
        if self.monitoring_path is not None and self.monitoring_path[:1] != "/":
            raise UsageError(
                f"monitoring_path must begin with '/'. Got {self.monitoring_path!r}."
            )
        _check_positive(self, *_POSITIVE)
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(
                    f"{name} must not be negative. Got {getattr(self, name)}."
                )

    @property
    def worker_count(self) -> int:
        """`workers`, with its default filled in."""
        return self.workers or 2 * (os.cpu_count() or 1)


_POSITIVE = (
    "max_body_bytes",
    "max_inflated_bytes",
    "max_buffered_bytes",
    "max_header_bytes",
    "header_timeout_s",
    "body_timeout_s",
    "request_timeout_s",
    "send_timeout_s",
    "keep_alive_s",
    "max_connections",
    "large_body_bytes",
    "large_workers",
)

_NOT_NEGATIVE = (
    "workers",
    "max_waiting",
    "tensorflow_intra_op_parallelism",
    "retry_after_s",
    "drain_s",
)


def _check_positive(options: object, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if not value > 0:  # NaN is refused too
            raise UsageError(f"{name} must be positive. Got {value}.")

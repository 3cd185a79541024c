"""Whether what is served is what was trained on: features and predictions, row by row.

    report = skew("RUN", server="127.0.0.1:8501")
    report.first                     # the first feature that differs, and why perhaps

Rows of the run's examples are encoded as training encodes them, and predicted by the
SavedModel that the Trainer wrote. The same rows go through a client, its wire format
and the reader of a server, are encoded again and compared feature by feature; and the
server's predictions are compared with the Trainer's. With a file of a backend's own
rows, theirs are compared: what a backend computes otherwise than the log's columns were
made is the usual reason why a good model is worse in production.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from feature_specs import FeatureSpec
from feature_specs.errors import Status, TrailrankError, UsageError
from feature_specs.places import Place, check_directory
from serving.export.agreement import TOLERANCE, apart
from serving.load.loadtest import server_url
from serving.ranking.served_run import RunError, ServedRun, read_run
from serving.skew.logged_rows import read_logged
from serving.skew.skew_causes import likely_cause

if TYPE_CHECKING:
    from serving.skew.skew_rows import TrainedRow

DEFAULT_ROWS = 256
_SPLIT = "Split-"
_CHUNK = 100  # rows of a request

Arrays = dict[str, npt.NDArray[Any]]


class SkewError(TrailrankError, RuntimeError):
    """Requests and training do not agree."""

    exit_status = Status.REFUSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleRow:
    """One row in which a feature differs.

    Attributes:
        key: User, item and time in milliseconds.
        expected: Its raw value in the examples that were trained on.
        sent: The raw value that was sent; None if it was not.
        encoded_expected: What the model was trained on.
        encoded_sent: What it is given when served; None if a server refuses the value.
    """

    key: tuple[Any, ...]
    expected: Any
    sent: Any
    encoded_expected: Any
    encoded_sent: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSkew:
    """One feature that differs.

    Attributes:
        feature: Its name.
        rows: In so many rows.
        compared: Of so many.
        largest: The largest difference of encoded floats, as a share of those above 1;
            None of ids and codes, which are equal or not.
        refused: Why a server refuses some of the values; "" if it takes all.
        cause: What it may come from; "" if nothing is recognised.
        example: The row with the largest difference, or the first one.
    """

    feature: str
    rows: int
    compared: int
    largest: float | None
    refused: str
    cause: str
    example: ExampleRow


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionSkew:
    """One output of the model.

    Attributes:
        output: A task, `score` or `log_score`.
        rows: Rows in which it differs.
        largest: The largest difference, as a share of predictions above 1.
        key: Of that row.
        expected: Its prediction by the Trainer's model.
        got: The server's.
    """

    output: str
    rows: int
    largest: float
    key: tuple[Any, ...]
    expected: float
    got: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkewReport:
    """What was compared, and what differs.

    Attributes:
        url: Of the server.
        version: The one that answered.
        rows: Rows that were compared.
        predicted: ... of which the server predicted so many: all that it does not
            refuse.
        tolerance: How far predictions may be apart.
        features: Those that differ, in the spec's order.
        predictions: Every output, the tasks first, in the spec's order.
        notes: What a reader should know, a sentence each.
    """

    url: str
    version: str
    rows: int
    predicted: int
    tolerance: float
    features: tuple[FeatureSkew, ...]
    predictions: tuple[PredictionSkew, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> FeatureSkew | None:
        """The first feature that differs."""
        return self.features[0] if self.features else None

    @property
    def worst(self) -> PredictionSkew | None:
        """The output with the largest difference, if that is too large."""
        off = [p for p in self.predictions if p.rows]
        return max(off, key=lambda p: p.largest) if off else None

    @property
    def is_equal(self) -> bool:
        """Whether no feature and no prediction differs."""
        return self.first is None and self.worst is None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **dataclasses.asdict(self),
            "equal": self.is_equal,
            "first": self.first.feature if self.first else None,
            "worst": self.worst.output if self.worst else None,
        }

    def check(self) -> None:
        """SkewError, in one sentence or two, if anything differs."""
        told = []
        if self.first:
            cause = f" ({self.first.cause})" if self.first.cause else ""
            told.append(
                f"feature {self.first.feature!r} differs in {self.first.rows} of "
                f"{self.first.compared} rows{cause}"
            )
        if self.worst:
            told.append(
                f"{self.worst.output!r} is {self.worst.largest:.3g} off in "
                f"{self.worst.rows} of {self.predicted} rows, at most "
                f"{self.tolerance:g} is right"
            )
        if told:
            raise SkewError(f"{self.url}: {'; '.join(told)}.")


def skew(
    root: Place,
    *,
    requests: Place | None = None,
    splits: Sequence[str] | None = None,
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
    server: str | None = None,
    protocol: Literal["rest", "grpc"] = "rest",
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    tolerance: float | None = None,
    timeout_s: float = 30.0,
) -> SkewReport:
    """Compares features and predictions of a server, or a backend, with training's.

    >>> report = trailrank.skew("run", server=server)
    >>> report.is_equal, report.rows
    (True, 2)

    Args:
        root: Directory of the finished run whose model is served.
        requests: JSON lines of a backend: `key_user`, `key_item`, `key_time_ms` and the
            features as it sent them. By default the examples' own values are sent.
        splits: Like `day-20220412`; by default the newest evaluation day, with
            `requests` all days.
        rows: At most, drawn at random.
        seed: Of the draw.
        server: `HOST:PORT`, or a URL; by default this machine's usual port.
        protocol: `rest` or `grpc`; a URL says it itself.
        model: Its name; by default the spec's.
        version: Of the model, instead of the newest.
        label: A version's label, instead of its number.
        tolerance: How far predictions may be apart, as a share of those above 1; by
            default 1e-5, and 2e-2 for a model that computes with bfloat16.
        timeout_s: For an answer.

    Raises:
        UsageError, RunError, PlaceError: Arguments, or the run's files, do not serve.
        LoggedRowError: The file of requests does not.
        ClientError: The server could not be reached, or refuses rows that it should
            take.
    """
    if rows < 1:
        raise UsageError(f"rows must be at least 1. Got {rows}.")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise UsageError(f"tolerance must not be negative. Got {tolerance}.")
    url = server_url(server, protocol)
    run = read_run(root)
    directories = _directories(run, splits, use_all=requests is not None)
    _check_run(run)
    logged = read_logged(requests, run.spec) if requests is not None else None
    from serving.skew.skew_compare import Comparison

    return Comparison(
        run,
        url=url,
        model=model or run.spec.name,
        version=version,
        label=label,
        timeout_s=timeout_s,
        tolerance=tolerance,
    ).of(directories, logged, rows, seed)


def _directories(
    run: ServedRun, splits: Sequence[str] | None, *, use_all: bool
) -> list[str]:
    """Directories of the splits that rows are drawn from."""
    if not run.example_dirs:
        raise RunError(
            f"{run.root}: its run.json names no splits of examples: an older release "
            f"made it. Run `trailrank pipeline run --root {run.root}` again."
        )
    chosen = splits
    if chosen is None:
        newest = run.eval_splits[-1:] or tuple(run.example_dirs)[-1:]
        chosen = tuple(run.example_dirs) if use_all else newest
    unknown = [split for split in chosen if split not in run.example_dirs]
    if unknown:
        raise UsageError(
            f"--split {unknown[0]}: must be one of the run's. It has "
            f"{', '.join(run.example_dirs)}."
        )
    found = [
        os.path.join(run.example_dirs[split], f"{_SPLIT}{split}") for split in chosen
    ]
    for directory in found:
        remedy = "It was moved or cleaned: run `trailrank pipeline run` again."
        check_directory("examples of the run", directory, remedy)
    return found


def _check_run(run: ServedRun) -> None:
    remedy = "It was moved or cleaned: run `trailrank pipeline run` again."
    for what, place in (("model", run.model), ("encoding", run.transform_graph)):
        if not place:
            raise RunError(
                f"{run.root}: its run.json names no {what}: an older release made it. "
                f"Run `trailrank pipeline run --root {run.root}` again."
            )
        check_directory(f"{what} of the run", place, remedy)


def differing(
    expected: npt.NDArray[Any], got: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64] | None]:
    """Encoded values of one feature, [B] or [B, N] -> rows that differ, and how far.

    How far is None for ids and codes. Floats may be `TOLERANCE` apart.
    """
    axes = tuple(range(1, expected.ndim))
    if expected.dtype.kind != "f":
        return np.any(expected != got, axis=axes), None
    off = apart(got, expected).max(axis=axes, initial=0)
    return off > TOLERANCE, off


def feature_skew(
    feature: FeatureSpec,
    rows: Sequence[TrainedRow],
    expected: Sequence[Mapping[str, Any]],
    sent: Sequence[Mapping[str, Any]],
    encoded: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    refused: Sequence[str],
    vocabulary: Sequence[str] | None,
) -> FeatureSkew | None:
    """What differs in one feature; None if nothing does.

    Args:
        feature: Which.
        rows: All that were compared, B.
        expected: Their raw values in the examples.
        sent: ... and as they were sent.
        encoded: What comes of both, [B] or [B, N] each; of a refused value anything.
        refused: Why a server refuses the value, or "".
        vocabulary: Of the feature, if it has one.
    """
    differs, off = differing(*encoded)
    is_refused = np.array([bool(text) for text in refused])
    differs = differs | is_refused
    places = np.flatnonzero(differs).tolist()
    if not places:
        return None
    name, taken = feature.name, np.flatnonzero(differs & ~is_refused)
    worst, largest = places[0], None
    if off is not None and len(taken):
        worst = int(taken[np.argmax(off[taken])])
        largest = float(off[worst])
    pairs = [(expected[n].get(name), sent[n].get(name)) for n in places]
    return FeatureSkew(
        feature=name,
        rows=len(places),
        compared=len(rows),
        largest=largest,
        refused=next((text for text in refused if text), ""),
        cause=likely_cause(feature, pairs, vocabulary),
        example=ExampleRow(
            key=rows[worst].key,
            expected=expected[worst].get(name),
            sent=sent[worst].get(name),
            encoded_expected=encoded[0][worst].tolist(),
            encoded_sent=None if refused[worst] else encoded[1][worst].tolist(),
        ),
    )


def prediction_skew(
    output: str,
    rows: Sequence[TrainedRow],
    expected: npt.NDArray[Any],
    got: npt.NDArray[Any],
    tolerance: float,
) -> PredictionSkew:
    """How far one output's predictions [B] are off."""
    off = apart(got, expected)
    worst = int(np.argmax(off))
    return PredictionSkew(
        output=output,
        rows=int((off > tolerance).sum()),
        largest=float(off[worst]),
        key=rows[worst].key,
        expected=float(expected[worst]),
        got=float(got[worst]),
    )


def chunks(count: int) -> list[slice]:
    """Places of the rows of each request."""
    return [slice(n, min(n + _CHUNK, count)) for n in range(0, count, _CHUNK)]

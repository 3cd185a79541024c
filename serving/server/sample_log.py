"""The log of what a version on trial says, as Parquet files in a directory.

One row a request; `COLUMNS` are in every file. Beside them each file has, for one model
and signature, a column of lists an input (`input.<name>`) and an output of the version
that answered (`served.<name>`) and of the shadow (`shadow.<name>`, where it did not
fail), nested as their axes are.

A file is there when it is whole, is never changed, and sorts by the time of its making.
The oldest go where all together grow too large.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_LOG = logging.getLogger("trailrank.serving")

PATTERN = "samples-*.parquet"
INPUT, SERVED, SHADOW = "input.", "served.", "shadow."  # before a column's own name
SHADOWED, CANARY, CONTROL = "shadow", "canary", "control"  # the arms
COLUMNS = pa.schema(
    [
        ("request_id", pa.string()),  # the client's, or a hash of what it asks
        ("time_ms", pa.int64()),  # of the answer, since 1970, UTC
        ("arm", pa.string()),
        ("model", pa.string()),
        ("signature", pa.string()),
        ("api", pa.string()),
        ("user", pa.string()),  # a pseudonym; null if the request names no one user
        ("items", pa.list_(pa.string())),  # of the candidates; null without ids
        ("version", pa.int64()),  # that answered
        ("took_ms", pa.float64()),  # its model, and a canary's that failed before
        ("order", pa.list_(pa.int32())),  # positions in the request, the best first
        ("canary_error", pa.string()),
        ("shadow_version", pa.int64()),
        ("shadow_took_ms", pa.float64()),
        ("shadow_order", pa.list_(pa.int32())),
        ("shadow_error", pa.string()),
    ]
)
_ROW_BYTES = 500  # of a row in memory, beside its arrays

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One request that was answered, and what a version on trial says of it.

    Attributes:
        values: Column of `COLUMNS` -> value; those left out are null.
        inputs: Input -> values.
        served: Output -> values.
        shadow: Output -> values; empty if there is no shadow, or it failed.
    """

    values: Mapping[str, Any]
    inputs: Arrays
    served: Arrays
    shadow: Arrays = dataclasses.field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """In memory, about."""
        groups = (self.inputs, self.served, self.shadow)
        return _ROW_BYTES + sum(
            _bytes_of(a) for group in groups for a in group.values()
        )

    @property
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Name of a column of lists -> values."""
        groups = ((INPUT, self.inputs), (SERVED, self.served), (SHADOW, self.shadow))
        return {
            f"{prefix}{name}": np.asarray(array)
            for prefix, group in groups
            for name, array in sorted(group.items())
        }


class SampleLog:
    """Samples on their way into files; for one thread at a time.

    Args:
        directory: Made if it is not there; nobody else may write to it.
        file_bytes: Of samples in memory that make a file.
        most_bytes: Of all files.
        roll_s: Seconds after its first sample at which a file is made in any case.
    """

    def __init__(
        self, directory: str, file_bytes: float, most_bytes: float, roll_s: float
    ):
        self._directory = pathlib.Path(directory)
        self._file_bytes, self._most_bytes = file_bytes, most_bytes
        self._roll_s = roll_s
        self._waiting: list[Sample] = []
        self._waiting_bytes = 0
        self._due_s: float | None = None
        self._number = 0
        self._directory.mkdir(parents=True, exist_ok=True)
        for left in self._directory.glob(
            f"{PATTERN}.tmp"
        ):  # of a server that was killed
            left.unlink(missing_ok=True)
        self.size_bytes = sum(size for _, size in self._files())

    def __len__(self) -> int:
        """Samples that are in no file yet."""
        return len(self._waiting)

    def due_in_s(self) -> float | None:
        """Seconds until a file must be made; None if there is no sample for it."""
        return None if self._due_s is None else max(0.0, self._due_s - time.monotonic())

    def add(self, sample: Sample) -> None:
        """One sample more; it is in a file after the next `flush`."""
        if self._due_s is None:
            self._due_s = time.monotonic() + self._roll_s
        self._waiting.append(sample)
        self._waiting_bytes += sample.size_bytes
        if self._waiting_bytes >= self._file_bytes:
            self._due_s = time.monotonic()

    def flush(self) -> int:
        """Writes what waits; of the oldest files those go that are too much.

        Returns:
            Samples that were lost, as the disk took no more.
        """
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes, self._due_s = 0, None
        groups: dict[tuple[Any, ...], list[Sample]] = {}
        for sample in waiting:
            groups.setdefault(_kind_of(sample), []).append(sample)
        lost = 0
        for samples in groups.values():
            try:
                self._write(samples)
            except OSError as error:
                lost += len(samples)
                _LOG.error("%s: %d samples are lost: %s", self._directory, lost, error)
        self._make_room()
        return lost

    def _write(self, samples: Sequence[Sample]) -> None:
        self._number += 1
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"samples-{stamp}-{os.getpid()}-{self._number:06d}.parquet"
        unfinished = self._directory / f"{name}.tmp"
        try:
            pq.write_table(
                _table(samples),
                unfinished,
                compression="zstd",
                use_dictionary=COLUMNS.names,  # values that repeat
            )
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())
            os.replace(unfinished, self._directory / name)
        finally:
            unfinished.unlink(missing_ok=True)

    def _make_room(self) -> None:
        files = self._files()
        self.size_bytes = sum(size for _, size in files)
        for path, size in files:
            if self.size_bytes <= self._most_bytes:
                return
            path.unlink(missing_ok=True)
            self.size_bytes -= size

    def _files(self) -> list[tuple[pathlib.Path, int]]:
        """The oldest first, with their sizes."""
        return [(path, path.stat().st_size) for path in files_of(self._directory)]


def files_of(directory: pathlib.Path) -> list[pathlib.Path]:
    """The files of a log, the oldest first."""
    return sorted(
        directory.glob(PATTERN), key=lambda path: (path.stat().st_mtime_ns, path.name)
    )


def order_of(outputs: Arrays) -> list[int] | None:
    """Positions in the request, the best first; None for outputs without a score."""
    scores = outputs.get("log_score", outputs.get("score"))
    if scores is None or np.ndim(scores) != 1:
        return None
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    positions = outputs.get("positions")
    found = order if positions is None else np.asarray(positions)[order]
    positions_found: list[int] = found.tolist()
    return positions_found


def _bytes_of(array: npt.NDArray[Any]) -> int:
    array = np.asarray(array)
    if array.dtype == object:
        return sum(map(len, array.ravel().tolist()))
    return int(array.nbytes)


def _kind_of(sample: Sample) -> tuple[Any, ...]:
    """Samples that are alike in it have a file together."""
    columns = sample.columns
    shapes = ((name, str(a.dtype), a.ndim) for name, a in columns.items())
    return (sample.values.get("model"), sample.values.get("signature"), *shapes)


def _table(samples: Sequence[Sample]) -> pa.Table:
    arrays = [
        pa.array([sample.values.get(field.name) for sample in samples], field.type)
        for field in COLUMNS
    ]
    names = list(COLUMNS.names)
    rows = [sample.columns for sample in samples]
    for name in rows[0]:
        arrays.append(_lists([row[name] for row in rows]))
        names.append(name)
    return pa.table(arrays, names=names)


def _lists(arrays: Sequence[npt.NDArray[Any]]) -> pa.Array:
    """[samples] of values as deeply nested as the arrays have axes."""
    found = _flat(np.concatenate([array.ravel() for array in arrays]))
    for axis in reversed(range(arrays[0].ndim)):
        lengths = [
            np.full(int(np.prod(array.shape[:axis], dtype=np.int64)), array.shape[axis])
            for array in arrays
        ]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        found = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), found)
    return found


def _flat(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == object:
        return pa.array(values.tolist(), pa.binary())
    if values.dtype.kind not in "biuf":  # bfloat16, which Parquet has not
        values = values.astype(np.float32)
    return pa.array(values)

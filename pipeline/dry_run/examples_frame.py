"""Files of tf.Examples, raw or transformed, as a frame."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import polars as pl

from pipeline.examples.reading.compression import Chunks, compression_of
from pipeline.examples.reading.record_frames import Records

_BATCH_BYTES = 1 << 24


def read_examples(folder: str, splits: list[str] | None = None) -> pl.DataFrame:
    """All examples of some splits, one row each; a feature with one value is no list.

    Args:
        folder: Has `Split-<name>/*.gz`.
        splits: Their names; all by default.
    """
    names = [f"Split-{split}" for split in splits] if splits else ["Split-*"]
    paths = sorted(p for n in names for p in pathlib.Path(folder).glob(f"{n}/*.gz"))
    frames = [frame for path in paths for frame in _frames(path)]
    whole = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
    return whole.with_columns(_single(whole[name]) for name in whole.columns)


def _frames(path: pathlib.Path) -> Iterator[pl.DataFrame]:
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    with open(path, "rb") as file:
        compression = compression_of(file.read(16))
        file.seek(0)
        for batch in Records(Chunks(file, compression), _BATCH_BYTES):
            found = ExamplesToRecordBatchDecoder().DecodeBatch(
                [data for data, _ in batch]
            )
            yield pl.DataFrame(pl.from_arrow(found))


def _single(values: pl.Series) -> pl.Series:
    """Lists of bytes as texts, and lists of one value each as these values."""
    if not isinstance(values.dtype, pl.List):
        return values
    if values.dtype.inner == pl.Binary:
        values = values.cast(pl.List(pl.String), strict=False)
    if (values.list.len().fill_null(0) == 1).all():
        return values.list.first()
    return values

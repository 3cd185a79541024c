"""MovieLens 100k as `movielens.yaml` has it: ratings.csv, users.csv and movies.csv.

It comes through TensorFlow Datasets, or from RecBole's atomic files.
"""

from __future__ import annotations

import pathlib
import re
import tempfile
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import polars as pl
import rich.progress

from pipeline.fetch.disk import sole_writer
from pipeline.fetch.download import RemoteFile, download, verify
from pipeline.fetch.errors import FetchError

# The SHA-256 is the one in TensorFlow Datasets' registry.
ARCHIVE = RemoteFile(
    url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    checksum="sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
)
_YEAR = r"\((\d{4})\)\s*$"


def fetch(
    out: pathlib.Path,
    progress: rich.progress.Progress,
    archive: pathlib.Path | None = None,
    data_dir: pathlib.Path | None = None,
) -> dict[str, pl.DataFrame]:
    """The frames `ratings`, `users` and `movies`, through TensorFlow Datasets.

    We download the archive: without a network TFDS tries for minutes, and it cannot go
    on where it broke off. TFDS checks and prepares it.

    Args:
        out: The downloaded archive goes here.
        archive: ml-100k.zip, where it is already.
        data_dir: TFDS' own directory, by default ~/tensorflow_datasets. What was
            prepared there before is taken as it is.

    Raises:
        FetchError: With what to do.
    """
    tfds = _tfds()
    builder = tfds.builder("movielens/100k-ratings", data_dir=data_dir)
    if not builder.is_prepared():
        with sole_writer(out):
            if archive is None:
                archive = _download(out, progress)
            else:
                verify(archive, ARCHIVE, progress)
        _prepare(tfds, builder, archive)
    genre = builder.info.features["movie_genres"].feature
    return _from_tfds_rows(tfds.as_numpy(builder.as_dataset(split="train")), genre)


def read_atomic(folder: pathlib.Path) -> dict[str, pl.DataFrame]:
    """MovieLens 100k from RecBole's atomic files (tab-separated, typed headers)."""
    paths = {kind: folder / f"ml-100k.{kind}" for kind in ("inter", "user", "item")}
    for path in paths.values():
        if not path.is_file():
            raise FetchError(
                f"{path}: no such file. --atomic needs ml-100k.inter, "
                ".user and .item of RecBole in one directory."
            )
    tables = {kind: _read_typed(path) for kind, path in paths.items()}
    return {
        "ratings": tables["inter"].select(
            "user_id",
            pl.col("item_id").alias("movie_id"),
            "rating",
            pl.col("timestamp").cast(pl.Float64).cast(pl.Int64),
        ),
        "users": tables["user"].select(
            "user_id", "age", "gender", "occupation", "zip_code"
        ),
        "movies": tables["item"].select(
            pl.col("item_id").alias("movie_id"),
            pl.col("movie_title").alias("title"),
            pl.col("release_year").str.extract(r"(\d{4})"),
            pl.col("class").alias("genres"),
        ),
    }


def write(frames: dict[str, pl.DataFrame], out: pathlib.Path) -> None:
    """Writes each frame as `out/<name>.csv`."""
    with sole_writer(out):
        for name, frame in frames.items():
            frame.write_csv(out / f"{name}.csv")


def _tfds() -> ModuleType:
    """TFDS, imported only where it is needed: that takes seconds."""
    import tensorflow_datasets

    tensorflow_datasets.disable_progress_bar()  # we show our own
    module: ModuleType = tensorflow_datasets
    return module


def _download(out: pathlib.Path, progress: rich.progress.Progress) -> pathlib.Path:
    try:
        return download(ARCHIVE, out, progress)
    except FetchError as error:
        raise FetchError(
            f"{error}\n  Or give RecBole's copy of MovieLens 100k with --atomic DIR."
        ) from None


def _prepare(tfds: ModuleType, builder: Any, archive: pathlib.Path) -> None:
    """Hands the archive to TFDS, which looks in its manual directory before the net."""
    with tempfile.TemporaryDirectory() as manual:
        (pathlib.Path(manual) / ARCHIVE.name).symlink_to(archive.resolve())
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual, try_download_gcs=False
            )
        )


def _read_typed(path: pathlib.Path) -> pl.DataFrame:
    """A RecBole file as text columns, the `:type` taken off their names."""
    frame = pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
    return frame.rename(lambda name: name.split(":")[0])


def _from_tfds_rows(
    rows: Iterable[Mapping[str, Any]], genre: Any
) -> dict[str, pl.DataFrame]:
    """The frames of TFDS' rows; `genre` knows the names of its numbers."""
    ratings: list[tuple[Any, ...]] = []
    users: dict[int, tuple[Any, ...]] = {}
    movies: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        user, movie = int(row["user_id"]), int(row["movie_id"])
        ratings.append((user, movie, float(row["user_rating"]), int(row["timestamp"])))
        users[user] = (
            user,
            int(row["raw_user_age"]),
            "M" if row["user_gender"] else "F",
            row["user_occupation_text"].decode(),
            row["user_zip_code"].decode(),
        )
        title = row["movie_title"].decode(errors="replace")
        year = re.search(_YEAR, title)
        genres = " ".join(genre.int2str(int(i)) for i in row["movie_genres"])
        movies[movie] = (movie, title, int(year.group(1)) if year else None, genres)
    return {
        "ratings": _frame(ratings, "user_id movie_id rating timestamp"),
        "users": _frame(users.values(), "user_id age gender occupation zip_code"),
        "movies": _frame(movies.values(), "movie_id title release_year genres"),
    }


def _frame(rows: Iterable[tuple[Any, ...]], names: str) -> pl.DataFrame:
    return pl.DataFrame(sorted(rows), schema=names.split(), orient="row")

"""The command `trailrank fetch movielens`: real ratings as `movielens.yaml` has them.

    trailrank fetch movielens --out ML                    # through TensorFlow Datasets
    trailrank fetch movielens --out ML --atomic ml-100k   # from RecBole's atomic files

Both write `ratings.csv`, `users.csv` and `movies.csv` into --out.
"""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Sequence

import polars as pl
import rich.console
from absl.flags import argparse_flags

_YEAR = r"\((\d{4})\)\s*$"


class FetchError(RuntimeError):
    """A data set could not be brought here."""


def run(argv: Sequence[str]) -> int:
    """`trailrank fetch ...`; returns the exit status."""
    args = _parser().parse_args(argv)
    console = rich.console.Console()
    if args.atomic:
        frames = read_atomic(pathlib.Path(args.atomic))
    else:
        with console.status("Downloading MovieLens 100k ..."):
            frames = read_tfds()
    write(frames, pathlib.Path(args.out))
    ratings = frames["ratings"]
    console.print(
        f"{args.out}: {ratings.height:,} ratings of "
        f"{ratings['user_id'].n_unique():,} users. Train on them: [bold]trailrank "
        f"pipeline run --spec movielens --logs {args.out} --root RUN --eval_days 23[/]"
    )
    return 0


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


def read_tfds() -> dict[str, pl.DataFrame]:
    """MovieLens 100k through TensorFlow Datasets; needs a network the first time."""
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise FetchError(
            "fetch movielens needs TensorFlow Datasets: pip install "
            "'trailrank[datasets]', or give RecBole's files with --atomic."
        ) from None
    builder = tfds.builder("movielens/100k-ratings")
    try:
        builder.download_and_prepare()
    except Exception as error:  # every kind of network error, told alike
        raise FetchError(
            f"fetch movielens: the download failed ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}). It needs a network; without one, give "
            "RecBole's ml-100k files with --atomic DIR."
        ) from None
    genre = builder.info.features["movie_genres"].feature
    return _from_tfds_rows(tfds.as_numpy(builder.as_dataset(split="train")), genre)


def write(frames: dict[str, pl.DataFrame], out: pathlib.Path) -> None:
    """Writes each frame as `out/<name>.csv`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_csv(out / f"{name}.csv")


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank fetch", description="Brings a public data set here as CSV."
    )
    parser.add_argument("data_set", choices=["movielens"])
    parser.add_argument("--out", required=True, help="directory to write")
    parser.add_argument("--atomic", help="directory with RecBole's ml-100k files")
    return parser


def _read_typed(path: pathlib.Path) -> pl.DataFrame:
    """A RecBole file as text columns, the `:type` taken off their names."""
    frame = pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
    return frame.rename(lambda name: name.split(":")[0])


def _from_tfds_rows(rows, genre) -> dict[str, pl.DataFrame]:  # type: ignore[no-untyped-def]
    ratings, users, movies = [], {}, {}
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


def _frame(rows, names: str) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    return pl.DataFrame(sorted(rows), schema=names.split(), orient="row")

"""The log of a trial as two frames: a row a request, and a row a candidate that was
answered; outcomes joined to the latter."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from feature_specs.errors import TrailrankError, UsageError
from feature_specs.places import Place
from serving.server.sample_log import COLUMNS, SERVED, SHADOW, files_of

if TYPE_CHECKING:
    from collections.abc import Iterable

LABEL = "label."  # before the name of a task, in the frame of candidates
_NO_TASK = ("score", "log_score", "positions")
_SPLIT = "Split-"


class LogError(TrailrankError, ValueError):
    """A log of a trial, or a file of outcomes, that cannot be read as one."""


@dataclasses.dataclass(frozen=True)
class Logged:
    """What a log holds of one signature of a model.

    Attributes:
        model, signature: Of all rows.
        requests: A row each: the log's own columns, `row` and `cluster`, which is the
            user, or the request where it names none.
        candidates: A row for each that was answered: `row`, `cluster`, `arm`,
            `request_id`, `item`, `position`, `served.<output>`, and the
            `shadow.<output>` of the same candidate, null where it failed.
    """

    model: str
    signature: str
    requests: pl.DataFrame
    candidates: pl.DataFrame

    def outputs(self, prefix: str) -> list[str]:
        """Names of the outputs in the candidates' frame, in order."""
        found = [name for name in self.candidates.columns if name.startswith(prefix)]
        return sorted(name.removeprefix(prefix) for name in found)

    @property
    def tasks(self) -> list[str]:
        """What is predicted of a candidate, without scores."""
        return [name for name in self.outputs(SERVED) if name not in _NO_TASK]

    @property
    def score(self) -> str | None:
        """The output that everything is ordered by."""
        names = self.outputs(SERVED)
        return next((name for name in ("log_score", "score") if name in names), None)


def read_log(
    directory: Place, model: str | None = None, signature: str | None = None
) -> Logged:
    """Reads all files of a log.

    Args:
        directory: What `trailrank serve --shadow_log` names.
        model: Its name; needed if the log has several.
        signature: Its name; needed if the model's rows have several.

    Raises:
        LogError: There is no file, or one that is damaged.
        UsageError: Of which model or signature?
    """
    where = os.fspath(directory)
    files = files_of(pathlib.Path(where))
    if not files:
        raise LogError(
            f"{where}: no log here (looked for samples-*.parquet). `trailrank serve "
            f"--shadow VERSION --share 0.01 --shadow_log {where}` writes one; its "
            "first file is there after --shadow_log_roll_s seconds."
        )
    frames = [frame for frame in map(_read, files) if frame is not None]
    model = _only("model", model, {frame["model"][0] for frame in frames}, where)
    frames = [frame for frame in frames if frame["model"][0] == model]
    names = {frame["signature"][0] for frame in frames}
    signature = _only("signature", signature, names, where)
    frames = [frame for frame in frames if frame["signature"][0] == signature]
    numbered, rows = [], 0
    for frame in frames:
        own = pl.int_range(rows, rows + frame.height, dtype=pl.Int64, eager=True)
        numbered.append(frame.with_columns(own.alias("row")))
        rows += frame.height
    cluster = pl.coalesce("user", pl.format("#{}", "row")).alias("cluster")
    numbered = [frame.with_columns(cluster) for frame in numbered]
    base = [*COLUMNS.names, "row", "cluster"]
    return Logged(
        model,
        signature,
        pl.concat([frame.select(base) for frame in numbered]),
        pl.concat(map(_candidates, numbered), how="diagonal_relaxed"),
    )


def _read(file: pathlib.Path) -> pl.DataFrame | None:
    """One file without the inputs; None if it went meanwhile, as the oldest do."""
    try:
        names = list(pl.read_parquet_schema(file))
        if lacks := set(COLUMNS.names) - set(names):
            raise LogError(f"{file}: is no log of a trial: no {', '.join(lacks)}.")
        wanted = [name for name in names if not name.startswith("input.")]
        return pl.read_parquet(file, columns=wanted)
    except FileNotFoundError:
        return None
    except pl.exceptions.PolarsError as error:
        raise LogError(
            f"{file}: is damaged ({error}). Remove it, and compare the others."
        ) from None


def _only(what: str, asked: str | None, found: set[str], where: str) -> str:
    if asked is None and len(found) == 1:
        return next(iter(found))
    if asked not in found:
        named = ", ".join(sorted(found))
        raise UsageError(f"{where}: give --{what}, one of: {named}. Got {asked}.")
    return asked


def _candidates(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a frame whose columns have one depth each, a candidate each."""
    answered = _numbers(frame, SERVED)
    shadowed = _numbers(frame, SHADOW)
    if not answered:
        return pl.DataFrame(schema={"row": pl.Int64})
    length = pl.col(answered[0]).list.len()
    position = pl.int_ranges(0, length, dtype=pl.Int64)
    if f"{SERVED}positions" in answered:
        position = pl.col(f"{SERVED}positions").cast(pl.List(pl.Int64))
    flat = frame.with_columns(position.alias("position"))
    # The shadow scores all candidates in their order, of which some were answered.
    gathered = [
        pl.col(name).list.gather(pl.col("position"), null_on_oob=True)
        for name in (*shadowed, "items")
    ]
    same = [name for name in answered if _is_aligned(frame, name, length)]
    flat = flat.with_columns(gathered).with_columns(
        pl.col("items")
        .fill_null(pl.lit(None, pl.String).repeat_by(length))
        .alias("item")
    )
    lists = ["position", "item", *same, *shadowed]
    keys = ["row", "cluster", "arm", "request_id", "version"]
    return flat.filter(length > 0).select(*keys, *lists).explode(lists)


def _numbers(frame: pl.DataFrame, prefix: str) -> list[str]:
    """The columns that hold a number for each candidate of a request."""
    return [
        name
        for name, kind in frame.schema.items()
        if name.startswith(prefix) and isinstance(kind, pl.List) and _is_number(kind)
    ]


def _is_number(kind: pl.List) -> bool:
    return bool(getattr(kind.inner, "is_numeric", bool)())


def _is_aligned(frame: pl.DataFrame, name: str, length: pl.Expr) -> bool:
    return bool(frame.select((pl.col(name).list.len() == length).all()).item())


# --- outcomes -------------------------------------------------------------------------


def with_outcomes(logged: Logged, place: Place) -> Logged:
    """The same, with a column `label.<task>` of what came of each candidate.

    Args:
        logged: With the candidates' ids.
        place: A Parquet or CSV file, or a directory of Parquet files, with
            `request_id`, `item` and a column a task; or the examples of a run.

    Raises:
        LogError: It cannot be read, or has no column of a task.
    """
    found = _outcomes(place)
    tasks = [task for task in logged.tasks if task in found.columns]
    if not tasks:
        raise LogError(
            f"{place}: has no column of a task. Wanted: request_id, item and one of "
            f"{', '.join(logged.tasks)}. Got {', '.join(found.columns)}."
        )
    labels = [pl.col(task).cast(pl.Float64).alias(f"{LABEL}{task}") for task in tasks]
    keys = [pl.col(name).cast(pl.String) for name in ("request_id", "item")]
    found = found.select(*keys, *labels).unique(["request_id", "item"], keep="last")
    joined = logged.candidates.join(
        found, on=["request_id", "item"], how="left", maintain_order="left"
    )
    return dataclasses.replace(logged, candidates=joined)


def _outcomes(place: Place) -> pl.DataFrame:
    path = pathlib.Path(place)
    if path.is_dir() and any(path.glob(f"{_SPLIT}*")):
        return _from_examples(path)
    try:
        if path.suffix == ".csv":
            found = pl.read_csv(path, infer_schema_length=None)
        else:
            found = pl.read_parquet(path / "*.parquet" if path.is_dir() else path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LogError(f"{place}: cannot be read as outcomes: {error}") from None
    names = {"key_request": "request_id", "key_item": "item"}
    found = found.rename({old: new for old, new in names.items() if old in found})
    found = found.rename(lambda name: name.removeprefix("label_"))
    if lacks := {"request_id", "item"} - set(found.columns):
        raise LogError(
            f"{place}: outcomes need columns request_id and item. Without: "
            f"{', '.join(sorted(lacks))}."
        )
    return found


def _from_examples(path: pathlib.Path) -> pl.DataFrame:
    """Of a run's raw examples, whose spec names `log.request`: labels that count."""
    import tensorflow as tf

    rows: list[dict[str, Any]] = []
    files = sorted(str(file) for file in path.glob(f"{_SPLIT}*/*.gz"))
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        if "key_request" not in features or "key_item" not in features:
            raise LogError(
                f"{path}: the examples do not tell requests apart. Name the column in "
                "the spec (log.request) and make them again, or give a table."
            )
        rows.append(_label_row(features))
    return pl.DataFrame(rows, infer_schema_length=None)


def _label_row(features: Mapping[str, Any]) -> dict[str, Any]:
    keys = {"request_id": "key_request", "item": "key_item"}
    row: dict[str, Any] = {new: _text(features[old]) for new, old in keys.items()}
    for name in features:
        task = name.removeprefix("label_")
        if task != name:
            counts = _number(features, f"mask_{task}", 1.0) > 0
            row[task] = _number(features, name, 0.0) if counts else None
    return row


def _values(feature: Any) -> Iterable[Any]:
    found: Iterable[Any] = getattr(feature, feature.WhichOneof("kind")).value
    return found


def _text(feature: Any) -> str:
    (value,) = _values(feature)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(features: Mapping[str, Any], name: str, missing: float) -> float:
    return float(*_values(features[name])) if name in features else missing

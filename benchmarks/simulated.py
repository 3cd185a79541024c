"""Simulated logs for the studies: made, encoded, trained on, scored against the truth.

A study trains many rankers on the same examples, so the examples and their encoding are
made once, by the pipeline's own steps without the gates between them.
The simulator tells the true probability of every behaviour, so that a ranker is scored
by what its score is *expected* to be over all labels that these rows could have had:
the luck of the labels is no noise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import json
import logging
import os
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measured
import numpy as np
import polars as pl
import tensorflow as tf
from matplotlib.axes import Axes

import trailrank
from feature_specs import ModelConfig, Spec, load_spec, read_spec, views
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER, slice_key
from pipeline.examples.days import DayRange, plan_splits
from pipeline.reporting import figures
from pipeline.reporting.files import plain, write_bytes
from pipeline.reporting.intervals import Gain, paired_gain
from pipeline.simulator import simulate
from tpu_configs import load_slice
from trainer.days import loop
from trainer.days.folders import find_days
from trainer.days.layout import Layout
from trainer.model.ranker import Batch, Ranker

_FIRST_DAY = "2022-04-08"  # the simulator's
_TRIED = 7  # logs that were looked at before the studies were run
_EXAMPLES, _ENCODING, _TRUTH = "examples", "encoding", "truth"
# The conditions of the shipped user groups -> those that the simulator's user file has
# for its own groups: new users registered in the last 60 days, four of five low ones
# are marked.
_GROUPS = {
    "user_minutes = 0": "register_days < 61",
    "user_minutes < 60": "is_lowactive_period = 1",
}
Precision = Literal["float32", "bfloat16"]
# Variant -> (log, seed) -> measure -> value.
Results = dict[str, dict[tuple[int, int], dict[str, float]]]

# Task -> the simulator's signal.
SIGNALS = {
    "valid_play": "is_click",
    "long_view": "long_view",
    "finish": "complete",
    "skip": "skip",
    "completion": "completion",
    "like": "is_like",
    "follow": "is_follow",
    "comment": "is_comment",
    "share": "is_forward",
    "hate": "is_hate",
    "profile_enter": "is_profile_enter",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a simulated log is."""

    users: int
    days: int
    rows_per_user_day: float
    random_share: float = 0.3
    eval_days: int = 1
    trail_effect: float = 1.0


FULL = Shape(users=200, days=5, rows_per_user_day=160)
QUICK = Shape(users=25, days=3, rows_per_user_day=130)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """The examples of one simulated log.

    N = evaluation rows.

    Attributes:
        name: Tells the log's size, seed and spec.
        spec: What they hold.
        days: Training days, raw, as `trainer.days.loop` takes them.
        examples: Directory of all of them.
        graph: Directory of their encoding.
        batch: All evaluation rows, encoded.
        rows: Their keys, slices and truth: `p_<signal>` as it happened, `u_<signal>`
            at the start of a trail.
    """

    name: str
    spec: Spec
    days: Sequence[loop.Day]
    examples: str
    graph: str
    batch: Batch
    rows: pl.DataFrame

    def select(self, spec: Spec) -> Log:
        """The same rows for a spec with fewer features or tasks."""
        kept = [self.spec.tasks.index(task) for task in spec.tasks]
        batch = Batch(
            features={f.name: self.batch.features[f.name] for f in spec.features},
            labels=tf.gather(self.batch.labels, kept, axis=1),
            masks=tf.gather(self.batch.masks, kept, axis=1),
            weight=self.batch.weight,
        )
        return dataclasses.replace(self, spec=spec, batch=batch)

    def last_days(self, days: int) -> Log:
        """Trains on the last few days only."""
        return dataclasses.replace(self, days=self.days[-days:])

    def served(self) -> Batch:
        """The evaluation rows without trail features, as in serving."""
        names = [feature.name for feature in self.spec.served_features]
        features = {name: self.batch.features[name] for name in names}
        return self.batch._replace(features=features)


def kuairand_by_registration() -> Spec:
    """The shipped spec, its user groups told by registration instead of watch time.

    A user whose log begins with the simulation is `new` by watch time for one day only,
    and no different from others. Users registered within two months are different: the
    simulator's new users like what is good and popular, whatever its topic.
    """
    text = load_spec("kuairand").text
    for shipped, ours in _GROUPS.items():
        if text.count(shipped) != 2:  # in the column, and in the code for the model
            raise RuntimeError(f"kuairand.yaml must say {shipped!r} twice.")
        text = text.replace(shipped, ours)
    return read_spec(text)


def log_numbers(logs: int) -> range:
    """Seeds of the simulator; logs 0 to 6 chose sizes, rates and lambda."""
    return range(_TRIED, _TRIED + logs)


@contextlib.contextmanager
def work_folder(asked: str | None) -> Iterator[pathlib.Path]:
    """The folder asked for, which keeps what is made, or one that goes in the end."""
    if asked:
        folder = pathlib.Path(asked).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        yield pathlib.Path(name)


def make_log(work: pathlib.Path, spec: Spec, shape: Shape, seed: int) -> Log:
    """Simulates a log and makes its examples, if `work` does not have them."""
    *sizes, trail = (f"{value:g}" for value in dataclasses.astuple(shape))
    strength = "" if trail == "1" else f"-trail{trail}"
    meaning = views.digest(spec, views.ENCODING)
    name = f"log-{'-'.join(sizes)}-seed{seed}{strength}-{meaning}"
    folder = work / name
    if not folder.exists():
        _make(folder, spec, shape, seed)
    plan = plan_splits(_days(shape), shape.eval_days, spec.log.days_per_split)
    days = find_days(str(folder / _EXAMPLES))
    graph = str(folder / _ENCODING)
    batch, keys = _read(spec, [d for d in days if d[0] in plan.evaluation], graph)
    return Log(
        name=folder.name,
        spec=spec,
        days=[day for day in days if day[0] in plan.train],
        examples=str(folder / _EXAMPLES),
        graph=graph,
        batch=batch,
        rows=_with_truth(keys, folder / _TRUTH),
    )


def remember(
    work: pathlib.Path,
    log: Log,
    config: ModelConfig,
    seed: int,
    measure: Callable[[Ranker], dict[str, float]],
    **differs: Any,
) -> dict[str, float]:
    """What `measure` found of a trained ranker; `work` keeps it for a run cut short.

    `differs`: arguments of `train` that are not its defaults.
    """
    decides = {**identity(log, config, seed), **differs}
    return keep(work, decides, lambda: measure(train(log, config, seed, **differs)))


def keep(
    work: pathlib.Path,
    decides: Mapping[str, Any],
    find: Callable[[], dict[str, float]],
) -> dict[str, float]:
    """What `find` found, once for all that `decides` it; `work` keeps it."""
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    path = work / "trainings" / f"{digest[:16]}.json"
    if not path.exists():
        found = find()
        write_bytes(path, json.dumps(found).encode())
    return json.loads(path.read_text())


def identity(log: Log, config: ModelConfig, seed: int) -> dict[str, Any]:
    """What decides a training, for `keep`."""
    return {
        "log": log.name,
        "days": [name for name, _ in log.days],
        "features": [feature.name for feature in log.spec.features],
        "tasks": [task.name for task in log.spec.tasks],
        "config": dataclasses.asdict(config),
        "seed": seed,
    }


def train(
    log: Log,
    config: ModelConfig,
    seed: int,
    *,
    precision: Precision = "float32",
    tables_of_a_tpu: bool = False,
) -> Ranker:
    """A ranker trained on the log's days, on one machine without accelerator."""
    options = loop.LoopOptions(tables_of_a_tpu=tables_of_a_tpu)
    return _fit(log.spec, config, log.days, log.graph, seed, precision, options)[0]


def train_and_validate(
    log: Log,
    config: ModelConfig,
    seed: int,
    *,
    precision: Precision = "float32",
    validate_rows: int = 0,
) -> tuple[Ranker, list[dict[str, Any]]]:
    """The same, and the loop's record of each day, of `metrics.jsonl`."""
    options = loop.LoopOptions(validate_rows=validate_rows)
    return _fit(log.spec, config, log.days, log.graph, seed, precision, options)


def fit(
    spec: Spec, config: ModelConfig, days: Sequence[loop.Day], graph: str, seed: int
) -> Ranker:
    """A ranker trained on days of examples, on one machine without accelerator."""
    return _fit(spec, config, days, graph, seed, "float32", loop.LoopOptions())[0]


def _fit(
    spec: Spec,
    config: ModelConfig,
    days: Sequence[loop.Day],
    graph: str,
    seed: int,
    precision: Precision,
    options: loop.LoopOptions,
) -> tuple[Ranker, list[dict[str, Any]]]:
    tf.get_logger().setLevel("ERROR")  # a ranker's step is traced for every ranker
    tf.keras.backend.clear_session()
    gc.collect()  # an earlier ranker's functions hold it in cycles
    slice = dataclasses.replace(load_slice("cpu"), precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        ranker = loop.train(
            spec,
            config,
            days,
            checkpoint_dir=folder,
            slice=slice,
            seed=seed,
            options=options,
            graph=graph,
        )
        lines = pathlib.Path(folder, loop.METRICS_FILE).read_text().splitlines()
    return ranker, [json.loads(line) for line in lines]


def predict(log: Log, ranker: Ranker) -> dict[str, np.ndarray]:
    """Task -> predictions [N] for the evaluation rows, as served."""
    found = ranker(log.served().features)
    return {task: values.numpy().astype(np.float64) for task, values in found.items()}


# --- statistics -----------------------------------------------------------------------


def gain(
    results: Results, variant: str, baseline: str, measure: str, direction: int = 1
) -> Gain:
    """How much better a variant is, paired; `direction` -1 if lower is better.

    Of each log the mean over the seeds that both have is one value; with a single log
    each seed is.
    """
    one, other = results[variant], results[baseline]
    pairs = sorted(one.keys() & other.keys())
    by_log: dict[int, list[float]] = {}
    single = len({log for log, _ in pairs}) == 1
    for log, seed in pairs:
        difference = one[log, seed][measure] - other[log, seed][measure]
        by_log.setdefault(seed if single else log, []).append(difference)
    differences = {key: float(np.mean(values)) for key, values in by_log.items()}
    return paired_gain(differences, dict.fromkeys(differences, 0.0), direction)


def mean(results: Results, variant: str, measure: str) -> float:
    """Over all logs and seeds of a variant."""
    return float(np.mean([found[measure] for found in results[variant].values()]))


def as_json(found: Gain) -> dict[str, float | int | None]:
    """Plain values, six digits; None where there is no interval."""
    ends = {"gain": found.mean, "low": found.low, "high": found.high}
    return plain({**ends, "pairs": found.pairs}, figures=6)


def draw_gains(
    panel: Axes,
    gains: Sequence[Gain],
    offset: float = 0.0,
    colour: str = figures.BLUE,
    label: str | None = None,
) -> None:
    """A dot with its interval a row from the top; filled where it leaves 0 out."""
    for row, found in enumerate(gains):
        figures.draw_gain(panel, found, row + offset, colour)
    if label:
        panel.plot([], [], "o", color=colour, label=label)


def machine() -> str:
    """What the figures were made on."""
    return f"{measured.machine()}, TensorFlow {tf.__version__}"


# --- the pipeline's steps -------------------------------------------------------------


def _days(shape: Shape) -> DayRange:
    first = np.datetime64(_FIRST_DAY)
    last = first + np.timedelta64(shape.days - 1, "D")
    return DayRange.parse(":".join(str(day).replace("-", "") for day in (first, last)))


def _make(folder: pathlib.Path, spec: Spec, shape: Shape, seed: int) -> None:
    """Examples, encoding and truth; the folder is there when all are whole."""
    arguments = dataclasses.asdict(shape)
    del arguments["eval_days"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = pathlib.Path(name)
        simulate(str(scratch / "logs"), seed=seed, **arguments)
        done = scratch / "done"
        done.mkdir()
        with silent():  # the imports warn
            trailrank.make_examples(
                spec,
                scratch / "logs" / "data",
                done / _EXAMPLES,
                days=str(_days(shape)),
                eval_days=shape.eval_days,
                allow_small_days=True,
            )
            trailrank.make_encoding(spec, done / _EXAMPLES, done / _ENCODING)
        (scratch / "logs" / "truth").rename(done / _TRUTH)
        with contextlib.suppress(OSError):  # another study was faster
            done.rename(folder)
        if not folder.exists():
            raise RuntimeError(
                f"{folder}: cannot be made. Make room, or another --work."
            )


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Warnings and logs up to warnings are left out."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


# --- evaluation rows ------------------------------------------------------------------


def _read(
    spec: Spec, days: Sequence[loop.Day], graph: str
) -> tuple[Batch, pl.DataFrame]:
    """All rows of the days as one batch, and their keys and slices."""
    patterns = [pattern for _, patterns in days for pattern in patterns]
    files = sorted(file for p in patterns for file in tf.io.gfile.glob(p))
    records = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    layout, rows = Layout(spec, graph), tf.constant(records)
    batch = layout.unpack(layout.reader()(rows), len(records))
    row = tf.io.parse_example(rows, _key_columns(spec))
    return batch, pl.DataFrame({name: _text(row[name]) for name in _key_columns(spec)})


def _key_columns(spec: Spec) -> dict[str, tf.io.FixedLenFeature]:
    types = dict.fromkeys((KEY_USER, KEY_ITEM, KEY_TIME), tf.int64)
    for column in spec.evaluation.slices:
        is_text = spec.column_types[column] == "string"
        types[slice_key(column)] = tf.string if is_text else tf.int64
    return {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}


def _text(values: tf.Tensor) -> np.ndarray:
    found = values.numpy()
    return found.astype(np.str_) if found.dtype == object else found


def _with_truth(keys: pl.DataFrame, folder: pathlib.Path) -> pl.DataFrame:
    """The same rows in the same order, with the simulator's truth."""
    files = sorted(folder.glob("*.parquet"))
    truth = pl.concat([pl.read_parquet(file) for file in files]).select(
        pl.col("user_id").cast(pl.Int64).alias(KEY_USER),
        pl.col("video_id").cast(pl.Int64).alias(KEY_ITEM),
        pl.col("time_ms").cast(pl.Int64).alias(KEY_TIME),
        pl.col("trail_position", "user_group"),
        pl.col("^[pu]_.*$").cast(pl.Float64),
    )
    joined = keys.join(
        truth, on=[KEY_USER, KEY_ITEM, KEY_TIME], how="left", maintain_order="left"
    )
    if joined.height != keys.height or joined["p_is_click"].null_count():
        raise RuntimeError(f"{folder}: every example must have one row of truth.")
    return joined

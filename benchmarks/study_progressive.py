"""Do days in their order train a better ranker than the same days shuffled together?

    python benchmarks/study_progressive.py [--quick] [--work DIR] [--out DIR]

Simulated logs of two weeks become examples of the shipped spec once. On the first 13
days the default preset is trained four times with the same seed: day after day
(`in order`); with the same rows dealt at random to 13 days of the same sizes
(`shuffled`), so that steps, batches and rows are as many; with the days from last to
first (`reversed`); and on the last three days alone (`last 3 days`). All are scored on
the 14th day, as served. The first two are trained on other logs, too: where users'
interests stay what they are on the first day (the simulator's INTEREST_MEMORY is 1
instead of 0.9, so that interests are as far apart, and only their drift is gone), and
where they drift twice as far (INTEREST_DRIFT is 1.2 instead of 0.6).

Training in order predicts each day before it trains on it: progressive validation. Its
metrics by day are the second result.

*Expected AUC* takes the true probability of each row as it was shown: the row is a
positive with this probability and a negative with the rest, so that no luck of labels
is in it. Intervals are 95 % of Student's t over logs, paired: users, videos, rows and
the training's seed differ between logs.

Prints tables, and as the last line one JSON object. `--out` gets
study_progressive.png, `--work` keeps examples and results for another run.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import measured
import numpy as np
import rich.console
import simulated
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Log, Results, Shape

from feature_specs import load_preset
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain, summarise
from pipeline.reporting.tables import gain_text, new_table
from pipeline.simulator import exposure
from trainer.days import loop
from trainer.model.ranker import Ranker

_PRESET = "mmoe"
_DENSE = ("valid_play", "long_view", "finish", "skip")
_RARE = ("like", "follow", "comment", "share", "hate", "profile_enter")
_ORDER, _SHUFFLED, _REVERSED = "in order", "shuffled", "reversed"
_LAST_DAYS = 3
_LAST = f"last {_LAST_DAYS} days"
_RIVALS = (_SHUFFLED, _REVERSED, _LAST)
_LOSS = "log loss"
_KEPT = ("rows", "steps", "evaluation rows", *(f"calibration {t}" for t in _DENSE))
_DRIFT, _STILL, _TWICE = "drift", "no drift", "twice the drift"
_VARIANTS = {
    _DRIFT: (_ORDER, *_RIVALS),
    _STILL: (_ORDER, _SHUFFLED),
    _TWICE: (_ORDER, _SHUFFLED),
}
# What each kind of log changes in the simulator's `exposure`.
_CHANGED: dict[str, dict[str, float]] = {
    _DRIFT: {},
    _STILL: {"INTEREST_MEMORY": 1.0},  # correlation from one day to the next
    _TWICE: {"INTEREST_DRIFT": 2 * exposure.INTEREST_DRIFT},  # standard deviation
}
_CALLED = {
    _DRIFT: "interests drift",
    _STILL: "interests stay",
    _TWICE: "interests drift twice as far",
}
_ALL_ROWS = 10**7  # of a day are validated
_COLOURS = (figures.BLUE, figures.ORANGE, figures.GREEN, figures.VERMILLION)


@dataclasses.dataclass(frozen=True)
class _Sizes:
    shape: Shape
    logs: int
    seeds: int  # trainings of a variant on each log
    kinds: tuple[str, ...]


# As many rows of a user and day as the simulator and KuaiRand-27K have.
_TWO_WEEKS = Shape(users=32, days=14, rows_per_user_day=381)
_FIVE_DAYS = Shape(users=16, days=5, rows_per_user_day=150)
_FULL = _Sizes(_TWO_WEEKS, logs=6, seeds=1, kinds=(_STILL, _DRIFT, _TWICE))
_QUICK = _Sizes(_FIVE_DAYS, logs=1, seeds=2, kinds=(_DRIFT,))


def main() -> None:
    """Trains on all logs in all orders, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        found = {kind: _run(work, kind, sizes, console) for kind in sizes.kinds}
    unit = "logs" if sizes.logs > 1 else "seeds"
    for kind, results in found.items():
        console.print(_scores_table(results, kind, unit))
    if _STILL in found:
        console.print(_drift_table(found, unit))
    console.print(_days_table(found[_DRIFT], unit))
    if args.out:
        file = pathlib.Path(args.out) / "study_progressive.png"
        write_bytes(file, figures.png(_draw(found, unit)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(found, sizes, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small log")
    parser.add_argument("--work", help="folder that keeps examples and results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


# --- logs -----------------------------------------------------------------------------


def _make_log(work: pathlib.Path, kind: str, shape: Shape, number: int) -> Log:
    """A log of the shipped simulator, or of one whose interests are changed."""
    spec = simulated.kuairand_by_registration()
    with _changed(_CHANGED[kind]):
        return simulated.make_log(work, spec, shape, number)


@contextlib.contextmanager
def _changed(values: Mapping[str, float]) -> Iterator[None]:
    """The simulator with other constants."""
    shipped = {name: getattr(exposure, name) for name in values}
    vars(exposure).update(values)
    try:
        yield
    finally:
        vars(exposure).update(shipped)


def _training_days(work: pathlib.Path, log: Log) -> dict[str, Sequence[loop.Day]]:
    """Variant -> days as it trains on them."""
    names = [name for name, _ in log.days]
    files = [files for _, files in log.days]
    return {
        _ORDER: log.days,
        _SHUFFLED: _shuffled_days(work / "shuffled" / log.name, log),
        _REVERSED: list(zip(names, reversed(files), strict=True)),
        _LAST: log.days[-_LAST_DAYS:],
    }


def _shuffled_days(folder: pathlib.Path, log: Log) -> list[loop.Day]:
    """The log's rows dealt at random to days of the same names and sizes."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.tmp")
        unfinished.mkdir(parents=True, exist_ok=True)
        _deal(log, unfinished)
        unfinished.rename(folder)
    return [(name, [str(folder / f"{name}.gz")]) for name, _ in log.days]


def _deal(log: Log, folder: pathlib.Path) -> None:
    """Reads all rows; the loop's own shuffle buffer reaches over a part of a day."""
    days = [_records(patterns) for _, patterns in log.days]
    rows = np.array([row for day in days for row in day], dtype=object)
    np.random.default_rng(zlib.crc32(log.name.encode())).shuffle(rows)
    ends = np.cumsum([len(day) for day in days])
    options = tf.io.TFRecordOptions("GZIP")
    for (name, _), own in zip(log.days, np.split(rows, ends[:-1]), strict=True):
        with tf.io.TFRecordWriter(str(folder / f"{name}.gz"), options) as writer:
            for row in own:
                writer.write(row)


def _records(patterns: Sequence[str]) -> list[bytes]:
    files = sorted(file for p in patterns for file in tf.io.gfile.glob(p))
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


# --- trainings ------------------------------------------------------------------------


def _run(
    work: pathlib.Path, kind: str, sizes: _Sizes, console: rich.console.Console
) -> Results:
    """Results of every variant, log and seed on one kind of logs."""
    work /= "-".join(f"{k}-{v:g}" for k, v in _CHANGED[kind].items()) or "shipped"
    work.mkdir(exist_ok=True)
    results: Results = {}
    for number in simulated.log_numbers(sizes.logs):
        log = _make_log(work, kind, sizes.shape, number)
        days = _training_days(work, log)
        for name in _VARIANTS[kind]:
            own = dataclasses.replace(log, name=f"{log.name} {name}", days=days[name])
            for training in range(sizes.seeds):
                seed = 100 * number + training
                rows = _ALL_ROWS if (kind, name) == (_DRIFT, _ORDER) else 0
                found = _remember(work, own, seed, rows)
                results.setdefault(name, {})[number, training] = found
                line = f"{kind}, log {number}, seed {training}, {name}: "
                line += f"dense AUC {found['dense']:.4f}, loss {found['loss']:.4f}"
                console.print(line, highlight=False, soft_wrap=True)
    return results


def _remember(
    work: pathlib.Path, log: Log, seed: int, validate_rows: int
) -> dict[str, float]:
    """What one training has come to."""
    config = load_preset(_PRESET)

    def find() -> dict[str, float]:
        ranker, days = simulated.train_and_validate(
            log, config, seed, validate_rows=validate_rows
        )
        return {**_measure(log, ranker), **_trained(days), **_by_day(days)}

    decides = simulated.identity(log, config, seed)
    return simulated.keep(work, {**decides, "validate_rows": validate_rows}, find)


def _measure(log: Log, ranker: Ranker) -> dict[str, float]:
    """Scores on the last day, as served."""
    predictions = simulated.predict(log, ranker)
    losses = ranker.look_inside(log.served()).losses.numpy()
    found = {"loss": float(losses.sum())}
    for column, task in enumerate(log.spec.tasks):
        if task.name in (*_DENSE, *_RARE):
            scores = predictions[task.name]
            chance = log.rows[f"p_{simulated.SIGNALS[task.name]}"].to_numpy()
            labels = log.batch.labels[:, column].numpy().astype(np.float64)
            found[f"auc {task.name}"] = metrics.expected_auc(chance, scores)
            found[f"label {task.name}"] = metrics.expected_auc(labels, scores)
            found[f"calibration {task.name}"] = metrics.calibration(chance, scores)
            found[f"{_LOSS} {task.name}"] = metrics.log_loss(labels, scores)
    groups = (("dense", _DENSE), ("rare", _RARE))
    for name, tasks in groups:
        found[name] = float(np.mean([found[f"auc {task}"] for task in tasks]))
    found["label dense"] = float(np.mean([found[f"label {task}"] for task in _DENSE]))
    return {**found, "evaluation rows": float(log.rows.height)}


def _trained(days: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {key: float(sum(day[key] for day in days)) for key in ("rows", "steps")}


def _by_day(days: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`day 2 auc valid_play`, `day 2 log loss valid_play`: before training on it.

    The first day meets an untrained ranker and is left out.
    """
    found = {}
    for number, day in enumerate(days[1:], start=2):
        validation = day.get("validation", {})
        for task in _DENSE if validation else ():
            found[f"day {number} auc {task}"] = validation["auc"][task]
            found[f"day {number} {_LOSS} {task}"] = validation["loss"][task]
    return found


# --- what came out --------------------------------------------------------------------


# Measure -> how the table calls it, and 1 if a higher value is better.
_MEASURES = {
    **{f"auc {task}": (task, 1) for task in _DENSE},
    "dense": ("dense, mean", 1),
    "label dense": ("dense, of labels", 1),
    "rare": ("rare, mean", 1),
    "loss": ("loss of all tasks", -1),
}


def _scores_table(results: Results, kind: str, unit: str) -> Table:
    """Scores of every variant, and what the order gains over each other one."""
    title = f"Expected AUC on the last day, {_CALLED[kind]}; gains of days in order, "
    names = _VARIANTS[kind]
    heads = ["", *names, *(f"over {rival}" for rival in names[1:])]
    table = new_table(f"{title}intervals over {unit}", heads)
    for measure, (called, _) in _MEASURES.items():
        scores = [simulated.mean(results, name, measure) for name in names]
        gains = [_gain(results, rival, measure) for rival in names[1:]]
        table.add_row(called, *(f"{s:.4f}" for s in scores), *map(gain_text, gains))
    return table


def _gain(results: Results, rival: str, measure: str) -> Gain:
    """Of the days in order; positive is better."""
    return simulated.gain(results, _ORDER, rival, measure, _MEASURES[measure][1])


def _over_still(found: Mapping[str, Results], kind: str, measure: str) -> Gain:
    """How much more the order gains over shuffled days than where interests stay."""
    direction = _MEASURES[measure][1]
    gains = {
        name: {
            key: {
                measure: direction * (one[measure] - results[_SHUFFLED][key][measure])
            }
            for key, one in results[_ORDER].items()
        }
        for name, results in found.items()
    }
    return simulated.gain(gains, kind, _STILL, measure)


def _drift_table(found: Mapping[str, Results], unit: str) -> Table:
    """What of the gain goes with the drift."""
    drifting = [kind for kind in found if kind != _STILL]
    title = f"Days in order, gain over shuffled; intervals over {unit}"
    more = [f"{kind}: more" for kind in drifting]
    table = new_table(f"{title}; `more` than with no drift", ["", *found, *more])
    for measure, (called, _) in _MEASURES.items():
        gains = [_gain(results, _SHUFFLED, measure) for results in found.values()]
        gains += [_over_still(found, kind, measure) for kind in drifting]
        table.add_row(called, *map(gain_text, gains))
    return table


def _days_table(results: Results, unit: str) -> Table:
    """Each day before it is trained on."""
    title = f"Progressive validation by labels: mean and deviation over {unit}"
    table = new_table(title, ["day", *(f"{t}, AUC" for t in _DENSE), "log loss"])
    days = _progressive(results)
    for day, found in days.items():
        cells = [_spread(found[name]) for name in (*_DENSE, _LOSS)]
        table.add_row(str(day), *cells)
    return table


def _spread(values: Sequence[float]) -> str:
    found = summarise(values)
    return f"{found.mean:.4f} ±{found.sd:.4f}"


def _progressive(results: Results) -> dict[int, dict[str, list[float]]]:
    """Day -> task -> AUC in each training; `log loss` is the dense tasks' mean."""
    trainings = list(results[_ORDER].values())
    days: dict[int, dict[str, list[float]]] = {}
    for day in range(2, _last_day(trainings[0]) + 1):
        values = [_of_day(found, day) for found in trainings]
        days[day] = {name: [v[name] for v in values] for name in values[0]}
    return days


def _last_day(found: Mapping[str, float]) -> int:
    """The evaluation day comes after those that were trained on."""
    return 1 + max(int(name.split()[1]) for name in found if name.startswith("day "))


def _of_day(found: Mapping[str, float], day: int) -> dict[str, float]:
    prefix, auc = f"day {day} ", "auc"
    if day == _last_day(found):
        prefix, auc = "", "label"
    losses = [found[f"{prefix}{_LOSS} {task}"] for task in _DENSE]
    areas = {task: found[f"{prefix}{auc} {task}"] for task in _DENSE}
    return {**areas, _LOSS: float(np.mean(losses))}


def _summary(
    found: Mapping[str, Results], sizes: _Sizes, seconds: float
) -> dict[str, object]:
    return {
        "study": "progressive",
        "gains_of_order": {
            kind: {
                rival: {
                    m: simulated.as_json(_gain(results, rival, m)) for m in _MEASURES
                }
                for rival in _VARIANTS[kind][1:]
            }
            for kind, results in found.items()
        },
        "gains_over_no_drift": {
            kind: {m: simulated.as_json(_over_still(found, kind, m)) for m in _MEASURES}
            for kind in (found if _STILL in found else ())
            if kind != _STILL
        },
        "scores": {
            kind: {
                name: {m: _mean(results, name, m) for m in (*_MEASURES, *_KEPT)}
                for name in _VARIANTS[kind]
            }
            for kind, results in found.items()
        },
        "by_day": {
            str(day): {
                name: [
                    round(v, 5)
                    for v in (float(np.mean(values)), min(values), max(values))
                ]
                for name, values in tasks.items()
            }
            for day, tasks in _progressive(found[_DRIFT]).items()
        },
        "logs": sizes.logs,
        "seeds": sizes.seeds,
        "shape": dataclasses.asdict(sizes.shape),
        "changed": {kind: _CHANGED[kind] for kind in found},
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _mean(results: Results, name: str, measure: str) -> float:
    return round(simulated.mean(results, name, measure), 5)


def _draw(found: Mapping[str, Results], unit: str) -> Figure:
    """What the order gains, and the days before they were trained on."""
    figure = figures.new_figure(11, 3.8)
    gains, areas, losses = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    _draw_gains(gains, found, unit)
    handles, names = gains.get_legend_handles_labels()
    where = "outside lower left"  # beside the dots there is no room
    figure.legend(handles, names, loc=where, fontsize=8, frameon=False, ncols=3)
    days = _progressive(found[_DRIFT])
    for task, colour in zip(_DENSE, _COLOURS, strict=True):
        _draw_days(areas, days, task, colour)
    areas.legend(fontsize=8, frameon=False)
    areas.set_title("AUC of each day before it is trained on", fontsize=9)
    _draw_days(losses, days, _LOSS, figures.BLACK)
    losses.set_title("log loss, mean of these tasks", fontsize=9)
    return figure


def _draw_gains(panel: Axes, found: Mapping[str, Results], unit: str) -> None:
    """Over the shuffled days, by kind of log."""
    measures = [*(f"auc {task}" for task in _DENSE), "dense"]
    for number, (kind, results) in enumerate(found.items()):
        gains = [_gain(results, _SHUFFLED, measure) for measure in measures]
        offset = 0.2 * (number - (len(found) - 1) / 2)
        colour, label = _COLOURS[number], _CALLED[kind]
        simulated.draw_gains(panel, gains, offset, colour, label)
    names = [_MEASURES[measure][0] for measure in measures]
    title = "in order: expected AUC more than shuffled"
    figures.finish_gains(panel, names, title)
    panel.set_xlabel(
        f"bars: 95 % over {unit}, filled where they leave 0 out", fontsize=8
    )


def _draw_days(
    panel: Axes, days: Mapping[int, Mapping[str, list[float]]], name: str, colour: str
) -> None:
    """The mean, and a band from the lowest to the highest."""
    values = np.array([found[name] for found in days.values()])
    panel.plot(list(days), values.mean(axis=1), "o-", color=colour, ms=3, label=name)
    panel.fill_between(
        list(days),
        values.min(axis=1),
        values.max(axis=1),
        color=colour,
        alpha=0.15,
        lw=0,
    )
    panel.set_xlabel("day; band: lowest to highest", fontsize=8)
    panel.tick_params(labelsize=8)
    figures.tidy(panel, "both")


if __name__ == "__main__":
    main()

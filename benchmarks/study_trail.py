"""What the trail tower and the disentangle loss do, on logs whose truth is known.

    python benchmarks/study_trail.py [--quick] [--work DIR] [--out DIR]

Simulated logs, 30 % of their rows shown at random, become examples of the shipped spec
once. On them the default preset is trained with and without trail towers, and with
several weights of the disentangle loss, each with the same seeds. The evaluation day is
scored as served, so with the trail features missing. The *expected AUC* of a task takes
the true unbiased probability (at the start of a trail) of each row: the row is a
positive with this probability and a negative with the rest, so that no luck of labels
is in it. Intervals are 95 % of Student's t over logs, paired: users, videos, rows and
the training's seed differ between logs.

The pair is trained on logs with three times the trail effect, too: what is corrected
depends on how much there is to correct.

Prints tables, and as the last line one JSON object. `--out` gets study_trail.png,
`--work` keeps examples and results for another run, examples for study_mfh.py too.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Mapping, Sequence

import measured
import numpy as np
import polars as pl
import rich.console
import simulated
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from simulated import Log, Results, Shape

from feature_specs import ModelConfig, Spec, load_preset
from feature_specs.spec import KEY_USER
from pipeline.reporting import figures, metrics
from pipeline.reporting.files import write_bytes
from pipeline.reporting.intervals import Gain
from pipeline.reporting.tables import gain_text, new_table
from trainer.model.ranker import Ranker

_DENSE = ("valid_play", "long_view", "finish", "skip")
_RARE = ("like", "follow", "comment", "share", "hate", "profile_enter")
_PAIR = _WITHOUT, _WITH = "no trail tower", "trail tower"
_STRONG, _STRONGER = ", strong", 3.0  # suffix of names, times the usual trail effect
_LAMBDAS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0)  # SFV table 2; and our own
_TRUTH = "truth"
_RAREST = 1e-6  # probabilities are kept this far from 0 and 1
_DEAD = 1e-6  # standard deviation of an expert's output that never moves


@dataclasses.dataclass(frozen=True)
class _Sizes:
    shape: Shape
    logs: int
    seeds: int  # trainings with and without trail towers on each log
    lambda_seeds: int  # trainings with each other lambda


_FULL = _Sizes(simulated.FULL, logs=6, seeds=3, lambda_seeds=2)
_QUICK = _Sizes(simulated.QUICK, logs=1, seeds=2, lambda_seeds=2)


def main() -> None:
    """Trains all variants on all logs, prints what came out."""
    args = _arguments()
    began = time.process_time()
    sizes = _QUICK if args.quick else _FULL
    console = rich.console.Console(width=measured.COLUMNS)
    with simulated.work_folder(args.work) as work:
        results, rows = _run(work, sizes, console)
    unit = "logs" if sizes.logs > 1 else "seeds"
    for suffix in ("", _STRONG):
        console.print(_trail_table(results, unit, suffix))
        console.print(_bounds_table(results, suffix))
    console.print(_lambda_table(results, unit))
    if args.out:
        file = pathlib.Path(args.out) / "study_trail.png"
        write_bytes(file, figures.png(_draw(results, unit)))
    seconds = time.process_time() - began
    print(json.dumps(_summary(results, sizes, rows, seconds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small log")
    parser.add_argument("--work", help="folder that keeps examples and results")
    parser.add_argument("--out", help="folder for the figure")
    return parser.parse_args()


# --- trainings ------------------------------------------------------------------------


def _run(
    work: pathlib.Path, sizes: _Sizes, console: rich.console.Console
) -> tuple[Results, dict[str, int]]:
    """Results of every variant, log and seed; and how many rows there were."""
    spec = simulated.kuairand_by_registration()
    results: Results = {}
    rows = {"evaluation": 0, "random": 0}
    for number in simulated.log_numbers(sizes.logs):
        log = simulated.make_log(work, spec, sizes.shape, number)
        rows["evaluation"] += log.rows.height
        rows["random"] += int(_is_random(log).sum())
        shape = dataclasses.replace(sizes.shape, trail_effect=_STRONGER)
        strong = simulated.make_log(work, spec, shape, number)
        for own, suffix in ((log, ""), (strong, _STRONG)):
            results.setdefault(_TRUTH + suffix, {})[number, 0] = _bounds(own)
        for name, seeds in _variants(sizes).items():
            whole = strong if name.endswith(_STRONG) else log
            own, config = _inputs(whole, name.removesuffix(_STRONG))
            for seed in range(seeds):
                found = simulated.remember(
                    work,
                    own,
                    config,
                    100 * number + seed,
                    functools.partial(_measure, whole, own),
                )
                results.setdefault(name, {})[number, seed] = found
                _tell(number, seed, name, found, console)
    return results, rows


def _variants(sizes: _Sizes) -> dict[str, int]:
    """Name -> trainings on each log; the preset as shipped is `trail tower`."""
    others = [_name(weight) for weight in _lambdas() if _name(weight) != _WITH]
    pairs = [name + suffix for suffix in ("", _STRONG) for name in _PAIR]
    main = dict.fromkeys(pairs, sizes.seeds)
    return {**main, **dict.fromkeys(others, sizes.lambda_seeds)}


@functools.cache
def _shipped() -> float:
    return load_preset("mmoe").disentangle


def _lambdas() -> list[float]:
    return sorted({*_LAMBDAS, _shipped()})


def _name(weight: float) -> str:
    return _WITH if weight == _shipped() else f"lambda {weight:g}"


def _inputs(log: Log, variant: str) -> tuple[Log, ModelConfig]:
    """What a variant sees, and its preset."""
    preset = load_preset("mmoe")
    if variant == _WITHOUT:
        return log.select(_without_trail(log.spec)), preset
    (weight,) = (w for w in _lambdas() if _name(w) == variant)
    return log, dataclasses.replace(preset, disentangle=weight)


def _without_trail(spec: Spec) -> Spec:
    kept = tuple(f for f in spec.features if f.group != "trail")
    return dataclasses.replace(spec, features=kept)


def _tell(
    number: int,
    seed: int,
    name: str,
    found: dict[str, float],
    console: rich.console.Console,
) -> None:
    line = f"log {number}, seed {seed}, {name}: AUC of valid_play "
    line += f"{found['auc valid_play']:.4f}, loss {found['loss']:.4f}, "
    line += f"correlation of experts {found['correlation']:.4f}"
    console.print(line, highlight=False, soft_wrap=True)


# --- measures -------------------------------------------------------------------------


def _measure(log: Log, own: Log, ranker: Ranker) -> dict[str, float]:
    """Everything that is known of one training, by name."""
    predictions = simulated.predict(own, ranker)
    is_random = _is_random(log)
    found = {}
    for task in (*_DENSE, *_RARE):
        signal = simulated.SIGNALS[task]
        fair, seen = (log.rows[f"{kind}_{signal}"].to_numpy() for kind in "up")
        scores = predictions[task]
        for key, truth, rows in (
            ("auc", fair, is_random),
            ("auc of feed", fair, ~is_random),
            ("auc as seen", seen, is_random),
        ):
            found[f"{key} {task}"] = metrics.expected_auc(truth[rows], scores[rows])
    for name, tasks in (("dense", _DENSE), ("rare", _RARE)):
        found[name] = float(np.mean([found[f"auc {task}"] for task in tasks]))
    return {**found, **_look_inside(own, ranker)}


def _bounds(log: Log) -> dict[str, float]:
    """What the truth itself reaches on random rows, and what the trail can take away.

    `oracle` is the AUC of the fair probability. `position` is that of the probability
    as it happened, so of a score that holds the whole effect of its row's position;
    `user` that of a score that holds the mean effect of its user's positions.
    """
    is_random, found = _is_random(log), {}
    users = pl.Series("user", log.rows[KEY_USER].filter(is_random))
    for task in _DENSE:
        signal = simulated.SIGNALS[task]
        fair, seen = (
            log.rows[f"{kind}_{signal}"].to_numpy()[is_random] for kind in "up"
        )
        effect = pl.DataFrame({"user": users, "effect": _logit(seen) - _logit(fair)})
        mean = effect.select(pl.col("effect").mean().over("user"))["effect"].to_numpy()
        scores = {"oracle": fair, "position": seen, "user": _logit(fair) + mean}
        for key, score in scores.items():
            found[f"{key} {task}"] = metrics.expected_auc(fair, score)
    return found


def _logit(chance: np.ndarray) -> np.ndarray:
    chance = np.clip(chance, _RAREST, 1 - _RAREST)
    return np.log(chance / (1 - chance))


def _look_inside(log: Log, ranker: Ranker) -> dict[str, float]:
    """The weighted loss of all tasks as served, and how alike the experts are.

    `correlation` is the mean absolute correlation between outputs of different experts,
    `pair` what a pair of experts adds to SFV's sum, `constant` the share of outputs
    that never move; those correlate with nothing.
    """
    inside = ranker.look_inside(log.served())
    ((experts,),) = (structured.experts for structured in inside.structured)
    outputs = experts.numpy()[:, 0].astype(np.float64)  # [N, E, H]
    rows, count, width = outputs.shape
    flat = outputs.reshape(rows, count * width)
    moves = flat.std(axis=0) > _DEAD
    expert = np.repeat(np.arange(count), width)[moves]
    between = expert[:, np.newaxis] < expert
    correlation = np.corrcoef(flat[:, moves].T)[between]
    return {
        "loss": float(inside.losses.numpy().sum()),
        "correlation": float(np.abs(correlation).mean()),
        "pair": float(np.square(correlation).sum() / (count * (count - 1) / 2)),
        "constant": float(1 - moves.mean()),
    }


def _is_random(log: Log) -> np.ndarray:
    return log.rows["slice_is_rand"].to_numpy() == 1


# --- what came out --------------------------------------------------------------------


def _trail_table(results: Results, unit: str, suffix: str) -> Table:
    times = f"{_STRONGER:g} times the trail effect; " if suffix else ""
    title = f"Expected AUC on random rows, {times}intervals over {unit}"
    heads = ["task", "without", "with", "gain", "gain on feed"]
    table = new_table(title, heads)
    for task in (*_DENSE, *_RARE):
        table.add_row(
            task,
            *(f"{_mean(results, n + suffix, f'auc {task}'):.4f}" for n in _PAIR),
            *(
                gain_text(_trail_gain(results, f"{key} {task}", suffix))
                for key in ("auc", "auc of feed")
            ),
        )
    return table


def _bounds_table(results: Results, suffix: str) -> Table:
    title = "AUC of the truth on random rows, with and without the effect of the trail"
    heads = ["task", "fair", "with the user's mean effect", "with the row's own effect"]
    table = new_table(title, heads)
    for task in _DENSE:
        keys = ("oracle", "user", "position")
        areas = [_mean(results, _TRUTH + suffix, f"{key} {task}") for key in keys]
        lost = [f"{area:.4f} ({area - areas[0]:+.4f})" for area in areas[1:]]
        table.add_row(task, f"{areas[0]:.4f}", *lost)
    return table


def _lambda_table(results: Results, unit: str) -> Table:
    title = f"Disentangle loss: differences from lambda 0, intervals over {unit}"
    heads = ["lambda", "|corr.|", "const.", "loss", "loss", "dense AUC", "rare AUC"]
    table = new_table(title, heads)
    for weight in _lambdas():
        name = _name(weight)
        table.add_row(
            f"{weight:g}",
            f"{_mean(results, name, 'correlation'):.4f}",
            f"{_mean(results, name, 'constant'):.0%}",
            f"{_mean(results, name, 'loss'):.4f}",
            *(
                gain_text(_over_0(results, name, measure)) if weight else ""
                for measure in ("loss", "dense", "rare")
            ),
        )
    return table


def _trail_gain(results: Results, measure: str, suffix: str = "") -> Gain:
    return simulated.gain(results, _WITH + suffix, _WITHOUT + suffix, measure)


def _over_0(results: Results, name: str, measure: str) -> Gain:
    return simulated.gain(results, name, _name(0), measure)


def _mean(results: Results, name: str, measure: str) -> float:
    return simulated.mean(results, name, measure)


def _summary(
    results: Results, sizes: _Sizes, rows: dict[str, int], seconds: float
) -> dict[str, object]:
    trained = {
        n: len(found) for n, found in results.items() if not n.startswith(_TRUTH)
    }
    return {
        "study": "trail",
        "gains": {
            task: simulated.as_json(_trail_gain(results, f"auc {task}"))
            for task in (*_DENSE, *_RARE)
        },
        "gains_strong": {
            task: simulated.as_json(_trail_gain(results, f"auc {task}", _STRONG))
            for task in (*_DENSE, *_RARE)
        },
        "auc_of_truth_strong": {
            key: {
                t: round(_mean(results, _TRUTH + _STRONG, f"{key} {t}"), 5)
                for t in _DENSE
            }
            for key in ("oracle", "user", "position")
        },
        "gains_of_feed": {
            task: simulated.as_json(_trail_gain(results, f"auc of feed {task}"))
            for task in (*_DENSE, *_RARE)
        },
        "gains_as_seen": {
            task: simulated.as_json(_trail_gain(results, f"auc as seen {task}"))
            for task in _DENSE
        },
        "auc": {
            name: {t: round(_mean(results, name, f"auc {t}"), 5) for t in _DENSE}
            for name in trained
        },
        "auc_of_truth": {
            key: {t: round(_mean(results, _TRUTH, f"{key} {t}"), 5) for t in _DENSE}
            for key in ("oracle", "user", "position")
        },
        "lambda": {f"{w:g}": _lambda_summary(results, _name(w)) for w in _lambdas()},
        "logs": sizes.logs,
        "trainings": trained,
        "shape": dataclasses.asdict(sizes.shape),
        "rows": rows,
        "cpu_s": round(seconds),
        "machine": simulated.machine(),
        "commit": measured.commit(),
    }


def _lambda_summary(results: Results, name: str) -> dict[str, object]:
    measures = ("correlation", "pair", "constant", "loss", "dense", "rare")
    found: dict[str, object] = {m: round(_mean(results, name, m), 6) for m in measures}
    if name != _name(0):
        found["more_than_0"] = {
            m: simulated.as_json(_over_0(results, name, m)) for m in measures
        }
    return found


def _draw(results: Results, unit: str) -> Figure:
    """Gains of the trail tower above, what the disentangle loss does below."""
    figure = figures.new_figure(9.5, 6.4)
    upper, lower = figure.subfigures(2, 1)
    for panel, tasks in zip(upper.subplots(1, 2), (_DENSE, _RARE), strict=True):
        _draw_trail(panel, results, tasks)
    shown = panel.get_legend_handles_labels()
    upper.legend(*shown, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    correlation, cost, areas = lower.subplots(1, 3)
    _draw_correlation(correlation, results)
    _draw_over_0(cost, results, {"loss": (figures.BLACK, None)}, "loss more than at 0")
    kinds = {
        "dense": (figures.BLUE, "dense tasks"),
        "rare": (figures.VERMILLION, "rare tasks"),
    }
    _draw_over_0(areas, results, kinds, "mean AUC more than at 0")
    upper.suptitle("Trail tower: gain in AUC against the true preference", fontsize=10)
    lower.suptitle("Disentangle loss, by lambda", fontsize=10)
    lower.supxlabel(
        f"bars: 95 % over {unit}, filled where they leave 0 out", fontsize=9
    )
    return figure


def _draw_trail(panel: Axes, results: Results, tasks: Sequence[str]) -> None:
    kinds = {
        ("auc", ""): (figures.BLUE, "random exposure"),
        ("auc", _STRONG): (
            figures.VERMILLION,
            f"random, {_STRONGER:g} times the effect",
        ),
        ("auc of feed", ""): (figures.ORANGE, "feed"),
    }
    for number, ((key, suffix), (colour, label)) in enumerate(kinds.items()):
        gains = [_trail_gain(results, f"{key} {task}", suffix) for task in tasks]
        simulated.draw_gains(panel, gains, 0.24 * (number - 1), colour, label)
    figures.finish_gains(
        panel, tasks, "dense tasks" if tasks == _DENSE else "rare tasks"
    )


def _draw_correlation(panel: Axes, results: Results) -> None:
    """Every training."""
    for row, weight in enumerate(_lambdas()):
        found = [r["correlation"] for r in results[_name(weight)].values()]
        panel.plot(found, [row] * len(found), "o", color=figures.GREEN, alpha=0.5)
    names = [f"{weight:g}" for weight in _lambdas()]
    figures.finish_gains(panel, names, "mean |correlation| of experts' outputs")


def _draw_over_0(
    panel: Axes,
    results: Results,
    measures: Mapping[str, tuple[str, str | None]],
    title: str,
) -> None:
    """Measure -> (colour, label)."""
    weights = [weight for weight in _lambdas() if weight]
    for number, (measure, (colour, label)) in enumerate(measures.items()):
        gains = [_over_0(results, _name(weight), measure) for weight in weights]
        simulated.draw_gains(panel, gains, 0.2 * number, colour, label)
    figures.finish_gains(panel, [f"{weight:g}" for weight in weights], title)
    if len(measures) > 1:
        panel.legend(fontsize=8, frameon=False)


if __name__ == "__main__":
    main()

"""Does the default ranker beat simple means on real ratings? MovieLens 100k, 5 seeds.

    python benchmarks/study_movielens.py
    python benchmarks/study_movielens.py --csv ML --quick

ML is what `trailrank fetch movielens` wrote; without it the copy inside RecBole's wheel
is taken, from the package index.

The last tenth of the ratings (10,000 of 100,000, by time) judges; the ranker trains on
the days before the first of them, one pass, and is scored through its exported
signature. Rivals, for a rating of item i by user u, with smoothing of five ratings:

- the item's mean on everything before the last tenth,
- that plus the user's mean of all of their earlier ratings, those of the last tenth
  included, as a server would know them.

AUC of `liked` (rating >= 4). The interval is Student's t over seeds; the standard error
of one AUC of 10,000 rows is 0.005.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import rich.console
import rich.table

from pipeline.reporting import metrics
from pipeline.reporting.files import rounded
from pipeline.reporting.intervals import summarise

_WHEEL, _INSIDE = "recbole==1.2.1", "recbole/dataset_example/ml-100k"
_SMOOTHING = 5
_LAST = 10_000
_EVAL_DAYS = 23  # the last 10,000 ratings begin on the first of them
_TASK = "liked"


def main() -> None:
    args = _arguments()
    console = rich.console.Console()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(args.root or f"{scratch}/run")
        csv = args.csv or _fetch(pathlib.Path(scratch), console)
        _prepare(root, csv, args.spec, console)
        areas = _train_all(root, args, console)
        item, both = _means(csv)
    _show(console, areas, item, both)
    found = summarise(areas)
    ends = (found.mean - found.half, found.mean + found.half)
    print(
        json.dumps(
            {
                "ranker_auc": round(found.mean, 4),
                "interval": [rounded(end, 4) for end in ends],
                "seeds": found.n,
                "item_mean_auc": round(item, 4),
                "item_and_user_mean_auc": round(both, 4),
                "worst_seed_minus_rival": round(min(areas) - both, 4),
            }
        )
    )


def _fetch(folder: pathlib.Path, console) -> str:
    """MovieLens 100k from RecBole's wheel, as our CSV files."""
    from pipeline import fetch

    with console.status(f"Downloading {_WHEEL} ..."):
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--no-deps"),
                *("-d", str(folder), _WHEEL),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for kind in ("inter", "user", "item"):
            archive.extract(f"{_INSIDE}/ml-100k.{kind}", folder)
    fetch.write(fetch.read_atomic(folder / _INSIDE), folder / "csv")
    return str(folder / "csv")


def _prepare(root: pathlib.Path, csv: str, spec: str, console) -> None:
    """Examples, encoding and one training, by the pipeline itself."""
    if (root / "run.json").exists():
        console.print(f"Takes the run in {root}.", highlight=False)
        return
    with console.status("Running the pipeline once ..."):
        subprocess.run(
            [
                *(sys.executable, "-m", "trailrank", "pipeline", "run", "--spec", spec),
                *("--logs", csv, "--root", str(root), "--eval_days", str(_EVAL_DAYS)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def _train_all(root: pathlib.Path, args, console) -> list[float]:
    """AUC of each seed's ranker on the last tenth."""
    from feature_specs import load_preset, load_spec
    from pipeline.evaluation import scoring
    from serving.export.export import export
    from tpu_configs import load_slice
    from trainer.days.folders import find_days
    from trainer.days.loop import train

    spec, preset = load_spec(args.spec), load_preset(args.preset)
    graph = str(_newest(root, "EncodingGen", "transform_graph"))
    examples = _newest(root, "DayExampleGen", "examples")
    days = find_days(examples)
    splits = [days[-1][0]]  # the evaluation days are one split (days_per_split)
    areas = []
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            ranker = train(
                spec,
                preset,
                [day for day in days if day[0] not in splits],
                checkpoint_dir=f"{scratch}/checkpoints",
                slice=load_slice("cpu"),
                seed=seed,
                graph=graph,
            )
            export(ranker, graph, spec, f"{scratch}/model")
            rows = scoring.score(spec, f"{scratch}/model", str(examples), splits)
        last = rows.sort("key_time_ms", "key_user", "key_item").tail(_LAST)
        labels = last[f"label_{_TASK}"].to_numpy()
        areas.append(metrics.auc(labels, last[f"prediction_{_TASK}"].to_numpy()))
        console.print(f"seed {seed}: AUC {areas[-1]:.4f}", highlight=False)
    return areas


def _newest(root: pathlib.Path, step: str, output: str) -> pathlib.Path:
    folder = root / "artifacts" / step / output
    return max(folder.iterdir(), key=lambda path: int(path.name))


def _means(csv: str) -> tuple[float, float]:
    """AUC of the item's mean alone, and with the user's mean so far."""
    import polars as pl

    frame = pl.read_csv(pathlib.Path(csv) / "ratings.csv")
    frame = frame.sort("timestamp", "user_id", "movie_id")
    before, last = frame.head(len(frame) - _LAST), frame.tail(_LAST)
    mean = before["rating"].mean()
    items = before.group_by("movie_id").agg(
        item=(pl.col("rating").sum() + _SMOOTHING * mean) / (pl.len() + _SMOOTHING)
    )
    earlier = (pl.col("rating").cum_sum() - pl.col("rating")).over("user_id")
    count = (pl.col("rating").cum_count() - 1).over("user_id")
    users = frame.with_columns(
        user=(earlier + _SMOOTHING * mean) / (count + _SMOOTHING)
    ).tail(_LAST)
    scored = users.join(items, on="movie_id", how="left", maintain_order="left")
    item = scored["item"].fill_null(mean).to_numpy()
    labels = (last["rating"] >= 4).cast(pl.Int8).to_numpy()
    return (
        metrics.auc(labels, item),
        metrics.auc(labels, item + scored["user"].to_numpy()),
    )


def _show(console, areas: list[float], item: float, both: float) -> None:
    found = summarise(areas)
    table = rich.table.Table(title="MovieLens 100k, last 10,000 ratings: AUC of liked")
    table.add_column("")
    table.add_column("AUC", justify="right")
    table.add_row("item's smoothed mean", f"{item:.4f}")
    table.add_row("item's + user's smoothed mean so far", f"{both:.4f}")
    table.add_row(f"ranker, {len(areas)} seeds", f"{found.mean:.4f} ± {found.half:.4f}")
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--csv", help="directory with ratings.csv and the others")
    add("--root", help="keep the pipeline's run here, and reuse it")
    add("--spec", default="movielens", help="spec (movielens)")
    add("--preset", default="mmoe", help="preset (mmoe)")
    add("--seeds", type=int, default=5, help="at least 2 (5)")
    add("--quick", action="store_true", help="two seeds")
    args = parser.parse_args()
    args.seeds = 2 if args.quick else args.seeds
    return args


if __name__ == "__main__":
    main()

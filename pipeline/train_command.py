"""Trains a ranker on raw examples, day after day.

    trailrank train --spec kuairand --preset mmoe \\
        --examples RUN/artifacts/DayExampleGen/examples/<n> \\
        --encoding RUN/artifacts/EncodingGen/transform_graph/<n> \\
        --checkpoints RUN/checkpoints/mine

A DIR of --examples is what `trailrank examples` or the step DayExampleGen wrote, a
bucket's too: it holds `Split-day-YYYYMMDD/*.gz`, one folder a day. By default ALL of
its days are trained, the evaluation days of a pipeline run included; --days chooses.

--encoding says what raw values become: vocabularies and scales, as a graph that is
applied to whole batches. A checkpoint belongs to its encoding: training goes on with
that one, or with what extends it, and refuses any other, unless --map_encoding takes
each value's row along.

Stopped at any moment and started again with the same arguments, training goes on from
the newest checkpoint and ends with the same weights. Tomorrow's command names
tomorrow's days and the same --checkpoints. With --validate_rows each day is predicted
before it is trained on: the metrics that the model would have had online.

    trailrank train ... --accelerator tpu --tpu_config v5litepod-8    # on a TPU VM
    trailrank train ... --batch_size 1024 --precision bfloat16
    trailrank train ... --warm_start OLD/checkpoints --warm_start_partial
    trailrank train ... --validate_rows 200000 --export MODELS/7

With TF_CONFIG set, as Vertex does, the machines of a cluster train together.

`trailrank train --request FILE` is for machines: a custom job that the step Trainer of
a pipeline on Vertex has asked for.

Exit status: 75 if SIGTERM stopped it (preempted), 130 if Ctrl-C did, both after a
checkpoint: start it again. `trailrank --help` has the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import rich.console
import rich.table
from absl import logging

from feature_specs import ModelConfig, Spec, flags, load_preset, load_spec
from feature_specs.flags import ArgumentParser
from feature_specs.places import PlaceError, is_bucket
from feature_specs.preset import check_preset, with_loss_weights
from pipeline import train_flags
from pipeline.train_flags import TrainSettings
from tpu_configs import load_slice, read_slice, shipped_slices
from trainer.days.folders import find_folders
from trainer.ownership import sole_training
from trainer.slices import choose_slice
from trainer.train import check_places, train

if TYPE_CHECKING:
    from trainer.model.ranker import Ranker

_SHOWN_TASKS = 3  # in the table at the end


def parser() -> ArgumentParser:
    """Of the command, with its manual."""
    return train_flags.parser(__doc__)


def run(argv: Sequence[str]) -> int:
    """Runs `train` with the arguments `argv`; returns the exit status."""
    if argv[:1] == ["--request"]:
        return _train_for_a_pipeline(argv)
    args = parser().parse_args(argv)
    _train(TrainSettings(**vars(args)))
    return 0


def _train_for_a_pipeline(argv: Sequence[str]) -> int:
    """What a custom job runs for the step Trainer; see `cloud.remote_training`."""
    found = ArgumentParser(prog="trailrank train --request")
    found.add_argument("--request", required=True)
    flags.add_accelerator(found.add_argument)
    flags.add_slice(found.add_argument, shipped_slices(), required=True)
    found.add_argument("--tpu")
    args = found.parse_args(argv)
    if args.tpu:
        os.environ["TPU_NAME"] = args.tpu
    slice = load_slice(args.tpu_config)
    from pipeline.training_request import RequestError, outcome_told, read_request

    with outcome_told(args.request):
        request = read_request(args.request)
        if read_slice(request.slice) != slice:
            raise RequestError(
                f"--request {args.request}: was made for another slice than "
                f"--tpu_config {args.tpu_config}. Compile the pipeline again."
            )
        request.run()
    return 0


def _train(settings: TrainSettings) -> None:
    spec = load_spec(settings.spec)
    preset = with_loss_weights(load_preset(settings.preset), settings.loss_weights)
    check_preset(preset, spec)
    options = settings.options
    if settings.tpu:
        os.environ["TPU_NAME"] = settings.tpu
    check_places(
        settings.examples,
        settings.encoding,
        settings.days,
        settings.checkpoints,
        options,
    )
    graph = find_graph(settings) if settings.export else None
    choose_slice(settings.accelerator, settings.tpu_config)
    with sole_training(settings.checkpoints):  # told before TensorFlow is loaded
        _train_and_export(settings, spec, preset, graph)


def _train_and_export(
    settings: TrainSettings, spec: Spec, preset: ModelConfig, graph: str | None
) -> None:
    from trainer import strategy
    from trainer.days import checkpoints

    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)  # a line a day, off a terminal too
    quantiles = None
    if graph is not None:  # told before hours of training
        from pipeline.training import quantiles_of

        folders = [folder for _, folder in find_folders(settings.examples)]
        quantiles = quantiles_of(spec, folders)
    restored = checkpoints.finished_days(settings.checkpoints)
    ranker = train(
        spec,
        preset,
        settings.examples,
        encoding=settings.encoding,
        checkpoints=settings.checkpoints,
        days=settings.days,
        slice=settings.tpu_config,
        accelerator=settings.accelerator,
        batch_size=settings.batch_size,
        precision=settings.precision,
        seed=settings.seed,
        tensorboard=settings.tensorboard,
        options=settings.options,
        console=rich.console.Console(stderr=True),
    )
    if not strategy.is_chief():
        return
    records = checkpoints.read_metrics(settings.checkpoints)
    fresh = [record for record in records if record["day"] not in restored]
    table = days_table(spec, fresh)
    if table.row_count:
        rich.console.Console().print(table)
    print(
        f"Trained {len(fresh)} days, restored {len(restored)}; "
        f"checkpoints and metrics: {settings.checkpoints}"
    )
    if graph is not None:
        _export(ranker, spec, graph, quantiles, settings)


def find_graph(settings: TrainSettings) -> str:
    """The graph that the exported model carries; checked before training.

    Raises:
        PlaceError: There is none, or the model's directory holds something.
    """
    export = str(settings.export)
    if _holds_something(export):
        raise PlaceError(
            f"--export {export}: must be a new directory, as a served version "
            f"never changes. Name the next version."
        )
    if settings.encoding is None:
        raise PlaceError(
            "--export: needs the encoding of the examples, which the model carries. "
            "Got none. Name it with --encoding."
        )
    return settings.encoding


def _holds_something(directory: str) -> bool:
    if not is_bucket(directory):
        return os.path.isdir(directory) and bool(os.listdir(directory))
    import tensorflow as tf

    found = tf.io.gfile.exists(directory) and tf.io.gfile.listdir(directory)
    return bool(found)


def _export(
    ranker: Ranker,
    spec: Spec,
    graph: str,
    quantiles: str | None,
    settings: TrainSettings,
) -> None:
    from pipeline.training import lineage_of, newest_rows
    from serving.export.export import export

    lineage = lineage_of(settings.checkpoints, settings.seed)
    days = [d for d in find_folders(settings.examples) if d[0] in lineage.days]
    path = str(settings.export)
    change = None
    if settings.tables != "float32":
        change = _change(ranker, spec, graph, quantiles, settings)
    export(
        ranker,
        graph,
        spec,
        path,
        lineage=lineage,
        examples=newest_rows(days),
        tables=settings.tables,
        measure=change,
        quantiles=quantiles,
    )
    print(f"Model: {path}")


def _change(
    ranker: Ranker,
    spec: Spec,
    graph: str,
    quantiles: str | None,
    settings: TrainSettings,
) -> Callable[[str], dict[str, Any]]:
    """Measures on the newest day what other tables change, and prints that."""
    from pipeline.table_change import table_change

    (*_, (split, folder)) = find_folders(settings.examples)
    measure = table_change(spec, ranker, graph, [(split, folder)], quantiles)

    def told(model_dir: str) -> dict[str, Any]:
        found = measure(model_dir)
        print(f"Tables as {settings.tables}, on {found['rows']:,} rows of {split}:")
        rich.console.Console().print(change_table(found["tasks"]))
        return found

    return told


def change_table(tasks: Mapping[str, Mapping[str, Any]]) -> rich.table.Table:
    """A line a task: metrics of tables as trained and as stored."""
    table = rich.table.Table(box=None)
    heads = ("AUC, float32", "AUC", "GAUC, float32", "GAUC", "largest change")
    table.add_column("task")
    for head in heads:
        table.add_column(head, justify="right")
    for name, own in tasks.items():
        table.add_row(
            name,
            *("-" if v is None else f"{v:.5f}" for v in (*own["auc"], *own["gauc"])),
            f"{own['largest_change']:.2g}",
        )
    return table


def days_table(spec: Spec, records: Sequence[dict[str, Any]]) -> rich.table.Table:
    """A line a day: what it cost, and what the model knew of it before."""
    shown = [t.name for t in spec.tasks if t.of_kind.is_probability][:_SHOWN_TASKS]
    validated = any("validation" in record for record in records)
    table = rich.table.Table(box=None)
    table.add_column("day")
    for head in ("rows", "rows/s", "loss"):
        table.add_column(head, justify="right")
    for task in shown if validated else ():
        table.add_column(f"AUC before, {task}", justify="right")
    for record in records:
        found = record.get("validation", {}).get("auc", {})
        table.add_row(
            record["day"],
            f"{record['rows']:,}",
            f"{record['rows_per_s']:,.0f}",
            f"{record['loss']:.4f}",
            *(_auc(found.get(task)) for task in shown if validated),
        )
    return table


def _auc(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""The commands `trailrank pipeline run|compile` and `trailrank evaluate`.

    trailrank pipeline run --spec kuairand --logs LOGS/data --root RUN
    trailrank pipeline compile --runner vertex --spec kuairand --logs gs://B/logs \\
        --root gs://B/run --days 20220408:20220421 --image IMAGE --out pipeline.json
    trailrank evaluate --root RUN --truth LOGS/truth

Mistakes in the arguments, the spec and the preset are told before TensorFlow loads.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import sys
import warnings
from collections.abc import Sequence

import rich.console
from absl.flags import argparse_flags

from feature_specs.preset import preset_text, read_preset, shipped_presets
from feature_specs.reader import load_spec, shipped_specs
from pipeline.examples.command import add_day_arguments
from tpu_configs import read_slice, shipped_slices, slice_text


def run(argv: Sequence[str]) -> int:
    """`trailrank pipeline ...`; returns the exit status."""
    args = _parser().parse_args(argv)
    return args.handler(args, rich.console.Console())


def run_evaluate(argv: Sequence[str]) -> int:
    """`trailrank evaluate ...`; returns the exit status."""
    parser = argparse_flags.ArgumentParser(
        prog="trailrank evaluate",
        description="Prints the evaluation table of a run's newest model.",
    )
    parser.add_argument("--root", required=True, help="directory of the run")
    parser.add_argument("--truth", help="the log simulator's truth/, for the oracle")
    args = parser.parse_args(argv)
    console = rich.console.Console()
    launch = _load_libraries(console)
    launch.evaluate(args.root, args.truth, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank pipeline",
        description="Raw impression logs -> examples -> a trained, pushed ranker.",
    )
    commands = parser.add_subparsers(required=True, metavar="run|compile")
    run_parser = commands.add_parser("run", help="run every step on this machine")
    _add_common(run_parser)
    run_parser.add_argument(
        "--days",
        help="first and last day, 20220408:20220414; by default all in the logs",
    )
    run_parser.add_argument(
        "--truth", help="the log simulator's truth/, for the oracle in the last table"
    )
    run_parser.set_defaults(handler=_run_local)
    compile_parser = commands.add_parser("compile", help="write the DAG for a runner")
    _add_common(compile_parser)
    compile_parser.add_argument("--days", required=True, help="20220408:20220421")
    compile_parser.add_argument("--runner", choices=["vertex"], default="vertex")
    compile_parser.add_argument(
        "--image",
        required=True,
        help="container image with trailrank installed, in which every step runs",
    )
    compile_parser.add_argument("--out", required=True, help="file to write (JSON)")
    compile_parser.set_defaults(handler=_compile)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spec",
        required=True,
        help=f"a spec's file, or one of {', '.join(shipped_specs())}",
    )
    parser.add_argument("--logs", required=True, help="directory of the raw logs")
    parser.add_argument("--root", required=True, help="directory the run writes to")
    parser.add_argument(
        "--preset",
        default="mmoe",
        help=f"a preset's file, or one of {', '.join(shipped_presets())}",
    )
    add_day_arguments(parser)
    parser.add_argument(
        "--tpu_config",
        default="cpu",
        help=f"a slice's file, or one of {', '.join(shipped_slices())}",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--beam_arg",
        action="append",
        default=[],
        help="option of Beam, such as --beam_arg=--runner=DataflowRunner; repeatable",
    )


def _run_local(args: argparse.Namespace, console: rich.console.Console) -> int:
    texts = _texts(args)
    launch = _load_libraries(console)
    launch.run_local(args, texts, console)
    return 0


def _compile(args: argparse.Namespace, console: rich.console.Console) -> int:
    texts = _texts(args)
    launch = _load_libraries(console)
    launch.compile_vertex(args, texts, console)
    return 0


def _texts(args: argparse.Namespace) -> dict[str, str]:
    """The YAML texts of spec, preset and slice, each read once and found right."""
    preset, slice_ = preset_text(args.preset), slice_text(args.tpu_config)
    read_preset(preset, args.preset)
    read_slice(slice_, args.tpu_config)
    return {"spec": load_spec(args.spec).text, "preset": preset, "slice": slice_}


def _load_libraries(console: rich.console.Console):  # type: ignore[no-untyped-def]
    """`pipeline.launch`, whose import brings TensorFlow, Beam and TFX (20 s or so)."""
    # The imports alone print some hundred lines that tell a user nothing.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    atexit.register(_silence_teardown)
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    with console.status("Loading TensorFlow, Beam and TFX ..."):
        from pipeline import launch
    logging.disable(logging.NOTSET)
    return launch


def _silence_teardown() -> None:
    """Models that TFX keeps loaded complain when Python takes them apart at exit."""
    sys.unraisablehook = lambda _: None

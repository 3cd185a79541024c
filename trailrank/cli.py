"""`trailrank`: one command for the whole way from raw logs to a served ranked answer.

This module lists the subcommands, calls the one that is named, and turns a mistake of
the user into its message. It imports nothing heavy, so that `trailrank --help` answers
at once: a subcommand's module is imported when it is called, and imports TensorFlow,
Beam or TFX if it needs them.

No subcommand catches an error to print it: the one handler is here. An error that is a
`TrailrankError` is told in its own words and ends with its status; any other one is a
fault of this package and keeps its trace. TRAILRANK_TRACE=1 shows every trace.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from absl import app, flags

import trailrank
from trailrank import starting, stopping

_READER_LEFT = 141  # as a shell has it: 128 and SIGPIPE

# Subcommand -> (module, what it does). The module's `run` takes the arguments after the
# subcommand and returns the exit status; its `parser` gives the parser of its flags.
COMMANDS = {
    "demo": ("pipeline.demo", "simulate, train, serve and rank, once through"),
    "spec": ("pipeline.spec_command", "propose, check or show a spec"),
    "simulate": ("pipeline.simulator.command", "write KuaiRand-like logs"),
    "fetch": ("pipeline.fetch.command", "download a public data set"),
    "examples": ("pipeline.examples_command", "raw logs to tf.Examples"),
    "trail-bias": ("pipeline.trail_bias.command", "rates along the watch trail"),
    "pipeline": ("pipeline.command", "raw logs to a pushed model; compile"),
    "evaluate": ("pipeline.evaluate_command", "a run's evaluation table"),
    "fusion": ("pipeline.fusion_search.command", "weights of the fused score"),
    "experiment": ("pipeline.experiment.command", "rankers on simulated users"),
    "train": ("pipeline.train_command", "the day loop on raw examples"),
    "preflight": ("trainer.preflight.command", "does it compile for a TPU?"),
    "job": ("pipeline.cloud.command", "train on Vertex AI or a TPU VM"),
    "compare": ("pipeline.compare.command", "presets, with gains over seeds"),
    "tune": ("pipeline.tune.command", "search a preset's settings"),
    "weights": ("pipeline.weight_selection.command", "a loss weight, meta-learned"),
    "inspect": ("trainer.inspect_command", "experts, gates and conflicts"),
    "serve": (
        "serving.server.serve_command",
        "answer predict and rank over REST and gRPC",
    ),
    "model": ("serving.export.model_command", "what an exported model is"),
    "rank": ("serving.ranking.rank_command", "rank candidates for a user"),
    "loadtest": ("serving.load.loadtest_command", "how a server bears a load"),
    "skew": ("serving.skew.skew_command", "do requests and training agree?"),
    "compare-logs": (
        "serving.compare_logs.compare_logs_command",
        "what a shadow or a canary did",
    ),
}

# Exit status -> what it says; `feature_specs.errors.Status` has their names.
STATUSES = {
    0: "done",
    1: "a mistake that the message explains, or a fault, with its trace",
    2: "usage: arguments that are wrong or do not go together",
    3: "refused: a model, examples, a program or a server miss a limit set for them",
    75: "preempted: stopped by SIGTERM; the same command goes on",
    130: "stopped by Ctrl-C; the same command goes on",
}

_STOPPED = (75, 130)

# What a disk or its owner refuses is no fault of this package.
_REFUSED_BY_DISK = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
)


def main(argv: Sequence[str]) -> int:
    """Runs one subcommand; returns its exit status.

    Args:
        argv: The program's name, the subcommand's, and its arguments.
    """
    if len(argv) < 2 or argv[1] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if len(argv) >= 2 else 2
    name = argv[1]
    if name == "--version":
        print(f"trailrank {trailrank.__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        print(f"trailrank: no command {name!r}.{hint}\n\n{_usage()}", file=sys.stderr)
        return 2
    return _call(name, argv[2:])


def console_main() -> None:
    """The entry point of the installed command."""
    stopping.listen(is_patient=sys.argv[1:2] == ["train"])
    app.run(_end_soon_if_stopped, flags_parser=_mark_flags_parsed)


def _end_soon_if_stopped(argv: Sequence[str]) -> int:
    status = main(argv)
    if stopping.came():
        stopping.leave(status)
    return status


def _mark_flags_parsed(argv: list[str]) -> list[str]:
    """Leaves the arguments to the subcommands, whose parsers know absl's flags too."""
    flags.FLAGS(argv[:1])
    return argv


def _call(name: str, argv: Sequence[str]) -> int:
    """Calls a subcommand; a mistake of the user ends in its message, not a trace."""
    try:
        quick = name in ("spec", "model")  # its answer is there before a word about it
        with contextlib.nullcontext() if quick else starting.told(name):
            status = int(importlib.import_module(COMMANDS[name][0]).run(list(argv)))
        sys.stdout.flush()  # a reader that left is noticed here, not at exit
        return status
    except KeyboardInterrupt as stop:
        print("\nStopped.", file=sys.stderr)
        return stopping.status_of(stop) or 130
    except BrokenPipeError:
        # `trailrank ... | head` has read enough. Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    except Exception as error:
        return _tell(error)


def _tell(error: Exception) -> int:
    """Says what a user can mend and returns the exit status; raises a fault again."""
    stopped = stopping.status_of(error)
    errors = sys.modules.get("feature_specs.errors")  # else it is none of ours
    own: int | None = None
    if errors and isinstance(error, errors.TrailrankError):
        own = int(error.exit_status)
    if stopped is not None and own not in _STOPPED:
        text, status = "Stopped.", stopped  # a step that fails so has not failed
    elif own is not None:
        text, status = str(error), own
    elif isinstance(error, OSError) and error.errno in _REFUSED_BY_DISK:
        where = f"{error.filename}: " if error.filename else ""
        text, status = f"{where}{error.strerror}.", 1
    else:
        raise error
    if os.environ.get("TRAILRANK_TRACE"):
        traceback.print_exception(error)
    print(f"trailrank: {text}", file=sys.stderr)
    return status


def _usage() -> str:
    commands = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    statuses = [f"  {status:<12} {text}" for status, text in STATUSES.items()]
    return "\n".join(
        [
            "usage: trailrank COMMAND ...",
            "",
            "From raw short-video impression logs to a served multi-task ranker.",
            "",
            *commands,
            "",
            "exit status:",
            *statuses,
            "",
            "`trailrank COMMAND --help` tells more of each, `trailrank --version` the "
            "version.",
            "TRAILRANK_TRACE=1 shows the trace of an error that a message explains.",
        ]
    )

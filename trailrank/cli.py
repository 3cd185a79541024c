"""`trailrank`: one command for the whole way from raw logs to a served ranked answer.

This module lists the subcommands, calls the one that is named, and turns a mistake of
the user into its message. It imports nothing heavy, so that `trailrank --help` answers
at once: a subcommand's module is imported when it is called, and imports TensorFlow,
Beam or TFX if it needs them.

Exit statuses: 0 done, 1 failed with a message, 2 wrong arguments, 130 interrupted;
others are the subcommand's own and stand in its help.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from absl import app, flags

import trailrank

_READER_LEFT = 141  # as a shell has it: 128 and SIGPIPE

# Subcommand -> (module, what it does). The module's `run` takes the arguments after the
# subcommand and returns the exit status; its `parser` gives the parser of its flags.
COMMANDS = {
    "demo": ("pipeline.demo", "simulate, train, serve and rank, once through"),
    "spec": ("feature_specs.command", "check a spec, or show it as tables"),
    "simulate": ("pipeline.simulator.command", "write KuaiRand-like logs"),
    "fetch": ("pipeline.fetch.command", "download a public data set"),
    "examples": ("pipeline.examples.command", "raw logs to tf.Examples"),
    "trail-bias": ("pipeline.trail_bias.command", "rates along the watch trail"),
    "pipeline": ("pipeline.command", "raw logs to a pushed model; compile"),
    "evaluate": ("pipeline.evaluate_command", "a run's evaluation table"),
    "train": ("pipeline.train_command", "the day loop on transformed examples"),
    "preflight": ("trainer.preflight.command", "does it compile for a TPU?"),
    "job": ("pipeline.cloud.command", "train on Vertex AI or a TPU VM"),
    "compare": ("pipeline.compare.command", "presets, with gains over seeds"),
    "inspect": ("trainer.inspect_command", "experts, gates and conflicts"),
    "serve": ("serving.serve_command", "answer predict and rank over REST"),
    "rank": ("serving.rank_command", "rank candidates for a user"),
}

_ROOMS = ("feature_specs", "tpu_configs", "pipeline", "trainer", "serving")


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
    return _call(COMMANDS[name][0], argv[2:])


def console_main() -> None:
    """The entry point of the installed command."""
    app.run(main, flags_parser=_mark_flags_parsed)


def _mark_flags_parsed(argv: list[str]) -> list[str]:
    """Leaves the arguments to the subcommands, whose parsers know absl's flags too."""
    flags.FLAGS(argv[:1])
    return argv


def _call(module: str, argv: Sequence[str]) -> int:
    """Calls a subcommand; a mistake of the user ends in its message, not a trace."""
    try:
        status: int = importlib.import_module(module).run(list(argv))
        sys.stdout.flush()  # a reader that left is noticed here, not at exit
        return status
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `trailrank ... | head` has read enough. Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_LEFT
    except Exception as error:
        if os.environ.get("TRAILRANK_TRACE") or not _is_told_by_us(error):
            raise
        print(f"trailrank: {error}", file=sys.stderr)
        return 1


def _is_told_by_us(error: Exception) -> bool:
    """Whether it has a message meant for the user: it says so, or our code raised it.

    Any other error is a fault and keeps its trace.
    """
    if isinstance(error, trailrank.TrailrankError):
        return True
    if not isinstance(error, (ValueError, RuntimeError, OSError)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.split(".")[0] in _ROOMS


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return (
        "usage: trailrank COMMAND ...\n\n"
        "From raw short-video impression logs to a served multi-task ranker.\n\n"
        + "\n".join(lines)
        + "\n\n`trailrank COMMAND --help` tells more of each, `trailrank --version` "
        "the version."
    )

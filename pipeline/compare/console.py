"""The console of commands that train many models, and that can be stopped."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import rich.console
import rich.status
from absl import logging as absl_logging
from rich.markup import escape

from feature_specs.errors import Status, TrailrankError

_STOPS = (Status.STOPPED, Status.PREEMPTED)


@contextlib.contextmanager
def trainings(console: rich.console.Console, out: str) -> Iterator[rich.status.Status]:
    """A status to update while the block trains.

    Nothing is logged of single days. A block that is stopped, by Ctrl-C or SIGTERM,
    says that the same command goes on.

    Args:
        console: Where it is shown.
        out: The directory that has what is finished.
    """
    quiet_trainings()
    with (
        goes_on(console, out),
        console.status("Loading TensorFlow ...") as status,
    ):
        yield status


def quiet_trainings() -> None:
    """Nothing is logged of single days, nor advice on tracing rankers."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("tensorflow").setLevel("ERROR")


@contextlib.contextmanager
def goes_on(console: rich.console.Console, out: str) -> Iterator[None]:
    """Says of a block that is stopped, by Ctrl-C or SIGTERM, that it can go on."""
    try:
        yield
    except (KeyboardInterrupt, TrailrankError) as error:
        if getattr(error, "exit_status", Status.STOPPED) in _STOPS:
            console.print(
                f"The same command goes on: {escape(out)} has what is finished."
            )
        raise

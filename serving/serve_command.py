"""`trailrank serve`: the pushed models of a run, over TensorFlow Serving's REST API.

trailrank serve --root RUN
curl http://127.0.0.1:8501/v1/models/kuairand
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Sequence

from feature_specs.flags import ArgumentParser
from serving.serve import models_directory


def run(argv: Sequence[str] | None = None) -> int:
    """Serves until stopped; the exit status."""
    found = parser()
    args = found.parse_args(argv)
    if not 0 <= args.port <= 65535:
        found.error(f"--port must be between 0 and 65535. Got {args.port}.")
    if args.poll_s <= 0:
        found.error(f"--poll_s must be positive. Got {args.poll_s}.")
    models = models_directory(args.root, args.models)
    print(f"loading {models} (TensorFlow takes some seconds to start)", flush=True)
    try:
        with _log_to_stderr():
            from serving.server import serve

            serve(models, args.port, args.host, poll_s=args.poll_s)
    except KeyboardInterrupt as stop:
        if signal.SIGTERM not in stop.args:
            raise
    return 0  # SIGTERM is how a service is ended


@contextlib.contextmanager
def _log_to_stderr() -> Iterator[None]:
    """What the server does, a line each, without the stamps of a library's log."""
    log, handler = logging.getLogger("trailrank"), logging.StreamHandler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank serve", description=__doc__)
    where = found.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", help="a run's directory; serves RUN/models")
    where.add_argument("--models", help="a directory of <name>/<version>/")
    add = found.add_argument
    add("--host", default="127.0.0.1", help="0.0.0.0 for every network")
    add("--port", type=int, default=8501)
    add("--poll_s", type=float, default=1.0, help="seconds between looks for versions")
    return found

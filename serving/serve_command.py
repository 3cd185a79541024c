"""`trailrank serve`: the pushed models of a run, over TensorFlow Serving's REST API.

trailrank serve --root RUN
curl http://127.0.0.1:8501/v1/models/kuairand
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from absl.flags import argparse_flags


def run(argv: Sequence[str] | None = None) -> int:
    """Serves until interrupted; the exit status."""
    args = _parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("trailrank").setLevel(logging.INFO)
    models = args.models or os.path.join(args.root, "models")
    print(f"loading {models} (TensorFlow takes some seconds to start)", flush=True)
    from serving.server import ServeError, serve

    try:
        serve(models, args.port, args.host, poll_s=args.poll_s)
    except ServeError as error:
        print(f"trailrank serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", help="a run's directory; serves RUN/models")
    where.add_argument("--models", help="a directory of <name>/<version>/")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for every network")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--poll_s", type=float, default=1.0, help="seconds between looks for versions"
    )
    args = parser.parse_args(argv)
    if not 0 <= args.port <= 65535:
        parser.error(f"--port must be between 0 and 65535. Got {args.port}.")
    if args.poll_s <= 0:
        parser.error(f"--poll_s must be positive. Got {args.poll_s}.")
    return args

"""Serving from Python: the embedded server as a handle that can be closed."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

from feature_specs.places import Place, PlaceError, check_is_no_glob, is_bucket

if TYPE_CHECKING:
    from serving.server import Server


def serve(
    root: Place | None = None,
    *,
    models: Place | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    poll_s: float = 1.0,
) -> Server:
    """Serves models over TensorFlow Serving's REST contract, in a thread.

    The newest version of every model that can be loaded is served, and what is pushed
    there is followed. Why a newer one is not served stands in the model's status.

    >>> with trailrank.serve(models="models") as server:
    ...     httpx.get(server.url + "/v1/models/tiny").status_code
    200

    Args:
        root: A run's directory, whose `models/` is served.
        models: Or a directory of `<name>/<version>/`.
        port: 0 takes a free one; the handle's `url` says which.
        host: `0.0.0.0` for every network.
        poll_s: Seconds between looks for new versions.

    Raises:
        PlaceError: There is no model.
        ServeError: A model has no version that can be loaded, or the port is taken.
    """
    where = models_directory(root, models)
    from serving.server import Server

    return Server(where, port, host, poll_s=poll_s)


def models_directory(root: Place | None, models: Place | None) -> str:
    """The directory of a run's models, or of models alone; it holds one at least.

    Raises:
        ValueError: Both are given, or none.
        PlaceError: There is no model in it; a bucket passes.
    """
    if (root is None) == (models is None):
        raise ValueError("serve: give a run's root or a directory of models, not both.")
    where = os.fspath(models) if models is not None else ""
    if root is not None:
        where = os.path.join(root, "models")
    if is_bucket(where):
        return where
    check_is_no_glob("models", where)
    path = pathlib.Path(where)
    if next(path.glob("*/*/saved_model.pb"), None) is None:
        unfinished = "".join(f" {found} has none (yet)." for found in path.glob("*/*"))
        raise PlaceError(
            f"{where}: no model here (looked for <name>/<version>/saved_model.pb)."
            f"{unfinished} `trailrank pipeline run --root RUN` trains one and pushes "
            "it to RUN/models."
        )
    return where

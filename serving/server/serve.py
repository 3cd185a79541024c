"""Serving from Python: the embedded server as a handle that can be closed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from feature_specs.errors import UsageError
from feature_specs.locks import owned
from feature_specs.places import (
    Place,
    PlaceError,
    check_is_no_glob,
    check_writable_directory,
    is_bucket,
)
from serving.options import ServerOptions, TrialOptions
from serving.store.model_config import read_model_config
from serving.store.store_options import StoreOptions, read_policy
from serving.store.text_protos import read_text

if TYPE_CHECKING:
    from serving.server.server import Server


def serve(
    root: Place | None = None,
    *,
    models: Place | None = None,
    model_config_file: Place | None = None,
    versions: str = "latest",
    labels: Mapping[str, int] | None = None,
    port: int | None = None,
    host: str | None = None,
    poll_s: float = 1.0,
    config_poll_s: float = 0.0,
    options: ServerOptions | None = None,
) -> Server:
    """Serves models over TensorFlow Serving's API, in a thread.

    A directory is followed: of every model the newest version that can be loaded is
    served. Why a newer one is not served stands in the model's status.

    >>> with trailrank.serve(models="models", versions="latest:2") as server:
    ...     httpx.get(server.url + "/v1/models/tiny").status_code
    200

    Args:
        root: A run's directory, whose `models/` is served.
        models: Or a directory of `<name>/<version>/`.
        model_config_file: Or TensorFlow Serving's own file, which names models,
            versions and labels.
        versions: Of every model of a directory: `latest:2`, `all`, or `41,42`.
        labels: Label -> version, of every model of a directory.
        port: A free one by default; the handle's `url` says which.
        host: `0.0.0.0` for every network; only this machine by default.
        poll_s: Seconds between looks for new versions; 0 looks once.
        config_poll_s: Seconds between looks at the file; 0 reads it once.
        options: Limits and all else; `port` and `host` win.

    Raises:
        UsageError: A value that cannot be, or two that do not go together.
        PlaceError: There is no model.
        ConfigFileError: The file cannot be taken.
        ServeError: A model has no version that can be loaded, or the port is taken.
    """
    found = store_options(
        root,
        models,
        model_config_file,
        policy=read_policy(versions),
        labels=labels or {},
        poll_s=poll_s,
        config_poll_s=config_poll_s,
    )
    options = options or ServerOptions(rest_port=0, grpc_port=None)
    options = dataclasses.replace(
        options,
        rest_port=options.rest_port if port is None else port,
        host=options.host if host is None else host,
    )
    from serving.server.server import Server

    return Server(found, options)


@contextlib.contextmanager
def owned_log(trial: TrialOptions | None) -> Iterator[None]:
    """Keeps other servers from a trial's log while the block runs, if it has one.

    Raises:
        LockedError: Another server has it.
        PlaceError: Nothing can be written there.
    """
    if trial is None or trial.shadow_log is None:
        yield
        return
    check_writable_directory("shadow_log", trial.shadow_log)
    with owned(trial.shadow_log):
        yield


def store_options(
    root: Place | None,
    models: Place | None,
    model_config_file: Place | None,
    **settings: Any,
) -> StoreOptions:
    """Where models come from, looked at before anything heavy is imported.

    Args:
        root: A run's directory, or None.
        models: A directory of models, or None.
        model_config_file: A file, or None; one of the three is given.
        settings: Further fields of `StoreOptions`.

    Raises:
        UsageError: Not one is given, or a setting cannot be.
        PlaceError: There is no model in a directory.
        ConfigFileError: The file cannot be taken.
    """
    if sum(place is not None for place in (root, models, model_config_file)) != 1:
        raise UsageError(
            "serve: give a run's root, a directory of models, or a model_config_file; "
            "one of them."
        )
    if model_config_file is None:
        where = _models_directory(root, models)
        return StoreOptions(models_dir=where, **settings)
    file = os.fspath(model_config_file)
    found = StoreOptions(model_config_file=file, **settings)
    if not is_bucket(file):
        read_model_config(read_text(file), file)
    return found


def _models_directory(root: Place | None, models: Place | None) -> str:
    """The directory of a run's models, or of models alone; it holds one at least.

    Raises:
        PlaceError: There is no model in it; a bucket passes.
    """
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

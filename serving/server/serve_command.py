"""`trailrank serve`: models over TensorFlow Serving's API, in this process.

trailrank serve --root RUN
trailrank serve --models DIR --versions latest:2
trailrank serve --model_config_file models.config --grpc_port off
trailrank serve --root RUN --shadow 12 --share 0.01 --shadow_log DIR
trailrank serve --root RUN --canary 12 --share 0.05
curl http://127.0.0.1:8501/v1/models/kuairand

A directory is followed: of each model the newest version that loads is served, unless
--versions says otherwise. A model_config_file is TensorFlow Serving's own. A version
on trial is loaded beside: as a shadow it scores a share of the requests after they are
answered, as a canary it answers a share of them; `trailrank compare-logs DIR` tells
what came of it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from feature_specs.errors import UsageError
from feature_specs.flags import Add, ArgumentParser
from serving.options import BatchingOptions, Limits, ServerOptions, TrialOptions
from serving.server.config_files import batching_options, read_monitoring
from serving.server.serve import owned_log, store_options
from serving.server.serve_flags import (
    add_batching_options,
    add_server_options,
    add_trial_options,
    chosen,
    flag,
)
from serving.store.store_options import Retries, StoreOptions, read_labels, read_policy


def run(argv: Sequence[str] | None = None) -> int:
    """Serves until stopped; the exit status."""
    models, options = read_flags(argv)
    where = models.models_dir or models.model_config_file
    print(f"loading {where} (TensorFlow takes some seconds to start)", flush=True)
    try:
        with _log_to_stderr(), owned_log(options.trial):
            from serving.server.server import serve

            serve(models, options)
    except KeyboardInterrupt as stop:
        if signal.SIGTERM not in stop.args:
            raise
    return 0  # SIGTERM is how a service is ended


def read_flags(
    argv: Sequence[str] | None = None,
) -> tuple[StoreOptions, ServerOptions]:
    """What the command line says of models and of the server.

    Raises:
        UsageError: A value cannot be, or two do not go together.
        PlaceError: There is no model.
        ConfigFileError: A configuration file cannot be taken.
    """
    values = vars(parser().parse_args(argv))
    models = store_options(
        values["root"],
        values["models"],
        values["model_config_file"],
        policy=read_policy(values["versions"]),
        labels=read_labels(values["label"]),
        poll_s=values["poll_s"],
        config_poll_s=values["model_config_file_poll_wait_seconds"],
        allow_early_labels=values["allow_version_labels_for_unavailable_models"],
        retries=Retries(values["max_num_load_retries"], values["load_retry_wait_s"]),
    )
    return models, _server_options(values)


def _server_options(values: Mapping[str, Any]) -> ServerOptions:
    fields = chosen(ServerOptions, values)
    if values["monitoring_config_file"] is not None:
        if "monitoring_path" in fields:
            raise UsageError(
                "serve: give --monitoring_path or --monitoring_config_file, not both."
            )
        fields["monitoring_path"] = read_monitoring(values["monitoring_config_file"])
    limits = Limits(**chosen(Limits, values))
    return ServerOptions(
        **fields, limits=limits, batching=_batching(values), trial=_trial(values)
    )


def _trial(values: Mapping[str, Any]) -> TrialOptions | None:
    flags = chosen(TrialOptions, values)
    if flags.get("shadow") is None and flags.get("canary") is None:
        if flags:
            raise UsageError(
                f"serve: --{next(iter(flags))} needs --shadow or --canary."
            )
        return None
    return TrialOptions(**flags)


def _batching(values: Mapping[str, Any]) -> BatchingOptions | None:
    file, flags = values["batching_parameters_file"], chosen(BatchingOptions, values)
    if values["enable_batching"]:
        return batching_options(file, flags)
    if file is not None or flags:
        name = next(iter(flags), "batching_parameters_file")
        raise UsageError(f"serve: --{name} needs --enable_batching.")
    return None


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
    where.add_argument(
        "--model_config_file", help="TensorFlow Serving's model_config_list"
    )
    _add_versions(found.add_argument_group("models and versions").add_argument)
    server = found.add_argument_group("the server, and limits on what a client sends")
    server.add_argument(
        "--monitoring_config_file", help="TensorFlow Serving's prometheus_config"
    )
    add_server_options(server.add_argument)
    _add_batching(found.add_argument_group("requests run together").add_argument)
    add_trial_options(found.add_argument_group("a version on trial").add_argument)
    return found


def _add_versions(add: Add) -> None:
    add(
        "--versions",
        default="latest",
        help="of a directory's models: latest:N, all, or numbers as 41,42 (latest)",
    )
    add(
        "--label",
        action="append",
        default=[],
        metavar="LABEL=VERSION",
        help="a label of a directory's models; may be given several times",
    )
    add(
        "--allow_version_labels_for_unavailable_models",
        nargs="?",
        const=True,
        default=False,
        type=flag,
        help="a new label may be for a version that is not available yet (false)",
    )
    _add_polling(add)


def _add_polling(add: Add) -> None:
    add(
        "--poll_s",
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="seconds between looks for versions; 0 looks once (1)",
    )
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        help="seconds between looks at the model_config_file; 0 reads it once (0)",
    )
    add(
        "--max_num_load_retries",
        type=int,
        default=Retries().most,
        help="further tries of a version that fails, while its files are the same (5)",
    )
    add(
        "--load_retry_wait_s",
        type=float,
        default=Retries().wait_s,
        help="seconds between such tries (60)",
    )


def _add_batching(add: Add) -> None:
    add(
        "--enable_batching",
        nargs="?",
        const=True,
        default=False,
        type=flag,
        help="run requests together (false)",
    )
    add(
        "--batching_parameters_file",
        help="TensorFlow Serving's BatchingParameters; the flags below win",
    )
    add_batching_options(add)

"""The start of a server: its models loaded, or a message that says why they are not."""

from __future__ import annotations

import logging
import time

from feature_specs.errors import TrailrankError
from serving.options import TrialOptions
from serving.store.store_options import StoreOptions
from serving.store.versions import ModelStore, ModelVersions

_LOG = logging.getLogger("trailrank.serving")
_LOOK_S = 1.0  # between looks for a first version, of options that look once


class ServeError(TrailrankError, RuntimeError):
    """The server cannot start; the message says what to do."""


def ready_store(options: StoreOptions) -> ModelStore:
    """A store whose every model has an available version; not started yet.

    A model of a configuration file whose directory has no version is waited for, as
    TensorFlow Serving does. In a directory of models there is none of that kind.

    Raises:
        ServeError: There is no model, one has no version that can be loaded, or a label
            of the options is for a version that is not available.
        ConfigFileError: The configuration cannot be taken.
    """
    store = ModelStore(options)
    store.refresh()
    if not store.names():
        raise ServeError(_no_model(store, options))
    waited_for: list[str] = []
    while waiting := _waiting(store):
        if waiting != waited_for:
            _LOG.info("waiting for a first version: %s", "; ".join(waiting))
        waited_for = waiting
        time.sleep(options.poll_s or _LOOK_S)
        store.refresh_versions()
    _check_labels(store, options)
    return store


def _waiting(store: ModelStore) -> list[str]:
    """Models without any version on disk; raises for one whose versions all fail."""
    waiting = []
    for name in store.names():
        model = store.get(name)
        if model is None or model.servable() is not None:
            continue
        _check_none_failed(name, model)
        missing = [status.error for status in model.statuses()]
        waiting.append(" ".join([f"model {name!r} has none.", *missing]))
    return waiting


def _check_none_failed(name: str, model: ModelVersions) -> None:
    problems = [s.error for s in model.statuses() if s.state == "END" and s.error]
    if problems:
        raise ServeError(f"model {name!r} cannot be served: {'; '.join(problems)}")


def _no_model(store: ModelStore, options: StoreOptions) -> str:
    if options.model_config_file is not None:
        return f"{options.model_config_file}: names no model. Add a config to its list."
    unfinished = "".join(f" {path} has none (yet)." for path in store.unfinished())
    return (
        f"{options.models_dir}: no model here (looked for "
        f"<name>/<version>/saved_model.pb).{unfinished} `trailrank pipeline run "
        "--root RUN` trains one and pushes it to RUN/models."
    )


def _check_labels(store: ModelStore, options: StoreOptions) -> None:
    if options.allow_early_labels:
        return
    for name in store.names():
        model = store.get(name)
        for label, version in options.labels.items():
            if model is not None and model.servable(version) is None:
                raise ServeError(
                    f"model {name!r}: label {label!r} is for version {version}, which "
                    "is not available. Serve it by --versions, or allow it by "
                    "--allow_version_labels_for_unavailable_models."
                )


def tell_trial(store: ModelStore, trial: TrialOptions | None) -> None:
    """Says which versions are on trial beside which, and what they take of memory."""
    if trial is None:
        return
    for role in ("shadow", "canary"):
        name = getattr(trial, role)
        for model in store.names() if name else ():
            _LOG.info("%s", _trial_line(role, name, trial.share_of(role), store, model))


def _trial_line(
    role: str, name: str, share: float, store: ModelStore, model: str
) -> str:
    found = store.get(model)
    served = found.servable() if found else None
    number = found.number_of(name) if found else None
    if found is None or served is None or number is None:
        return f"{role}: model {model!r} has no version {name} (yet)"
    if found.servable(number) is None:
        told = [s.error for s in found.statuses() if s.version == number and s.error]
        return f"{role}: version {number} of {model!r} is not there (yet). " + "".join(
            told
        )
    if served[0] == number:
        return f"{role}: version {number} is the only one of {model!r}: it serves"
    sizes_mb = [found.file_bytes(version) / 2**20 for version in (number, served[0])]
    return (
        f"{role}: version {number} of {model!r} with a share of {share:g}, beside "
        f"{served[0]}; both are in memory (files of {sizes_mb[0]:.1f} and "
        f"{sizes_mb[1]:.1f} MB)"
    )

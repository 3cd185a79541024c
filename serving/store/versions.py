"""The versions of each model: which are loaded, which come and go, and why one fails.

A version that is wanted is loaded and warmed before the one that it follows is let go;
requests that run keep the version they began with. One that cannot be loaded says why
in its status, and the next lower one that the policy allows serves in its place. It is
tried again as soon as its files change, and some times without that, as a file system
may have had a bad minute. Loads happen in the store's own threads.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence

from serving.models import memory, servable
from serving.models.servable import LoadError, Servable
from serving.store.model_config import ModelConfigFile
from serving.store.model_directory import ModelDirectory
from serving.store.store_options import ModelSettings, Retries, StoreOptions
from serving.store.text_protos import ConfigFileError
from serving.store.version_directories import (
    Files,
    files_of,
    find_versions,
    is_complete,
)

_LOG = logging.getLogger("trailrank.serving")


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What the status call says of one version.

    Attributes:
        version: Its number.
        state: `START`: it is wanted, and waits for its turn or for its files;
            `LOADING`; `AVAILABLE`; `UNLOADING`: requests still run on it; `END`: let
            go, or not loadable.
        error: Why it could not be loaded; empty if it could, or nobody knows yet.
    """

    version: int
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A version in memory, and the directory that it came from."""

    path: str
    servable: Servable


@dataclasses.dataclass(frozen=True)
class _Failure:
    """Of a version that could not be loaded.

    Attributes:
        files: As they were then.
        tries: How often these files were tried.
        time: Of the last try, by the monotonic clock.
    """

    files: Files
    tries: int
    time: float

    def is_settled(self, files: Files, retries: Retries) -> bool:
        """Whether another try with `files` would only fail again, for now or for good.

        Args:
            files: As they are now.
            retries: How often and when the same files are tried again.
        """
        if files != self.files:
            return False
        return (
            self.tries > retries.most or time.monotonic() < self.time + retries.wait_s
        )


class ModelVersions:
    """The versions of one model.

    `servable`, `statuses` and `labels` are for any thread, the other methods for one at
    a time.

    Args:
        settings: Where they are, which are served, and their labels.
        retries: Of those that cannot be loaded.
        beside: Versions on trial, numbers or labels (`StoreOptions.beside`).
    """

    # What other threads read is replaced, never changed: they see the old or the new.

    def __init__(
        self,
        settings: ModelSettings | str,
        retries: Retries | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        if isinstance(settings, str):
            settings = ModelSettings(settings)
        self._settings = settings
        self._beside = tuple(beside)
        self._numbers_beside = [int(name) for name in beside if _is_number(name)]
        self._labels = dict(settings.labels)
        self._retries = retries or Retries()
        self._loaded: dict[int, _Loaded] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._leaving: dict[int, weakref.ref[Servable]] = {}
        self._failures: dict[int, _Failure] = {}
        self._is_away = False

    # --- for any thread ---------------------------------------------------------------

    def servable(self, version: int | None = None) -> tuple[int, Servable] | None:
        """A loaded version with its number; the highest one if none is named.

        One on trial is the highest only if there is no other. None if that version is
        not loaded, or none is.
        """
        loaded = self._loaded
        if version is None:
            trial = set(map(self.number_of, self._beside))
            version = max(loaded.keys() - trial or loaded, default=None)
        found = None if version is None else loaded.get(version)
        return None if version is None or found is None else (version, found.servable)

    def statuses(self) -> list[VersionStatus]:
        """Every version that was loaded, tried or waited for, highest first.

        A version that another one was preferred to from the start is not among them.
        """
        known, leaving = self._statuses, self._leaving
        told = [known[version] for version in sorted(known, reverse=True)]
        return [
            dataclasses.replace(status, state="UNLOADING")
            if _is_in_use(status, leaving)
            else status
            for status in told
        ]

    def number_of(self, name: str) -> int | None:
        """The version of a number or a label as text; None for an unknown label."""
        return int(name) if _is_number(name) else self._labels.get(name)

    def file_bytes(self, version: int) -> int:
        """Of a loaded version's files, of which its memory is about as large; or 0."""
        found = self._loaded.get(version)
        return sum(size for _, size, _ in files_of(found.path)) if found else 0

    def labels(self) -> dict[str, int]:
        """Label -> version, of which some may not be loaded any more, or not yet."""
        return dict(self._labels)

    # --- for the thread that loads ----------------------------------------------------

    def configure(self, settings: ModelSettings) -> None:
        """Takes other settings; the next `refresh` loads and unloads by them."""
        self._is_away = self._is_away and settings.path == self._settings.path
        self._settings = settings
        self._labels = dict(settings.labels)

    def retire(self) -> None:
        """The model is not served any more: unloads all; the statuses stay."""
        self._labels = {}
        self._unload(self._loaded)
        self._drop_waiting(set())

    def refresh(self) -> None:
        """Looks at the directory, and serves what policy and directory ask for.

        Nothing is served any more if no version is left in the directory, whole or not.
        What is served stays if the directory itself is gone, as it may come back, and
        while nothing that is wanted can be loaded.
        """
        try:
            self._refresh()
        finally:
            self._give_back()

    def _refresh(self) -> None:
        found = find_versions(self._settings.path)
        self._tell_if_away(found is None)
        if found is None:
            return
        self._failures = {v: f for v, f in self._failures.items() if v in found}
        beside = self._numbers_beside
        wanted = [v for v in self._settings.policy.wanted(found) if v not in beside]
        self._drop_waiting({*wanted, *beside})
        if not found:
            self._unload(self._loaded)
            return
        self._announce(wanted)
        kept: list[int] = []
        for version in wanted:
            if len(kept) == self._settings.policy.most:
                break
            if self._serve(version, found.get(version)):
                kept.append(version)
                self._make_room(kept, wanted)
        tried = [
            version for version in beside if self._serve(version, found.get(version))
        ]
        if kept:
            self._unload(set(self._loaded) - {*kept, *tried})

    def _tell_if_away(self, is_away: bool) -> None:
        if is_away and not self._is_away:
            _LOG.warning("%s: is no directory (yet)", self._settings.path)
        self._is_away = is_away

    def _drop_waiting(self, wanted: set[int]) -> None:
        """Versions that were never tried and that nobody wants any more."""
        self._statuses = {
            version: status
            for version, status in self._statuses.items()
            if status.state != "START" or version in wanted
        }

    def _announce(self, wanted: list[int]) -> None:
        for version in wanted[: self._settings.policy.most]:
            if version not in self._statuses:
                self._note(version, "START")

    def _make_room(self, kept: list[int], wanted: list[int]) -> None:
        """Lets go what cannot be needed any more, before the next one is loaded.

        So that at most one version more than the policy asks for is in memory, beside
        those on trial.
        """
        loaded = set(self._loaded).difference(self._numbers_beside)
        others = sorted(loaded - set(kept))
        surplus = [version for version in others if version not in wanted]
        most = self._settings.policy.most
        if most is not None:
            surplus += others[: max(0, len(loaded) - most)]
        self._unload(surplus)

    def _serve(self, version: int, path: str | None) -> bool:
        """Loads a version if it is not; whether it is served."""
        loaded = self._loaded.get(version)
        if loaded is not None and loaded.path == path:
            return True
        if path is None or not is_complete(path):
            self._wait_for(version, path)
            return False
        files = files_of(path)  # before they are read, so that no change is missed
        failure = self._failures.get(version)
        if failure and failure.is_settled(files, self._retries):
            return False
        return self._load(version, path, files)

    def _wait_for(self, version: int, path: str | None) -> None:
        if version in self._loaded:
            return  # from another directory; it serves until this one is there
        where = self._settings.path if path is None else path
        what = f"version {version}" if path is None else "saved_model.pb"
        self._note(version, "START", f"{where}: {what} is not there (yet).")

    def _load(self, version: int, path: str, files: Files) -> bool:
        is_replaced = version in self._loaded
        if not is_replaced:
            self._note(version, "LOADING")
        try:
            loaded = servable.load(path)
        except LoadError as error:
            failure = self._failures.get(version)
            tries = failure.tries if failure and failure.files == files else 0
            self._failures[version] = _Failure(files, tries + 1, time.monotonic())
            _LOG.error("version %d is not served: %s", version, error)
            state = "AVAILABLE" if is_replaced else "END"
            self._note(version, state, str(error))
            return False
        self._failures.pop(version, None)
        self._loaded = {**self._loaded, version: _Loaded(path, loaded)}
        self._note(version, "AVAILABLE")
        _LOG.info("serving %s", path)
        return True

    def _unload(self, versions: Iterable[int]) -> None:
        gone = {v: self._loaded[v].servable for v in versions if v in self._loaded}
        if not gone:
            return
        self._leaving = self._leaving | {v: weakref.ref(s) for v, s in gone.items()}
        # First out of reach, then told: no request finds a version that is END.
        self._loaded = {v: one for v, one in self._loaded.items() if v not in gone}
        for version in gone:
            self._note(version, "END")
        for label, version in self._labels.items():
            if version in gone:
                _LOG.warning("label %r: its version %d is unloaded", label, version)

    def _give_back(self) -> None:
        """Memory of those that no request runs on any more."""
        still = {v: found for v, found in self._leaving.items() if found() is not None}
        if len(still) < len(self._leaving):
            self._leaving = still
            memory.give_back()

    def _note(self, version: int, state: str, error: str = "") -> None:
        status = VersionStatus(version, state, error)
        self._statuses = {**self._statuses, version: status}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _is_in_use(
    status: VersionStatus, leaving: Mapping[int, weakref.ref[Servable]]
) -> bool:
    """Whether a version was let go while requests still run on it."""
    reference = leaving.get(status.version)
    is_let_go = status.state == "END" and not status.error
    return is_let_go and reference is not None and reference() is not None


class ModelStore:
    """The models of one source; between `start` and `stop` threads follow it.

    Args:
        options: What they are. A path is a directory of models, followed each second.
    """

    def __init__(self, options: StoreOptions | str, poll_s: float = 1.0) -> None:
        if isinstance(options, str):
            options = StoreOptions(models_dir=options, poll_s=poll_s)
        self._options = options
        self._source = _source(options)
        self._models: dict[str, ModelVersions] = {}
        self._served: frozenset[str] = frozenset()
        self._refused = ""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._loading = threading.Lock()

    def get(self, name: str) -> ModelVersions | None:
        """The model called `name`, served or served before; None if it never was."""
        return self._models.get(name)

    def names(self) -> list[str]:
        """The names of the models that are served, in order."""
        return sorted(self._served)

    def unfinished(self) -> list[str]:
        """Version directories of names that are no models, for want of a whole one."""
        return self._source.unfinished()

    def refresh(self) -> None:
        """One look: which models there are, then each one's versions, which may load.

        Raises:
            ConfigFileError: There is no configuration yet, and the first one cannot be
                taken. A later one that cannot be is told in the log.
            tf.errors.OpError: The file system refuses; what it gave is served.
        """
        with self._loading:
            self._reconfigure()
            self._refresh_models()

    def refresh_versions(self) -> None:
        """One look at each model's versions; which models there are is not asked.

        Raises:
            tf.errors.OpError: The file system refuses; what it gave is served.
        """
        with self._loading:
            self._refresh_models()

    def start(self) -> None:
        """Follows the source until `stop`."""
        options = self._options
        if options.model_config_file is None:
            looks = [(options.poll_s, self.refresh)]
        else:
            looks = [
                (options.config_poll_s, self.refresh),
                (options.poll_s, self.refresh_versions),
            ]
        self._threads = [
            threading.Thread(
                target=self._follow, args=(wait_s, look), name="poll", daemon=True
            )
            for wait_s, look in looks
            if wait_s > 0
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads, after a load that runs."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, wait_s: float, look: Callable[[], None]) -> None:
        while not self._stop.wait(wait_s):
            try:
                look()
            except Exception:  # a server outlives a file system's bad minute
                _LOG.exception("cannot read %s; trying again", self._source.path)

    def _reconfigure(self) -> None:
        """Takes the source's settings, all of them or none."""
        try:
            settings = self._source.models()
            self._check_labels(settings)
        except ConfigFileError as error:
            if not self._models:
                raise
            if str(error) != self._refused:  # not at every look
                _LOG.error("the models stay as they are: %s", error)
            self._refused = str(error)
            return
        self._refused = ""
        self._apply(settings)

    def _apply(self, settings: Mapping[str, ModelSettings]) -> None:
        for name in self._served - set(settings):
            self._models[name].retire()
            _LOG.info("model %r is not served any more", name)
        for name, one in settings.items():
            if name in self._models:
                self._models[name].configure(one)
            else:
                options = self._options
                versions = ModelVersions(one, options.retries, options.beside)
                self._models = {**self._models, name: versions}
        self._served = frozenset(settings)

    def _check_labels(self, settings: Mapping[str, ModelSettings]) -> None:
        """A label goes to an available version; a new one, if allowed, to any."""
        for name, one in settings.items():
            model = self._models.get(name)
            now = model.labels() if model else {}
            for label, version in one.labels.items():
                if now.get(label) == version or (model and model.servable(version)):
                    continue
                if self._source.may_label_early and label not in now:
                    continue
                refusal = _label_refusal(name, label, version, now)
                raise ConfigFileError(f"{self._source.path}: {refusal}")

    def _refresh_models(self) -> None:
        problem: Exception | None = None
        for name in self.names():
            try:
                self._models[name].refresh()
            except Exception as error:  # one model's file system is not another one's
                problem = error
        if problem is not None:
            raise problem


def _source(options: StoreOptions) -> ModelDirectory | ModelConfigFile:
    if options.model_config_file is not None:
        return ModelConfigFile(options.model_config_file, options.allow_early_labels)
    return ModelDirectory(options.models_dir or "", options.policy, options.labels)


def _label_refusal(name: str, label: str, version: int, now: Mapping[str, int]) -> str:
    text = (
        f"model {name!r}: label {label!r} is for version {version}, which is not "
        "available. "
    )
    if label in now:
        return text + (
            f"It moves once the version is loaded; it stays at {now[label]} till then."
        )
    return text + (
        "Add the label once the version is loaded, or start with "
        "--allow_version_labels_for_unavailable_models=true."
    )

"""A directory of models and versions, polled: `<models>/<name>/<version>/`.

Of each model one version is served: the highest that is all there and loads. Another
one is loaded and warmed before the old one is let go; requests that run keep the
version they began with. A version that cannot be loaded says why in its status, and
the next lower one serves in its place. It is tried again as soon as its files change,
and some times without that, as a file system may have had a bad minute.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Iterator

import tensorflow as tf

from serving import servable
from serving.servable import LoadError, Servable

_LOG = logging.getLogger("trailrank.serving")
_MOST_RETRIES = 5  # of the same files, after the first try
_RETRY_S = 60.0  # at least; the next look at the directory after that

Files = tuple[tuple[str, int, int], ...]


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What the status call says of one version.

    Attributes:
        version: Its number.
        state: `LOADING`, `AVAILABLE`, or `END`: let go, or not loadable.
        error: Why it could not be loaded; empty if it could, or nobody knows yet.
    """

    version: int
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class _Failure:
    """Of a version that could not be loaded.

    Attributes:
        files: As they were then.
        tries: How often these files were tried.
        next_try: Time of the next one, by the monotonic clock.
    """

    files: Files
    tries: int
    next_try: float

    def is_settled(self, files: Files) -> bool:
        """Whether another try with `files` would only fail again, for now or for good.

        Args:
            files: As they are now.
        """
        if files != self.files:
            return False
        return self.tries > _MOST_RETRIES or time.monotonic() < self.next_try


class ModelVersions:
    """The versions of one model; `refresh` is called by one thread, the rest by any."""

    def __init__(self, path: str):
        self._path = path
        self._loaded: tuple[int, Servable] | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failures: dict[int, _Failure] = {}

    def refresh(self) -> None:
        """Looks at the directory, and serves what it asks for.

        That is the highest whole version that loads: a newer one, or a lower one if the
        served one was removed. Nothing is served any more if no version is left, whole
        or not. What is served stays if the directory itself is gone, as it may come
        back, and while nothing else can be loaded.
        """
        found = find_versions(self._path)
        if found is None:
            return
        self._failures = {v: f for v, f in self._failures.items() if v in found}
        if not found:
            self._unload()
            return
        for version in complete_versions(found):
            if self._loaded and self._loaded[0] == version:
                return
            if self._try(version, found[version]):
                return

    def servable(self, version: int | None) -> tuple[int, Servable] | None:
        """The loaded version with its number, by number or (None) whichever it is.

        None if that version is not loaded, or none is.
        """
        loaded = self._loaded
        if loaded is None or version not in (None, loaded[0]):
            return None
        return loaded

    def statuses(self) -> list[VersionStatus]:
        """Every version that was loaded or tried, highest first.

        A version that another one was preferred to from the start is not among them.
        """
        known = dict(self._statuses)
        return [known[version] for version in sorted(known, reverse=True)]

    def _try(self, version: int, path: str) -> bool:
        """Serves a version, unless it cannot be loaded; whether it is served."""
        files = _files(path)  # before they are read, so that no change is missed
        failure = self._failures.get(version)
        if failure and failure.is_settled(files):
            return False
        self._note(version, "LOADING")
        try:
            loaded = servable.load(path)
        except LoadError as error:
            tries = failure.tries if failure and failure.files == files else 0
            self._failures[version] = _Failure(
                files, tries + 1, time.monotonic() + _RETRY_S
            )
            self._note(version, "END", str(error))
            _LOG.error("version %d is not served: %s", version, error)
            return False
        self._take(version, loaded)
        _LOG.info("serving %s", path)
        return True

    def _take(self, version: int, loaded: Servable) -> None:
        old, self._loaded = self._loaded, (version, loaded)
        self._failures.pop(version, None)
        self._note(version, "AVAILABLE")
        if old is not None:
            self._note(old[0], "END")

    def _unload(self) -> None:
        if self._loaded is not None:
            self._note(self._loaded[0], "END")
            self._loaded = None

    def _note(self, version: int, state: str, error: str = "") -> None:
        # A new dict: readers in other threads see the old or the new one.
        status = VersionStatus(version, state, error)
        self._statuses = {**self._statuses, version: status}


class ModelStore:
    """Every model below one directory; between `start` and `stop` a thread follows it.

    A subdirectory is a model from its first whole version on, and stays one.

    Args:
        models_dir: Holds `<name>/<version>/saved_model.pb`; may be in a bucket.
        poll_s: Seconds between two looks of the thread.
    """

    def __init__(self, models_dir: str, poll_s: float = 1.0):
        self._models_dir, self._poll_s = models_dir, poll_s
        self._models: dict[str, ModelVersions] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="poll", daemon=True)

    def refresh(self) -> None:
        """One look: new models, then each model's versions, which may load one."""
        for name in _directories(self._models_dir) or []:
            path = os.path.join(self._models_dir, name)
            if name in self._models:
                continue
            if next(complete_versions(find_versions(path) or {}), None) is not None:
                self._models = {**self._models, name: ModelVersions(path)}
        for model in self._models.values():
            model.refresh()

    def get(self, name: str) -> ModelVersions | None:
        """The model called `name`; None if no version of it was ever whole."""
        return self._models.get(name)

    def names(self) -> list[str]:
        """The names of the models found so far, in order."""
        return sorted(self._models)

    def unfinished(self) -> list[str]:
        """Version directories of names that are no models, for want of a whole one."""
        names = [
            n for n in _directories(self._models_dir) or [] if n not in self._models
        ]
        paths = [os.path.join(self._models_dir, name) for name in sorted(names)]
        return [v for path in paths for v in (find_versions(path) or {}).values()]

    def start(self) -> None:
        """Follows the directory until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after a load that runs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.refresh()
            except Exception:  # a server outlives a file system's bad minute
                _LOG.exception("cannot read %s; trying again", self._models_dir)


def find_versions(path: str) -> dict[int, str] | None:
    """Version number -> directory; None if `path` is no directory."""
    names = _directories(path)
    if names is None:
        return None
    return {
        int(name): os.path.join(path, name)
        for name in names
        if name.isascii() and name.isdecimal()
    }


def complete_versions(found: dict[int, str]) -> Iterator[int]:
    """The versions that are all there, the highest first.

    The Pusher copies saved_model.pb last: without the file a version is not there yet,
    which is neither an error nor a version.

    Args:
        found: What `find_versions` gave.
    """
    for version in sorted(found, reverse=True):
        if tf.io.gfile.exists(os.path.join(found[version], "saved_model.pb")):
            yield version


def _files(path: str) -> Files:
    """Path, size and time of change of every file of a version, in order.

    A file that goes meanwhile is left out: the next look sees another state.
    """
    found = []
    for folder, _, names in tf.io.gfile.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            try:
                state = tf.io.gfile.stat(file)
            except tf.errors.OpError:
                continue
            found.append((file, state.length, state.mtime_nsec))
    return tuple(sorted(found))


def _directories(path: str) -> list[str] | None:
    if not tf.io.gfile.isdir(path):
        return None
    try:
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(path)]
    except tf.errors.NotFoundError:
        return None
    return [name for name in names if tf.io.gfile.isdir(os.path.join(path, name))]

"""A model becomes a version that is served: `<destination>/<number>/`, whole or not.

    pushed = push("artifacts/Trainer/model/7/Format-Serving", "run/models/kuairand")
    pushed.version  # "1650000000"

On a disk a version is copied under another name and gets its own by one rename. A
bucket has no rename: `saved_model.pb`, without which no server takes a version, is
written last. What an end of the process leaves is removed by the next push, and the
model of the newest version is not pushed again, so that whoever was stopped between the
copy and the note of it may do the same once more.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feature_specs.errors import TrailrankError
from feature_specs.places import Place, is_bucket

PUSHED_FILE = "pushed.json"  # in a version, and in the step's artifact
JUDGED_FILES = ("verdict.json", "infra.json")  # in a version: what it was blessed for
ROLLED_BACK = "rolled_back"  # in a destination: versions that are served no more
SAVED_MODEL = "saved_model.pb"
_CHUNK_BYTES = 1 << 24


class PushError(TrailrankError, ValueError):
    """What is to be pushed is no model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """A version that is served.

    Attributes:
        version: Its number, the name of its directory.
        path: That directory.
        digest: SHA-256 of the model's files: their names and contents.
        is_new: Whether this push made it; else it was the newest version already.
    """

    version: str
    path: str
    digest: str
    is_new: bool = True


def push(
    model: Place, destination: Place, judged: Mapping[str, bytes] | None = None
) -> Pushed:
    """Copies a model to a new version, above all others; the newest one stays if it is
    this model.

    The caller holds the lock of the run that the destination belongs to.

    Args:
        model: A SavedModel's directory; a path or a bucket.
        destination: Holds `<version>/`; is made if it is not there.
        judged: Further files of the version: what it was blessed for.

    Raises:
        PushError: There is no SavedModel.
        OSError: It cannot be copied; nothing of it is left.
    """
    source, target = os.fspath(model), os.fspath(destination)
    if not _exists(os.path.join(source, SAVED_MODEL)):
        raise PushError(
            f"{source}: must hold a SavedModel ({SAVED_MODEL}). Got none. Run the "
            "pipeline again: the Trainer exports it."
        )
    _remove_leftovers(target)
    digest = content_digest(source)
    newest = max(versions(target), key=int, default=None)
    if newest and _digest_of(os.path.join(target, newest)) == digest:
        path = os.path.join(target, newest)
        return Pushed(version=newest, path=path, digest=digest, is_new=False)
    version = next_version(target)
    path = os.path.join(target, version)
    pushed = Pushed(version=version, path=path, digest=digest)
    copy = _copy_in_bucket if is_bucket(target) else _copy_and_rename
    copy(source, path, {PUSHED_FILE: _to_bytes(pushed), **(judged or {})})
    return pushed


def versions(destination: Place) -> list[str]:
    """The numbers of the whole versions there, in order; none where it is not there."""
    place = os.fspath(destination)
    return [
        name
        for name in _numbers(place)
        if _exists(os.path.join(place, name, SAVED_MODEL))
    ]


def next_version(destination: Place) -> str:
    """Seconds of the Unix epoch, as TFX names versions; above every one there ever was.

    Versions that were rolled back count: a server that has seen a number takes what it
    had under it.
    """
    place = os.fspath(destination)
    taken = [*_numbers(place), *_numbers(os.path.join(place, ROLLED_BACK))]
    return str(max([int(time.time()), *(int(name) + 1 for name in taken)]))


def content_digest(model: Place) -> str:
    """SHA-256 of the names and contents of a model's files.

    Args:
        model: A directory; what a push adds to a version does not count.
    """
    digest = hashlib.sha256()
    for name in _files(os.fspath(model)):
        if name in (PUSHED_FILE, *JUDGED_FILES):
            continue
        digest.update(f"{name}\0{_file_digest(os.path.join(model, name))}\n".encode())
    return digest.hexdigest()


def write_push(directory: Place, pushed: Pushed | None, why: str = "") -> None:
    """Notes what became of a push in the artifact of the step.

    Args:
        directory: Of the artifact.
        pushed: The version; None if nothing was pushed.
        why: In that case.
    """
    values: dict[str, Any] = {"pushed": pushed is not None, "why": why}
    if pushed:
        values |= dataclasses.asdict(pushed)
    path = os.path.join(directory, PUSHED_FILE)
    _write(path, f"{json.dumps(values, indent=2)}\n".encode())


def read_push(directory: Place) -> Pushed | None:
    """What `write_push` has noted; None if nothing was pushed, or nobody noted it."""
    values = _noted(os.fspath(directory))
    if not values.get("pushed"):
        return None
    fields = [field.name for field in dataclasses.fields(Pushed)]
    return Pushed(**{name: values[name] for name in fields})


def _to_bytes(pushed: Pushed) -> bytes:
    return f"{json.dumps(dataclasses.asdict(pushed), indent=2)}\n".encode()


def _digest_of(version: str) -> str:
    """As the push noted it, or of the files of a version that TFX has pushed."""
    noted = _noted(version).get("digest")
    return noted if isinstance(noted, str) else content_digest(version)


def _noted(directory: str) -> dict[str, Any]:
    path = os.path.join(directory, PUSHED_FILE)
    if not _exists(path):
        return {}
    try:
        found = json.loads(_read(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- copies ---------------------------------------------------------------------------


def _copy_and_rename(source: str, path: str, notes: Mapping[str, bytes]) -> None:
    parent, version = os.path.split(path)
    unfinished = os.path.join(parent, f".{version}-{uuid.uuid4().hex}.tmp")
    try:
        for name in _files(source):
            _copy(os.path.join(source, name), os.path.join(unfinished, name))
        for name, note in notes.items():
            _write(os.path.join(unfinished, name), note)
        os.rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _copy_in_bucket(source: str, path: str, notes: Mapping[str, bytes]) -> None:
    # pushed.json comes first: by it the next push knows whose an unfinished copy is.
    for name, note in notes.items():
        _write(os.path.join(path, name), note)
    names = [name for name in _files(source) if name != SAVED_MODEL]
    for name in (*names, SAVED_MODEL):
        _copy(os.path.join(source, name), os.path.join(path, name))


def _remove_leftovers(destination: str) -> None:
    """Copies that were never finished; nobody else makes some, by the run's lock."""
    for name in _listed(destination):
        path = os.path.join(destination, name)
        if name.startswith(".") and name.endswith(".tmp"):
            _remove_tree(path)
        elif is_bucket(destination) and name.isdecimal():
            is_whole = _exists(os.path.join(path, SAVED_MODEL))
            if not is_whole and _exists(os.path.join(path, PUSHED_FILE)):
                _remove_tree(path)


# --- a disk, or a bucket through TensorFlow -------------------------------------------


def _numbers(directory: str) -> list[str]:
    """Names of versions, by number; whole ones or not."""
    names = (n for n in _listed(directory) if n.isascii() and n.isdecimal())
    return sorted(names, key=int)


def _files(directory: str) -> list[str]:
    """Paths of all files below, relative and in order."""
    found = [
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in _walk(directory)
        for name in names
    ]
    return sorted(found)


def _walk(directory: str) -> Iterable[tuple[str, list[str], list[str]]]:
    walk = _gfile().walk if is_bucket(directory) else os.walk
    found: Iterable[tuple[str, list[str], list[str]]] = walk(directory)
    return found


def _listed(directory: str) -> list[str]:
    if not is_bucket(directory):
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    gfile = _gfile()
    names = gfile.listdir(directory) if gfile.isdir(directory) else []
    return sorted(name.rstrip("/") for name in names)


def _exists(path: str) -> bool:
    return bool(_gfile().exists(path)) if is_bucket(path) else os.path.exists(path)


def _copy(source: str, target: str) -> None:
    if is_bucket(source) or is_bucket(target):
        _gfile().makedirs(os.path.dirname(target))
        _gfile().copy(source, target)
        return
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _read(path: str) -> bytes:
    return b"".join(_chunks(path))


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: str) -> Iterator[bytes]:
    opened: Any = _gfile().GFile if is_bucket(path) else open
    with opened(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _write(path: str, content: bytes) -> None:
    if is_bucket(path):
        _gfile().makedirs(os.path.dirname(path))
        with _gfile().GFile(path, "wb") as file:
            file.write(content)
        return
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(content)


def _remove_tree(path: str) -> None:
    if is_bucket(path):
        _gfile().rmtree(path)
    else:
        shutil.rmtree(path)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile

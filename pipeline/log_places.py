"""Whether raw logs can be where a user says, told before Beam is imported.

`reading.log_files` matches files for good, in buckets too. What it would refuse for
certain is refused here already: no directory, or no file with a name that fits.
"""

from __future__ import annotations

import fnmatch
import os
import pathlib
import re
from collections.abc import Iterator

from feature_specs import Spec
from feature_specs.places import Place, PlaceError, is_bucket

_DAY = re.compile(r"\{day(?::[^{}]*)?\}")
_DEEPER = 2  # directories that logs may lie deeper than is said: `*/data`
_MOST_SHOWN = 20


def check_logs(spec: Spec, logs: Place) -> None:
    """That a directory of this machine can hold the spec's logs; a bucket passes.

    Raises:
        PlaceError: It is not there, or no file in it has a name that fits.
    """
    if is_bucket(logs):
        return
    pattern = _DAY.sub("*", spec.log.files)
    name = pattern.rpartition("/")[2]
    path, others = pathlib.Path(logs), []
    for file in _files(path, depth=pattern.count("/") + _DEEPER):
        if fnmatch.fnmatch(file.name, name):
            return
        others.append(str(file.relative_to(path)))
    what = f"{path} does not exist."
    if path.exists():
        what = f"{path} is empty, or no directory."
    if others:
        more = len(others) - _MOST_SHOWN
        what = f"It holds {', '.join(sorted(others)[:_MOST_SHOWN])}"
        what += f" and {more} more." if more > 0 else "."
    if spec.log.tfds:
        raise PlaceError(
            f"No file matches {os.path.join(logs, spec.log.files)} (log.tfds of the "
            f"spec). {what} {spec.log.tfds.advice}"
        )
    raise PlaceError(
        f"No file matches {os.path.join(logs, spec.log.files)} (log.files of the "
        f"spec). {what} Give the directory with the logs, or change the pattern."
    )


def _files(directory: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """Files in a directory and so many levels below."""
    if not directory.is_dir():
        return
    for entry in sorted(directory.iterdir()):
        if not entry.is_dir():
            yield entry
        elif depth:
            yield from _files(entry, depth - 1)

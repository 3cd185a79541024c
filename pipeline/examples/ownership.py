"""One command a directory of examples; in buckets too, as Beam reads them."""

from __future__ import annotations

import contextlib

from feature_specs.locks import owned
from feature_specs.places import Place


class BeamObjects:
    """A bucket as Beam reads and writes it."""

    def read(self, path: str) -> bytes | None:
        """An object's bytes; None if there is none."""
        from apache_beam.io.filesystems import FileSystems

        if not FileSystems.exists(path):
            return None
        with FileSystems.open(path) as file:
            data: bytes = file.read()
            return data

    def write(self, path: str, data: bytes) -> None:
        """Puts an object there."""
        from apache_beam.io.filesystems import FileSystems

        with FileSystems.create(path) as file:
            file.write(data)

    def remove(self, path: str) -> None:
        """Removes an object, if it is there."""
        from apache_beam.io.filesystems import FileSystems

        if FileSystems.exists(path):
            FileSystems.delete([path])


def sole_making(out: Place) -> contextlib.AbstractContextManager[None]:
    """Keeps other commands from writing examples to `out` (`locks.owned`)."""
    return owned(out, objects=BeamObjects)
